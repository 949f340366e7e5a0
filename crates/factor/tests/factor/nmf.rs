//! What holds of every factorisation, and slow twins of the update rules.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use crate::common::{norm, positive, sparse, worst};
use elucid_factor::{FactorError, Loss, MiniBatchNmf, Nmf, Progress, Solver, Start};
use ndarray::{Array2, Axis, array, s};
use proptest::prelude::*;

#[derive(Clone, Copy, Debug)]
struct Rates {
    alpha_w: f64,
    alpha_h: f64,
    l1_ratio: f64,
}

/// One iteration of coordinate descent, entry by entry. Gives the violation.
fn descend(x: &Array2<f64>, w: &mut Array2<f64>, h: &mut Array2<f64>, rates: Rates) -> f64 {
    let (rows, cols) = x.dim();
    let k = w.ncols();
    let mut violation = 0.0;
    for i in 0..rows {
        for t in 0..k {
            let weight = rates.alpha_w * cols as f64;
            let mut gradient =
                weight * rates.l1_ratio + weight * (1.0 - rates.l1_ratio) * w[[i, t]];
            let mut curvature = weight * (1.0 - rates.l1_ratio);
            for c in 0..cols {
                let product: f64 = (0..k).map(|r| w[[i, r]] * h[[r, c]]).sum();
                gradient += (product - x[[i, c]]) * h[[t, c]];
                curvature += h[[t, c]] * h[[t, c]];
            }
            let on_edge = w[[i, t]] == 0.0;
            violation += if on_edge { gradient.min(0.0) } else { gradient }.abs();
            if curvature > 0.0 {
                w[[i, t]] = (w[[i, t]] - gradient / curvature).max(0.0);
            }
        }
    }
    violation
}

/// One multiplicative update of `w`, entry by entry.
fn multiply(x: &Array2<f64>, w: &mut Array2<f64>, h: &Array2<f64>, loss: Loss, rates: Rates) {
    let (rows, cols) = x.dim();
    let old = w.clone();
    let product = old.dot(h);
    for i in 0..rows {
        for t in 0..w.ncols() {
            let weight = rates.alpha_w * cols as f64;
            let (mut above, mut below) = (0.0, 0.0);
            for c in 0..cols {
                if loss == Loss::Frobenius {
                    above += x[[i, c]] * h[[t, c]];
                    below += product[[i, c]] * h[[t, c]];
                } else {
                    let safe = product[[i, c]].max(f64::from(f32::EPSILON));
                    above += x[[i, c]] / safe * h[[t, c]];
                    below += h[[t, c]];
                }
            }
            below += weight * (rates.l1_ratio + (1.0 - rates.l1_ratio) * old[[i, t]]);
            let below = if below == 0.0 {
                f64::from(f32::EPSILON)
            } else {
                below
            };
            w[[i, t]] *= above / below;
        }
    }
}

fn swapped(rates: Rates) -> Rates {
    Rates {
        alpha_w: rates.alpha_h,
        alpha_h: rates.alpha_w,
        ..rates
    }
}

/// The penalised loss.
fn objective(x: &Array2<f64>, w: &Array2<f64>, h: &Array2<f64>, loss: Loss, rates: Rates) -> f64 {
    let product = w.dot(h);
    let loss: f64 = x
        .iter()
        .zip(&product)
        .map(|(&x, &y)| match loss {
            Loss::KullbackLeibler if x > 0.0 => {
                x * (x / y.max(f64::from(f32::EPSILON))).ln() - x + y
            }
            Loss::KullbackLeibler => y,
            _ => 0.5 * (x - y) * (x - y),
        })
        .sum();
    let penalty = |a: &Array2<f64>, weight: f64| {
        let ridge = 0.5 * (1.0 - rates.l1_ratio) * a.iter().map(|v| v * v).sum::<f64>();
        weight * (rates.l1_ratio * a.sum() + ridge)
    };
    let (rows, cols) = x.dim();
    loss + penalty(w, rates.alpha_w * cols as f64) + penalty(h, rates.alpha_h * rows as f64)
}

fn settings(k: usize, loss: Loss, solver: Solver, rates: Rates) -> Nmf {
    Nmf::new(k)
        .loss(loss)
        .solver(solver)
        .alpha_w(rates.alpha_w)
        .alpha_h(rates.alpha_h)
        .l1_ratio(rates.l1_ratio)
        .tolerance(0.0)
}

const RULES: [(Loss, Solver); 3] = [
    (Loss::Frobenius, Solver::CoordinateDescent),
    (Loss::Frobenius, Solver::MultiplicativeUpdate),
    (Loss::KullbackLeibler, Solver::MultiplicativeUpdate),
];

fn rates() -> impl Strategy<Value = Rates> {
    let alpha = || prop_oneof![Just(0.0), 0.0..0.3];
    (alpha(), alpha(), 0.0..=1.0).prop_map(|(alpha_w, alpha_h, l1_ratio)| Rates {
        alpha_w,
        alpha_h,
        l1_ratio,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn updates_agree_with_loops(
        rows in 1usize..40, cols in 1usize..40, k in 1usize..9, rule in 0usize..3,
        rates in rates(), seed in 0u64..1 << 40,
    ) {
        let k = k.min(rows).min(cols);
        let (loss, solver) = RULES[rule];
        let x = sparse(rows, cols, seed);
        prop_assume!(norm(&x) > 0.0);
        let (mut w, mut h) = (positive(rows, k, seed + 1), sparse(k, cols, seed + 2));
        let nmf = settings(k, loss, solver, rates).max_iterations(2);
        let fit = nmf.fit_from(x.view(), w.view(), h.view()).expect("a fit");
        let xt = x.t().to_owned();
        for _ in 0..2 {
            let mut ht = if solver == Solver::CoordinateDescent {
                descend(&x, &mut w, &mut h, rates);
                h.t().to_owned()
            } else {
                multiply(&x, &mut w, &h, loss, rates);
                h.t().to_owned()
            };
            let mut wt = w.t().to_owned();
            if solver == Solver::CoordinateDescent {
                descend(&xt, &mut ht, &mut wt, swapped(rates));
            } else {
                multiply(&xt, &mut ht, &wt, loss, swapped(rates));
                if loss == Loss::KullbackLeibler {
                    ht.mapv_inplace(|v| if v < f64::EPSILON { 0.0 } else { v });
                }
            }
            h = ht.t().to_owned();
        }
        // Where one factor of a group is 0 but for rounding, the other may be anything.
        let is_rounding = |v: &f64| *v != 0.0 && v.abs() < 1e-12;
        let only_rounding = |a: &Array2<f64>, axis| {
            let mut groups = a.axis_iter(Axis(axis));
            groups.any(|group| {
                let largest = group.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
                is_rounding(&largest)
            })
        };
        prop_assume!(![&w, &fit.w].iter().any(|w| only_rounding(w, 1)));
        prop_assume!(![&h, &fit.h].iter().any(|h| only_rounding(h, 0)));
        let size = 1e-8 * (1.0 + norm(&w) + norm(&h));
        prop_assert!(worst(&fit.w, &w) < size && worst(&fit.h, &h) < size);
        let error = norm(&(&x - &w.dot(&h)));
        prop_assert!((fit.error - error).abs() < 1e-8 * (1.0 + error));
        prop_assert!((fit.relative_error - error / norm(&x)).abs() < 1e-8);
        let none = Rates { alpha_w: 0.0, alpha_h: 0.0, l1_ratio: 0.0 };
        let want = objective(&x, &w, &h, loss, none);
        prop_assert!((fit.loss - want).abs() < 1e-6 * (1.0 + want), "{} {want}", fit.loss);
    }

    #[test]
    fn the_objective_never_rises_and_factors_are_never_negative(
        rows in 1usize..50, cols in 1usize..50, k in 1usize..7, rule in 0usize..3, start in 0usize..4,
        rates in rates(), seed in 0u64..1 << 40,
    ) {
        let k = k.min(rows).min(cols);
        let (loss, solver) = RULES[rule];
        let x = sparse(rows, cols, seed);
        let nmf = settings(k, loss, solver, rates).start(Start::ALL[start]).seed(seed);
        let first = nmf.clone().max_iterations(1).fit(x.view()).expect("a fit");
        let (mut w, mut h) = (first.w, first.h);
        let mut last = objective(&x, &w, &h, loss, rates);
        for _ in 0..15 {
            let next = nmf.clone().max_iterations(1).fit_from(x.view(), w.view(), h.view());
            let next = next.expect("a fit");
            let now = objective(&x, &next.w, &next.h, loss, rates);
            // The ratio's safeguard against zero lets the divergence move by about its own size.
            let slack = if loss == Loss::Frobenius { 1e-9 } else { 1e-5 };
            prop_assert!(now <= last + slack * (1.0 + last), "{last} to {now}");
            prop_assert!(next.w.iter().chain(&next.h).all(|&v| v >= 0.0 && v.is_finite()));
            (w, h, last) = (next.w, next.h, now);
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_bits(seed in 0u64..100, start in 0usize..4) {
        let x = positive(70, 33, seed).mapv(|v| v as f32);
        let nmf = Nmf::new(5).start(Start::ALL[start]).seed(seed).max_iterations(7);
        let (a, b) = (nmf.fit(x.view()).expect("a fit"), nmf.fit(x.view()).expect("a fit"));
        prop_assert_eq!(a.w, b.w);
        prop_assert_eq!(a.h, b.h);
    }

    #[test]
    fn memory_order_does_not_matter(rows in 1usize..30, cols in 1usize..30, seed in 0u64..1000) {
        let x = positive(rows, cols, seed);
        let turned = x.t().as_standard_layout().into_owned();
        let nmf = Nmf::new(1);
        let (a, b) = (nmf.fit(x.view()).expect("a fit"), nmf.fit(turned.t()).expect("a fit"));
        prop_assert_eq!(a.w, b.w);
        prop_assert_eq!(a.h, b.h);
    }

    #[test]
    fn rows_are_transformed_alone_and_to_the_optimum(
        rows in 1usize..20, cols in 8usize..30, k in 1usize..6, seed in 0u64..1 << 40,
    ) {
        let (x, h) = (sparse(rows, cols, seed), positive(k, cols, seed + 1));
        let nmf = Nmf::new(k).tolerance(1e-10).max_iterations(20_000);
        let w = nmf.transform(x.view(), h.view()).expect("rows");
        for i in 0..rows {
            let one = nmf.transform(x.slice(s![i..=i, ..]), h.view()).expect("a row");
            prop_assert_eq!(one.row(0), w.row(i));
        }
        // Karush, Kuhn and Tucker: the gradient is zero where w is positive, and never negative.
        let gradient = (w.dot(&h) - &x).dot(&h.t());
        let scale = 1e-6 * (1.0 + norm(&x) * norm(&h));
        for (&w, &g) in w.iter().zip(&gradient) {
            prop_assert!(w >= 0.0 && g >= -scale && (w == 0.0 || g.abs() <= scale), "{w} {g}");
        }
    }

    #[test]
    fn nothing_panics(
        rows in 0usize..7, cols in 0usize..7, k in 0usize..9, start in 0usize..4, rule in 0usize..3,
        values in proptest::collection::vec(
            prop_oneof![
                Just(0.0_f32), Just(1.0), 0.0_f32..10.0, Just(-1.0), Just(f32::NAN), Just(f32::INFINITY),
                Just(f32::MAX), Just(f32::MIN_POSITIVE), Just(1e-40), Just(1e18), Just(1e-18),
            ],
            49,
        ),
        clean in any::<bool>(),
    ) {
        let x = Array2::from_shape_fn((rows, cols), |(i, j)| {
            let value = values[i * 7 + j];
            if clean && !(0.0..=1e18).contains(&value) { 0.0 } else { value }
        });
        let (loss, solver) = RULES[rule];
        let nmf = Nmf::new(k).start(Start::ALL[start]).loss(loss).solver(solver);
        if let Ok(fit) = nmf.fit(x.view()) {
            prop_assert!(fit.w.iter().chain(&fit.h).all(|&v| v >= 0.0 && v.is_finite()));
            prop_assert!(fit.relative_error.is_finite());
            let _ = nmf.transform(x.view(), fit.h.view());
        }
        let _ = nmf.fit(x.mapv(f64::from).view());
        let _ = MiniBatchNmf::new(k).batch_rows(3).fit(x.view());
    }
}

/// Rows of one kind each, so that only one factorisation exists.
fn planted(rows: usize, cols: usize, k: usize) -> (Array2<f64>, Array2<f64>) {
    let (mut w, mut h) = (sparse(rows, k, 1), sparse(k, cols, 2));
    for t in 0..k {
        for other in 0..k {
            let only = if t == other { 1.5 } else { 0.0 };
            for copy in 0..3 {
                w[[k * copy + t, other]] = only;
                h[[other, k * copy + t]] = only;
            }
        }
    }
    (w, h)
}

#[test]
fn a_planted_factorisation_is_found() {
    let (w, h) = planted(90, 40, 4);
    let x = w.dot(&h);
    for start in Start::ALL {
        let nmf = Nmf::new(4)
            .start(start)
            .tolerance(1e-9)
            .max_iterations(20_000);
        let fit = nmf.fit(x.view()).expect("a fit");
        assert!(fit.relative_error < 1e-4, "{start}: {}", fit.relative_error);
        // Each planted direction is one of those found, up to its length.
        for direction in h.rows() {
            let best = fit
                .h
                .rows()
                .into_iter()
                .map(|found| {
                    direction.dot(&found) / (direction.dot(&direction) * found.dot(&found)).sqrt()
                })
                .fold(0.0, f64::max);
            assert!(best > 0.9999, "{start}: {best}");
        }
    }
}

#[test]
fn batches_come_close_to_the_whole() {
    let (w, h) = planted(3000, 40, 4);
    let x = w.dot(&h) + 0.2 * positive(3000, 40, 5);
    let whole = Nmf::new(4).fit(x.view()).expect("a fit");
    let fit = MiniBatchNmf::new(4)
        .batch_rows(256)
        .fit(x.view())
        .expect("a fit");
    assert!(fit.converged, "{} passes", fit.passes);
    assert_eq!(fit.batches, fit.passes * 12);
    assert!(
        fit.relative_error < 1.02 * whole.relative_error,
        "{} against {}",
        fit.relative_error,
        whole.relative_error
    );
    let w = MiniBatchNmf::new(4)
        .transform(x.view(), fit.h.view())
        .expect("rows");
    let error = norm(&(&x - &w.dot(&fit.h)));
    assert!((error - fit.error).abs() < 1e-6 * error);

    // The same batches from elsewhere, of sizes that differ.
    let streamed = MiniBatchNmf::new(4)
        .fit_batches(3000, |_| {
            let x = &x;
            [0, 500, 1100, 3000]
                .windows(2)
                .map(|w| Ok::<_, std::io::Error>(x.slice(s![w[0]..w[1], ..]).to_owned()))
                .collect::<Vec<_>>()
        })
        .expect("a fit");
    assert!(streamed.relative_error < 1.02 * whole.relative_error);
}

#[test]
fn special_matrices_have_defined_results() {
    for start in Start::ALL {
        for (loss, solver) in RULES {
            let nmf = Nmf::new(3).start(start).loss(loss).solver(solver);
            let fit = nmf.fit(Array2::<f32>::zeros((5, 4)).view()).expect("zeros");
            assert!(fit.w.iter().chain(&fit.h).all(|&v| v == 0.0), "{start}");
            assert_eq!((fit.error, fit.relative_error), (0.0, 0.0));
            assert!(fit.converged);
        }

        let row = array![[1.0, 0.0, 2.0, 4.0_f64]];
        let fit = Nmf::new(1).start(start).fit(row.view()).expect("one row");
        assert!(
            fit.relative_error < 1e-12,
            "{start}: {}",
            fit.relative_error
        );

        // Rank 1, three components.
        let x = array![[1.0], [2.0], [0.5]].dot(&array![[1.0, 3.0, 0.0, 1.0_f64]]);
        let fit = Nmf::new(3)
            .start(start)
            .max_iterations(2000)
            .tolerance(1e-8)
            .fit(x.view());
        let fit = fit.expect("a low rank");
        assert!(fit.relative_error < 1e-3, "{start}: {}", fit.relative_error);
        if start == Start::Nndsvd {
            assert!(fit.h.slice(s![1.., ..]).iter().all(|&v| v == 0.0));
        }
    }
}

#[test]
fn mistakes_are_errors_that_say_what_is_wrong() {
    let x = array![[1.0, 2.0, 3.0], [4.0, 5.0, 6.0_f32]];
    let message = |result: Result<elucid_factor::NmfFit<f32>, FactorError>| {
        result.expect_err("a mistake").to_string()
    };
    let with = |value| {
        let mut x = x.clone();
        x[[1, 2]] = value;
        message(Nmf::new(1).fit(x.view()))
    };
    assert!(
        with(-1.0).contains("holds -1 at row 1, column 2"),
        "{}",
        with(-1.0)
    );
    assert!(with(f32::NAN).contains("NaN at row 1, column 2"));
    assert!(with(f32::INFINITY).contains("inf at row 1"));
    assert!(with(1e30).contains("too large for f32"));
    assert!(matches!(
        Nmf::new(3).fit(x.view()),
        Err(FactorError::TooManyComponents { limit: 2, .. })
    ));
    assert!(matches!(
        Nmf::new(0).fit(x.view()),
        Err(FactorError::Parameter { .. })
    ));
    assert!(matches!(
        Nmf::new(1).fit(Array2::<f32>::zeros((0, 3)).view()),
        Err(FactorError::Empty { .. })
    ));
    assert!(matches!(
        Nmf::new(1).loss(Loss::KullbackLeibler).fit(x.view()),
        Err(FactorError::LossNeedsMultiplicativeUpdate)
    ));
    for nmf in [
        Nmf::new(1).alpha_w(-1.0),
        Nmf::new(1).alpha_h(f64::NAN),
        Nmf::new(1).alpha_w(1e300),
        Nmf::new(1).l1_ratio(1.5),
        Nmf::new(1).tolerance(f64::INFINITY),
        Nmf::new(1).max_iterations(0),
    ] {
        assert!(
            matches!(nmf.fit(x.view()), Err(FactorError::Parameter { .. })),
            "{nmf:?}"
        );
    }
    let h = array![[1.0, 1.0_f32]];
    assert!(matches!(
        Nmf::new(1).transform(x.view(), h.view()),
        Err(FactorError::Shape { .. })
    ));
    assert!(matches!(
        MiniBatchNmf::new(1).forget_factor(0.0).fit(x.view()),
        Err(FactorError::Parameter { .. })
    ));
    let failing = MiniBatchNmf::new(1)
        .fit_batches::<f32, _, _>(10, |_| [Err(std::io::Error::other("the disk is gone"))]);
    assert_eq!(
        failing.expect_err("no disk").to_string(),
        "cannot read a batch: the disk is gone"
    );
    let none = MiniBatchNmf::new(1)
        .fit_batches::<f32, _, _>(10, |_| std::iter::empty::<Result<_, std::io::Error>>());
    assert!(matches!(none, Err(FactorError::Empty { .. })));
    let error = "nnsvd"
        .parse::<Start>()
        .expect_err("no such start")
        .to_string();
    assert!(error.contains("nndsvda"), "{error}");
}

#[test]
fn a_callback_sees_every_iteration_and_can_cancel() {
    let x = positive(20, 10, 3);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    let nmf = Nmf::new(3)
        .tolerance(0.0)
        .max_iterations(9)
        .progress(move |progress| {
            log.lock().expect("a log").push(progress);
            if progress.done == 4 {
                progress.cancel()
            } else {
                progress.continue_()
            }
        });
    assert!(matches!(
        nmf.fit(x.view()),
        Err(FactorError::Cancelled { done: 4, total: 9 })
    ));
    let want: Vec<_> = (1..=4).map(|done| Progress { done, total: 9 }).collect();
    assert_eq!(*seen.lock().expect("a log"), want);

    let batches = MiniBatchNmf::new(2)
        .batch_rows(5)
        .progress(|_| ControlFlow::Break(()));
    assert!(matches!(
        batches.fit(x.view()),
        Err(FactorError::Cancelled {
            done: 1,
            total: 800
        })
    ));
}

/// Enough work for several threads, whose number must not matter.
#[test]
fn large_matrices_agree_with_small_ones() {
    let x = sparse(4000, 300, 9).mapv(|v| v as f32);
    let (w, h) = (positive(4000, 6, 1), positive(6, 300, 2));
    let (w, h) = (w.mapv(|v| v as f32), h.mapv(|v| v as f32));
    let nmf = Nmf::new(6).max_iterations(3).tolerance(0.0);
    let fit = nmf.fit_from(x.view(), w.view(), h.view()).expect("a fit");
    let again = nmf.fit_from(x.view(), w.view(), h.view()).expect("a fit");
    assert_eq!(fit.w, again.w);
    let wide = nmf
        .fit_from(
            x.mapv(f64::from).view(),
            w.mapv(f64::from).view(),
            h.mapv(f64::from).view(),
        )
        .expect("a fit");
    let difference = worst(&fit.w.mapv(f64::from), &wide.w);
    assert!(difference < 1e-3, "{difference}");
    assert!((fit.relative_error - wide.relative_error).abs() < 1e-5);
}
