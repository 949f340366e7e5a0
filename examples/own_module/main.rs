//! A burn module of one's own: trained here, explained while it learns and at every layer, with no file in
//! between.

mod net;

use std::error::Error;
use std::process::ExitCode;
use std::time::Instant;

use burn::module::Module;
use burn::nn::loss::CrossEntropyLossConfig;
use burn::tensor::{Device, Tensor};
use burn_optim::{AdamConfig, GradientsParams};
use common::Arguments;
use common::shapes::{CLASSES, MEAN, SIDE, STD, batch, draw};
use elucid::attribution::{Method, MethodOptions, Place};
use elucid::models::Labels;
use elucid::prelude::*;
use ndarray::{ArrayD, Axis};
use rand::SeedableRng;
use rand_pcg::Pcg32;

use net::SmallInception;

/// Pictures in one step of training.
const BATCH: usize = 40;

/// The methods that are shown, each at every layer.
const SHOWN: [&str; 10] = [
    "gradient",
    "linear-approximation",
    "integrated-gradients",
    "deep-lift",
    "lrp",
    "excitation-backprop",
    "grad-cam",
    "grad-cam-plus-plus",
    "layer-cam",
    "hires-cam",
];

/// The share of new pictures whose class the network finds.
fn accuracy(net: &SmallInception, random: &mut Pcg32, device: &Device) -> f32 {
    let (images, classes) = batch(100, random, device);
    let found = net.forward(images).argmax(1).squeeze_dim::<1>(1);
    found.equal(classes).float().mean().into_scalar()
}

/// Steps of training, with a look at the network so far at some of them.
fn train(
    steps: usize,
    random: &mut Pcg32,
    device: &Device,
    mut look: impl FnMut(usize, &SmallInception) -> Result<(), Box<dyn Error>>,
) -> Result<SmallInception, Box<dyn Error>> {
    let tracked = device.clone().autodiff();
    let mut net = SmallInception::new(CLASSES.len(), &tracked);
    let mut optimizer = AdamConfig::new().init();
    let loss = CrossEntropyLossConfig::new().init(&tracked);
    let looks = [0, steps / 8, steps / 3, steps];
    for step in 0..=steps {
        if looks.contains(&step) {
            look(step, &net)?;
        }
        if step == steps {
            break;
        }
        let (images, classes) = batch(BATCH, random, &tracked);
        let gradients = loss.forward(net.forward(images), classes).backward();
        let gradients = GradientsParams::from_grads(gradients, &net);
        // Small steps at the end.
        let rate = 3e-3 * (1.0 - step as f64 / steps as f64).max(0.1);
        net = optimizer.step(rate, net, gradients);
    }
    Ok(net)
}

fn figure(found: &Attribution, method: &Method, seen: &Picture) -> Result<Figure, Box<dyn Error>> {
    let map = match method.place {
        Place::SpatialLayer => found.saliency(Reduce::Positive)?.upsampled(),
        Place::Input | Place::AnyLayer | Place::Tokens => found.map()?.upsampled(),
    };
    let picture = common::over(seen, map.maps().index_axis(Axis(0), 0))?;
    Ok(Figure::new(
        &picture,
        format!("{} at {}", method.name, found.layer()),
    ))
}

fn explain() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::read("own_module", "steps=500 class=triangle")?;
    let steps: usize = arguments.get("steps").parse()?;
    let class = CLASSES
        .iter()
        .position(|name| *name == arguments.get("class"));
    let class = class.ok_or_else(|| format!("--class is one of {CLASSES:?}"))?;
    let device = elucid::device::auto().device;
    let mut random = Pcg32::seed_from_u64(5);

    // What is explained: one picture that no step of training sees.
    let picture = ArrayD::from_shape_vec(vec![3, SIDE, SIDE], draw(class, &mut random))?;
    // ANCHOR: capture
    // Captured once. Later looks take the parameters of the moment, and capture nothing.
    let spec =
        InputSpec::new([SIDE, SIDE])?.with_normalisation(1.0 / 255.0, [MEAN; 3], [STD; 3])?;
    let untrained = SmallInception::new(CLASSES.len(), &device);
    let captured = Model::capture(&untrained, spec, |m, x| m.forward(x))?
        .with_labels(Labels::parse("shapes", &CLASSES.join("\n")))?;
    let photo = captured.take(picture)?;
    // ANCHOR_END: capture
    let seen = Picture::from_image(photo.picture().clone())?;

    let started = Instant::now();
    let mut learning = GallerySection::new("While it learns").text(
        "Grad-CAM for the class of the picture, at the last block, with the parameters of the moment.",
    );
    let mut fresh = random.clone();
    let net = train(steps, &mut random, &device, |step, net| {
        // ANCHOR: refresh
        let model = captured.refresh(net)?;
        // ANCHOR_END: refresh
        let found = accuracy(&net.valid(), &mut fresh, &device);
        let scores = model.classify(&photo)?;
        let best = scores
            .top(1)
            .first()
            .map(|guess| guess.shown().0)
            .unwrap_or_default();
        println!(
            "step {step:4}: {:3.0} % of new pictures right, this one is a {best} ({:.0} s)",
            100.0 * found,
            started.elapsed().as_secs_f64()
        );
        let map = GradCam::at("inception_4a").attribute(&model, &photo, Target::class(class))?;
        let map = map.saliency(Reduce::Positive)?.upsampled();
        let picture = common::over(&seen, map.maps().index_axis(Axis(0), 0))?;
        let figure = Figure::new(&picture, format!("Grad-CAM after {step} steps"))
            .caption(format!("after {step} steps: {best}"))
            .number("right", format!("{:.0} %", 100.0 * found));
        learning = std::mem::replace(&mut learning, GallerySection::new("")).figure(figure);
        Ok(())
    })?;

    let model = captured.refresh(&net)?;
    check(&net.valid(), &model, &photo)?;
    // Where one can look: the results of the module's own fields that have positions.
    let modules = model.modules();
    let layers: Vec<&str> = modules
        .iter()
        .filter(|module| module.depth() == 0 && module.result().is_some())
        .map(|module| module.path())
        .filter(|path| matches!(model.layer(path).map(|l| l.shape().len()), Ok(4)))
        .collect();
    println!("layers: {}", layers.join(", "));
    let mut by_layer = GallerySection::new("Every layer, ten methods")
        .text("Rows are methods, columns the fields of the module, by their names in its source.")
        .columns(layers.iter().copied());
    for name in SHOWN {
        let method = Method::find(name)?;
        let start = Instant::now();
        let mut figures = Vec::new();
        for layer in &layers {
            let attributor = method.build(&MethodOptions::new().layer(layer))?;
            figures.push(
                match attributor.attribute(&model, &photo, Target::class(class)) {
                    Ok(found) => figure(&found, method, &seen)?,
                    Err(error) => Figure::absent(error.to_string()),
                },
            );
        }
        println!("{name:<24} {:6.2} s", start.elapsed().as_secs_f64());
        by_layer = by_layer.row(method.title, figures);
    }

    let guesses = model.classify(&photo)?.top(CLASSES.len());
    let path = arguments.new_folder()?.join("own_module.html");
    Gallery::new("A module of one's own")
        .text("A small InceptionV1 as a burn module, trained on shapes and explained where it stands.")
        .fact("Module", model.name())
        .predictions(guesses.into_iter().map(|guess| guess.shown()))
        .section(GallerySection::new("The picture").figure(Figure::new(&seen, "the picture")))
        .section(learning)
        .section(by_layer)
        .save(&path)?;
    println!("open {}", path.display());
    Ok(())
}

/// What is explained is what burn computes.
fn check(net: &SmallInception, model: &Model, photo: &Photo) -> Result<(), Box<dyn Error>> {
    let burns = net.forward(photo.tensor().clone());
    let pass = model.pass().input(photo).fetch([LOGITS])?;
    let ours: Tensor<2> = pass.get(LOGITS)?.tensor()?;
    let far: f32 = (burns - ours).abs().max().into_scalar();
    println!("scores differ from burn's own by {far:.1e}");
    match far < 1e-3 {
        true => Ok(()),
        false => Err("the captured network computes something else".into()),
    }
}

fn main() -> ExitCode {
    common::exit(explain())
}
