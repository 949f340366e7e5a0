//! GoogLeNet on one photograph, against arrays that PyTorch computed.

#[path = "../../graph/tests/common/reference.rs"]
mod common;

use std::path::{Path, PathBuf};

use burn::tensor::Tensor;
use common::{assets, device, read_npy, relative_error};
use elucid_attribution::{Attributor, Gradient, LinearApproximation, SpatialAttribution, Target};
use elucid_graph::Model;
use elucid_rules::Rules;

/// Largest deviation allowed, relative to the reference's largest value.
const TOLERANCE: f32 = 1e-4;

struct Chelsea {
    model: Model,
    input: Tensor<4>,
    folder: PathBuf,
}

impl Chelsea {
    fn open() -> Option<Self> {
        let assets = assets()?;
        let folder = assets.join("reference/googlenet/chelsea");
        let (_, values) = read_npy(&folder.join("input.npy"));
        Some(Self {
            model: Model::open(assets.join("models/googlenet.onnx"), &device()).unwrap(),
            input: common::tensor(values, [1, 3, 224, 224]),
            folder,
        })
    }

    fn check<'a>(&self, file: impl AsRef<Path>, got: impl IntoIterator<Item = &'a f32>) {
        let (shape, want) = read_npy(&self.folder.join(&file));
        let got: Vec<f32> = got.into_iter().copied().collect();
        assert_eq!(
            got.len(),
            want.len(),
            "{} has shape {shape:?}",
            file.as_ref().display()
        );
        let error = relative_error(&got, &want);
        println!("{}: {error:.1e}", file.as_ref().display());
        assert!(
            error < TOLERANCE,
            "{} deviates by {error:.1e}",
            file.as_ref().display()
        );
    }
}

#[test]
fn gradients_at_the_input() {
    let Some(chelsea) = Chelsea::open() else {
        return;
    };
    for class in [282, 285] {
        for (preset, file) in [
            ("true", "gradient.npy"),
            ("guided", "guided_backprop.npy"),
            ("deconvnet", "deconvnet.npy"),
        ] {
            let result = Gradient::at_input()
                .rules(&Rules::preset(preset).unwrap())
                .attribute(&chelsea.model, &chelsea.input, Target::class(class))
                .unwrap();
            assert_eq!(result.values().shape(), [1, 3, 224, 224]);
            chelsea.check(format!("{class}/{file}"), result.values());
        }
    }
}

#[test]
fn from_positions_to_classes() {
    let Some(chelsea) = Chelsea::open() else {
        return;
    };
    for class in [282, 285] {
        for (preset, file) in [
            ("true", "linear_approx_4d.npy"),
            ("smooth", "spatial_class_4d_smooth.npy"),
            ("smooth-blur", "spatial_class_4d_smoothblur.npy"),
        ] {
            let result = LinearApproximation::at("mixed4d")
                .rules(&Rules::preset(preset).unwrap())
                .attribute(&chelsea.model, &chelsea.input, Target::class(class))
                .unwrap();
            let map = result.map().unwrap();
            assert_eq!(map.maps().shape(), [1, 14, 14]);
            chelsea.check(format!("{class}/{file}"), map.maps());
        }
    }
}

#[test]
fn from_positions_to_positions() {
    let Some(chelsea) = Chelsea::open() else {
        return;
    };
    for (from, to, preset, file) in [
        ("4c", "4d", "true", "spatial_spatial_4c_4d.npy"),
        ("4c", "4d", "smooth", "spatial_spatial_4c_4d_smooth.npy"),
        ("4d", "5a", "true", "spatial_spatial_4d_5a.npy"),
        ("4d", "5a", "smooth", "spatial_spatial_4d_5a_smooth.npy"),
        (
            "4d",
            "5a",
            "smooth-blur",
            "spatial_spatial_4d_5a_smoothblur.npy",
        ),
    ] {
        let result =
            SpatialAttribution::between(&format!("inception_{from}"), &format!("inception_{to}"))
                .rules(&Rules::preset(preset).unwrap())
                .compute(&chelsea.model, &chelsea.input)
                .unwrap();
        println!("{} cotangents", result[0].cotangents());
        chelsea.check(file, result[0].maps());
    }
}
