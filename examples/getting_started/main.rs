//! Getting started: one network, one photograph, and what in it the network saw.
//!
//! The first programs of the book stand here. `README.md` says what to expect.

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use common::Arguments;
use elucid::attribution::{Method, MethodOptions};
use elucid::prelude::*;
use elucid::results;
use ndarray::Axis;

// ANCHOR: explain
/// What in the photograph speaks for a cat, over the photograph.
fn explain(model: &Model, photo: &Photo, folder: &Path) -> Result<(), Box<dyn Error>> {
    for guess in model.classify(photo)?.top(3) {
        println!("{guess}");
    }
    let found = GradCam::at_features().attribute(model, photo, Target::label("cat"))?;
    println!("{found}");

    let map = found.saliency(Reduce::Positive)?.upsampled();
    let map = map.maps().index_axis(Axis(0), 0);
    let (colors, range) = (ColorMap::Inferno, Normalisation::Positive);
    Picture::from_image(photo.picture().clone())?
        .overlay_map(map, colors, range, 0.6, Interpolation::Bilinear)?
        .save(folder.join("grad_cam.png"))?;
    Ok(())
}
// ANCHOR_END: explain

// ANCHOR: targets
/// Other questions about the same photograph, to the same layer.
fn ask(model: &Model, photo: &Photo) -> Result<(), Box<dyn Error>> {
    let method = LinearApproximation::at("mixed4c");
    for target in [
        Target::label("cat"),
        Target::difference("cat", "dog"),
        Target::difference("cat", Side::LogSumExp),
        Target::probability("cat"),
        Target::channel("mixed4d", 11),
        Target::element("mixed4d", &[11, 4, 6]),
        "dog:none".parse()?,
    ] {
        println!("{}", method.attribute(model, photo, target)?);
    }
    Ok(())
}
// ANCHOR_END: targets

// ANCHOR: layers
/// Names of layers, and one map of several.
fn look_deeper(model: &Model, photo: &Photo, folder: &Path) -> Result<(), Box<dyn Error>> {
    for name in ["mixed4d", "inception_4d", FEATURES, INPUT] {
        println!("{name}: {}", Network::layer(model, name)?);
    }
    let cam = Method::find("layer-cam")?;
    let layers = ["mixed4c", "mixed4d", "mixed5b"];
    let fused = Fused::layers(cam, &MethodOptions::new(), layers, Fuse::Product)?;
    let found = fused.attribute(model, photo, Target::label("cat"))?;
    found.save(folder.join("fused.png"))?;
    Ok(())
}
// ANCHOR_END: layers

// ANCHOR: trust
/// What a result says of itself, and how it is kept.
fn keep(model: &Model, photo: &Photo, folder: &Path) -> Result<(), Box<dyn Error>> {
    let method = IntegratedGradients::adaptive(0.01);
    let found = method.attribute(model, photo, Target::label("cat"))?;
    let error = found.completeness_error().ok_or("it promises a sum")?;
    let points = found.evaluations()[0];
    println!("{points} points add up within {:.2} %", 100.0 * error);
    println!("options: {}", found.configuration());

    found.save(folder.join("cat.json"))?; // everything, to be opened again
    found.save(folder.join("cat.npy"))?; // the numbers, [N, C, H, W]
    let again = results::open(folder.join("cat.json"))?;
    assert_eq!(again.values(), found.values());
    Ok(())
}
// ANCHOR_END: trust

fn run() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::read("getting_started", "")?;
    let picture = arguments.picture(photographs::dog_and_cat())?;
    let folder = arguments.new_folder()?;

    // ANCHOR: open
    let device = elucid::device::auto().device;
    let model = Model::embedded(&device)?; // or Model::open("net.onnx", &device)?
    let photo = model.prepare(&picture)?; // or model.read_image("cat.jpg")?
    // ANCHOR_END: open

    explain(&model, &photo, &folder)?;
    ask(&model, &photo)?;
    look_deeper(&model, &photo, &folder)?;
    keep(&model, &photo, &folder)?;
    println!("open {}", folder.join("grad_cam.png").display());
    Ok(())
}

fn main() -> ExitCode {
    common::exit(run())
}
