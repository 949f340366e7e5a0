//! Spatial attribution: which parts of a photograph made which parts of a network light up.
//!
//! This is the *Spatial Attribution* notebook of *The Building Blocks of Interpretability* (Olah et
//! al., 2018), as a program to read from top to bottom. `README.md` says what to expect.

use std::error::Error;
use std::process::ExitCode;

use elucid::prelude::*;
use ndarray::{Array3, Axis};

use common::Arguments;

/// Of several networks a layer in the middle, and a deeper one behind max-pools: the notebook's
/// `mixed4c` and `mixed4d` for every InceptionV1.
const FROM: &[&str] = &["mixed4c", "fire5/concat"];
const TO: &[&str] = &["mixed4d", "fire9/concat"];

fn explain() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::read("spatial_attribution", "model from to classes")?;

    // A network on a device. Without --model it is the small InceptionV1 that the library carries.
    let device = elucid::device::auto();
    println!("running on {}", device.description);
    let model = Model::find(arguments.get("model"), &device.device, None)?;

    // A photograph as the network wants it: resized, cropped, normalised.
    let picture = arguments.picture(photographs::dog_and_cat())?;
    let photo = model.prepare(&picture)?;
    let scores = model.classify(&photo)?;
    for guess in scores.top(5) {
        println!("  {guess}");
    }

    // The classes to explain: those asked for, else the two best guesses.
    let classes = arguments.classes("classes", &model, &scores)?;

    // Every layer has a name, and a part of it that fits no other will do: `elucid inspect` lists
    // them. A cell of `from` sees a small part of the photograph, a cell of `to` a large one.
    let from = arguments.layer("from", &model, FROM)?;
    let to = arguments.layer("to", &model, TO)?;
    let (from, to) = (from.as_str(), to.as_str());

    let seen = Picture::from_image(photo.picture().clone())?;
    let guesses = scores.top(5).into_iter().map(|guess| guess.shown());
    let mut page = SpatialWidget::new(&seen, from, to)
        .fact("Model", model.name())
        .predictions(guesses)
        .classes(classes.iter().map(|&class| model.label(class)));

    // The true gradient is what the network computes, but a max-pool passes it to a single cell,
    // which makes for checkered pictures. Smoother gradients are easier to read, and hide what the
    // network really does: the page shows them side by side, and says so.
    let smooth = Rules::new().on(OpKind::MaxPool, SmoothMaxPool::plain());
    let blurred = Rules::new().on(OpKind::MaxPool, SmoothMaxPool::blurred());
    for (name, rules) in [
        ("True gradient", Rules::new()),
        ("Smooth max-pooling", smooth),
        ("Smooth and blurred", blurred),
    ] {
        if let Err(error) = model.check_rules(&rules) {
            println!("{name}: {error}");
            continue;
        }
        // ANCHOR: compute
        // From layer to layer: for each cell of `to`, what each cell of `from` contributes to the
        // length of its activation vector. One result per photograph, [H2, W2, H1, W1].
        let attribution = SpatialAttribution::between(from, to).rules(&rules);
        let maps = &attribution.compute(&model, &photo)?[0];
        // ANCHOR_END: compute
        let (shape, cotangents) = (maps.maps().shape(), maps.cotangents());
        println!("{name}: {shape:?} from {cotangents} cotangents");

        // From layer to class: what each cell contributes to the class's score. These are the
        // hints that the page shows while no cell is chosen.
        let hints = SpatialHints {
            from: class_hints(&model, &photo, from, &rules, &classes)?,
            to: class_hints(&model, &photo, to, &rules, &classes)?,
        };

        let mut view = SpatialView::new(name, maps.maps().clone()).hints(hints);
        if !rules.is_empty() {
            view = view.replaced_gradients();
        }
        page = page.view(view);
    }

    // One file, which works without a network connection and can be sent around.
    let path = arguments.new_folder()?.join("spatial_attribution.html");
    page.save(&path)?;
    println!("open {}", path.display());
    Ok(())
}

/// One map per class at a layer, [K, H, W]: activation times gradient, summed over channels.
fn class_hints(
    model: &Model,
    photo: &Photo,
    layer: &str,
    rules: &Rules,
    classes: &[usize],
) -> Result<Array3<f32>, Box<dyn Error>> {
    // ANCHOR: hints
    let method = LinearApproximation::at(layer).rules(rules);
    let mut maps = Vec::new();
    for &class in classes {
        let saliency = method.attribute(model, photo, Target::class(class))?;
        maps.push(saliency.map()?.maps().clone());
    }
    // ANCHOR_END: hints
    let maps: Vec<_> = maps.iter().map(Array3::view).collect();
    Ok(ndarray::concatenate(Axis(0), &maps)?)
}

fn main() -> ExitCode {
    common::exit(explain())
}
