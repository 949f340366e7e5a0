//! What each patch of a small vision transformer attends to, beside methods that explain its classes: the
//! network is a burn module that is trained here.

mod net;

use std::error::Error;
use std::f64::consts::PI;
use std::process::ExitCode;
use std::time::Instant;

use burn::module::Module;
use burn::nn::loss::CrossEntropyLossConfig;
use burn::tensor::{Device, Tensor};
use burn_optim::{AdamWConfig, GradientsParams};
use common::Arguments;
use common::shapes::{CLASSES, MEAN, SIDE, STD, batch, draw_pair};
use elucid::attribution::{AttentionMaps, AttentionRollout, Chefer};
use elucid::models::Labels;
use elucid::prelude::*;
use ndarray::{Array3, ArrayD, Axis, concatenate};
use rand::SeedableRng;
use rand_pcg::Pcg32;

use net::{PATCH, SmallVit};

/// Pictures in one step of training.
const BATCH: usize = 40;

/// The patches of a picture, in rows and columns.
const GRID: [usize; 2] = [SIDE / PATCH; 2];

/// The share of new pictures whose class the network finds.
fn accuracy(net: &SmallVit, random: &mut Pcg32, device: &Device) -> f32 {
    let (images, classes) = batch(200, random, device);
    let found = net.forward(images).argmax(1).squeeze_dim::<1>(1);
    found.equal(classes).float().mean().into_scalar()
}

/// Steps of training, on pictures of one shape each.
fn train(steps: usize, random: &mut Pcg32, device: &Device) -> SmallVit {
    let tracked = device.clone().autodiff();
    // What the parameters are at first.
    tracked.seed(7);
    let mut net = SmallVit::new(SIDE, CLASSES.len(), &tracked);
    let mut optimizer = AdamWConfig::new().with_weight_decay(0.01).init();
    let loss = CrossEntropyLossConfig::new().init(&tracked);
    let started = Instant::now();
    let mut fresh = random.clone();
    for step in 0..steps {
        let (images, classes) = batch(BATCH, random, &tracked);
        let gradients = loss.forward(net.forward(images), classes).backward();
        let gradients = GradientsParams::from_grads(gradients, &net);
        net = optimizer.step(rate(step, steps), net, gradients);
        if step + 1 == steps || (step + 1) % 200 == 0 {
            println!(
                "step {:4}: {:3.0} % of new pictures right ({:.0} s)",
                step + 1,
                100.0 * accuracy(&net.valid(), &mut fresh, device),
                started.elapsed().as_secs_f64()
            );
        }
    }
    net
}

/// Small steps at the beginning and at the end.
fn rate(step: usize, steps: usize) -> f64 {
    let begun = ((step + 1) as f64 / 50.0).min(1.0);
    let left = 0.5 + 0.5 * (PI * step as f64 / steps as f64).cos();
    2e-3 * begun * left.max(0.01)
}

/// What the page shows of methods, for two classes.
fn methods(
    model: &Model,
    photo: &Photo,
    pair: [usize; 2],
) -> Result<[AttentionMethod; 3], Box<dyn Error>> {
    let targets = pair.map(Target::class);
    // ANCHOR: methods
    let rollout = AttentionRollout::new().matrix(model, photo, &targets[0])?;
    let (mut chefer, mut relevance) = (Vec::new(), Vec::new());
    for target in targets {
        chefer.push(Chefer::new().matrix(model, photo, &target)?);
        let lrp = Lrp::new(RelevanceRules::attn_lrp()).attribute(model, photo, target)?;
        // Of pixels and channels: what a patch is worth is their sum.
        relevance.push(lrp.saliency(Reduce::Sum)?.summed(GRID)?);
    }
    // ANCHOR_END: methods
    for (class, map) in pair.into_iter().zip(&relevance) {
        let halves = [0, 1].map(|half| {
            let columns = half * GRID[1] / 2..(half + 1) * GRID[1] / 2;
            map.maps().slice(ndarray::s![0, .., columns]).sum()
        });
        let [left, right] = halves;
        println!(
            "relevance for {:<8} left half {left:+.2}, right half {right:+.2}",
            CLASSES[class]
        );
    }
    let each = |arrays: &[Array3<f32>]| {
        let views: Vec<_> = arrays.iter().map(|array| array.view()).collect();
        concatenate(Axis(0), &views)
    };
    let maps: Vec<_> = relevance.iter().map(|map| map.maps().clone()).collect();
    Ok([
        AttentionMethod::rows("Attention rollout", rollout.index_axis_move(Axis(0), 0))
            .description("All blocks, one behind the other, whatever the class."),
        AttentionMethod::rows_by_class("Chefer", each(&chefer)?)
            .description("The same with each weight by its gradient for the class."),
        AttentionMethod::maps_by_class("AttnLRP", each(&maps)?)
            .description("The class's score, handed down to the patches."),
    ])
}

fn explain() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::read("transformer", "steps=1000 left=disc right=cross")?;
    let steps: usize = arguments.get("steps").parse()?;
    let class = |name: &str| {
        let asked = arguments.get(name);
        let found = CLASSES.iter().position(|class| *class == asked);
        found.ok_or_else(|| format!("--{name} is one of {CLASSES:?}"))
    };
    let pair = [class("left")?, class("right")?];
    let device = elucid::device::auto().device;
    let mut random = Pcg32::seed_from_u64(11);

    // What is explained: two shapes beside each other, which no step of training sees.
    let picture = ArrayD::from_shape_vec(vec![3, SIDE, SIDE], draw_pair(pair, &mut random))?;
    let net = train(steps, &mut random, &device).valid();

    let spec =
        InputSpec::new([SIDE, SIDE])?.with_normalisation(1.0 / 255.0, [MEAN; 3], [STD; 3])?;
    let model = Model::capture(&net, spec, |m, x| m.forward(x))?
        .with_labels(Labels::parse("shapes", &CLASSES.join("\n")))?;
    let photo = model.take(picture)?;
    check(&net, &model, &photo)?;
    let guesses = model.classify(&photo)?.top(CLASSES.len());
    for guess in &guesses {
        println!("{guess}");
    }

    let mut page = AttentionWidget::new(&Picture::from_image(photo.picture().clone())?, GRID)
        .title("A vision transformer of one's own")
        .prefix(["class token"])
        .classes(pair.map(|class| CLASSES[class]))
        .fact("Module", model.name())
        .predictions(guesses.into_iter().map(|guess| guess.shown()));
    // ANCHOR: blocks
    for shown in AttentionMaps::of(&model, &photo)?.blocks() {
        let weights = shown.weights().index_axis(Axis(0), 0).to_owned();
        println!("{}: {:?}", shown.block().module(), weights.dim());
        page = page.view(AttentionView::new(shown.block().module(), weights));
    }
    // ANCHOR_END: blocks
    for method in methods(&model, &photo, pair)? {
        page = page.method(method);
    }
    let path = arguments.new_folder()?.join("transformer.html");
    page.save(&path)?;
    println!("open {}", path.display());
    Ok(())
}

/// What is explained is what burn computes.
fn check(net: &SmallVit, model: &Model, photo: &Photo) -> Result<(), Box<dyn Error>> {
    let burns = net.forward(photo.tensor().clone());
    let pass = model.pass().input(photo).fetch([LOGITS])?;
    let ours: Tensor<2> = pass.get(LOGITS)?.tensor()?;
    let far: f32 = (burns - ours).abs().max().into_scalar();
    match far < 1e-3 {
        true => Ok(()),
        false => Err(format!("scores differ from burn's own by {far:.1e}").into()),
    }
}

fn main() -> ExitCode {
    common::exit(explain())
}
