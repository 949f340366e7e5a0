//! Reductions of long rows against loops in double precision, and their gradients.

use burn::tensor::{Tensor, TensorData};
use elucid_graph::{LongRows, device};

/// Whole pieces, pieces and a rest, a rest only, and more than one level of pieces.
const LENGTHS: [usize; 7] = [1, 4095, 4096, 4097, 8192, 70_001, 4096 * 4096 + 5];

/// Numbers whose extremes stand where a piece ends or begins, and last.
fn rows(count: usize, length: usize) -> Vec<f32> {
    let number = |at: usize| ((at * 37 % 101) as f32 - 50.0) / 64.0;
    let mut numbers: Vec<f32> = (0..count * length).map(number).collect();
    for row in 0..count {
        numbers[row * length + 4095.min(length - 1)] = -2.0;
        numbers[(row + 1) * length - 1] = 3.0;
    }
    numbers
}

fn read(found: Tensor<2>) -> Vec<f32> {
    found.into_data().try_to_vec().unwrap()
}

#[test]
fn pieces_give_what_whole_rows_do() {
    for length in LENGTHS {
        let count = if length > 1_000_000 { 1 } else { 3 };
        let numbers = rows(count, length);
        let device = device::cpu().device;
        let tensor =
            Tensor::<2>::from_data(TensorData::new(numbers.clone(), [count, length]), &device);
        let reduced = |by: fn(Tensor<2>) -> Tensor<2>| {
            let found = by(tensor.clone());
            assert_eq!(found.dims(), [count, 1]);
            read(found)
        };
        let (sums, means) = (reduced(LongRows::row_sums), reduced(LongRows::row_means));
        let (most, least) = (reduced(LongRows::row_maxima), reduced(LongRows::row_minima));
        for (row, numbers) in numbers.chunks(length).enumerate() {
            let sum: f64 = numbers.iter().copied().map(f64::from).sum();
            let size: f64 = numbers.iter().map(|&v| f64::from(v).abs()).sum();
            assert!(
                (f64::from(sums[row]) - sum).abs() <= 1e-6 * size,
                "{length}"
            );
            let mean = sum / length as f64;
            assert!((f64::from(means[row]) - mean).abs() <= 1e-6 * size / length as f64);
            let largest = numbers.iter().copied().fold(f32::MIN, f32::max);
            let smallest = numbers.iter().copied().fold(f32::MAX, f32::min);
            assert_eq!((most[row], least[row]), (largest, smallest), "{length}");
        }
    }
}

#[test]
fn gradients_reach_every_piece() {
    let (count, length) = (2, 10_001);
    let device = device::cpu().device.autodiff();
    let numbers = TensorData::new(rows(count, length), [count, length]);
    let leaf = Tensor::<2>::from_data(numbers, &device).require_grad();
    let gradient = |made: Tensor<2>| {
        let gradients = made.sum().backward();
        read(leaf.grad(&gradients).unwrap())
    };
    assert!(gradient(leaf.clone().row_sums()).iter().all(|&g| g == 1.0));
    let share = 1.0 / length as f32;
    let of_means = gradient(leaf.clone().row_means());
    assert!(of_means.iter().all(|&g| (g - share).abs() < 1e-6 * share));
    let of_most = gradient(leaf.clone().row_maxima());
    for row in of_most.chunks(length) {
        assert_eq!(row.last(), Some(&1.0));
        assert_eq!(row.iter().sum::<f32>(), 1.0);
    }
}

#[test]
fn no_rows_give_none() {
    let none = Tensor::<2>::zeros([0, 9000], &device::cpu().device);
    assert_eq!(none.row_sums().dims(), [0, 1]);
}
