//! What the benches share.

use std::time::Duration;

use criterion::{BenchmarkGroup, Criterion, measurement::WallTime};
use elucid::device::{self, Chosen};
use elucid::prelude::*;

use burn::tensor::Device;

/// A network with the layers that are measured.
pub struct Subject {
    pub model: Model,
    pub name: &'static str,
    /// A layer in the middle, and the block that follows it.
    #[allow(dead_code, reason = "not every bench looks inside")]
    pub middle: [&'static str; 2],
    /// A class of the photograph, and another.
    pub classes: [usize; 2],
}

/// GoogLeNet when it is on this machine, else the embedded InceptionV1.
pub fn subject(device: &Device) -> Subject {
    let middle = ["inception_4c", "inception_4d"];
    for name in ["googlenet-12", "bvlc-googlenet"] {
        if let Ok(model) = Model::find(name, device, None) {
            return Subject {
                model,
                name: "googlenet",
                middle,
                classes: [285, 282],
            };
        }
    }
    Subject {
        model: Model::embedded(device).expect("the embedded model opens"),
        name: "inception_v1_small",
        middle,
        classes: [10, 1],
    }
}

/// Every device that the build supports.
fn devices() -> Vec<(&'static str, Chosen)> {
    let mut devices = vec![("cpu", device::cpu())];
    if cfg!(feature = "wgpu") {
        match device::open(DeviceChoice::Wgpu(None)) {
            Ok(chosen) => devices.push(("wgpu", chosen)),
            Err(error) => eprintln!("wgpu is not measured: {error}"),
        }
    }
    for (_, chosen) in &devices {
        eprintln!("device: {}", chosen.description);
    }
    devices
}

/// Measures `what` on every device.
pub fn on_every_device(
    c: &mut Criterion,
    what: &str,
    mut measure: impl FnMut(&Subject, &mut BenchmarkGroup<'_, WallTime>),
) {
    for (device_name, chosen) in devices() {
        let subject = subject(&chosen.device);
        let title = format!("{what}/{}/{device_name}", subject.name);
        measure(&subject, &mut group(c, &title));
    }
}

/// A group of measurements that each take a while.
fn group<'c>(c: &'c mut Criterion, name: &str) -> BenchmarkGroup<'c, WallTime> {
    let mut group = c.benchmark_group(name);
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(8));
    group
}
