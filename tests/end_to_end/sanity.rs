//! Sanity checks for saliency maps (Adebayo et al., 2018): which methods notice that the network's
//! weights are random.
//!
//! The weights are drawn anew from the top down. A map that explains the network must change then.
//! The gradient's and Grad-CAM's do; guided backpropagation's hardly, until the lowest layers are
//! reached: it shows the image's edges.
//!
//! `ELUCID_WRITE=folder` writes the measures there.

use std::path::Path;

use burn::tensor::Device;
use common::cascade::{Row, blocks, cascade, methods, randomised, redrawn, spearman, ssim, to_csv};
use elucid::prelude::*;
use elucid::vision::input::decode_image;
use elucid_testkit::assets;
use ndarray::{Array2, array};

/// Rows of the gradient, Grad-CAM and guided backpropagation, which [`methods`] begins with.
const COMPARED: [&str; 3] = ["gradient", "grad-cam", "guided-backprop"];

fn pictures() -> [(&'static str, &'static [u8]); 3] {
    [
        ("chelsea", photographs::chelsea()),
        ("coffee", photographs::coffee()),
        ("cat_and_coffee", photographs::cat_and_coffee()),
    ]
}

/// The cascades of the upper half of a network, one for each picture and seed.
fn upper_half(model: &Model, pictures: &[(&str, &[u8])], seeds: u64) -> Vec<Vec<Row>> {
    let depth = blocks(model).len() / 2;
    let mut methods = methods();
    methods.truncate(COMPARED.len());
    let mut runs = Vec::new();
    for (picture, bytes) in pictures {
        let photo = model.prepare(&decode_image(bytes).unwrap()).unwrap();
        for seed in 0..seeds {
            let rows = cascade(&methods, model, &photo, depth, seed).unwrap();
            for row in &rows {
                let name = format!("{picture} {seed} {}", row.method);
                println!("{name:<34} {:.2?}", &row.spearman[1..]);
            }
            if let Some(folder) = std::env::var_os("ELUCID_WRITE") {
                let file = format!("sanity_{}_{picture}_{seed}.csv", model.name());
                std::fs::write(Path::new(&folder).join(file), to_csv(&rows, model)).unwrap();
            }
            assert!(rows.iter().map(|row| row.method.as_str()).eq(COMPARED));
            assert!(rows.iter().all(|row| row.maps.len() == depth + 1));
            runs.push(rows);
        }
    }
    runs
}

/// The mean over runs and depths of one method's absolute rank correlation, from `from` blocks on.
fn mean(runs: &[Vec<Row>], method: usize, from: usize) -> f64 {
    let values = runs.iter().flat_map(|rows| &rows[method].spearman[from..]);
    let (sum, count) = values.fold((0.0, 0.0), |(sum, n), v| (sum + v.abs(), n + 1.0));
    sum / count
}

/// The methods that look at the network forget the class, the one that looks at edges does not.
#[test]
fn the_small_inception_splits_the_methods() {
    let model = Model::embedded(&Device::flex()).unwrap();
    let pictures = [
        ("chelsea", photographs::chelsea()),
        ("dog", photographs::dog()),
        ("dog_and_cat", photographs::dog_and_cat()),
    ];
    let runs = upper_half(&model, &pictures, 3);
    let [gradient, grad_cam, guided] = [0, 1, 2].map(|method| mean(&runs, method, 1));
    println!("mean: gradient {gradient:.2}, Grad-CAM {grad_cam:.2}, guided {guided:.2}");
    assert!(gradient < 0.5, "{gradient}");
    assert!(grad_cam < 0.5, "{grad_cam}");
    assert!(guided > 0.85, "{guided}");
    for rows in &runs {
        for depth in 1..rows[0].spearman.len() {
            let (gradient, guided) = (rows[0].spearman[depth], rows[2].spearman[depth]);
            assert!(guided > 0.75, "{guided} at depth {depth}");
            assert!(
                guided > gradient + 0.3,
                "{gradient} and {guided} at depth {depth}"
            );
        }
    }
}

#[test]
fn squeezenet_splits_the_methods() {
    let model = Model::find("squeezenet", &Device::flex(), None).unwrap();
    let runs = upper_half(&model, &pictures(), 3);
    let [gradient, grad_cam, guided] = [0, 1, 2].map(|method| mean(&runs, method, 1));
    println!("mean: gradient {gradient:.2}, Grad-CAM {grad_cam:.2}, guided {guided:.2}");
    assert!(gradient < 0.6, "{gradient}");
    assert!(grad_cam < 0.35, "{grad_cam}");
    assert!(guided > 0.8, "{guided}");
    // SqueezeNet's scores are means behind a ReLU, which random weights may close at all but a few of
    // the 169 positions: then every method looks at those only, and no map is like the first. Single
    // runs are held to the first block.
    for rows in &runs {
        assert!(rows[0].spearman[1] < 0.7 && rows[2].spearman[1] > 0.75);
        assert!(rows[1].spearman[1] < 0.7);
    }
}

#[test]
fn googlenet_splits_the_methods() {
    let Some(assets) = assets() else { return };
    let model = Model::open(assets.join("models/googlenet.onnx"), &Device::flex()).unwrap();
    let runs = upper_half(&model, &pictures()[..2], 1);
    for rows in &runs {
        let [gradient, _, guided] = [0, 1, 2].map(|method| &rows[method].spearman[1..]);
        for (depth, (gradient, guided)) in gradient.iter().zip(guided).enumerate() {
            assert!(*gradient < 0.6, "{gradient} at depth {depth}");
            assert!(*guided > 0.85, "{guided} at depth {depth}");
        }
    }
    // Behind the features there is the dense layer only, whose weights for one class may happen to
    // agree; from there on Grad-CAM's weights are random as well.
    let grad_cam = mean(&runs, 1, 2);
    assert!(grad_cam < 0.5, "{grad_cam}");
}

#[test]
fn measures_are_what_they_are_called() {
    let a = array![[1.0, -2.0], [3.0, 4.0]];
    let opposite = array![[-4.0, 3.0], [2.0, 1.0]];
    let scaled = a.mapv(|v| v * v * v);
    assert_eq!(spearman(a.view(), a.view()), 1.0);
    assert_eq!(spearman(a.view(), scaled.view()), 1.0);
    assert_eq!(spearman(a.view(), opposite.view()), -1.0);
    assert_eq!(spearman(a.view(), Array2::zeros((2, 2)).view()), 0.0);
    // Ranks 0, 1.5, 1.5, 3 against 0, 1, 2, 3: 4.5 / sqrt(4.5 * 5).
    let tied = array![[1.0, 2.0], [-2.0, 4.0]];
    assert!((spearman(tied.view(), a.view()) - 0.9_f64.sqrt()).abs() < 1e-12);

    let waves = Array2::from_shape_fn((20, 24), |(y, x)| ((y * 7 + x * 5) % 11) as f32);
    let turned = waves.slice(ndarray::s![..;-1, ..]).to_owned();
    assert!((ssim(waves.view(), waves.view()) - 1.0).abs() < 1e-12);
    assert!((ssim(waves.view(), (&waves * -3.0).view()) - 1.0).abs() < 1e-6);
    assert!(ssim(waves.view(), turned.view()) < 0.5);
}

#[test]
fn random_weights_are_as_large_as_those_they_replace() {
    let model = Model::find("squeezenet", &Device::flex(), None).unwrap();
    let blocks = blocks(&model);
    assert_eq!(blocks.len(), 10);
    assert_eq!(
        (blocks[0].as_str(), blocks[9].as_str()),
        ("conv10", "conv1")
    );

    let photo = model
        .prepare(&decode_image(photographs::chelsea()).unwrap())
        .unwrap();
    let scores = |model: &Model| model.classify(&photo).unwrap().logits().clone();
    let run = |depth: usize, seed| scores(&randomised(&model, &blocks[..depth], seed).unwrap());
    assert_eq!(run(0, 1), scores(&model));
    assert_eq!(run(3, 1), run(3, 1));
    assert_ne!(run(3, 1), run(3, 2));
    assert_ne!(run(2, 1), run(3, 1));
    assert!(run(10, 1).iter().all(|v| v.is_finite()));

    let mut count = 0;
    model
        .with_weights(|name, values| {
            count += 1;
            if values.len() >= 1000 {
                let new = redrawn(&values, 7);
                let ratio = new.std(0.0) / values.std(0.0);
                assert!((ratio - 1.0).abs() < 0.1, "{name}: {ratio}");
                assert!(new.mean().unwrap().abs() < 0.1 * new.std(0.0), "{name}");
            }
            None
        })
        .unwrap();
    assert_eq!(count, 52);
}
