//! Functions of each number against double precision.

use elucid_kernels::pointwise::Pointwise;

const SQRT_2: f64 = std::f64::consts::SQRT_2;

/// A function, and value and derivative in double precision, each with the largest of the terms that it is
/// the sum of.
type Case = (Pointwise, fn(f64) -> [f64; 2], fn(f64) -> [f64; 2]);

fn alone(v: f64) -> [f64; 2] {
    [v, v.abs()]
}

fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn normal(x: f64) -> f64 {
    0.5 * libm::erfc(-x / SQRT_2)
}

fn both(a: f64, b: f64) -> [f64; 2] {
    [a + b, a.abs().max(b.abs())]
}

/// The product as it is in single precision, of which an exponential is taken.
fn rounded(alpha: f64, x: f64) -> f64 {
    f64::from(alpha as f32 * x as f32)
}

fn swish_slope(x: f64, alpha: f64) -> [f64; 2] {
    let u = rounded(alpha, x);
    both(logistic(u), u * logistic(u) * logistic(-u))
}

/// As it is in single precision, which is nearly what it is in double precision.
fn gelu_argument(x: f64) -> f64 {
    let exact = 2.0 * (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3));
    let x = x as f32;
    let square = 0.044_715 * x * x;
    let rounded = f64::from(1.595_769_f32 * x * (1.0 + square));
    assert!((rounded - exact).abs() <= 4e-7 * exact.abs());
    rounded
}

const CASES: [Case; 13] = [
    (
        Pointwise::Relu,
        |x| alone(x.max(0.0)),
        |x| alone(if x > 0.0 { 1.0 } else { 0.0 }),
    ),
    (Pointwise::Exp, |x| alone(x.exp()), |x| alone(x.exp())),
    (
        Pointwise::Erf,
        |x| alone(libm::erf(x)),
        |x| alone(2.0 / std::f64::consts::PI.sqrt() * (-x * x).exp()),
    ),
    (
        Pointwise::Sigmoid,
        |x| alone(logistic(x)),
        |x| alone(logistic(x) * logistic(-x)),
    ),
    (
        Pointwise::Tanh,
        |x| alone(x.tanh()),
        |x| alone(4.0 * logistic(2.0 * x) * logistic(-2.0 * x)),
    ),
    (
        Pointwise::Swish { alpha: 1.0 },
        |x| alone(x * logistic(x)),
        |x| swish_slope(x, 1.0),
    ),
    (
        Pointwise::Swish { alpha: 1.75 },
        |x| alone(x * logistic(rounded(1.75, x))),
        |x| swish_slope(x, 1.75),
    ),
    (
        Pointwise::Gelu,
        |x| alone(x * normal(x)),
        |x| {
            let density = (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
            both(normal(x), x * density)
        },
    ),
    (
        Pointwise::GeluTanh,
        |x| alone(x * logistic(gelu_argument(x))),
        |x| {
            let (u, slope) = (
                gelu_argument(x),
                (8.0 / std::f64::consts::PI).sqrt() * (1.0 + 3.0 * 0.044715 * x * x),
            );
            both(logistic(u), x * logistic(u) * logistic(-u) * slope)
        },
    ),
    (
        Pointwise::HardSigmoid {
            alpha: 0.25,
            beta: 0.5,
        },
        |x| both((0.25 * x).clamp(-0.5, 0.5), 0.5),
        |x| alone(if x.abs() < 2.0 { 0.25 } else { 0.0 }),
    ),
    (
        Pointwise::HardSwish,
        |x| {
            let [third, half] = [x * x / 6.0, x / 2.0];
            match x {
                x if x <= -3.0 => alone(0.0),
                x if x >= 3.0 => alone(x),
                _ => both(third, half),
            }
        },
        |x| match x {
            x if x <= -3.0 => alone(0.0),
            x if x >= 3.0 => alone(1.0),
            _ => both(x / 3.0, 0.5),
        },
    ),
    (
        Pointwise::Clip {
            min: -1.0,
            max: 6.0,
        },
        |x| alone(x.clamp(-1.0, 6.0)),
        |x| alone(if (-1.0..=6.0).contains(&x) { 1.0 } else { 0.0 }),
    ),
    (
        Pointwise::LeakyRelu { alpha: 0.125 },
        |x| alone(if x < 0.0 { 0.125 * x } else { x }),
        |x| alone(if x < 0.0 { 0.125 } else { 1.0 }),
    ),
];

/// Small and large numbers, bounds of pieces, more than fit into a task.
fn numbers() -> Vec<f32> {
    let near = (-20_000..=20_000).map(|i| i as f32 / 2000.0);
    let far = (-400..=400).map(|i| i as f32 / 4.0 + 0.01);
    let small = (0..60).flat_map(|i| [1.1f32, -1.3].map(|v| v * 0.6f32.powi(i)));
    near.chain(far).chain(small).collect()
}

fn check(what: Pointwise, x: &[f32], got: &[f32], want: impl Fn(f64) -> [f64; 2]) {
    for (x, got) in x.iter().zip(got) {
        let [want, terms] = want(f64::from(*x));
        if want.abs() > f64::from(f32::MAX) {
            assert_eq!(*got, f32::INFINITY, "{what:?} at {x}");
            continue;
        }
        // Below the smallest normal number nothing is exact.
        let least = f64::from(f32::MIN_POSITIVE);
        let error = (f64::from(*got) - want).abs();
        assert!(
            error <= (1e-6 * terms).max(least),
            "{what:?} at {x}: got {got}, want {want}, of terms up to {terms}"
        );
    }
}

#[test]
fn values_and_derivatives_are_those_in_double_precision() {
    let x = numbers();
    for (what, value, slope) in CASES {
        let y = what.map(&x);
        check(what, &x, &y, value);
        let mut in_place = x.clone();
        what.apply(&mut in_place);
        let place = y.iter().zip(&in_place).position(|(a, b)| a != b);
        if let Some(i) = place {
            panic!(
                "{what:?} at {}: {} in place, {} else",
                x[i], in_place[i], y[i]
            );
        }
        let mut g = vec![1.0; x.len()];
        what.backward(&x, &mut g);
        check(what, &x, &g, slope);
        let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        let apart = what.gradient(&x, &vec![1.0; x.len()]);
        assert_eq!(bits(&apart), bits(&g), "{what:?} in place and else");
        let mut twice = vec![2.0; x.len()];
        what.backward(&x, &mut twice);
        for (g, twice) in g.iter().zip(twice) {
            let ordinary = (1e-30..1e37).contains(&g.abs());
            assert!(
                !ordinary || twice == 2.0 * g,
                "{what:?}: {twice}, not {g} twice"
            );
        }
    }
}

#[test]
fn a_rectifier_is_flat_at_zero_and_a_bounded_one_is_not() {
    let x = [-1.0, -0.0, 0.0, 2.0];
    assert_eq!(Pointwise::Relu.map(&x), [0.0, 0.0, 0.0, 2.0]);
    let mut g = [3.0; 4];
    Pointwise::Relu.backward(&x, &mut g);
    assert_eq!(g, [0.0, 0.0, 0.0, 3.0]);
    let clip = Pointwise::Clip { min: 0.0, max: 2.0 };
    let mut g = [3.0; 4];
    clip.backward(&x, &mut g);
    assert_eq!(g, [0.0, 3.0, 3.0, 3.0]);
}

#[test]
fn what_is_no_number_stays_none_and_what_is_huge_has_limits() {
    for (what, value, slope) in CASES {
        assert!(what.map(&[f32::NAN])[0].is_nan(), "{what:?}");
        for x in [f32::MAX, f32::MIN] {
            let finite = f64::from(x.clamp(-1e4, 1e4));
            let mut g = [1.0];
            what.backward(&[x], &mut g);
            let [want, _] = slope(finite);
            let want = if want > 1e38 {
                f32::INFINITY
            } else {
                want as f32
            };
            assert_eq!(g[0], want, "{what:?} at {x}");
            let [want, _] = value(finite);
            let y = what.map(&[x])[0];
            let grows = want.abs() >= 1e3;
            assert!(
                if grows {
                    y.abs() > 1e37
                } else {
                    y == want as f32
                },
                "{what:?} at {x} is {y}"
            );
        }
    }
}
