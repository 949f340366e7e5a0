//! Pictures of shapes, drawn by the program.

use burn::tensor::{Device, Int, Tensor, TensorData};
use rand::RngExt;
use rand_pcg::Pcg32;

/// Sides of a picture in pixels.
pub const SIDE: usize = 48;

/// How a pixel of 0 to 1 becomes an input: its mean is taken away, and what is left divided.
pub const MEAN: f32 = 0.5;
/// By what.
pub const STD: f32 = 0.25;

/// What there is to be told apart.
pub const CLASSES: [&str; 5] = ["disc", "ring", "square", "triangle", "cross"];

/// A shape in a picture, its centre and its radius in pixels.
struct Shape {
    class: usize,
    across: f32,
    down: f32,
    radius: f32,
}

impl Shape {
    /// Somewhere between two columns of the picture.
    fn within(class: usize, [left, right]: [f32; 2], radii: [f32; 2], random: &mut Pcg32) -> Self {
        let radius = random.random_range(radii[0]..radii[1]);
        Self {
            class,
            across: random.random_range(left + radius..right - radius),
            down: random.random_range(radius..SIDE as f32 - radius),
            radius,
        }
    }

    fn has(&self, row: usize, column: usize) -> bool {
        let (across, down) = (column as f32 - self.across, row as f32 - self.down);
        is_inside(self.class, across / self.radius, down / self.radius)
    }
}

/// A shape on a ground of stripes, `[3, SIDE, SIDE]`, as the network takes it. Colours and place are drawn by
/// lot, so that neither tells the class.
pub fn draw(class: usize, random: &mut Pcg32) -> Vec<f32> {
    let shape = Shape::within(class, [0.0, SIDE as f32], [7.0, 12.0], random);
    paint(&[shape], random)
}

/// Two shapes of one colour beside each other.
pub fn draw_pair([left, right]: [usize; 2], random: &mut Pcg32) -> Vec<f32> {
    let side = SIDE as f32;
    let left = Shape::within(left, [0.0, 0.5 * side], [9.0, 11.0], random);
    let right = Shape::within(right, [0.5 * side, side], [9.0, 11.0], random);
    paint(&[left, right], random)
}

fn paint(shapes: &[Shape], random: &mut Pcg32) -> Vec<f32> {
    let mut colour = || [(); 3].map(|()| random.random_range(0.0..1.0_f32));
    let (mut ink, paper, stripe) = (colour(), colour(), colour());
    // A shape can be seen.
    let contrast: f32 = ink.iter().zip(&paper).map(|(a, b)| (a - b).abs()).sum();
    if contrast < 0.9 {
        ink = paper.map(|value| if value > 0.5 { 0.0 } else { 1.0 });
    }
    let slope = random.random_range(-1.0..1.0_f32);
    let mut pixels = vec![0.0; 3 * SIDE * SIDE];
    for row in 0..SIDE {
        for column in 0..SIDE {
            let is_ink = shapes.iter().any(|shape| shape.has(row, column));
            let stripes = ((column as f32 + slope * row as f32) / 4.0).sin();
            for channel in 0..3 {
                let value = match is_ink {
                    true => ink[channel],
                    false => paper[channel] + 0.15 * stripes * (stripe[channel] - 0.5),
                };
                let noise = random.random_range(-0.04..0.04_f32);
                let place = (channel * SIDE + row) * SIDE + column;
                pixels[place] = ((value + noise).clamp(0.0, 1.0) - MEAN) / STD;
            }
        }
    }
    pixels
}

/// Whether a point lies in a shape of radius 1 around 0.
fn is_inside(class: usize, x: f32, y: f32) -> bool {
    let distance = x.hypot(y);
    match CLASSES[class] {
        "disc" => distance < 0.9,
        "ring" => (0.55..1.0).contains(&distance),
        "square" => x.abs().max(y.abs()) < 0.8,
        "triangle" => y < 0.8 && y > 2.0 * x.abs() - 1.0,
        _ => (x.abs() < 0.28 || y.abs() < 0.28) && x.abs().max(y.abs()) < 1.0,
    }
}

/// Pictures of all classes in turn, `[N, 3, SIDE, SIDE]`, and their classes.
pub fn batch(count: usize, random: &mut Pcg32, device: &Device) -> (Tensor<4>, Tensor<1, Int>) {
    let classes: Vec<usize> = (0..count).map(|i| i % CLASSES.len()).collect();
    let pixels: Vec<f32> = classes
        .iter()
        .flat_map(|&class| draw(class, random))
        .collect();
    let images = TensorData::new(pixels, [count, 3, SIDE, SIDE]);
    let classes: Vec<i64> = classes.into_iter().map(|class| class as i64).collect();
    (
        Tensor::from_data(images, device),
        Tensor::from_data(TensorData::new(classes, [count]), device),
    )
}
