//! The wgpu backend against the CPU, on whatever adapter there is: also a software one.
//!
//! Runs with `--features wgpu`.

#![cfg(feature = "wgpu")]

use std::path::{Path, PathBuf};

use elucid::device;
use elucid::prelude::*;

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

#[test]
fn squeezenet_sees_the_same() {
    let (cpu, gpu) = (device::cpu(), wgpu());
    let open = |chosen: &device::Chosen| Model::embedded(&chosen.device).unwrap();
    let (cpu, gpu) = (open(&cpu), open(&gpu));
    let picture = elucid::graph::input::decode_image(photographs::cat_and_coffee()).unwrap();
    let (here, there) = (
        cpu.prepare(&picture).unwrap(),
        gpu.prepare(&picture).unwrap(),
    );

    let names: Vec<&str> = cpu.layers().iter().skip(1).map(Layer::name).collect();
    let want = cpu.pass().input(&here).fetch(&names).unwrap();
    let got = gpu.pass().input(&there).fetch(&names).unwrap();
    for name in names {
        let values =
            |pass: &elucid::graph::Activations| pass.get(name).unwrap().to_array().unwrap();
        close(name, &values(&got), &values(&want));
    }
    for preset in Rules::PRESETS {
        let rules = Rules::preset(preset).unwrap();
        let gradient = |model: &Model, photo: &Photo| {
            let method = Gradient::at_input().rules(&rules);
            method
                .attribute(model, photo, Target::class(285))
                .unwrap()
                .values()
                .clone()
        };
        close(
            &format!("gradient, {preset}"),
            &gradient(&gpu, &there),
            &gradient(&cpu, &here),
        );
        let spatial = |model: &Model, photo: &Photo| {
            let method = SpatialAttribution::between("fire6/concat", "fire7/concat").rules(&rules);
            method
                .compute(model, photo)
                .unwrap()
                .remove(0)
                .maps()
                .clone()
        };
        close(
            &format!("spatial, {preset}"),
            &spatial(&gpu, &there),
            &spatial(&cpu, &here),
        );
    }
}

#[test]
fn googlenet_sees_the_same() {
    let folder = std::env::var_os("ELUCID_ASSETS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"),
        PathBuf::from,
    );
    let file = folder.join("models/googlenet.onnx");
    if !file.is_file() {
        eprintln!(
            "SKIPPED: no {} (set ELUCID_ASSETS to the folder above it)",
            file.display()
        );
        return;
    }
    let open = |chosen: device::Chosen| Model::open(&file, &chosen.device).unwrap();
    let (cpu, gpu) = (open(device::cpu()), open(wgpu()));
    let picture = elucid::graph::input::decode_image(photographs::chelsea()).unwrap();
    let run = |model: &Model| {
        let photo = model.prepare(&picture).unwrap();
        let rules = Rules::preset("smooth").unwrap();
        let gradient = Gradient::at_input()
            .attribute(model, &photo, Target::class(285))
            .unwrap();
        let linear = LinearApproximation::at("mixed4d").rules(&rules);
        let linear = linear.attribute(model, &photo, Target::class(285)).unwrap();
        (model.classify(&photo).unwrap(), gradient, linear)
    };
    let (want, got) = (run(&cpu), run(&gpu));
    close("logits", got.0.logits(), want.0.logits());
    close("gradient", got.1.values(), want.1.values());
    close(
        "smooth linear approximation at 4d",
        got.2.maps(),
        want.2.maps(),
    );
}
