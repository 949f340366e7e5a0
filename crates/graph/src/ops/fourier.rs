//! `DFT` and `STFT`: discrete Fourier transforms, as products with matrices of cosines and sines.
//!
//! `X[k] = sum_n x[n] exp(-2 pi i k n / N)`, for the inverse with `+` and divided by `N`. The last axis
//! holds the real part, or the real and the imaginary part.

use std::f64::consts::TAU;
use std::sync::Arc;

use burn::tensor::{Device, Tensor};

use super::gather::index_tensor;
use crate::activation::{Activation, IntoView};
use crate::attributes::{Attributes, MAX_WINDOW};
use crate::host::HostTensor;
use crate::operator::{
    Kernel, Known, Operands, Operator, Refused, Resolved, Slots, axis_of, check_size, facts,
};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[
    Entry::onnx("DFT", 17, read),
    Entry::onnx("STFT", 17, |a| {
        let half = a.int_or("onesided", 1) != 0;
        Ok(Arc::new(Stft { half }))
    }),
];

fn read(a: &Attributes) -> Result<Arc<dyn Operator>, String> {
    Ok(Arc::new(Dft {
        axis: (a.opset() < 20).then(|| a.int_or("axis", 1)),
        inverse: a.flag("inverse"),
        half: a.flag("onesided"),
    }))
}

#[derive(Debug)]
struct Dft {
    /// `None` where it is an input.
    axis: Option<i64>,
    inverse: bool,
    /// Whether only half of the frequencies comes out.
    half: bool,
}

/// A transform along the second of three axes, the third of which is followed by parts of a complex
/// number.
#[derive(Debug, Clone, Copy)]
struct Transform {
    /// `[outer, samples, inner, parts]`.
    view: [usize; 4],
    /// How many samples it is a transform of; what is missing is 0, what is behind is cut off.
    length: usize,
    /// How many frequencies come out.
    bins: usize,
    inverse: bool,
}

fn bins(length: usize, half: bool) -> usize {
    if half { length / 2 + 1 } else { length }
}

fn parts(shape: &[usize]) -> Result<usize, Refused> {
    match shape.last() {
        Some(&parts @ (1 | 2)) if shape.len() > 1 => Ok(parts),
        _ => Err(
            format!("input has shape {shape:?}, expected 1 or 2 numbers in the last axis").into(),
        ),
    }
}

/// A single positive integer.
fn size(host: &HostTensor, what: &str) -> Result<usize, Refused> {
    let value = host.scalar_int()?;
    let size = usize::try_from(value)
        .ok()
        .filter(|s| (1..=MAX_WINDOW).contains(s));
    size.ok_or_else(|| format!("{what} is {value}, expected 1 to {MAX_WINDOW}").into())
}

impl Operator for Dft {
    facts!(kind: "DFT", algebra: Linear);

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let x = inputs.operand(0)?;
        let rank = x.shape.len();
        let parts = parts(&x.shape)?;
        let axis = match self.axis {
            Some(axis) => axis,
            None => match inputs.optional_value(2, "the axis")? {
                Some(host) => host.scalar_int()?,
                None => -2,
            },
        };
        let axis = axis_of(axis, rank)?;
        if axis + 1 == rank {
            return Err("the last axis holds the parts of complex numbers".into());
        }
        let length = match inputs.optional_value(1, "the length")? {
            Some(host) => size(host, "the length")?,
            None => x.shape[axis],
        };
        let bins = bins(length, self.half);
        let mut shape = x.shape.clone();
        shape[axis] = bins;
        shape[rank - 1] = 2;
        let transform = Transform {
            view: [
                x.shape[..axis].iter().product(),
                x.shape[axis],
                x.shape[axis + 1..rank - 1].iter().product(),
                parts,
            ],
            length,
            bins,
            inverse: self.inverse,
        };
        transform.check()?;
        Ok(Resolved::typed(transform, shape, x.kind))
    }
}

impl Transform {
    /// Refuses matrices that are too large.
    fn check(&self) -> Result<(), Refused> {
        check_size(&[self.bins, self.length.min(self.view[1])])?;
        let [outer, _, inner, _] = self.view;
        check_size(&[outer, self.bins, inner, 2])
    }

    /// `[1, bins, samples]` of a function of the angle.
    fn matrix(&self, samples: usize, f: fn(f64) -> f64, device: &Device) -> Tensor<3> {
        let length = self.length;
        // Exact for large products, too.
        let of = |turns: usize| f(TAU * turns as f64 / length as f64) as f32;
        let table: Vec<f32> = (0..length).map(of).collect();
        let values = (0..self.bins).flat_map(|k| {
            let table = &table;
            (0..samples).map(move |n| table[k * n % length])
        });
        let values = values.collect();
        Activation::from_host(values, &[1, self.bins, samples], device).into_cast()
    }

    /// `[outer, bins, inner, 2]`.
    fn apply(&self, x: Activation) -> Tensor<4> {
        let [outer, given, inner, parts] = self.view;
        let samples = given.min(self.length);
        let x = x.into_view(&[outer, given, inner * parts]).into_cast::<3>();
        let x = x.narrow(1, 0, samples);
        let device = x.device();
        let product = |f: fn(f64) -> f64| {
            let matrix = self.matrix(samples, f, &device);
            let matrix = matrix.expand([outer, self.bins, samples]);
            let product = matrix.matmul(x.clone());
            product.reshape([outer, self.bins, inner, parts])
        };
        let (cos, sin) = (product(f64::cos), product(f64::sin));
        let sin = if self.inverse { -sin } else { sin };
        let part = |x: &Tensor<4>, i: usize| x.clone().narrow(3, i, 1);
        let mut real = part(&cos, 0);
        let mut imaginary = -part(&sin, 0);
        if parts == 2 {
            real = real + part(&sin, 1);
            imaginary = imaginary + part(&cos, 1);
        }
        let both = Tensor::cat(vec![real, imaginary], 3);
        if self.inverse {
            both / self.length as f32
        } else {
            both
        }
    }
}

impl Kernel for Transform {
    fn run(&self, mut inputs: Slots, outputs: &[Known]) -> Vec<Activation> {
        vec![self.apply(inputs.take(0)).into_view(&outputs[0].shape)]
    }
}

#[derive(Debug)]
struct Stft {
    half: bool,
}

impl Operator for Stft {
    facts!(kind: "STFT", algebra: Linear else Product);

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let x = inputs.operand(0)?;
        let (batch, length, parts) = match *x.shape.as_slice() {
            [batch, length] => (batch, length, 1),
            [batch, length, _] => (batch, length, parts(&x.shape)?),
            ref other => return Err(format!("input has shape {other:?}, expected signals").into()),
        };
        let step = size(inputs.value(1, "the step")?, "the step")?;
        let window = match inputs.optional(2) {
            None => None,
            Some(_) => match inputs.operand(2)?.shape.as_slice() {
                [window] => Some(*window),
                other => return Err(format!("the window has shape {other:?}").into()),
            },
        };
        let frame = match (inputs.optional_value(3, "the length of a frame")?, window) {
            (Some(host), _) => size(host, "the length of a frame")?,
            (None, Some(window)) => window,
            (None, None) => return Err("neither a window nor the length of a frame".into()),
        };
        if window.is_some_and(|window| window != frame) || frame == 0 {
            return Err(format!("a window {window:?} for frames of {frame} samples").into());
        }
        let Some(spare) = length.checked_sub(frame) else {
            return Err(format!("frames of {frame} samples in a signal of {length}").into());
        };
        let frames = spare / step + 1;
        check_size(&[batch, frames, frame, parts])?;
        let bins = bins(frame, self.half);
        let transform = Transform {
            view: [batch * frames, frame, 1, parts],
            length: frame,
            bins,
            inverse: false,
        };
        transform.check()?;
        let kernel = Frames {
            signal: [batch, length, parts],
            frames,
            step,
            transform,
        };
        Ok(Resolved::typed(
            kernel,
            vec![batch, frames, bins, 2],
            x.kind,
        ))
    }
}

/// Windows of signals, each transformed.
#[derive(Debug)]
struct Frames {
    signal: [usize; 3],
    frames: usize,
    step: usize,
    transform: Transform,
}

impl Kernel for Frames {
    fn run(&self, mut inputs: Slots, outputs: &[Known]) -> Vec<Activation> {
        let [batch, _, parts] = self.signal;
        let frame = self.transform.length;
        let x = inputs.take(0).into_view(&self.signal);
        let start = |i: usize| i * self.step;
        let places: Vec<usize> = (0..self.frames)
            .flat_map(|i| start(i)..start(i) + frame)
            .collect();
        let index = index_tensor(&places, &x);
        let frames = x.into_cast::<3>().select(1, index);
        let mut frames = frames.reshape([batch * self.frames, frame, parts]);
        if let Some(window) = inputs.maybe(2) {
            frames = frames * window.into_view(&[1, frame, 1]).into_cast::<3>();
        }
        vec![
            self.transform
                .apply(frames.into())
                .into_view(&outputs[0].shape),
        ]
    }
}
