//! Pictures of features, step by step, and the factorisation behind neuron groups.
//!
//! GoogLeNet when it is on this machine (`elucid models pull googlenet`), else the embedded InceptionV1.
//! Every device that the build supports is measured in the same run.

mod common;

use criterion::{Criterion, criterion_group, criterion_main};
use elucid::prelude::*;
use elucid::vision::input::decode_image;

use common::on_every_device;

/// Channels that are drawn together.
const CHANNELS: [usize; 6] = [0, 40, 80, 120, 160, 200];

/// Steps of one measurement.
const STEPS: usize = 4;

fn icons(c: &mut Criterion) {
    on_every_device(c, "icons", |subject, group| {
        let (model, [_, layer]) = (&subject.model, subject.middle);
        for (transforms, title) in [(Transforms::lucid(), "lucid"), (Transforms::none(), "none")] {
            let vis = FeatureVis::fourier(104).steps(STEPS).transforms(transforms);
            group.bench_function(
                format!("6 channels, 104 px, {STEPS} steps, transforms {title}"),
                |b| b.iter(|| vis.channels(model, layer, &CHANNELS).expect("icons")),
            );
        }
    });
}

fn groups(c: &mut Criterion) {
    on_every_device(c, "groups", |subject, group| {
        let (model, [_, layer]) = (&subject.model, subject.middle);
        let [class, other] = subject.classes;
        let picture = decode_image(photographs::chelsea()).expect("the embedded photograph");
        let photo = model.prepare(&picture).expect("it can be prepared");
        let groups = NeuronGroups::new(6)
            .at(layer)
            .targets([Target::class(class), Target::class(other)]);
        group.bench_function("6 groups by NMF, 2 classes", |b| {
            b.iter(|| groups.compute(model, &photo).expect("groups"));
        });
        let target = || Target::difference(class, other);
        for (method, title) in [
            (ChannelMethod::Linear, "linear"),
            (ChannelMethod::path(), "path, 100 steps"),
        ] {
            let channels = ChannelAttribution::at(layer).method(method);
            group.bench_function(format!("channel attribution, {title}"), |b| {
                b.iter(|| channels.compute(model, &photo, target()).expect("channels"));
            });
        }
    });
}

criterion_group!(benches, icons, groups);
criterion_main!(benches);
