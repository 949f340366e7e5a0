//! Slices along an axis against loops.

use elucid_kernels::steps::Steps;

use crate::numbers;

#[test]
fn slices_are_those_of_loops() {
    for (outer, size, inner) in [
        (1, 1, 1),
        (3, 8, 1),
        (2, 7, 5),
        (5, 64, 1),
        (300, 64, 1),
        (1, 9, 3),
    ] {
        for step in [1, 2, 3, -1, -2, 70, -70_isize] {
            for start in [0, size / 2, size - 1] {
                let fits = |k: usize| {
                    let at = start as isize + step * k as isize;
                    (0..size as isize).contains(&at)
                };
                let most = (0..size).take_while(|&k| fits(k)).count();
                for count in [1, most] {
                    let steps = Steps {
                        size,
                        inner,
                        start,
                        step,
                        count,
                    };
                    let x = numbers(outer * size * inner, 1);
                    let g = numbers(outer * count * inner, 2);
                    let (mut y, mut d) = (vec![0.0; g.len()], vec![0.0; x.len()]);
                    for o in 0..outer {
                        for k in 0..count {
                            let at = (start as isize + step * k as isize) as usize;
                            for i in 0..inner {
                                let from = (o * size + at) * inner + i;
                                let to = (o * count + k) * inner + i;
                                y[to] = x[from];
                                d[from] = g[to];
                            }
                        }
                    }
                    assert_eq!(steps.take(&x), y, "{steps:?}");
                    assert_eq!(steps.put_back(&g), d, "{steps:?}");
                }
            }
        }
    }
}

#[test]
#[should_panic(expected = "slices of the axis")]
fn a_slice_beyond_the_axis_is_none() {
    let steps = Steps {
        size: 4,
        inner: 1,
        start: 1,
        step: 2,
        count: 3,
    };
    steps.take(&[0.0; 4]);
}
