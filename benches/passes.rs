//! Passes through a network, and layer-to-layer attribution with and without shared cotangents.
//!
//! GoogLeNet when it is on this machine (`elucid models pull googlenet`, or `ELUCID_ASSETS`), else
//! the embedded InceptionV1. Every device that the build supports is measured in the same run.

mod common;

use burn::tensor::{Distribution, Tensor};
use criterion::{Criterion, criterion_group, criterion_main};
use elucid::prelude::*;

use common::on_every_device;

fn photographs(model: &Model, count: usize) -> Tensor<4> {
    let [height, width] = model.input_spec().size();
    let range = Distribution::Uniform(-100.0, 100.0);
    Tensor::random([count, 3, height, width], range, model.device())
}

/// Waits for the device: reading a value back does on every backend.
fn finish(activation: &Activation) {
    let first = activation.to_array().expect("the value can be read back");
    std::hint::black_box(first);
}

fn forward(c: &mut Criterion) {
    on_every_device(c, "forward", |subject, group| {
        let model = &subject.model;
        for batch in [1, 8] {
            let images = photographs(model, batch);
            group.bench_function(format!("batch {batch}"), |b| {
                b.iter(|| {
                    let pass = model
                        .pass()
                        .input(&images)
                        .fetch([LOGITS])
                        .expect("it runs");
                    finish(pass.get(LOGITS).expect("it was fetched"));
                });
            });
        }
    });
}

fn gradients(c: &mut Criterion) {
    on_every_device(c, "gradient", |subject, group| {
        let (model, middle) = (&subject.model, subject.middle);
        let class = subject.classes[0];
        for batch in [1, 8] {
            let images = photographs(model, batch);
            for (to, method) in [
                ("input", Gradient::at_input()),
                ("middle", Gradient::at(middle[1])),
            ] {
                group.bench_function(format!("to {to}, batch {batch}"), |b| {
                    b.iter(|| {
                        method
                            .attribute(model, &images, Target::class(class))
                            .expect("it runs")
                    });
                });
            }
        }
    });
}

fn spatial(c: &mut Criterion) {
    on_every_device(c, "spatial", |subject, group| {
        let (model, middle) = (&subject.model, subject.middle);
        let image = photographs(model, 1);
        for (way, colouring) in [("coloured", true), ("one per position", false)] {
            group.bench_function(way, |b| {
                b.iter(|| {
                    SpatialAttribution::between(middle[0], middle[1])
                        .colouring(colouring)
                        .compute(model, &image)
                        .expect("it runs")
                });
            });
        }
    });
}

criterion_group!(benches, forward, gradients, spatial);
criterion_main!(benches);
