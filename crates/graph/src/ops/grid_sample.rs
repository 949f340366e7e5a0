//! `GridSample`: an image at the positions that a grid of normalised coordinates names.
//!
//! `[N, C, H, W]` and a grid `[N, H', W', 2]` to `[N, C, H', W']`, or the same with a depth. Coordinates
//! run from -1 to 1, `x` first: between the centres of the outermost positions with `align_corners`, else
//! between their edges. Where the nearest position counts, the grid has no gradient.

use std::sync::Arc;

use burn::tensor::Tensor;
use elucid_rules::{Algebra, };

use super::sampling::{Interpolation, Outside, sampled};
use super::window::spatial;
use crate::activation::{Activation, IntoView};
use crate::message::few;
use crate::operator::{Kernel, Known, Operands, Operator, Refused, Resolved, Shapes, Slots, check_size, facts};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[Entry::onnx("GridSample", 16, |a| {
    let align_corners = a.flag("align_corners");
    let interpolation = match a.text_or("mode", "linear") {
        "linear" | "bilinear" => Interpolation::Linear,
        "cubic" | "bicubic" => Interpolation::Cubic,
        "nearest" => Interpolation::Nearest,
        other => {
            return Err(format!(
                "mode is \"{other}\", expected linear, nearest or cubic"
            ));
        }
    };
    let outside = match a.text_or("padding_mode", "zeros") {
        "zeros" => Outside::Zeros,
        "border" => Outside::Border,
        "reflection" => Outside::Reflection {
            at_centres: align_corners,
        },
        other => {
            return Err(format!(
                "padding_mode is \"{other}\", expected zeros, border or reflection"
            ));
        }
    };
    Ok(Arc::new(GridSample {
        interpolation,
        outside,
        align_corners,
    }))
})];

#[derive(Debug, Clone, Copy)]
struct GridSample {
    interpolation: Interpolation,
    outside: Outside,
    align_corners: bool,
}

impl Operator for GridSample {
    facts!(kind: "GridSample", apart: Joined);

    fn algebra(&self, constant: &[bool]) -> Algebra {
        match constant {
            [_, true] => Algebra::Linear,
            _ => Algebra::Other,
        }
    }

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let x = &inputs.floats(0)?.shape;
        let ([n, c], size) = spatial(inputs.input(0)?)?;
        let grid = inputs.floats(1)?.shape.as_slice();
        let rank = size.len();
        if rank > 3 {
            return Err(Refused::Unsupported(format!(
                "sampling in {rank} dimensions is not supported, only in one to three"
            )));
        }
        let &[images, ref positions @ .., axes] = grid else {
            return Err("the grid has no dimensions".into());
        };
        if images != n || axes != rank || positions.len() != rank || positions.contains(&0) {
            return Err(format!(
                "a grid of shape {} does not fit an input of shape {}",
                few(grid),
                few(x)
            )
            .into());
        }
        let shape = [&[n, c][..], positions].concat();
        check_size(&shape)?;
        let kernel = Sample {
            how: *self,
            size: size.to_vec(),
        };
        Ok(Resolved::typed(kernel, shape, inputs.input(0)?.kind))
    }
}

#[derive(Debug)]
struct Sample {
    how: GridSample,
    size: Vec<usize>,
}

impl Kernel for Sample {
    fn run(&self, mut inputs: Slots, outputs: &[Known]) -> Vec<Activation> {
        let shape = &outputs[0].shape;
        let (n, c) = (shape[0], shape[1]);
        let rank = self.size.len();
        let places: usize = shape[2..].iter().product();
        let positions: usize = self.size.iter().product();
        let x = inputs
            .take(0)
            .into_view(&[n, c, positions])
            .into_cast::<3>();
        let grid = inputs
            .take(1)
            .into_view(&[n, places, rank])
            .into_cast::<3>();
        let coordinates = self.size.iter().enumerate().map(|(axis, &size)| {
            let stated: Tensor<2> = grid
                .clone()
                .narrow(2, rank - 1 - axis, 1)
                .reshape([n, places]);
            let size = size as f32;
            match self.how.align_corners {
                true => (stated + 1.0) * ((size - 1.0) / 2.0),
                false => ((stated + 1.0) * size - 1.0) / 2.0,
            }
        });
        let coordinates = coordinates.collect();
        let GridSample {
            interpolation,
            outside,
            ..
        } = self.how;
        let y = sampled(x, &self.size, coordinates, interpolation, outside);
        vec![y.into_view(shape)]
    }

    fn flops(&self, shapes: &Shapes) -> Option<u64> {
        let axes = self.size.len() as u32;
        let neighbours: u64 = match self.how.interpolation {
            Interpolation::Nearest => 0,
            Interpolation::Linear => 2_u64.pow(axes),
            Interpolation::Cubic => 4_u64.pow(axes),
        };
        Some(2 * neighbours * shapes.made())
    }
}
