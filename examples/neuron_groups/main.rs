//! Neuron groups: a layer's channels in a few groups that fire together, where in the photograph
//! each group fires, what it looks for, and what it adds to the classes.
//!
//! This is the *Neuron Groups* notebook of *The Building Blocks of Interpretability* (Olah et al.,
//! 2018), as a program to read from top to bottom. `README.md` says what to expect.

use std::error::Error;
use std::process::ExitCode;
use std::time::Instant;

use elucid::attribution::Groups;
use elucid::prelude::*;
use ndarray::{Array2, Axis};

use common::Arguments;

/// Of several networks the layer that is deep enough for eyes and snouts, and still has positions.
const LAYERS: &[&str] = &["inception_4d", "fire8/concat"];

/// What it takes, with what holds otherwise.
const TAKES: &str = "model layer groups=4,6,8 classes size=112 steps=384";

fn explain() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::read("neuron_groups", TAKES)?;
    let size: usize = arguments.get("size").parse()?;
    let steps: usize = arguments.get("steps").parse()?;
    let numbers = arguments
        .list("groups")
        .into_iter()
        .map(str::parse)
        .collect::<Result<Vec<usize>, _>>()?;

    // A network on a device. Without --model it is the small InceptionV1 that the library carries.
    let device = elucid::device::auto();
    println!("running on {}", device.description);
    let model = Model::find(arguments.get("model"), &device.device, None)?;
    let layer = arguments.layer("layer", &model, LAYERS)?;

    // A photograph as the network wants it: resized, cropped, normalised.
    let photo = model.prepare(&arguments.picture(photographs::dog_and_cat())?)?;
    let scores = model.classify(&photo)?;
    for guess in scores.top(5) {
        println!("  {guess}");
    }

    // The classes to explain: those asked for, else the two best guesses.
    let classes = arguments.classes("classes", &model, &scores)?;
    for &class in &classes {
        println!("class {class}: {}", model.label(class));
    }

    // The layer's activations as a product of two small matrices without negative numbers: where
    // each group fires, and which channels it is made of. The gradients of the classes say what
    // each group adds to their scores.
    let start = Instant::now();
    // ANCHOR: groups
    let divisions = NeuronGroups::new(6)
        .at(&layer)
        .targets(classes.iter().map(|&class| Target::class(class)))
        .compute_all(&model, &photo, numbers)?;
    // ANCHOR_END: groups
    for groups in &divisions {
        println!("{groups}");
    }
    println!("groups took {:.1} s", start.elapsed().as_secs_f64());

    // A group is a direction in the space of channels. Its icon is a picture that leads there.
    let count: usize = divisions.iter().map(Groups::count).sum();
    println!("{count} icons of {size} x {size} pixels in {steps} steps; the notebooks take 512");
    let directions: Vec<_> = divisions.iter().map(Groups::directions).collect();
    let directions = ndarray::concatenate(Axis(0), &directions)?;
    let start = Instant::now();
    // ANCHOR: icons
    let icons = FeatureVis::fourier(size)
        .steps(steps)
        .progress(common::percentage("icons"))
        .directions(&model, &layer, directions.view())?;
    // ANCHOR_END: icons
    println!("icons took {:.1} s", start.elapsed().as_secs_f64());
    let mut icons = common::pictures(&icons)?.into_iter();

    let seen = Picture::from_image(photo.picture().clone())?;
    let guesses = scores.top(5).into_iter().map(|guess| guess.shown());
    let mut page = GroupWidget::new(&seen, &layer)
        .starts_at(divisions.len().saturating_sub(1) / 2)
        .fact("Model", model.name())
        .fact("Icons", format!("{steps} steps"))
        .predictions(guesses);
    for groups in &divisions {
        page = page.view(
            view(groups, classes.iter().map(|&class| model.label(class)))
                .icons(icons.by_ref().take(groups.count())),
        );
    }

    // One file, which works without a network connection and can be sent around.
    let path = arguments.new_folder()?.join("neuron_groups.html");
    page.save(&path)?;
    println!("open {}", path.display());
    Ok(())
}

/// One division into groups: where they fire in the photograph, and a row for each group with what
/// it adds to each class. What the groups leave out of the activations has a row too.
fn view(groups: &Groups, classes: impl Iterator<Item = String>) -> GroupView {
    let effects = groups.effects();
    let each = Array2::from_shape_fn((groups.count(), effects.len()), |(group, target)| {
        effects[target].values()[[0, group]] as f32
    });
    GroupView::new(groups.factors().index_axis(Axis(0), 0).to_owned())
        .attributions(classes, each)
        .residual(effects.iter().map(|effects| effects.residual()[0] as f32))
        .error(groups.summary().relative_error as f32)
}

fn main() -> ExitCode {
    common::exit(explain())
}
