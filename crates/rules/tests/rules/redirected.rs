//! Redirected rectifiers, worked by hand and against a naive twin.

use burn::tensor::{Device, Tensor, TensorData};
use elucid_rules::{Algebra, OpKind, Operator, RedirectedRelu, Rules, SmoothMaxPool, apply};

/// The gradient at `x` of `sum(g y)` under the rule, both `[N, 1, 1, W]`.
fn gradient(op: Operator<'_>, x: &[f32], g: &[f32], samples: usize) -> Vec<f32> {
    let device = Device::flex();
    let shape = [samples, 1, 1, x.len() / samples];
    let tensor = |values: &[f32]| -> Tensor<4> {
        Tensor::from_data(TensorData::new(values.to_vec(), shape), &device)
    };
    let rules = Rules::new()
        .on(OpKind::Relu, RedirectedRelu)
        .on(OpKind::Clip, RedirectedRelu);
    let rule = rules.bind(&op, &[]).unwrap().unwrap();
    let x = tensor(x).autodiff().require_grad();
    let gradients = (apply(x.clone(), rule) * tensor(g)).sum().backward();
    let found = x.grad(&gradients).unwrap();
    found.into_data().iter::<f32>().collect()
}

#[test]
fn a_dead_sample_is_led_back_and_a_live_one_is_left_alone() {
    // The loss falls where x rises (g < 0): a dead unit is to rise.
    let x = [-1.0, -2.0, -3.0, /**/ -1.0, 2.0, -3.0];
    let g = [-1.0, 1.0, -0.5, /**/ -1.0, 4.0, -0.5];
    let found = gradient(Operator::Relu, &x, &g, 2);
    assert_eq!(found, [-1.0, 0.0, -0.5, /**/ 0.0, 4.0, 0.0]);
    // An active unit that gets nothing does not make a sample alive.
    let found = gradient(Operator::Relu, &[-1.0, 2.0], &[-1.0, 0.0], 1);
    assert_eq!(found, [-1.0, 0.0]);
    // ReLU6: stuck above, to fall where the loss falls with x (g > 0).
    let relu6 = Operator::Clip { min: 0.0, max: 6.0 };
    let found = gradient(relu6, &[7.0, 8.0, -1.0, -2.0], &[1.0, -1.0, 1.0, -1.0], 1);
    assert_eq!(found, [1.0, 0.0, 0.0, -1.0]);
}

/// The definition, sample by sample.
fn naive([min, max]: [f32; 2], x: &[f32], g: &[f32]) -> Vec<f32> {
    let pairs = || x.iter().zip(g);
    let plain: Vec<f32> = pairs()
        .map(|(&x, &g)| if x > min && x < max { g } else { 0.0 })
        .collect();
    if plain.iter().any(|&g| g != 0.0) {
        return plain;
    }
    pairs()
        .map(|(&x, &g)| match (x <= min, x >= max) {
            (true, _) if g > 0.0 => 0.0,
            (_, true) if g < 0.0 => 0.0,
            _ => g,
        })
        .collect()
}

#[test]
fn equals_a_naive_twin() {
    let mut state = 12_345_u32;
    let mut number = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    let (mut dead, mut alive) = (0, 0);
    for (op, bounds) in [
        (Operator::Relu, [0.0, f32::INFINITY]),
        (Operator::Clip { min: 0.0, max: 6.0 }, [0.0, 6.0]),
        (
            Operator::Clip {
                min: -1.0,
                max: 1.0,
            },
            [-1.0, 1.0],
        ),
    ] {
        for case in 0..40 {
            let width = 1 + case % 7;
            let samples = 1 + case % 3;
            let x: Vec<f32> = (0..samples * width).map(|_| 8.0 * number() - 4.0).collect();
            let g: Vec<f32> = (0..samples * width).map(|_| number()).collect();
            let found = gradient(op, &x, &g, samples);
            for sample in 0..samples {
                let share = sample * width..(sample + 1) * width;
                let want = naive(bounds, &x[share.clone()], &g[share.clone()]);
                assert_eq!(found[share.clone()], want);
                let inside = |x: &f32| *x > bounds[0] && *x < bounds[1];
                match x[share].iter().any(inside) {
                    true => alive += 1,
                    false => dead += 1,
                }
            }
        }
    }
    assert!(dead > 20 && alive > 20, "{dead} dead, {alive} alive");
}

#[test]
fn other_rules_follow() {
    let first = Rules::new().on(OpKind::Relu, RedirectedRelu);
    let rules = first.then(&Rules::new().on(OpKind::MaxPool, SmoothMaxPool::plain()));
    assert!(rules.bind(&Operator::Relu, &[]).unwrap().is_some());
    let refused = Rules::new().on(OpKind::Tanh, RedirectedRelu);
    assert!(
        refused
            .bind(&Operator::Other(OpKind::Tanh, Algebra::Activation), &[])
            .is_err()
    );
    let none = rules
        .bind(&Operator::Other(OpKind::Tanh, Algebra::Activation), &[])
        .unwrap();
    assert!(none.is_none());
    let pool = elucid_rules::Pool2d::new([2, 2]);
    assert!(
        rules
            .bind(&Operator::MaxPool(&pool), &[])
            .unwrap()
            .is_some()
    );
}
