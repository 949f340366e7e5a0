//! Every attribution method on one photograph: with its default options, but for fewer samples where
//! there are hundreds ([`FEWER`]), so that a run ends.
//!
//! GoogLeNet when it is on this machine (`elucid models pull googlenet`, or `ELUCID_ASSETS`), else
//! the embedded InceptionV1. Every device that the build supports is measured in the same run.

mod common;

use criterion::{Criterion, criterion_group, criterion_main};
use elucid::attribution::{METHODS, Method, MethodOptions, Place};
use elucid::prelude::*;
use elucid::vision::input::decode_image;

use common::on_every_device;

/// Options that stand for many evaluations, and what is measured instead.
const FEWER: &[(&str, &str)] = &[
    ("masks", "64"),
    ("iterations", "16"),
    ("channels", "64"),
    ("design", "1"),
    ("permutations", "2"),
];

fn options(method: &Method) -> MethodOptions {
    let fewer = FEWER.iter().copied();
    // Of the methods with samples, those on superpixels and cells take hundreds and more.
    let many = method.takes("segments") || method.takes("cells") || method.name == "hsic";
    let samples = many.then_some(("samples", "100"));
    fewer
        .chain(samples)
        .filter(|(option, _)| method.takes(option))
        .fold(MethodOptions::new(), |options, (name, value)| {
            options.set(name, value)
        })
}

fn methods(c: &mut Criterion) {
    on_every_device(c, "method", |subject, group| {
        let (model, class) = (&subject.model, subject.classes[0]);
        let picture = decode_image(photographs::chelsea()).expect("the embedded photograph");
        let photo = model.prepare(&picture).expect("it can be prepared");
        // A convolutional network attends to nothing.
        for method in METHODS
            .iter()
            .filter(|method| method.place != Place::Tokens)
        {
            let attributor = method.build(&options(method)).expect("the options");
            let attribute = || {
                attributor
                    .attribute(model, &photo, Target::class(class))
                    .expect("it explains the network")
            };
            group.bench_function(method.name, |b| b.iter(attribute));
        }
    });
}

criterion_group!(benches, methods);
criterion_main!(benches);
