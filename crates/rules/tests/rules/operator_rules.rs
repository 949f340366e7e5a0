//! Rules for whole operators, on operators made of a few lines.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use burn::tensor::{Tensor, TensorData};
use elucid_rules::{
    Algebra, AnyRank, BoundRule, Depth, Execution, Forward, OpKind, Operator, OperatorRule,
    RuleError, Rules, SignalTakesAll, Site, SiteInput, Subject, UniformProduct, Which,
    apply_operator,
};
use elucid_testkit::array::device;

/// The product of two `[2, 3]`, the second times a weight, and their sum.
#[derive(Debug)]
struct ProductAndSum;

impl Forward for ProductAndSum {
    fn forward(&self, inputs: Vec<Option<AnyRank>>) -> Vec<AnyRank> {
        let [a, b, w] = [0, 1, 2].map(|i| inputs[i].as_ref().unwrap().tensor::<2>().unwrap());
        vec![
            (a.clone() * b.clone() * w).into(),
            (a + b).reshape([6]).into(),
        ]
    }
}

/// `factor` times the true gradient of each input.
#[derive(Debug)]
struct Times(f32);

impl OperatorRule for Times {
    fn backward(&self, ran: &Execution, g: &[Option<AnyRank>]) -> Vec<Option<AnyRank>> {
        assert!(ran.inputs.iter().flatten().all(|x| !x.is_tracked()));
        assert!(ran.is_constant(2) && !ran.is_live(2));
        let times = |d: AnyRank| d.map(|d| d * self.0);
        ran.gradient(g).into_iter().map(|d| d.map(times)).collect()
    }
}

fn matrix(values: [f32; 6]) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values.to_vec(), [2, 3]), &device())
}

const A: [f32; 6] = [1., 2., 3., -1., 0.5, 0.];
const B: [f32; 6] = [2., -1., 1., 4., 3., 5.];
const W: [f32; 6] = [1., 2., 1., 2., 1., 2.];

fn site() -> Vec<SiteInput> {
    let mut site = vec![SiteInput::default(); 3];
    site[2].is_constant = true;
    site
}

/// The outputs for `a` and `b`, which may be the same.
fn run(rule: impl OperatorRule + 'static, a: Tensor<2>, b: Tensor<2>) -> [Tensor<1>; 2] {
    let inputs = vec![Some(a.into()), Some(b.into()), Some(matrix(W).into())];
    let made = apply_operator(Arc::new(rule), Arc::new(ProductAndSum), inputs, site());
    let [product, sum] = made.try_into().unwrap();
    [product.reshape([6]), sum.tensor().unwrap()]
}

fn values(x: Tensor<2>) -> Vec<f32> {
    x.into_data().try_to_vec().unwrap()
}

#[test]
fn one_gradient_for_each_live_input_from_all_outputs() {
    let leaf = |v| matrix(v).autodiff().require_grad();
    let (a, b) = (leaf(A), leaf(B));
    let [product, sum] = run(Times(3.0), a.clone(), b.clone());
    let expected: Vec<f32> = (0..6).map(|i| A[i] * B[i] * W[i]).collect();
    assert_eq!(
        product.clone().into_data().try_to_vec::<f32>().unwrap(),
        expected
    );
    let g = Tensor::<1>::from_data([1., 2., 3., 4., 5., 6.], &device());
    let gradients = ((product * g.clone()).sum() + sum.sum() * 10.0).backward();
    let hand = |other: [f32; 6]| -> Vec<f32> {
        (0..6)
            .map(|i| 3.0 * ((i + 1) as f32 * other[i] * W[i] + 10.0))
            .collect()
    };
    assert_eq!(values(a.grad(&gradients).unwrap()), hand(B));
    assert_eq!(values(b.grad(&gradients).unwrap()), hand(A));

    // One of them alone, which is no copy of the other's.
    let b = leaf(B);
    let [product, _] = run(Times(2.0), matrix(A), b.clone());
    let gradients = product.sum().backward();
    let expected: Vec<f32> = (0..6).map(|i| 2.0 * A[i] * W[i]).collect();
    assert_eq!(values(b.grad(&gradients).unwrap()), expected);

    // The same value in both slots gets both parts.
    let a = leaf(A);
    let [product, _] = run(Times(1.0), a.clone(), a.clone());
    let gradients = product.sum().backward();
    let expected: Vec<f32> = (0..6).map(|i| 2.0 * A[i] * W[i]).collect();
    assert_eq!(values(a.grad(&gradients).unwrap()), expected);
}

#[test]
fn products_in_equal_parts_are_half_the_finite_difference() {
    let loss = |a: [f32; 6]| -> f64 {
        let [product, _] = run(UniformProduct, matrix(a), matrix(a) + 0.5);
        let product = product.into_data().try_to_vec::<f32>().unwrap();
        product.iter().map(|v| f64::from(*v)).sum()
    };
    let a = matrix(A).autodiff().require_grad();
    let [product, _] = run(UniformProduct, a.clone(), a.clone() + 0.5);
    let gradients = product.sum().backward();
    let found = values(a.grad(&gradients).unwrap());
    for (i, found) in found.into_iter().enumerate() {
        let at = |step: f32| {
            let mut moved = A;
            moved[i] += step;
            loss(moved)
        };
        let slope = (at(0.125) - at(-0.125)) / 0.25;
        assert!(
            (f64::from(found) - slope / 2.0).abs() < 1e-4,
            "{i}: {found} {slope}"
        );
    }
}

#[test]
fn nothing_tracked_means_no_node() {
    let [product, _] = run(Times(1.0), matrix(A), matrix(B));
    assert!(!product.is_tracked());
}

/// Answers in another shape.
#[derive(Debug)]
struct Askew;

impl OperatorRule for Askew {
    fn backward(&self, ran: &Execution, _g: &[Option<AnyRank>]) -> Vec<Option<AnyRank>> {
        vec![ran.input(0).map(|x| x.clone().view(&[6])); 3]
    }
}

#[test]
fn a_gradient_of_another_shape_is_named() {
    let a = matrix(A).autodiff().require_grad();
    let [product, _] = run(Askew, a, matrix(B));
    let backward = AssertUnwindSafe(|| drop(product.sum().backward()));
    let failure = catch_unwind(backward).unwrap_err();
    let text = failure.downcast_ref::<String>().unwrap();
    assert!(
        text.contains("`Askew`") && text.contains("[2, 3]"),
        "{text}"
    );
}

const PRODUCT: Operator<'static> = Operator::Other(OpKind::Mul, Algebra::Product);

fn at<'a>(operator: Operator<'a>, inputs: &'a [SiteInput]) -> Site<'a> {
    Site {
        operator,
        inputs,
        outputs: 1,
        statistics: None,
    }
}

#[test]
fn what_cannot_stand_somewhere_says_why() {
    let subject = Subject::new(OpKind::Mul, Algebra::Product, &["scale"]);
    let gate = SiteInput {
        is_gate: true,
        ..SiteInput::default()
    };
    let other = SiteInput::default();
    let place = |rules: &Rules, inputs: &[SiteInput]| rules.place(&at(PRODUCT, inputs), &subject);
    let gated = Rules::new().on_operators(Algebra::Product, SignalTakesAll::new());
    assert!(matches!(
        place(&gated, &[other, gate]),
        Ok(Some(BoundRule::Operator(_)))
    ));
    for (inputs, word) in [([other; 2], "none of its factors"), ([gate; 2], "several")] {
        let text = place(&gated, &inputs).unwrap_err().to_string();
        assert!(text.contains(word) && text.contains("gate_in"), "{text}");
        let said = Rules::new().on_operators(OpKind::Mul, SignalTakesAll::gate_in(1));
        assert!(place(&said, &inputs).is_ok());
    }
    let beyond = Rules::new().on_operators(OpKind::Mul, SignalTakesAll::gate_in(2));
    let text = place(&beyond, &[gate; 2]).unwrap_err().to_string();
    assert!(text.contains("input 2"), "{text}");
    // By kind it is asked, by a pattern it takes what it is for.
    let inputs = [SiteInput::default()];
    let relu = at(Operator::Relu, &inputs);
    let subject = Subject::new(OpKind::Relu, Algebra::Activation, &["scale"]);
    let named = Rules::new().on_operators(OpKind::Relu, UniformProduct);
    let text = named.place(&relu, &subject).unwrap_err().to_string();
    assert!(
        text.contains("\"product\"") && text.contains("Relu"),
        "{text}"
    );
    let pattern = Rules::new().on_operators(Which::named("sc*"), UniformProduct);
    assert!(pattern.place(&relu, &subject).unwrap().is_none());
    assert!(pattern.bind(&PRODUCT, &["scale"]).is_err());

    let none = RuleError::Unsupported {
        rule: "half".to_owned(),
        kind: OpKind::Mul,
        supported: Vec::new(),
    };
    assert_eq!(
        none.to_string(),
        "the rule `half` cannot replace the gradient of Mul"
    );
    let empty = RuleError::MatchesNothing {
        rule: "half".to_owned(),
        which: "Mul".to_owned(),
        nearest: Vec::new(),
        kinds: Vec::new(),
    };
    assert!(empty.to_string().ends_with("none at all"), "{empty}");
}

#[test]
fn thirds_of_the_depth_leave_no_layer_out() {
    for layers in 1..12 {
        for from_input in 0..=layers {
            let subject = Subject {
                depth: Some(Depth {
                    from_input,
                    from_output: layers + 1 - from_input.max(1),
                    layers,
                }),
                ..Subject::new(OpKind::Conv, Algebra::Convolution, &[])
            };
            let third = |i: i32| Which::Depth(f64::from(i) / 3.0, f64::from(i + 1) / 3.0);
            let found = (0..3).filter(|i| third(*i).matches(&subject)).count();
            assert_eq!(found, 1, "layer {from_input} of {layers}");
            let last = Which::LastLayers(2).matches(&subject);
            assert_eq!(last, from_input.max(1) + 1 >= layers);
            assert_eq!(Which::FirstLayers(2).matches(&subject), from_input <= 2);
        }
    }
    let unknown = Subject::new(OpKind::Conv, Algebra::Convolution, &[]);
    assert!(!Which::FirstLayers(9).matches(&unknown));
    assert!(!Which::Depth(0.0, 1.0).matches(&unknown));
}

#[test]
fn presets_by_name() {
    for name in Rules::CONSERVING_PRESETS {
        assert_eq!(Rules::preset(name).unwrap().name(), *name);
    }
    let text = Rules::preset("attn_lrp").unwrap_err().to_string();
    assert!(text.contains("did you mean `attn-lrp`"), "{text}");
    let text = Rules::preset("zzz").unwrap_err().to_string();
    let all = Rules::PRESETS.iter().chain(Rules::CONSERVING_PRESETS);
    assert!(all.into_iter().all(|name| text.contains(name)), "{text}");
    // A network that has nothing of what they are about.
    let relu = [Subject::new(OpKind::Relu, Algebra::Activation, &[])];
    let softmax = [Subject::new(OpKind::Softmax, Algebra::Softmax, &[])];
    let rules = Rules::conservative_propagation();
    let text = rules.check_matches(&relu).unwrap_err().to_string();
    assert!(
        text.contains("`conservative-propagation`") && text.contains("softmax"),
        "{text}"
    );
    assert!(rules.check_matches(&softmax).is_ok());
    // What follows a list for what is present is not.
    let rules = rules.then(&Rules::new().on_operators(OpKind::Mul, UniformProduct));
    assert!(rules.check_matches(&softmax).is_err());
}
