//! Agreement with scikit-learn on the activations of a photograph.

use crate::common::{chelsea, read};
use elucid_factor::{ChannelReducer, Layout, Loss, Nmf, Pca, Solver, Start};
use ndarray::{Array4, Ix3, Ix4};

/// `inception_4d`, `[1, 528, 14, 14]`.
fn activations() -> Option<(std::path::PathBuf, Array4<f32>)> {
    let folder = chelsea()?;
    let array = read(&folder, "act/inception_4d.npy");
    let array = match array.ndim() {
        4 => array,
        _ => array.insert_axis(ndarray::Axis(0)),
    };
    let array = array.into_dimensionality::<Ix4>().expect("four axes");
    assert_eq!(array.dim(), (1, 528, 14, 14));
    Some((folder, array))
}

#[test]
fn every_start_reaches_the_reference_error() {
    let Some((_, x)) = activations() else { return };
    for start in Start::ALL {
        for seed in 0..3 {
            let nmf = Nmf::new(6).start(start).seed(seed);
            let groups = ChannelReducer::new(nmf).fit(x.view()).expect("a fit");
            let summary = groups.summary();
            assert!(
                (summary.relative_error - 0.568_396).abs() < 1e-5,
                "{start}, seed {seed}: {summary:?}"
            );
            assert_eq!(summary.converged, Some(true), "{start}, seed {seed}");
        }
    }
    let wide = x.mapv(f64::from);
    let summary = ChannelReducer::nmf(6)
        .fit(wide.view())
        .expect("a fit")
        .summary();
    assert!(
        (summary.relative_error - 0.568_396).abs() < 1e-5,
        "{summary:?}"
    );
}

#[test]
fn factors_equal_the_reference() {
    let Some((folder, x)) = activations() else {
        return;
    };
    for (start, name, iterations) in [
        (Start::Nndsvd, "nndsvd", 139),
        (Start::Nndsvda, "nndsvda", 43),
    ] {
        let nmf = Nmf::new(6).start(start);
        let (factors, groups) = ChannelReducer::new(nmf)
            .fit_transform(x.view())
            .expect("a fit");
        let summary = groups.summary();
        assert!(
            summary.iterations <= Some(iterations),
            "{name}: {summary:?}"
        );

        let want = read(&folder, &format!("nmf6_4d_{name}_spatial.npy"));
        let want = want.into_dimensionality::<Ix3>().expect("[H, W, k]");
        let got = factors.permuted_axes([0, 2, 3, 1]);
        close(name, got.iter(), want.iter());
        let want = read(&folder, &format!("nmf6_4d_{name}_channel.npy"));
        assert_eq!(want.shape(), groups.directions().shape());
        close(name, groups.directions().iter(), want.iter());
    }
}

/// Within 1e-3 of the largest value.
fn close<'a>(name: &str, got: impl Iterator<Item = &'a f32>, want: impl Iterator<Item = &'a f32>) {
    let (mut worst, mut largest) = (0.0_f32, 0.0_f32);
    for (got, want) in got.zip(want) {
        worst = worst.max((got - want).abs());
        largest = largest.max(want.abs());
    }
    println!("{name}: {worst} of {largest}: {}", worst / largest);
    assert!(worst <= 1e-3 * largest, "{name}: {worst} of {largest}");
}

#[test]
fn layouts_agree() {
    let Some((_, x)) = activations() else { return };
    let (factors, groups) = ChannelReducer::nmf(4)
        .fit_transform(x.view())
        .expect("a fit");
    let last = x.permuted_axes([0, 2, 3, 1]);
    let reducer = ChannelReducer::nmf(4).layout(Layout::Nhwc);
    let (other, same) = reducer.fit_transform(last.view()).expect("a fit");
    assert_eq!(factors.permuted_axes([0, 2, 3, 1]), other);
    assert_eq!(groups.directions(), same.directions());
}

/// Iterations and error of scikit-learn 1.9.1, `init="nndsvda"`, in `f32`: `solver="mu"`; that with
/// `beta_loss="kullback-leibler"`; `alpha_W=.5, alpha_H=2, l1_ratio=.5`. `PCA(6)` in `f64`.
const MU_FROBENIUS: (usize, f64) = (90, 2_571.492_675_781_25);
const MU_KL: (usize, f64) = (120, 778.073_730_468_75);
const PENALISED: (usize, f64) = (16, 3_287.481_933_593_75);
const PCA_ERROR: f64 = 2_375.821_326_151_948_6;

#[test]
fn other_methods_reach_the_errors_of_scikit_learn() {
    let Some((_, x)) = activations() else { return };
    let nmf = Nmf::new(6).solver(Solver::MultiplicativeUpdate);
    let rows = x
        .view()
        .permuted_axes([0, 2, 3, 1])
        .as_standard_layout()
        .into_owned()
        .into_shape_with_order((196, 528))
        .expect("row-major");
    let fit = nmf.fit(rows.view()).expect("a fit");
    assert_eq!(fit.iterations, MU_FROBENIUS.0);
    assert!(
        (fit.error / MU_FROBENIUS.1 - 1.0).abs() < 1e-5,
        "{}",
        fit.error
    );
    let fit = nmf
        .loss(Loss::KullbackLeibler)
        .fit(rows.view())
        .expect("a fit");
    assert_eq!(fit.iterations, MU_KL.0);
    let error = (2.0 * fit.loss).sqrt();
    assert!((error / MU_KL.1 - 1.0).abs() < 1e-5, "{error}");
    let penalised = Nmf::new(6).alpha_w(0.5).alpha_h(2.0).l1_ratio(0.5);
    let fit = penalised.fit(rows.view()).expect("a fit");
    assert_eq!(fit.iterations, PENALISED.0);
    assert!(
        (fit.error / PENALISED.1 - 1.0).abs() < 1e-5,
        "{}",
        fit.error
    );

    let summary = ChannelReducer::new(Pca::new(6))
        .fit(x.view())
        .expect("a fit")
        .summary();
    assert!(
        (summary.error / PCA_ERROR - 1.0).abs() < 1e-5,
        "{summary:?}"
    );
}
