//! Integrated gradients: which pixels made the class, and how far to trust the numbers.
//!
//! This is TensorFlow's integrated-gradients notebook as a program to read from top to bottom, with
//! the question it leaves open: how many steps are enough. `README.md` says what to expect.

use std::error::Error;
use std::process::ExitCode;

use elucid::prelude::*;
use elucid::render::ContactSheet;
use ndarray::Axis;

use common::Arguments;

/// What it takes, with what holds otherwise.
const TAKES: &str = "model label steps=128 tolerance=0.01";

fn explain() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::read("integrated_gradients", TAKES)?;
    let steps: usize = arguments.get("steps").parse()?;
    let tolerance: f64 = arguments.get("tolerance").parse()?;

    // A network and a photograph. The true label is what you say it is; the network only guesses.
    let device = elucid::device::auto();
    let model = Model::find(arguments.get("model"), &device.device, None)?;
    let photo = model.prepare(&arguments.picture(photographs::chelsea())?)?;
    let guess = model.classify(&photo)?.top(1).remove(0);
    println!("predicted label  {guess}");
    let class = match arguments.get("label") {
        "" => guess.index,
        label => model.class(label)?,
    };
    let truth = match arguments.get("label") {
        "" => "not given; explaining the prediction".to_owned(),
        _ => model.label(class),
    };
    println!("true label       {truth}");

    let folder = arguments.new_folder()?;
    let seen = Picture::from_image(photo.picture().clone())?;

    // The gradient alone: sensitive, and saturated where the class is already certain.
    let target = Target::probability(class);
    let gradient = Gradient::at_input().attribute(&model, &photo, target.clone())?;
    let map = gradient.saliency(Reduce::AbsSum)?;
    Picture::heat_map(
        map.maps().index_axis(Axis(0), 0),
        ColorMap::Inferno,
        Normalisation::Percentile(99.5),
    )?
    .save(folder.join("gradient.png"))?;

    // Gradients summed along the straight path from the baseline to the photograph. Zero in the
    // network's own units is the mean colour of its training images.
    let method = IntegratedGradients::notebook().steps(steps);
    let map = method.attribute(&model, &photo, target.clone())?;
    println!("{map}");
    let mask = map.saliency(Reduce::AbsSum)?;
    let mask = mask.maps().index_axis(Axis(0), 0);

    // The notebook's figure: baseline, photograph, attribution mask, overlay.
    let baseline = photo.tensor().zeros_like();
    let baseline = Activation::from(baseline).to_array()?;
    let baseline = baseline.index_axis(Axis(0), 0).into_dimensionality()?;
    let baseline = Picture::from_image(model.input_spec().to_rgb(baseline)?)?;
    let shown = Picture::heat_map(mask, ColorMap::Inferno, Normalisation::Percentile(99.5))?;
    let overlay = seen.overlay(&shown, 0.4, Interpolation::Nearest)?;
    let title = format!("Integrated gradients of {}", model.label(class));
    ContactSheet::new(title)
        .picture(baseline, ["baseline"])
        .picture(seen, ["photograph"])
        .picture(shown, ["attribution mask"])
        .picture(overlay, ["overlay"])
        .draw(2)?
        .save(folder.join("integrated_gradients.png"))?;

    // How many steps are enough? A complete attribution adds up to the difference of the scores at
    // the photograph and at the baseline, so the error is known without knowing the truth.
    let error = |method: IntegratedGradients| -> Result<(f64, f64), Box<dyn Error>> {
        let map = method.attribute(&model, &photo, Target::class(class))?;
        let error = map.completeness_error().unwrap_or(f64::NAN);
        println!(
            "{:>4} evaluations: error {:6.2} %",
            map.evaluations()[0],
            100.0 * error
        );
        Ok((map.evaluations()[0] as f64, 100.0 * error))
    };
    let counts = [2, 4, 8, 16, 32, 64, 128];
    let mut plot = LinePlot::new(
        "Completeness of integrated gradients",
        "gradient evaluations",
        "completeness error, %",
    )
    .logarithmic();
    for quadrature in [
        Quadrature::Trapezoid,
        Quadrature::GaussLegendre,
        Quadrature::Left,
    ] {
        println!("{quadrature}");
        let points = counts
            .iter()
            .map(|&n| error(IntegratedGradients::new().quadrature(quadrature).steps(n)))
            .collect::<Result<Vec<_>, _>>()?;
        plot = plot.line(&quadrature.to_string(), points);
    }
    println!("adaptive, to {:.1} %", 100.0 * tolerance);
    let adaptive = error(IntegratedGradients::adaptive(tolerance))?;
    plot.line("adaptive", [adaptive])
        .save(folder.join("convergence.svg"))?;

    println!("open {}", folder.join("integrated_gradients.png").display());
    println!("     {}", folder.join("convergence.svg").display());
    Ok(())
}

fn main() -> ExitCode {
    common::exit(explain())
}
