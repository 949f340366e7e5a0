//! Channel attribution: what each channel of a layer adds to one class rather than another, and what
//! that channel looks for.
//!
//! This is the *Channel Attribution* notebook of *The Building Blocks of Interpretability* (Olah et
//! al., 2018), as a program to read from top to bottom. `README.md` says what to expect.

use std::error::Error;
use std::process::ExitCode;
use std::time::Instant;

use elucid::prelude::*;
use elucid::render::top_and_bottom;

use common::Arguments;

/// Of several networks the layer that is deep enough for fur and snouts, and still has positions.
const LAYERS: &[&str] = &["inception_4d", "fire8/concat"];

/// What it takes, with what holds otherwise.
const TAKES: &str = "model layer target top=4 size=112 steps=384";

fn explain() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::read("channel_attribution", TAKES)?;
    let top: usize = arguments.get("top").parse()?;
    let size: usize = arguments.get("size").parse()?;
    let steps: usize = arguments.get("steps").parse()?;

    // A network on a device. Without --model it is the small InceptionV1 that the library carries.
    let device = elucid::device::auto();
    println!("running on {}", device.description);
    let model = Model::find(arguments.get("model"), &device.device, None)?;
    let layer = arguments.layer("layer", &model, LAYERS)?;

    // A photograph as the network wants it: resized, cropped, normalised.
    let photo = model.prepare(&arguments.picture(photographs::dog_and_cat())?)?;
    let guesses = model.classify(&photo)?.top(5);
    for guess in &guesses {
        println!("  {guess}");
    }

    // What is explained: how much more the network sees of one class than of the other. Either side
    // may also be "none" or "logsumexp", all classes together. Without --target the two best guesses.
    let target: Target = match (arguments.get("target"), guesses.as_slice()) {
        ("", [first, second, ..]) => format!("{}:{}", first.label, second.label).parse()?,
        (text, _) => text.parse()?,
    };
    println!("why {target}, by the channels of {layer}?");

    // A network is not linear, so there is more than one answer to how much a channel added.
    let methods = [
        (
            "Linear",
            "Activation times gradient, at the photograph itself.",
            ChannelMethod::Linear,
        ),
        (
            "Path",
            "Activation times the mean gradient while all channels fade in together.",
            ChannelMethod::path(),
        ),
        (
            "Stochastic path",
            "The same, while each channel is strengthened or weakened at random.",
            ChannelMethod::stochastic_path(),
        ),
    ];
    let mut views = Vec::new();
    let mut shown = Vec::new();
    for (name, description, method) in methods {
        let start = Instant::now();
        // ANCHOR: compute
        let attribution = ChannelAttribution::at(&layer).method(method);
        let found = attribution
            .compute(&model, &photo, target.clone())?
            .remove(0);
        println!("{found} ({:.1} s)", start.elapsed().as_secs_f64());

        // How far to trust the numbers: what they add up to, and what they should.
        let Completeness { sum, expected } = found.completeness();
        // ANCHOR_END: compute
        let description = format!(
            "{description} The channels add up to {sum:+.2}; together they change the score by \
             {expected:+.2}."
        );
        let values = found.values().to_owned();
        shown.extend(top_and_bottom(&values, top));
        views.push(
            ChannelView::new(name, values)
                .description(description)
                .maps(found.maps()?.to_owned()),
        );
    }
    shown.sort_unstable();
    shown.dedup();

    // A channel is a number until we see what it looks for: a picture that excites it most. The page
    // shows those at the ends of each view, so only those are made.
    println!(
        "{} icons of {size} x {size} pixels in {steps} steps; the notebooks take 512",
        shown.len()
    );
    let start = Instant::now();
    // ANCHOR: icons
    let icons = FeatureVis::fourier(size)
        .steps(steps)
        .progress(common::percentage("icons"))
        .channels(&model, &layer, &shown)?;
    // ANCHOR_END: icons
    println!("icons took {:.1} s", start.elapsed().as_secs_f64());
    let icons = shown.into_iter().zip(common::pictures(&icons)?);

    let seen = Picture::from_image(photo.picture().clone())?;
    let guesses = guesses.into_iter().map(|guess| guess.shown());
    let page = ChannelWidget::new(&seen, &layer, target.to_string())
        .fact("Model", model.name())
        .fact("Icons", format!("{steps} steps"))
        .predictions(guesses)
        .top(top)
        .icons(icons);

    // One file, which works without a network connection and can be sent around.
    let path = arguments.new_folder()?.join("channel_attribution.html");
    views
        .into_iter()
        .fold(page, ChannelWidget::view)
        .save(&path)?;
    println!("open {}", path.display());
    Ok(())
}

fn main() -> ExitCode {
    common::exit(explain())
}
