//! The wgpu backend against the CPU, on whatever adapter there is: also a software one.
//!
//! Runs with `--features wgpu`.

#![cfg(feature = "wgpu")]

use elucid::attribution::{METHODS, Method, MethodOptions, Place};
use elucid::device;
use elucid::graph::{INPUT, LOGITS};
use elucid::prelude::*;
use elucid::rules::{Operator, Pool2d};
use elucid_testkit::assets;
use image::DynamicImage;
use ndarray::{ArrayD, Ix4};

/// Largest deviation allowed, relative to the CPU's largest value.
const TOLERANCE: f32 = 1e-3;

fn close<'a>(
    what: &str,
    got: impl IntoIterator<Item = &'a f32>,
    want: impl IntoIterator<Item = &'a f32>,
) {
    let (mut worst, mut largest, mut count) = (0_f32, 0_f32, 0);
    for (g, w) in got.into_iter().zip(want) {
        assert!(g.is_finite(), "{what} holds {g}");
        worst = worst.max((g - w).abs());
        largest = largest.max(w.abs());
        count += 1;
    }
    let error = worst / largest;
    println!("{what}: {error:.1e} over {count} values");
    assert!(count > 0 && largest > 0.0, "{what} is blank");
    assert!(error < TOLERANCE, "{what} deviates by {error:.1e}");
}

fn wgpu() -> device::Chosen {
    let chosen = device::open(DeviceChoice::Wgpu(None)).expect("a Vulkan driver is installed");
    println!("{}", chosen.description);
    chosen
}

/// The embedded photographs, and their mirror images.
fn pictures() -> impl Iterator<Item = DynamicImage> {
    let files = [
        photographs::chelsea(),
        photographs::cat_and_coffee(),
        photographs::coffee(),
        photographs::dog(),
        photographs::horse(),
        photographs::panda(),
    ];
    files.into_iter().flat_map(|bytes| {
        let picture = elucid::vision::input::decode_image(bytes).unwrap();
        [picture.fliph(), picture]
    })
}

/// Which ReLUs are open, and which input each max-pool passes on.
fn gates(model: &Model, photo: &Photo) -> Vec<usize> {
    let recording = model.pass().input(photo).record([LOGITS]).unwrap();
    let steps = recording.steps(LOGITS, &[INPUT]).unwrap();
    let mut gates = Vec::new();
    for step in steps.iter().rev() {
        let values = || step.input(0).unwrap().to_array().unwrap();
        match step.form() {
            Operator::MaxPool(pool) => {
                gates.extend(winners(values(), pool, &step.output().shape()))
            }
            Operator::Relu => gates.extend(values().iter().map(|&v| usize::from(v > 0.0))),
            _ => {}
        }
    }
    gates
}

/// The position of each window's maximum.
fn winners(values: ArrayD<f32>, window: &Pool2d, output: &[usize]) -> Vec<usize> {
    let values = values.into_dimensionality::<Ix4>().unwrap();
    let (_, channels, height, width) = values.dim();
    let [top, left, ..] = window.pads;
    let (kernel, stride) = (window.kernel, window.stride);
    let range = |o: usize, axis: usize, pad: usize, size: usize| {
        let end = (o * stride[axis] + kernel[axis] - pad).min(size);
        (o * stride[axis]).saturating_sub(pad)..end
    };
    let mut positions = Vec::new();
    for c in 0..channels {
        for i in 0..output[2] {
            for j in 0..output[3] {
                let mut best = (f32::NEG_INFINITY, 0);
                for y in range(i, 0, top, height) {
                    for x in range(j, 1, left, width) {
                        if values[[0, c, y, x]] > best.0 {
                            best = (values[[0, c, y, x]], y * width + x);
                        }
                    }
                }
                positions.push(best.1);
            }
        }
    }
    positions
}

/// A photograph on which every gate is the same on both devices, prepared for each.
///
/// A gradient jumps where the input of a ReLU, or the difference of two inputs of a max-pool, is
/// as small as rounding: there, two right answers differ by more than any tolerance.
fn photo_with_the_same_gates(cpu: &Model, gpu: &Model) -> (Photo, Photo) {
    let mut prepared = pictures().map(|picture| {
        let here = cpu.prepare(&picture).unwrap();
        (here, gpu.prepare(&picture).unwrap())
    });
    let same = |(here, there): &(Photo, Photo)| {
        let (here, there) = (gates(cpu, here), gates(gpu, there));
        assert_eq!(here.len(), there.len());
        let differing = here.iter().zip(&there).filter(|(a, b)| a != b).count();
        println!("{differing} of {} gates differ", here.len());
        // Rounding moves a handful among millions, no more.
        assert!(differing < 100, "{differing} gates differ");
        differing == 0
    };
    prepared
        .find(same)
        .expect("some photograph has the same gates on both devices")
}

/// What is compared of an embedded network.
struct Questions {
    model: &'static str,
    /// A class of the photographs, and another.
    classes: [usize; 2],
    /// From layer to layer.
    between: [&'static str; 2],
    /// Channels that are attributed to.
    channels: &'static str,
    /// A layer with two channels that are drawn.
    drawn: (&'static str, [usize; 2]),
}

#[test]
fn the_small_inception_sees_the_same() {
    sees_the_same(&Questions {
        model: "inception_v1_small",
        classes: [10, 1],
        between: ["mixed4c", "mixed4d"],
        channels: "mixed4d",
        drawn: ("mixed3a", [3, 14]),
    });
}

#[test]
fn squeezenet_sees_the_same() {
    sees_the_same(&Questions {
        model: "squeezenet",
        classes: [285, 281],
        between: ["fire6/concat", "fire7/concat"],
        channels: "fire8/concat",
        drawn: ("fire4/concat", [3, 14]),
    });
}

fn sees_the_same(questions: &Questions) {
    let (cpu, gpu) = (device::cpu(), wgpu());
    let open = |chosen: &device::Chosen| {
        let found = Model::find(questions.model, &chosen.device, None);
        found.unwrap()
    };
    let (cpu, gpu) = (open(&cpu), open(&gpu));
    let [class, other] = questions.classes;
    let (here, there) = photo_with_the_same_gates(&cpu, &gpu);

    let names: Vec<&str> = cpu.layers().iter().skip(1).map(Layer::name).collect();
    let want = cpu.pass().input(&here).fetch(&names).unwrap();
    let got = gpu.pass().input(&there).fetch(&names).unwrap();
    for name in names {
        let values = |pass: &elucid::graph::Activations| {
            let activation = pass.get(name).unwrap();
            activation.to_array().unwrap()
        };
        close(name, &values(&got), &values(&want));
    }
    for preset in Rules::PRESETS {
        let rules = Rules::preset(preset).unwrap();
        let gradient = |model: &Model, photo: &Photo| {
            let method = Gradient::at_input().rules(&rules);
            let result = method.attribute(model, photo, Target::class(class));
            result.unwrap().values().clone()
        };
        let (got, want) = (gradient(&gpu, &there), gradient(&cpu, &here));
        close(&format!("gradient, {preset}"), &got, &want);
        let spatial = |model: &Model, photo: &Photo| {
            let [from, to] = questions.between;
            let method = SpatialAttribution::between(from, to).rules(&rules);
            let result = method.compute(model, photo);
            result.unwrap().remove(0).maps().clone()
        };
        let (got, want) = (spatial(&gpu, &there), spatial(&cpu, &here));
        close(&format!("spatial, {preset}"), &got, &want);
    }
    // Methods that look at the photograph itself; elsewhere on a path other gates may differ, and where little
    // is hidden scores differ by little, of which single precision knows few digits.
    let elsewhere = |method: &Method| {
        let options = [
            "steps",
            "samples",
            "masks",
            "window",
            "cells",
            "iterations",
            "segments",
            "design",
            "step",
            "hides",
            "mask",
        ];
        options.iter().any(|option| method.takes(option))
    };
    // A convolutional network attends to nothing.
    let methods = METHODS
        .iter()
        .filter(|method| method.place != Place::Tokens);
    for method in methods.filter(|method| !elsewhere(method)) {
        let options = match method.takes("channels") {
            true => MethodOptions::new().set("channels", "8"),
            false => MethodOptions::new(),
        };
        let attributor = method.build(&options).unwrap();
        let attribute = |model: &Model, photo: &Photo| {
            let result = attributor.attribute(model, photo, Target::class(class));
            result.unwrap().values().clone()
        };
        let (got, want) = (attribute(&gpu, &there), attribute(&cpu, &here));
        close(method.name, &got, &want);
    }
    let channels = |model: &Model, photo: &Photo| {
        let method = ChannelAttribution::at(questions.channels);
        let found = method.compute(model, photo, Target::difference(class, other));
        found.unwrap().remove(0).values().to_owned()
    };
    let (got, want) = (channels(&gpu, &there), channels(&cpu, &here));
    close("channel attribution", &got, &want);
    // What the objectives are worth, step by step: later ones rest on the gradients before them.
    let icons = |model: &Model| {
        let (layer, channels) = questions.drawn;
        let icons = FeatureVis::fourier(48).steps(4);
        let icons = icons.channels(model, layer, &channels).unwrap();
        icons.values().concat()
    };
    close("feature visualisation", &icons(&gpu), &icons(&cpu));
}

#[test]
fn googlenet_sees_the_same() {
    let Some(assets) = assets() else { return };
    let file = assets.join("models/googlenet.onnx");
    let open = |chosen: device::Chosen| Model::open(&file, &chosen.device).unwrap();
    let (cpu, gpu) = (open(device::cpu()), open(wgpu()));
    let (here, there) = photo_with_the_same_gates(&cpu, &gpu);
    let run = |model: &Model, photo: &Photo| {
        let target = || Target::class(285);
        let gradient = Gradient::at_input().attribute(model, photo, target());
        let smooth = Rules::preset("smooth").unwrap();
        let linear = LinearApproximation::at("mixed4d").rules(&smooth);
        let linear = linear.attribute(model, photo, target());
        let scores = model.classify(photo).unwrap();
        (scores, gradient.unwrap(), linear.unwrap())
    };
    let (want, got) = (run(&cpu, &here), run(&gpu, &there));
    close("logits", got.0.logits(), want.0.logits());
    close("gradient", got.1.values(), want.1.values());
    close(
        "smooth linear approximation at 4d",
        got.2.map().unwrap().maps(),
        want.2.map().unwrap().maps(),
    );
}

#[test]
fn long_rows_are_reduced_to_their_end() {
    use burn::tensor::{Tensor, TensorData};
    use elucid::graph::LongRows;

    for length in [65_537, 262_145, 788_544, 1_000_003] {
        let number = |at: usize| {
            if at == length - 1 {
                3.0
            } else {
                (at % 7) as f32 / 8.0
            }
        };
        let row: Vec<f32> = (0..length).map(number).collect();
        let on = |chosen: &device::Chosen| {
            let data = TensorData::new(row.clone(), [1, length]);
            let row = Tensor::<2>::from_data(data, &chosen.device);
            let found = [row.clone().row_sums(), row.row_maxima()];
            found.map(|found| found.into_scalar::<f32>())
        };
        let ([sum, most], [want, _]) = (on(&wgpu()), on(&device::cpu()));
        assert_eq!(most, 3.0, "{length}");
        assert!(
            (sum - want).abs() <= 1e-5 * want,
            "{length}: {sum}, not {want}"
        );
    }
}

#[test]
fn long_axes_are_reduced_to_their_end() {
    use elucid_testkit::onnx::Onnx;

    let outputs = [
        "soft", "log", "hard", "inner", "norm", "unit", "most", "mean", "place",
    ];
    let mut network = Onnx::new()
        .input("x", &[1, 1, 520, 600])
        .node("Flatten", &["x"], &["flat"])
        .node("Softmax", &["flat"], &["soft"])
        .node("LogSoftmax", &["flat"], &["log"])
        .node("Hardmax", &["flat"], &["hard"])
        .node("Transpose", &["flat"], &["turned"])
        .ints("perm", &[1, 0])
        .node("Softmax", &["turned"], &["inner"])
        .int("axis", 0)
        .node("LpNormalization", &["flat"], &["unit"])
        .node("ArgMax", &["flat"], &["at"])
        .int("axis", 1)
        .node("Cast", &["at"], &["place"])
        .int("to", 1)
        .node("ReduceL2", &["flat"], &["norm"])
        .ints("axes", &[1])
        .node("ReduceMax", &["flat"], &["most"])
        .ints("axes", &[1])
        .node("ReduceMean", &["flat"], &["mean"])
        .ints("axes", &[1]);
    for output in outputs {
        network = network.output(output);
    }
    let bytes = network.bytes();
    let run = |chosen: &device::Chosen| {
        let model = Model::from_bytes(bytes.clone(), &chosen.device, None).unwrap();
        let images = model.noise(1, None).unwrap();
        let pass = model.pass().input(&images).fetch(outputs).unwrap();
        outputs.map(|name| pass.get(name).unwrap().to_array().unwrap())
    };
    let (got, want) = (run(&wgpu()), run(&device::cpu()));
    for ((name, got), want) in outputs.iter().zip(&got).zip(&want) {
        close(name, got, want);
    }
}
