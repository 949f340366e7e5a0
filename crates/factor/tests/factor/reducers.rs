//! All methods behind the one trait.

use crate::common::{norm, positive, sparse, worst};
use elucid_factor::{
    ChannelReducer, FactorError, Ica, KMeans, Layout, Method, Pca, Reducer, Reduction,
};
use ndarray::{Array1, Array2, Array4, Axis, array};
use proptest::prelude::*;

fn fit(method: Method, x: &Array2<f64>, k: usize) -> (Array2<f64>, Box<dyn Reduction<f64>>) {
    let reducer: Box<dyn Reducer<f64>> = method.reducer(k, 0);
    assert_eq!(reducer.name(), method.name());
    assert_eq!(
        method.name().parse::<Method>().expect("its own name"),
        method
    );
    reducer.fit_transform(x.view()).expect("a fit")
}

#[test]
fn shapes_errors_and_scale() {
    let x = sparse(60, 20, 4);
    for method in Method::ALL {
        let (coordinates, reduction) = fit(method, &x, 4);
        assert_eq!(coordinates.dim(), (60, 4), "{method}");
        assert_eq!(reduction.directions().dim(), (4, 20), "{method}");
        let back = reduction.inverse(coordinates.view()).expect("rows");
        let error = norm(&(&x - &back));
        let summary = reduction.summary();
        assert!(
            (summary.error - error).abs() < 1e-8 * error,
            "{method}: {summary:?} {error}"
        );
        assert!(
            (summary.relative_error - error / norm(&x)).abs() < 1e-8,
            "{method}"
        );
        assert!(summary.relative_error < 1.0, "{method}");

        // The rows that were fitted, once more.
        let again = reduction.transform(x.view()).expect("coordinates");
        if method != Method::Nmf {
            assert!(worst(&again, &coordinates) < 1e-8, "{method}");
        }
        let error = norm(&(&x - &reduction.inverse(again.view()).expect("rows")));
        assert!(error < 1.01 * summary.error, "{method}");

        // No unit is special, except where the start of a factorisation fills zeros with the mean.
        let (scaled, other) = fit(method, &(&x * 1024.0), 4);
        let ratio = other.summary().relative_error / summary.relative_error;
        let slack = if method == Method::Nmf { 1e-2 } else { 1e-6 };
        assert!((ratio - 1.0).abs() < slack, "{method}: {ratio}");
        assert_eq!(scaled.dim(), (60, 4));

        assert!(
            matches!(
                reduction.transform(x.slice(ndarray::s![.., 1..])),
                Err(FactorError::Shape { .. })
            ),
            "{method}"
        );
        assert!(
            matches!(reduction.inverse(x.view()), Err(FactorError::Shape { .. })),
            "{method}"
        );
    }
    assert!("som".parse::<Method>().is_err());
}

#[test]
fn principal_components_are_eigenvectors() {
    let x = sparse(300, 12, 8);
    let (coordinates, reduction) = fit(Method::Pca, &x, 3);
    let centred = &x - &x.mean_axis(Axis(0)).expect("rows");
    let covariance = centred.t().dot(&centred);
    let directions = reduction.directions().to_owned();
    assert!(worst(&directions.dot(&directions.t()), &Array2::eye(3)) < 1e-8);
    let mut last = f64::INFINITY;
    for direction in directions.rows() {
        let image = covariance.dot(&direction);
        let value = image.dot(&direction);
        let rest = &image - &(&direction * value);
        assert!(
            rest.dot(&rest).sqrt() < 1e-4 * value,
            "{}",
            rest.dot(&rest).sqrt() / value
        );
        assert!(value <= last);
        last = value;
    }
    assert!(worst(&coordinates, &centred.dot(&directions.t())) < 1e-8);
}

#[test]
fn independent_sources_are_found() {
    let count = 2000;
    let mut sources = Array2::zeros((count, 2));
    for i in 0..count {
        let time = i as f64 / 40.0;
        sources[[i, 0]] = (time * 2.0).sin();
        sources[[i, 1]] = if (time * 3.0).sin() > 0.0 { 1.0 } else { -1.0 };
    }
    let mixed = sources.dot(&array![[1.0, 0.4, -0.3, 2.0], [0.5, 1.0, 1.0, -0.2]]) + 3.0;
    let (found, _) = fit(Method::Ica, &mixed, 2);
    let correlation = |a: ndarray::ArrayView1<'_, f64>, b: ndarray::ArrayView1<'_, f64>| {
        let (a, b) = (&a - a.sum() / count as f64, &b - b.sum() / count as f64);
        (a.dot(&b) / (a.dot(&a) * b.dot(&b)).sqrt()).abs()
    };
    for source in sources.columns() {
        let best = found
            .columns()
            .into_iter()
            .map(|f| correlation(source, f))
            .fold(0.0, f64::max);
        assert!(best > 0.99, "{best}");
    }
    for column in found.columns() {
        assert!((column.dot(&column) / count as f64 - 1.0).abs() < 1e-6);
    }
    assert_eq!(fit(Method::Ica, &mixed, 2).0, found);
}

#[test]
fn clusters_are_masks() {
    let centres = array![[0.0, 0.0, 9.0], [9.0, 0.0, 0.0], [0.0, 9.0, 0.0]];
    let noise = positive(90, 3, 1) * 0.1;
    let x = Array2::from_shape_fn((90, 3), |(i, c)| {
        centres[[(i % 5).min(2), c]] + noise[[i, c]]
    });
    let (masks, reduction) = fit(Method::KMeans, &x, 3);
    assert_eq!(masks.sum_axis(Axis(1)), Array1::from_elem(90, 1.0));
    assert_eq!(masks.sum_axis(Axis(0)), array![54.0, 18.0, 18.0]);
    assert!(reduction.summary().relative_error < 0.05);
    // Fewer distinct rows than clusters.
    let same = Array2::from_elem((6, 3), 2.0);
    let (masks, _) = fit(Method::KMeans, &same, 4);
    assert_eq!(masks.sum(), 6.0);
}

#[test]
fn impossible_fits_are_errors() {
    let constant = Array2::from_elem((8, 5), 3.5_f32);
    let line = Array2::from_shape_fn((8, 5), |(i, j)| (i * (j + 1)) as f32);
    for method in [Method::Pca, Method::Ica] {
        let reducer: Box<dyn Reducer<f32>> = method.reducer(2, 0);
        let rank = |x: &Array2<f32>| reducer.fit(x.view()).expect_err("no rank");
        assert!(
            matches!(rank(&constant), FactorError::Rank { rank: 0, .. }),
            "{method}"
        );
        assert!(
            matches!(rank(&line), FactorError::Rank { rank: 1, .. }),
            "{method}"
        );
    }
    for method in Method::ALL {
        let reducer: Box<dyn Reducer<f32>> = method.reducer(9, 0);
        assert!(
            matches!(
                reducer.fit(line.view()),
                Err(FactorError::TooManyComponents { .. })
            ),
            "{method}"
        );
        let mut bad = line.clone();
        bad[[3, 2]] = f32::NAN;
        let reducer: Box<dyn Reducer<f32>> = method.reducer(1, 0);
        assert!(
            matches!(
                reducer.fit(bad.view()),
                Err(FactorError::NotFinite {
                    row: 3,
                    column: 2,
                    ..
                })
            ),
            "{method}"
        );
        let none: Box<dyn Reducer<f32>> = method.reducer(0, 0);
        assert!(
            matches!(none.fit(line.view()), Err(FactorError::Parameter { .. })),
            "{method}"
        );
        assert!(
            matches!(
                reducer.fit(Array2::zeros((0, 4)).view()),
                Err(FactorError::Empty { .. })
            ),
            "{method}"
        );
    }
}

#[test]
fn layouts_and_batches_of_images() {
    let x = Array4::from_shape_fn((2, 9, 4, 3), |(n, c, y, x)| {
        ((n * 7 + c * c + y * 3 + x * (c + 1)) % 11) as f64
    });
    let last = x.view().permuted_axes([0, 2, 3, 1]);
    let methods: [(ChannelReducer<f64>, &str); 4] = [
        (ChannelReducer::nmf(3), "nmf"),
        (ChannelReducer::new(Pca::new(3)), "pca"),
        (ChannelReducer::new(Ica::new(3)), "ica"),
        (ChannelReducer::new(KMeans::new(3)), "kmeans"),
    ];
    for (first, name) in methods {
        let (factors, groups) = first.fit_transform(x.view()).expect(name);
        assert_eq!(factors.dim(), (2, 3, 4, 3));
        let (other, same) = first.layout(Layout::Nhwc).fit_transform(last).expect(name);
        assert_eq!(factors.view().permuted_axes([0, 2, 3, 1]), other, "{name}");
        assert_eq!(groups.directions(), same.directions());
        let back = groups.inverse(factors.view()).expect(name);
        assert_eq!(
            back.view().permuted_axes([0, 2, 3, 1]),
            same.inverse(other.view()).expect(name)
        );
        let error = (&x - &back).iter().map(|v| v * v).sum::<f64>().sqrt();
        assert!(
            (error - groups.summary().error).abs() < 1e-8 * (1.0 + error),
            "{name}"
        );
        // One image at a time gives the same as both.
        let both = groups.transform(x.view()).expect(name);
        for n in 0..2 {
            let one = groups
                .transform(x.slice(ndarray::s![n..=n, .., .., ..]))
                .expect(name);
            let difference = (&one.index_axis(Axis(0), 0) - &both.index_axis(Axis(0), n))
                .fold(0.0_f64, |a, v| a.max(v.abs()));
            assert!(difference < 1e-12, "{name}: {difference}");
        }
        assert!(groups.transform(last).is_err(), "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn nothing_panics(
        rows in 0usize..9, cols in 0usize..9, k in 0usize..10, method in 0usize..4,
        values in proptest::collection::vec(
            prop_oneof![
                Just(0.0_f64), Just(1.0), -10.0..10.0, Just(f64::NAN), Just(f64::NEG_INFINITY),
                Just(f64::MAX), Just(f64::MIN), Just(f64::MIN_POSITIVE), Just(1e-310), Just(1e-300),
                Just(1e150),
            ],
            81,
        ),
        clean in 0usize..3,
    ) {
        let x = Array2::from_shape_fn((rows, cols), |(i, j)| {
            let value = values[i * 9 + j];
            match clean {
                0 => value,
                1 if value.is_finite() => value,
                2 if value.abs() <= 10.0 => value.round(),
                _ => 0.0,
            }
        });
        let reducer: Box<dyn Reducer<f64>> = Method::ALL[method].reducer(k, 1);
        if let Ok((coordinates, reduction)) = reducer.fit_transform(x.view()) {
            prop_assert!(coordinates.iter().all(|v| v.is_finite()));
            let _ = reduction.inverse(coordinates.view());
            let _ = reduction.transform(x.view());
        }
        let reducer: Box<dyn Reducer<f32>> = Method::ALL[method].reducer(k, 1);
        let _ = reducer.fit_transform(x.mapv(|v| v as f32).view());
    }
}
