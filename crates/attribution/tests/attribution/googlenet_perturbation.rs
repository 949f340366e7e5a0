//! Perturbations on GoogLeNet: agreement with arrays that TorchRay and Captum computed.

use std::time::Instant;

use elucid_attribution::{
    Attributor, ExtremalPerturbation, FeatureAblation, Occlusion, Rise, RiseScore, Target,
};
use elucid_testkit::{read_npy, relative_error};
use ndarray::{Array2, Array3, Axis};

use super::shared::Chelsea;

/// Largest deviation allowed, relative to the reference's largest value.
const TOLERANCE: f32 = 1e-4;

impl Chelsea {
    fn check<'a>(&self, file: &str, got: impl IntoIterator<Item = &'a f32>) {
        let (_, want) = read_npy(&self.folder.join(file));
        let got: Vec<f32> = got.into_iter().copied().collect();
        assert_eq!(got.len(), want.len(), "{file}");
        let error = relative_error(&got, &want);
        println!("{file}: {error:.1e}");
        assert!(error < TOLERANCE, "{file} deviates by {error:.1e}");
    }
}

#[test]
fn occlusion() {
    let Some(chelsea) = Chelsea::open() else {
        return;
    };
    let start = Instant::now();
    let got = Occlusion::new()
        .attribute(&chelsea.model, &chelsea.input, Target::class(285))
        .unwrap();
    println!("170 passes: {:.1} s", start.elapsed().as_secs_f32());
    assert_eq!(got.evaluations(), [170]);
    chelsea.check("285/occlusion_w32_s16.npy", got.values());
}

#[test]
fn feature_ablation() {
    let Some(chelsea) = Chelsea::open() else {
        return;
    };
    let got = FeatureAblation::new()
        .attribute(&chelsea.model, &chelsea.input, Target::class(285))
        .unwrap();
    let cells = (0..64).map(|cell| &got.values()[[0, 0, cell / 8 * 28, cell % 8 * 28 + 27]]);
    chelsea.check("285/feature_ablation_8x8.npy", cells);
}

/// The same grids and shifts give the same map.
#[test]
fn rise() {
    let Some(chelsea) = Chelsea::open() else {
        return;
    };
    let read = |name: &str| read_npy(&chelsea.folder.join(format!("285/rise128_{name}.npy"))).1;
    let grids = Array3::from_shape_vec((128, 7, 7), read("grids")).unwrap();
    let shifts: Vec<[usize; 2]> = read("shifts")
        .chunks(2)
        .map(|s| [s[0] as usize, s[1] as usize])
        .collect();
    let method = Rise::torchray().with_grids(grids.view(), &shifts);
    let target = || Target::class(285);

    let start = Instant::now();
    let got = method
        .maps(&chelsea.model, &chelsea.input, target())
        .unwrap();
    let seconds = start.elapsed().as_secs_f32();
    println!("{:.3} s per mask", seconds / 128.0);
    chelsea.check("285/rise128_softmax.npy", &got.maps());

    let sigmoid = method
        .clone()
        .score(RiseScore::Sigmoid)
        .attribute(&chelsea.model, &chelsea.input, target())
        .unwrap();
    chelsea.check("285/rise128_torchray_sigmoid.npy", sigmoid.values());

    // One mask at a time, its map is the mask times its score.
    let logit = |i: usize| {
        let one = grids.slice_axis(Axis(0), (i..i + 1).into());
        let method = Rise::torchray().with_grids(one, &shifts[i..=i]);
        let found = method
            .score(RiseScore::Target)
            .maps(&chelsea.model, &chelsea.input, target());
        found.unwrap().maps()
    };
    let (mask, logits) = (read("mask0"), read("logits_target"));
    let want: Vec<f32> = mask.iter().map(|m| m * logits[0]).collect();
    let error = relative_error(&logit(0), &want);
    println!("mask 0 times its logit: {error:.1e}");
    assert!(error < TOLERANCE, "{error:.1e}");
}

/// Masks from parameters, and the image blurred under them.
#[test]
fn extremal() {
    let Some(chelsea) = Chelsea::open() else {
        return;
    };
    let read = |name: &str| read_npy(&chelsea.folder.join(format!("../extremal/{name}.npy"))).1;
    let parameters = Array2::from_shape_vec((32, 32), read("pmask")).unwrap();
    let method = ExtremalPerturbation::new();
    let mask = method.smooth_mask(parameters.view(), [224, 224]).unwrap();
    chelsea.check("../extremal/mask.npy", &mask);
    let seen = method.perturbed(&chelsea.input, mask.view()).unwrap();
    let seen: Vec<f32> = seen.into_data().iter::<f32>().collect();
    chelsea.check("../extremal/perturbed_half.npy", &seen);

    let start = Instant::now();
    let found = method
        .iterations(10)
        .attribute(&chelsea.model, &chelsea.input, Target::class(285))
        .unwrap();
    assert_eq!(found.evaluations(), [10]);
    println!(
        "{:.3} s per iteration",
        start.elapsed().as_secs_f32() / 10.0
    );
}
