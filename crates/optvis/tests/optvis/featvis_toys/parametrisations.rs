//! Parametrisations: what their numbers paint.

use burn::tensor::Tensor;
use elucid_graph::Activation;
use elucid_optvis::{
    Cppn, FeatureVis, Fourier, Maco, Objective, Parametrisation, Pixels, Pyramid, Random, Sheet,
    VisError,
};
use elucid_testkit::{device, relative_error, tensor};

use super::SMOOTH;

fn parametrisations() -> Vec<Box<dyn Parametrisation>> {
    vec![
        Box::new(Pixels::new()),
        Box::new(Pixels::new().clipped().correlated()),
        Box::new(Fourier::new()),
        Box::new(Fourier::new().clipped().decay(1.5).sd(0.1)),
        Box::new(Pyramid::new()),
        Box::new(Pyramid::new().levels(2).correlated()),
        Box::new(Cppn::new().layers(3).hidden(6)),
        Box::new(Maco::new()),
        Box::new(Maco::new().clipped().decay(0.8)),
    ]
}

fn stacked(each: &[Vec<Activation>]) -> Vec<Activation> {
    (0..each[0].len())
        .map(|i| {
            let rows = each.iter().map(|p| p[i].rows()).collect();
            Activation::from_rows(Tensor::cat(rows, 0), &each[0][i]).unwrap()
        })
        .collect()
}

/// For red, green and blue.
fn sheet(size: [usize; 2]) -> Sheet {
    Sheet::new(size, 3, &device())
}

#[test]
fn canvases_of_any_size_paint_each_image_alone() {
    for parametrisation in parametrisations() {
        for [h, w] in [[8, 8], [7, 7], [6, 11], [11, 6], [1, 5], [5, 1], [1, 1]] {
            let canvas = parametrisation.canvas(&sheet([h, w])).unwrap();
            let start = |seed| canvas.start(&mut Random::new(seed));
            let each: Vec<_> = [3, 4, 5].map(start).into();
            let together = canvas.picture(&stacked(&each)).unwrap();
            let name = parametrisation.name();
            assert_eq!(together.dims(), [3, 3, h, w], "{name}");
            for (i, one) in each.iter().enumerate() {
                let alone = canvas.picture(one).unwrap();
                let row = together.clone().narrow(0, i, 1);
                let (alone, row): (Vec<f32>, Vec<f32>) = (
                    alone.into_data().iter::<f32>().collect(),
                    row.into_data().iter::<f32>().collect(),
                );
                assert!(relative_error(&row, &alone) < 1e-5, "{name} {h} x {w}");
                assert!(alone.iter().all(|v| (0.0..=1.0).contains(v)), "{name}");
            }
            let mut misshapen = each[0].clone();
            misshapen[0] = tensor(vec![0.0; 2], [1, 1, 1, 2]).into();
            for wrong in [&[][..], &misshapen] {
                let refused = canvas.picture(wrong);
                assert!(matches!(refused, Err(VisError::Shape { .. })), "{name}");
            }
        }
    }
}

/// A wave by hand: one frequency of one component, through the colours.
#[test]
fn a_spectrum_is_the_sum_of_its_waves() {
    for [h, w] in [[6, 8], [5, 7], [8, 5]] {
        let parametrisation = Fourier::new().clipped().correlated();
        let canvas = parametrisation.canvas(&sheet([h, w])).unwrap();
        let frequencies = w / 2 + 1;
        for (fy, fx) in [(0, 0), (1, 2), (h - 1, 1), (2, w / 2), (h / 2, 0)] {
            for part in 0..2 {
                let mut values = vec![0.0_f32; 3 * frequencies * 2 * h];
                values[fx * 2 * h + part * h + fy] = 0.1;
                let spectrum = tensor(values, [1, 3, frequencies, 2 * h]);
                let picture = canvas.picture(&[spectrum.into()]).unwrap();
                let picture: Vec<f32> = picture.into_data().iter::<f32>().collect();
                let signed = if 2 * fy > h {
                    fy as f64 - h as f64
                } else {
                    fy as f64
                };
                let distance = (signed / h as f64).hypot(fx as f64 / w as f64);
                let scale = 1.0 / distance.max(1.0 / h.max(w) as f64) / 4.0;
                let double = fx > 0 && 2 * fx != w;
                let norm = if double { 2.0 } else { 1.0 } / ((h * w) as f64).sqrt();
                for (i, got) in picture.iter().take(h * w).enumerate() {
                    let (y, x) = ((i / w) as f64, (i % w) as f64);
                    let turns = fy as f64 * y / h as f64 + fx as f64 * x / w as f64;
                    let (sin, cos) = (std::f64::consts::TAU * turns).sin_cos();
                    // Where the spectrum stands for itself alone, half of a wave is imaginary.
                    let wave = if part == 0 { cos } else { -sin };
                    let want = (0.5 + 0.1 * scale * norm * wave).clamp(0.0, 1.0);
                    assert!(
                        (f64::from(*got) - want).abs() < 1e-5,
                        "{h} x {w}: {fy}, {fx}"
                    );
                }
                assert!(picture[h * w..].iter().all(|v| *v == 0.5));
            }
        }
    }
}

#[test]
fn maco_keeps_its_magnitudes() {
    let (h, w) = (9, 12);
    let vis = FeatureVis::with(Maco::new().clipped().correlated(), 0)
        .size([h, w])
        .steps(5);
    let before = vis.clone().learning_rate(1e-9);
    let objective = || Objective::channel("block", 1);
    let [before, after] = [before, vis].map(|v| v.render(&*SMOOTH, objective()).unwrap());
    assert!(relative_error(after.images(), before.images()) > 0.02);
    // Undone by the canvas itself: the standard deviation of the image is 1 before clipping, so
    // compare on a sigmoid, which can be inverted.
    let canvas = Maco::new().correlated().canvas(&sheet([h, w])).unwrap();
    let magnitudes = |seed| {
        let picture = canvas
            .picture(&canvas.start(&mut Random::new(seed)))
            .unwrap();
        let values: Vec<f64> = picture.into_data().iter::<f64>().collect();
        let planes: Vec<f64> = values.iter().map(|v| (v / (1.0 - v)).ln()).collect();
        let mean = planes.iter().map(|v| v * v).sum::<f64>() / planes.len() as f64;
        assert!((mean - 1.0).abs() < 1e-3, "{mean}");
        let magnitude = |fy: usize, fx: usize| {
            let (mut re, mut im) = (0.0, 0.0);
            for (i, v) in planes[..h * w].iter().enumerate() {
                let turns = (fy * (i / w)) as f64 / h as f64 + (fx * (i % w)) as f64 / w as f64;
                let (sin, cos) = (std::f64::consts::TAU * turns).sin_cos();
                (re, im) = (re + v * cos, im - v * sin);
            }
            re.hypot(im)
        };
        let near = magnitude(1, 1) * (1.0_f64 / 9.0).hypot(1.0 / 12.0);
        let far = magnitude(3, 4) * (3.0_f64 / 9.0).hypot(4.0 / 12.0);
        (near, far)
    };
    for seed in 0..3 {
        let (near, far) = magnitudes(seed);
        assert!((near / far - 1.0).abs() < 1e-3, "{near} and {far}");
    }
}
