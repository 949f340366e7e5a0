//! The built-in rules against loops, and how `Rules` gives them to operators.

use std::sync::Arc;
use std::thread;

use burn::tensor::{Tensor, activation};
use elucid_rules::{
    Algebra, DeconvRelu, GradRule, GuidedRelu, OpKind, Operator, Pool2d, Rule, RuleError, Rules,
    SmoothMaxPool, Tap, TrueRule, apply, max_pool2d,
};
use elucid_testkit::array::{
    Array, assert_close, cases, indices, output_dims, pool_and_dims, value_and_gradient, window,
};
use proptest::prelude::*;

/// Output and gradient under a rule.
fn run(rule: impl Rule + 'static, op: &Operator<'_>, x: &Array, g: &Array) -> (Array, Array) {
    let rule = Arc::new(rule).bind(op).unwrap();
    value_and_gradient(x, |x| apply(x, rule.clone()), |_| g.clone())
}

fn elementwise(x: &Array, g: &Array, f: impl Fn(f32, f32) -> f32) -> Array {
    let mut d = Array::zeros(x.dims);
    for ((d, x), g) in d.values.iter_mut().zip(&x.values).zip(&g.values) {
        *d = f(*x, *g);
    }
    d
}

/// The gradient of `avg(x^2) / (0.01 + avg(|x|))`, window by window.
fn naive_smooth(x: &Array, pool: &Pool2d, g: &Array) -> Array {
    let [_, _, height, width] = x.dims;
    let mut d = Array::zeros(x.dims);
    for [n, c, i, j] in indices(g.dims) {
        let positions = window(pool, [i, j], [height, width]);
        let count = positions.len() as f32;
        let mean = |f: &dyn Fn(f32) -> f32| {
            positions
                .iter()
                .map(|[r, q]| f(x.get([n, c, *r, *q])))
                .sum::<f32>()
                / count
        };
        let numerator = mean(&|v| v * v);
        let denominator = 0.01 + mean(&|v| v.abs());
        for &[r, q] in &positions {
            let v = x.get([n, c, r, q]);
            let sign = if v == 0.0 { 0.0 } else { v.signum() };
            let slope = 2.0 * v / count / denominator
                - numerator / (denominator * denominator) * sign / count;
            *d.get_mut([n, c, r, q]) += g.get([n, c, i, j]) * slope;
        }
    }
    d
}

/// `.25 x + .5 * mean of the 4 neighbours + .25 * mean of the 4 diagonals`, zeros around.
fn naive_blur(x: &Array) -> Array {
    let [_, _, height, width] = x.dims;
    let mut y = Array::zeros(x.dims);
    for [n, c, i, j] in indices(x.dims) {
        let at = |di: isize, dj: isize| match (i.checked_add_signed(di), j.checked_add_signed(dj)) {
            (Some(i), Some(j)) if i < height && j < width => x.get([n, c, i, j]),
            _ => 0.0,
        };
        let neighbours = at(-1, 0) + at(1, 0) + at(0, -1) + at(0, 1);
        let diagonals = at(-1, -1) + at(-1, 1) + at(1, -1) + at(1, 1);
        *y.get_mut([n, c, i, j]) =
            0.25 * at(0, 0) + 0.5 * neighbours / 4.0 + 0.25 * diagonals / 4.0;
    }
    y
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn relu_rules(dims in [1usize..4, 1..5, 1..8, 1..8], seed: u64, ties: bool) {
        let x = if ties {
            Array::random_with_ties(dims, seed)
        } else {
            Array::random(dims, seed)
        };
        let g = Array::random(dims, seed ^ 1);
        let y = x.clone().map(|v| v.max(0.0));

        let (value, d) = run(GuidedRelu, &Operator::Relu, &x, &g);
        prop_assert_eq!(&value, &y);
        let want = elementwise(&x, &g, |x, g| if x > 0.0 { g.max(0.0) } else { 0.0 });
        prop_assert_eq!(d, want);

        let (value, d) = run(DeconvRelu, &Operator::Relu, &x, &g);
        prop_assert_eq!(&value, &y);
        prop_assert_eq!(d, elementwise(&x, &g, |_, g| g.max(0.0)));

        let ours = run(TrueRule, &Operator::Relu, &x, &g);
        let burns = value_and_gradient(&x, activation::relu, |_| g.clone());
        prop_assert_eq!(ours, burns);
    }

    #[test]
    fn clip_rules(dims in [1usize..4, 1..5, 1..8, 1..8], seed: u64, ties: bool, one_sided: bool) {
        let x = if ties {
            Array::random_with_ties(dims, seed)
        } else {
            Array::random(dims, seed)
        };
        let (min, max) = if one_sided { (-0.5, f32::INFINITY) } else { (0.0, 0.5) };
        let clip = Operator::Clip { min, max };
        let g = Array::random(dims, seed ^ 1);
        let y = x.clone().map(|v| v.max(min).min(max));

        let (value, d) = run(GuidedRelu, &clip, &x, &g);
        prop_assert_eq!(&value, &y);
        let gate = |x: f32, g: f32| if min < x && x < max { g } else { 0.0 };
        prop_assert_eq!(d, elementwise(&x, &g, |x, g| gate(x, g.max(0.0))));

        let (value, d) = run(DeconvRelu, &clip, &x, &g);
        prop_assert_eq!(&value, &y);
        prop_assert_eq!(d, elementwise(&x, &g, |_, g| g.max(0.0)));

        let (value, d) = run(TrueRule, &clip, &x, &g);
        prop_assert_eq!(&value, &y);
        prop_assert_eq!(d, elementwise(&x, &g, gate));
    }

    #[test]
    fn smooth_max_pool((pool, dims) in pool_and_dims(), seed: u64, ties: bool) {
        let x = if ties {
            Array::random_with_ties(dims, seed)
        } else {
            Array::random(dims, seed)
        };
        let g = Array::random(output_dims(&pool, dims), seed ^ 1);
        let op = Operator::MaxPool(&pool);
        let y = Array::of(max_pool2d(x.tensor(), &pool));
        let want = naive_smooth(&x, &pool, &g);

        let (value, d) = run(SmoothMaxPool::plain(), &op, &x, &g);
        prop_assert_eq!(&value, &y);
        assert_close(&d, &want, 1e-4);

        let (value, d) = run(SmoothMaxPool::blurred(), &op, &x, &g);
        prop_assert_eq!(&value, &y);
        assert_close(&d, &naive_blur(&want), 1e-4);
    }

    #[test]
    fn true_max_pool((pool, dims) in pool_and_dims(), seed: u64) {
        let x = Array::random_with_ties(dims, seed);
        let g = Array::random(output_dims(&pool, dims), seed ^ 1);
        let as_rule = run(TrueRule, &Operator::MaxPool(&pool), &x, &g);
        let as_operator = value_and_gradient(&x, |x| max_pool2d(x, &pool), |_| g.clone());
        prop_assert_eq!(as_rule, as_operator);
    }
}

/// Passes `factor` times the gradient.
#[derive(Debug)]
struct Scale(f32);

impl GradRule for Scale {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        x * 1.0
    }

    fn backward(&self, _x: Tensor<4>, _y: Tensor<4>, g: Tensor<4>) -> Tensor<4> {
        g * self.0
    }
}

#[test]
fn a_rule_of_ones_own() {
    let x = Array::random([2, 3, 4, 5], 1);
    let g = Array::random([2, 3, 4, 5], 2);
    let (y, d) = value_and_gradient(&x, |x| apply(x, Arc::new(Scale(3.0))), |_| g.clone());
    assert_eq!(y, x);
    assert_close(&d, &g.clone().map(|v| 3.0 * v), 1e-6);

    let rules = Rules::new().on(OpKind::Relu, Scale(2.0));
    let bound = rules.bind(&Operator::Relu, &["a"]).unwrap().unwrap();
    assert_eq!(bound.name(), "Scale");
    let (_, d) = value_and_gradient(&x, |x| apply(x, bound.clone()), |_| g.clone());
    assert_close(&d, &g.map(|v| 2.0 * v), 1e-6);
}

#[test]
fn gradients_of_two_consumers_add_up() {
    let x = Array::random([1, 2, 3, 3], 1);
    let pool = Pool2d::new([2, 2]);
    let g = Array::random([1, 2, 2, 2], 2);
    let guided = Arc::new(GuidedRelu).bind(&Operator::Relu).unwrap();
    let both = |x: Tensor<4>| {
        let a = max_pool2d(apply(x.clone(), guided.clone()), &pool);
        let b = max_pool2d(x.clone(), &pool);
        a + b + x.slice([0..1, 0..2, 0..2, 0..2]) * 2.0
    };
    let (_, d) = value_and_gradient(&x, both, |_| g.clone());

    let (_, first) = value_and_gradient(
        &x,
        |x| max_pool2d(apply(x, guided.clone()), &pool),
        |_| g.clone(),
    );
    let (_, second) = value_and_gradient(&x, |x| max_pool2d(x, &pool), |_| g.clone());
    let mut want = elementwise(&first, &second, |a, b| a + b);
    for [n, c, i, j] in indices(g.dims) {
        *want.get_mut([n, c, i, j]) += 2.0 * g.get([n, c, i, j]);
    }
    assert_close(&d, &want, 1e-6);
}

#[test]
fn untracked_inputs_get_no_node() {
    let x = Array::random([1, 1, 4, 4], 1);
    let tap = Tap::new();

    let plain = apply(x.tensor(), tap.clone());
    assert!(!plain.is_autodiff());

    // In autodiff context but without a gradient: the node would be seen by the tap.
    let constant = apply(x.tensor().autodiff(), tap.clone());
    let leaf = x.tracked();
    let gradients = (constant * leaf.clone()).sum().backward();
    assert_eq!(Array::of(leaf.grad(&gradients).unwrap()), x);
    assert!(tap.take().is_none());
}

#[test]
fn a_tap_records_the_gradient_once() {
    let x = Array::random([2, 2, 3, 3], 1);
    let tap = Tap::new();
    let leaf = x.tracked();
    let middle = apply(leaf.clone() * 2.0, tap.clone());
    let gradients = (middle.clone() * middle).sum().backward();
    let recorded = tap.take().unwrap();
    assert!(!recorded.is_autodiff());
    assert_close(&Array::of(recorded), &x.clone().map(|v| 4.0 * v), 1e-6);
    assert!(tap.take().is_none());
    assert_close(
        &Array::of(leaf.grad(&gradients).unwrap()),
        &x.map(|v| 8.0 * v),
        1e-6,
    );
}

#[test]
fn threads_with_different_rules_do_not_meet() {
    let x = Array::random([2, 3, 6, 6], 1);
    let g = Array::random([2, 3, 6, 6], 2);
    let gradient = |rules: &Rules| match rules.bind(&Operator::Relu, &["relu"]).unwrap() {
        Some(rule) => value_and_gradient(&x, |x| apply(x, rule.clone()), |_| g.clone()).1,
        None => value_and_gradient(&x, activation::relu, |_| g.clone()).1,
    };
    let presets = ["true", "guided", "deconvnet"].map(|name| Rules::preset(name).unwrap());
    let alone = presets.each_ref().map(gradient);
    assert!(alone[0] != alone[1] && alone[1] != alone[2]);
    thread::scope(|scope| {
        for (rules, alone) in presets.iter().zip(&alone) {
            let gradient = &gradient;
            scope.spawn(move || {
                for _ in 0..50 {
                    assert_eq!(&gradient(rules), alone);
                }
            });
        }
    });
}

fn bound_name(rules: &Rules, op: &Operator<'_>, names: &[&str]) -> Option<String> {
    rules.bind(op, names).unwrap().map(|rule| rule.name())
}

#[test]
fn the_first_match_wins() {
    let rules = Rules::new()
        .on_layers("conv1*", TrueRule)
        .on_kind_in(OpKind::Relu, "inception_5?/*", DeconvRelu)
        .on_layers("inception*", GuidedRelu)
        .on(OpKind::Relu, DeconvRelu)
        .on(OpKind::Relu, GuidedRelu);
    let relu = |names: &[&str]| bound_name(&rules, &Operator::Relu, names);
    assert_eq!(relu(&["conv1/relu_7x7"]), None);
    assert_eq!(relu(&["inception_5a/relu"]).unwrap(), "deconvnet ReLU");
    assert_eq!(relu(&["inception_4a/relu_1x1/x"]).unwrap(), "guided ReLU");
    assert_eq!(relu(&["relu1"]).unwrap(), "deconvnet ReLU");
    // An alias is as good as the name.
    assert_eq!(relu(&["node_7", "inception_3a"]).unwrap(), "guided ReLU");
    assert_eq!(relu(&[]).unwrap(), "deconvnet ReLU");
    assert_eq!(
        rules.list().patterns().collect::<Vec<_>>(),
        ["conv1*", "inception_5?/*", "inception*"]
    );
}

#[test]
fn patterns_attach_rules_only_where_they_apply() {
    let pool = Pool2d::new([3, 3]);
    let max_pool = Operator::MaxPool(&pool);
    let convolution = Operator::Other(OpKind::Conv, Algebra::Convolution);
    let sigmoid = Operator::Other(OpKind::Sigmoid, Algebra::Activation);

    let guided = Rules::new().on_layers("*", GuidedRelu);
    assert!(bound_name(&guided, &Operator::Relu, &["a"]).is_some());
    assert!(bound_name(&guided, &Operator::Clip { min: 0.0, max: 6.0 }, &["a"]).is_some());
    assert!(bound_name(&guided, &max_pool, &["a"]).is_none());
    assert!(bound_name(&guided, &sigmoid, &["a"]).is_none());

    let smooth = Rules::new().on_layers("*", SmoothMaxPool::plain());
    assert_eq!(
        bound_name(&smooth, &max_pool, &["a"]).unwrap(),
        "smooth max-pool"
    );
    assert!(bound_name(&smooth, &Operator::Relu, &["a"]).is_none());

    let own = Rules::new().on_layers("*", Scale(1.0));
    assert!(bound_name(&own, &sigmoid, &["a"]).is_some());
    assert!(bound_name(&own, &convolution, &["a"]).is_none());

    let tap = Rules::new().on_layers("*", Tap::new());
    assert!(bound_name(&tap, &Operator::Relu, &["a"]).is_none());
    assert!(
        bound_name(
            &tap,
            &Operator::Other(OpKind::Dropout, Algebra::Moves),
            &["a"]
        )
        .is_some()
    );

    let named = Rules::new().on(OpKind::Conv, Scale(1.0));
    assert!(bound_name(&named, &convolution, &["a"]).is_some());
}

#[test]
fn a_rule_on_the_wrong_operator_is_an_error() {
    let rules = Rules::new().on(OpKind::MaxPool, GuidedRelu);
    let pool = Pool2d::new([2, 2]);
    let error = rules
        .bind(&Operator::MaxPool(&pool), &["pool1"])
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the rule `guided ReLU` cannot replace the gradient of MaxPool: it is for Relu, Clip"
    );
    assert!(matches!(
        Arc::new(SmoothMaxPool::plain()).bind(&Operator::Relu),
        Err(RuleError::Unsupported {
            kind: OpKind::Relu,
            ..
        })
    ));
}

#[test]
fn presets() {
    let pool = Pool2d::new([2, 2]);
    let max_pool = Operator::MaxPool(&pool);
    let clip = Operator::Clip { min: 0.0, max: 6.0 };
    for name in Rules::PRESETS {
        let rules = Rules::preset(name).unwrap();
        assert_eq!(rules.name(), *name);
        let relu = bound_name(&rules, &Operator::Relu, &["a"]);
        assert_eq!(relu, bound_name(&rules, &clip, &["a"]));
        let max_pool = bound_name(&rules, &max_pool, &["a"]);
        let want = match *name {
            "true" => (None, None),
            "smooth" => (None, Some("smooth max-pool")),
            "smooth-blur" => (None, Some("smooth and blurred max-pool")),
            "guided" => (Some("guided ReLU"), None),
            "deconvnet" => (Some("deconvnet ReLU"), None),
            other => panic!("no expectation for {other}"),
        };
        assert_eq!((relu.as_deref(), max_pool.as_deref()), want);
    }
    let error = Rules::preset("smoothblur").unwrap_err().to_string();
    assert_eq!(
        error,
        "no rules are called `smoothblur`, did you mean `smooth-blur`?; \
         there are true, smooth, smooth-blur, guided, deconvnet"
    );
    let error = Rules::preset("zzz").unwrap_err().to_string();
    assert!(error.starts_with("no rules are called `zzz`; there are true"));
}

#[test]
fn names_and_kinds() {
    assert!(Rules::new().is_empty());
    assert_eq!(Rules::new().name(), "true");
    assert_eq!(Rules::new().on(OpKind::Relu, GuidedRelu).name(), "custom");
    assert_eq!(Rules::new().named("mine").name(), "mine");

    for kind in [OpKind::Relu, OpKind::Lrn, OpKind::named("my.domain.Gizmo")] {
        assert_eq!(kind.to_string().parse::<OpKind>().unwrap(), kind);
    }
    assert_eq!(OpKind::Lrn.to_string(), "LRN");
    assert_eq!(OpKind::named("Relu"), OpKind::Relu);
    assert_eq!(
        "Conv 2000".parse::<OpKind>().unwrap_err().to_string(),
        "`Conv 2000` cannot name an operator"
    );
    assert_eq!(
        Operator::Other(OpKind::Conv, Algebra::Convolution).kind(),
        OpKind::Conv
    );
    assert_eq!(Operator::Clip { min: 0.0, max: 6.0 }.kind(), OpKind::Clip);
}

/// Numbers that the kernels for the CPU do not take go the way of the other backends.
#[cfg(feature = "flex")]
#[test]
fn composed_operations_agree_with_the_kernels() {
    use burn::tensor::{DType, Device};
    use elucid_rules::{Lrn, avg_pool2d, local_response_norm};

    let run = |x: &Array, dtype: DType, f: &dyn Fn(Tensor<4>) -> Tensor<4>| {
        let here = |array: &Array| {
            let data = burn::tensor::TensorData::new(array.values.clone(), array.dims);
            Tensor::<4>::from_data(data, &Device::flex()).cast(dtype)
        };
        let x = here(x).autodiff().require_grad();
        let y = f(x.clone());
        let g = here(&Array::random(y.dims(), 9));
        let gradients = (y.clone() * Tensor::from_inner(g)).sum().backward();
        let read = |t: Tensor<4>| Array::of(t.cast(DType::F32));
        (read(y.inner()), read(x.grad(&gradients).unwrap()))
    };
    let check = |x: &Array, f: &dyn Fn(Tensor<4>) -> Tensor<4>| {
        let (y, d) = run(x, DType::F32, f);
        let (composed_y, composed_d) = run(x, DType::F64, f);
        assert_close(&composed_y, &y, 1e-5);
        assert_close(&composed_d, &d, 1e-4);
    };
    let bind = |name: &str, op: &Operator<'_>| {
        let rules = Rules::preset(name).unwrap();
        rules.bind(op, &[]).unwrap().unwrap()
    };

    let x = Array::random([2, 7, 9, 8], 4);
    for pool in [
        Pool2d::new([3, 3]).stride([2, 2]).ceil_mode(true),
        Pool2d::new([3, 3]).pads([1; 4]),
        Pool2d::new([3, 2]).stride([2, 1]).pads([0, 1, 2, 0]),
        Pool2d::new([2, 3])
            .dilation([2, 2])
            .pads([1, 0, 0, 3])
            .stride([3, 2]),
        Pool2d::new([1, 1]).stride([2, 2]),
    ] {
        check(&x, &|x| max_pool2d(x, &pool));
        check(&x, &|x| avg_pool2d(x, &pool, true));
        check(&x, &|x| avg_pool2d(x, &pool, false));
        for name in ["smooth", "smooth-blur"] {
            let rule = bind(name, &Operator::MaxPool(&pool));
            check(&x, &|x| apply(x, rule.clone()));
        }
    }
    for op in [
        Operator::Relu,
        Operator::Clip { min: 0.0, max: 0.5 },
        Operator::Clip {
            min: f32::NEG_INFINITY,
            max: 0.5,
        },
    ] {
        for name in ["guided", "deconvnet"] {
            let rule = bind(name, &op);
            check(&x, &|x| apply(x, rule.clone()));
        }
    }
    for (size, beta) in [(5, 0.75), (4, 0.6), (17, 1.0)] {
        let lrn = Lrn {
            size,
            alpha: 1.0,
            beta,
            bias: 2.0,
        };
        check(&x, &|x| local_response_norm(x, &lrn));
    }
}
