//! Every attribution method with its default options, on one photograph.
//!
//! GoogLeNet when it is on this machine (`elucid models pull googlenet`, or `ELUCID_ASSETS`), else
//! the embedded SqueezeNet. Every device that the build supports is measured in the same run.

mod common;

use criterion::{Criterion, criterion_group, criterion_main};
use elucid::attribution::{METHODS, MethodOptions};
use elucid::graph::input::decode_image;
use elucid::prelude::*;

use common::{Subject, devices, group, subject};

fn methods(c: &mut Criterion) {
    for (device_name, chosen) in devices() {
        let Subject { model, name, .. } = subject(&chosen.device);
        let picture = decode_image(photographs::chelsea()).expect("the embedded photograph");
        let photo = model.prepare(&picture).expect("it can be prepared");
        let mut group = group(c, &format!("method/{name}/{device_name}"));
        for method in METHODS {
            let attributor = method.build(&MethodOptions::new()).expect("the defaults");
            let attribute = || attributor.attribute(&model, &photo, Target::class(285));
            if let Err(error) = attribute() {
                eprintln!("{} is not measured: {error}", method.name);
                continue;
            }
            group.bench_function(method.name, |b| b.iter(attribute));
        }
    }
}

criterion_group!(benches, methods);
criterion_main!(benches);
