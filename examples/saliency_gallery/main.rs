//! Saliency gallery: every attribution method on one photograph and two classes, then one method at
//! one layer after the other.
//!
//! This is TorchRay's tutorial as a program to read from top to bottom. `README.md` says what to
//! expect.

use std::error::Error;
use std::process::ExitCode;
use std::time::Instant;

use elucid::attribution::{METHODS, Method, MethodOptions, Place, attention_blocks};
use elucid::prelude::*;
use ndarray::Axis;

use common::Arguments;

fn explain() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::read("saliency_gallery", "model classes methods layers")?;
    let device = elucid::device::auto();
    let model = Model::find(arguments.get("model"), &device.device, None)?;
    let photo = model.prepare(&arguments.picture(photographs::dog_and_cat())?)?;
    let seen = Picture::from_image(photo.picture().clone())?;
    let guesses = model.classify(&photo)?.top(5);
    for guess in &guesses {
        println!("  {guess}");
    }
    // The classes to explain: those asked for, else the two best guesses.
    let classes = match arguments.list("classes").as_slice() {
        [] => guesses.iter().take(2).map(|guess| guess.index).collect(),
        names => names
            .iter()
            .map(|name| model.class(name))
            .collect::<Result<Vec<_>, _>>()?,
    };
    // What looks at attention is for networks that have some.
    let attends = !attention_blocks(&model, model.input_spec().size())?.is_empty();
    let applies = |method: &&Method| attends || method.place != Place::Tokens;
    let asked = arguments.list("methods");
    let lede = match (asked.is_empty(), attends) {
        (false, _) => "What one network saw in one photograph, by some methods.",
        (true, true) => "What one network saw in one photograph, by every method there is.",
        (true, false) => {
            "What one network saw in one photograph, by every method but those that look at attention: the \
             network has none."
        }
    };
    let methods: Vec<&Method> = match asked.as_slice() {
        [] => METHODS.iter().copied().filter(applies).collect(),
        names => names
            .iter()
            .map(|name| Method::find(name))
            .collect::<Result<_, _>>()?,
    };

    // One row per method, one column per class. All methods are used in the same way; the table of
    // methods knows their names, their options and what their attributions add up to.
    let mut by_method = GallerySection::new("Every method, two classes")
        .text("Each method with its default options, but for fewer samples where there are many.")
        .columns(classes.iter().map(|&class| model.label(class)));
    for method in methods {
        let attributor = method.build(&quick(method))?;
        let start = Instant::now();
        let mut figures = Vec::new();
        for &class in &classes {
            let target = Target::class(class);
            figures.push(match attributor.attribute(&model, &photo, target) {
                Ok(attribution) => figure(method, &attribution, &seen)?,
                // A network may have operators that a method has no rule for.
                Err(error) => Figure::absent(error.to_string()),
            });
        }
        println!(
            "{:<34} {:6.2} s",
            method.name,
            start.elapsed().as_secs_f64()
        );
        by_method = by_method.row(method.title, figures);
    }

    // The gradient at several layers, from one pass forwards and one backwards. TorchRay's tutorial
    // takes the Euclidean norm over channels.
    let notable = || model.layers().iter().filter(|layer| layer.is_notable());
    let layers: Vec<&str> = match arguments.list("layers") {
        names if !names.is_empty() => names,
        _ => notable()
            .filter(|layer| matches!(layer.shape(), [_, _, h, w] if h * w > 1))
            .map(|layer| layer.name())
            .collect(),
    };
    let mut by_layer = Vec::new();
    for &class in &classes {
        let target = Target::class(class);
        let title = format!("From layer to layer: {}", model.label(class));
        let mut section = GallerySection::new(title)
            .text("The gradient at each layer, its norm over channels: one pass for all of them.");
        for gradient in Gradient::at_input().attribute_at(&layers, &model, &photo, target)? {
            let map = gradient.saliency(Reduce::L2)?.upsampled();
            let picture = common::over(&seen, map.maps().index_axis(Axis(0), 0))?;
            let alt = format!("gradient at {}", gradient.layer());
            section = section.figure(Figure::new(&picture, alt).caption(gradient.layer()));
        }
        by_layer.push(section);
    }

    let guesses = guesses.into_iter().map(|guess| guess.shown());
    let page = Gallery::new("Saliency gallery")
        .text(lede)
        .fact("Model", model.name())
        .predictions(guesses)
        .section(GallerySection::new("The photograph").figure(Figure::new(&seen, "the photograph")))
        .section(by_method);
    arguments.save(&by_layer.into_iter().fold(page, Gallery::section))
}

/// A method's default options, but for fewer samples where there are many.
fn quick(method: &Method) -> MethodOptions {
    let few: &[(&str, &str)] = match method.takes("segments") {
        true => &[
            ("segments", "grid:7"),
            ("samples", "200"),
            ("permutations", "3"),
        ],
        false => &[
            ("samples", "20"),
            ("steps", "32"),
            ("masks", "400"),
            ("iterations", "100"),
            ("channels", "64"),
            ("design", "4"),
        ],
    };
    few.iter()
        .filter(|(option, _)| method.takes(option))
        .fold(MethodOptions::new(), |options, (name, value)| {
            options.set(name, value)
        })
}

/// The method's map over the photograph, with what its numbers add up to.
fn figure(
    method: &Method,
    attribution: &Attribution,
    seen: &Picture,
) -> Result<Figure, Box<dyn Error>> {
    // Features are shown by their positive part, as the papers do; gradients smoothed a little.
    let map = match method.place {
        Place::SpatialLayer => attribution.saliency(Reduce::Positive)?.upsampled(),
        Place::Tokens => attribution.map()?.upsampled(),
        Place::Input | Place::AnyLayer => attribution.map()?.torchray(0.01),
    };
    let picture = common::over(seen, map.maps().index_axis(Axis(0), 0))?;
    let mut figure = Figure::new(&picture, format!("{} over the photograph", method.title));
    if let Some(error) = attribution.completeness_error() {
        figure = figure.number("completeness error", format!("{:.2} %", 100.0 * error));
    }
    Ok(figure)
}

fn main() -> ExitCode {
    common::exit(explain())
}
