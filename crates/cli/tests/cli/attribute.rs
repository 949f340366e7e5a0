//! `elucid attribute` and `elucid methods`: what they leave behind, say and refuse.

mod asked;
mod stopped;
mod written;

use std::fs;

use ndarray::Array2;

use crate::common::{Desk, Ended};

const FILES: [&str; 5] = [
    "attribution.npy",
    "heatmap.png",
    "overlay.png",
    "report.json",
    "saliency.npy",
];

fn attribute(desk: &Desk, arguments: &str) -> Ended {
    desk.say(&format!("attribute {arguments}"))
}

/// A desk of its own, on which `elucid attribute` succeeded.
fn attributed(arguments: &str) -> (Desk, Ended) {
    let desk = Desk::squeezenet();
    let ended = attribute(&desk, arguments).ok();
    (desk, ended)
}

fn map(desk: &Desk, folder: &str) -> Array2<f32> {
    ndarray_npy::read_npy(desk.path(folder).join("saliency.npy")).unwrap()
}

fn png(desk: &Desk, file: &str) -> Vec<u8> {
    let png = fs::read(desk.path(file)).unwrap();
    assert!(png.starts_with(b"\x89PNG"), "{file}");
    png
}
