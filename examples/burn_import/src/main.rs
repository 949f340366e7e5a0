//! Explains the generated module at `inception_4d`, and says how near it is to our own import of the file.

use std::error::Error;
use std::process::ExitCode;

use burn_import_example::{captured, generated};
use elucid::prelude::*;

fn explain() -> Result<(), Box<dyn Error>> {
    let device = elucid::device::auto().device;
    let own = Model::embedded(&device)?;
    let net = generated(&device);
    let model = captured(&net, &own)?;
    for remark in model.remarks() {
        println!("note: {remark}");
    }
    let photo = own.prepare(&elucid::vision::input::decode_image(
        photographs::dog_and_cat(),
    )?)?;
    let [ours, theirs] = [&own, &model].map(|model| model.classify(&photo));
    let (ours, theirs) = (ours?, theirs?);
    for guess in theirs.top(3) {
        println!("  {guess}");
    }
    let far = (ours.logits() - theirs.logits())
        .mapv(f32::abs)
        .fold(0.0_f32, |m, v| m.max(*v));
    println!("scores differ from our own import by {far:.1e}");

    // The importer keeps no name of the file. What is an InceptionV1 is found by what it is made of, and has
    // Lucid's names: `mixed4d` is Caffe's `inception_4d`.
    println!("inception_4d is {}", model.layer("mixed4d")?.name());
    let target = || Target::label("dog");
    let found = GradCam::at("mixed4d").attribute(&model, &photo, target())?;
    println!("{found}");
    let own = GradCam::at("mixed4d").attribute(&own, &photo, target())?;
    let far = (found.values() - own.values())
        .mapv(f32::abs)
        .fold(0.0_f32, |m, v| m.max(*v));
    println!("its map differs by {far:.1e}");

    let seen = Picture::from_image(photo.picture().clone())?;
    let map = found.saliency(Reduce::Positive)?.upsampled();
    let style = MapStyle::of(map.maps().view());
    let map = map.maps().index_axis(ndarray::Axis(0), 0);
    let [_, overlay] = style.draw(&seen, map, Interpolation::Bilinear)?;
    let path = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "burn_import.png".to_owned());
    overlay.save(&path)?;
    println!("open {path}");
    Ok(())
}

fn main() -> ExitCode {
    match explain() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
