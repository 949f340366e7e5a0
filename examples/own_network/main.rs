//! A network that Elucid knows nothing of: its file, the names of its classes, how its pictures are
//! prepared, and a target that is no class of the whole picture.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use common::Arguments;
use elucid::attribution::ClassRef;
use elucid::models::Labels;
use elucid::prelude::*;
use elucid::vision::Opening;
use ndarray::Axis;

/// The network, and the names of its classes if there are any: those asked for, else those of this
/// folder.
fn open(arguments: &Arguments) -> Result<Model, Box<dyn Error>> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/own_network");
    let (file, names) = match (arguments.get("model"), arguments.get("labels")) {
        ("", "") => (here.join("surfaces.onnx"), here.join("surfaces.txt")),
        ("", names) => (here.join("surfaces.onnx"), PathBuf::from(names)),
        (file, names) => (PathBuf::from(file), PathBuf::from(names)),
    };
    // ANCHOR: open
    let opening = match names.as_os_str().is_empty() {
        true => Opening::new(),
        false => Opening::new().labels(Labels::parse("own", &std::fs::read_to_string(names)?)),
    };
    // What is not said here is read from the file and from what lies beside it.
    Ok(opening.open(file, &elucid::device::auto().device)?)
    // ANCHOR_END: open
}

// ANCHOR: best
/// What is explained when nobody says it: the best class, or all pixels of the commonest class but the
/// first.
fn best(model: &Model, photo: &Photo) -> Result<Target, Box<dyn Error>> {
    if let Ok(scores) = model.classify(photo) {
        let best = scores.top(1);
        let best = best.first().ok_or("the network has no classes")?;
        return Ok(Target::class(best.index));
    }
    let map = DenseMap::of(model)?;
    let counts = map.predicted(model, photo)?;
    let common = (1..counts.len()).max_by_key(|&class| counts[class]);
    let class = common.filter(|&class| counts[class] > 0).unwrap_or(0);
    let name = model.labels().and_then(|labels| labels.name(class));
    let class = name.map_or(ClassRef::Index(class), ClassRef::from);
    Ok(Target::region(class, Region::predicted()))
}
// ANCHOR_END: best

fn explain() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::read("own_network", "model= labels target")?;
    let model = open(&arguments)?;
    for remark in model.remarks() {
        println!("note: {remark}");
    }
    let head = model.head();
    println!(
        "{} holds the scores: {}, {}",
        head.scores(),
        head.kind(),
        head.probabilities()
    );

    let photo = model.prepare(&arguments.picture(photographs::coffee())?)?;
    let seen = Picture::from_image(photo.picture().clone())?;
    let target = match arguments.get("target") {
        "" => best(&model, &photo)?,
        text => text.parse()?,
    };
    println!("explained: {target}");

    let methods: [Box<dyn Attributor>; 4] = [
        Box::new(Gradient::at_input()),
        Box::new(IntegratedGradients::adaptive(0.01)),
        Box::new(GradCam::at_features()),
        Box::new(Occlusion::new()),
    ];
    let mut section = GallerySection::new(target.to_string())
        .figure(Figure::new(&seen, "the photograph").caption("the photograph"));
    for method in methods {
        let found = match method.attribute(&model, &photo, target.clone()) {
            Ok(found) => found,
            Err(error) => {
                println!("{}: {error}", method.name());
                section = section.figure(Figure::absent(error.to_string()).caption(method.name()));
                continue;
            }
        };
        println!("{found}");
        let map = found.map()?.upsampled();
        let overlay = common::over(&seen, map.maps().index_axis(Axis(0), 0))?;
        section = section.figure(Figure::new(&overlay, method.name()).caption(method.name()));
    }
    let text = "What in the photograph speaks for what the network says.";
    arguments.save_section("A network of one's own", text, section)
}

fn main() -> ExitCode {
    common::exit(explain())
}
