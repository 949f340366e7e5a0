//! Slices along an axis, whose twin selects them by index.

use burn::tensor::{Int, Tensor, TensorData};
use elucid_rules::{AnyRank, narrowed, stepped};
use elucid_testkit::array::{Array, assert_close, device, value_and_gradient};

#[test]
fn slices_are_those_that_are_selected() {
    let x = Array::random([2, 3, 4, 7], 1);
    let g = |dims| Array::random(dims, 5);
    for (axis, start, step, count) in [
        (3, 0, 2, 4),
        (3, 1, 2, 3),
        (3, 6, -2, 4),
        (2, 3, -1, 4),
        (1, 0, 2, 2),
        (0, 1, -1, 2),
    ] {
        let indices: Vec<i64> = (0..count)
            .map(|k| start as i64 + k as i64 * step as i64)
            .collect();
        let selected = |x: Tensor<4>| {
            let data = TensorData::new(indices.clone(), [count]);
            x.select(axis, Tensor::<1, Int>::from_data(data, &device()))
        };
        let ours = |x: Tensor<4>| {
            let otherwise = |_| panic!("a kernel on this device");
            let of = |x| stepped(x, axis, [start, count], step, otherwise);
            AnyRank::from(x).map(of).tensor::<4>().unwrap()
        };
        let (want, want_gradient) = value_and_gradient(&x, selected, g);
        let (got, gradient) = value_and_gradient(&x, ours, g);
        assert_close(&got, &want, 0.0);
        assert_close(&gradient, &want_gradient, 0.0);
        // Of a view, too.
        let turned = |x: Tensor<4>| x.swap_dims(0, 1).swap_dims(0, 1);
        let (got, _) = value_and_gradient(&x, |x| ours(turned(x)), g);
        assert_close(&got, &want, 0.0);
    }
}

#[test]
fn slices_next_to_each_other_are_those_of_burn() {
    let x = Array::random([2, 3, 4, 7], 1);
    let g = |dims| Array::random(dims, 5);
    for (axis, start, count) in [(3, 0, 7), (3, 2, 3), (2, 3, 1), (1, 1, 2), (0, 1, 1)] {
        let ours = |x: Tensor<4>| {
            let otherwise = |_| panic!("a kernel on this device");
            let of = |x| narrowed(x, axis, [start, count], otherwise);
            AnyRank::from(x).map(of).tensor::<4>().unwrap()
        };
        let twin = |x: Tensor<4>| x.narrow(axis, start, count);
        // A slice of a slice, too, of which the gradient is one of a view.
        for turned in [false, true] {
            let view = |x: Tensor<4>| match turned {
                true => x.swap_dims(0, 3).swap_dims(0, 3) * 2.0,
                false => x,
            };
            let (want, want_gradient) = value_and_gradient(&x, |x| twin(view(x)), g);
            let (got, gradient) = value_and_gradient(&x, |x| ours(view(x)), g);
            assert_close(&got, &want, 0.0);
            assert_close(&gradient, &want_gradient, 0.0);
        }
    }
}
