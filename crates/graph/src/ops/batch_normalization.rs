//! `BatchNormalization`: a factor and an offset for each channel, from the statistics of training or,
//! in training, from those of the batch.
//!
//! `y = (x - mean) / sqrt(variance + epsilon) * scale + bias`. In training, mean and variance are over
//! all axes but the channels, and `running = running * momentum + batch * (1 - momentum)` comes out,
//! too. What says that a node trains differs by version: since 14 an attribute, before that the
//! outputs that it names.

use std::sync::Arc;

use burn::tensor::Tensor;
use elucid_rules::{Affine, Algebra, AnyRank, OpKind, scale_and_shift};

use super::layer_normalization::standardised;
use crate::long_rows::LongRows;
use crate::activation::{Activation, IntoView};
use crate::attributes::Attributes;
use crate::operator::{Apart, BatchNorm, Kernel, Known, Operands, Operator, Refused, Resolved, Shapes, Slots, facts};
use crate::receptive::{Reach, Windows};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[Entry::onnx("BatchNormalization", 1, read)];

fn read(a: &Attributes) -> Result<Arc<dyn Operator>, String> {
    let opset = a.opset();
    // Older versions train where their statistics are asked for: many files list them all the same,
    // and nobody reads them.
    let trains = match opset {
        14.. if a.flag("training_mode") => Trains::Always,
        14.. => Trains::Never,
        7..14 => Trains::IfStatisticsAreRead,
        _ if a.flag("is_test") => Trains::Never,
        _ => Trains::IfStatisticsAreRead,
    };
    let spatial = opset >= 9 || a.int_or("spatial", 1) != 0;
    if trains == Trains::Always && !spatial {
        return Err(
            "spatial = 0 (statistics per position) is not supported in training".to_owned(),
        );
    }
    Ok(Arc::new(BatchNormalization {
        epsilon: a.float_or("epsilon", 1e-5),
        momentum: a.float_or("momentum", 0.9),
        trains,
        spatial,
        // Older versions repeat the batch's statistics.
        saved: opset < 14,
    }))
}

/// Whether the statistics are those of the batch.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Trains {
    Always,
    Never,
    IfStatisticsAreRead,
}

#[derive(Debug)]
struct BatchNormalization {
    epsilon: f32,
    momentum: f32,
    trains: Trains,
    /// Whether statistics are those of channels, not of positions.
    spatial: bool,
    saved: bool,
}

impl Operator for BatchNormalization {
    facts!(kind: OpKind::BatchNormalization);

    fn algebra(&self, constant: &[bool]) -> Algebra {
        match self.trains != Trains::Always && constant.iter().skip(1).all(|c| *c) {
            true => Algebra::Affine,
            false => Algebra::Normalization,
        }
    }

    fn most_outputs(&self) -> usize {
        match (self.trains, self.saved) {
            (Trains::Never, _) => 1,
            (_, false) => 3,
            (_, true) => 5,
        }
    }

    fn apart(&self, inputs: &Operands<'_>) -> Apart {
        match self.trains {
            Trains::Always => Apart::No,
            Trains::IfStatisticsAreRead if inputs.outputs() > 1 => Apart::No,
            _ => Apart::Rows,
        }
    }

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let x = inputs.operand(0)?;
        let &[images, ref rest @ ..] = x.shape.as_slice() else {
            return Err("a batch normalisation of a single number".into());
        };
        // A list is a batch of one channel.
        let channels = rest.first().copied().unwrap_or(1);
        let positions: usize = rest.iter().skip(1).product();
        let parameters = if self.spatial { &[channels] } else { rest };
        for slot in 1..5 {
            let shape = &inputs.operand(slot)?.shape;
            if shape != parameters {
                return Err(format!(
                    "input {slot} has shape {shape:?}, expected {parameters:?}, one number per \
                     channel"
                )
                .into());
            }
        }
        let kind = x.kind;
        let statistics = inputs.outputs() > 1;
        let trains = match self.trains {
            Trains::Always => true,
            Trains::Never => false,
            Trains::IfStatisticsAreRead => statistics,
        };
        if trains && !self.spatial {
            return Err(Refused::Unsupported(
                "spatial = 0 (statistics per position) is not supported in training".to_owned(),
            ));
        }
        if !trains {
            let groups: usize = parameters.iter().product();
            let rest: usize = rest.iter().product();
            let kernel = Inference {
                epsilon: self.epsilon,
                view: [images, groups, rest / groups.max(1)],
                spatial: self.spatial,
            };
            return Ok(Resolved::typed(kernel, x.shape.clone(), kind));
        }
        let kernel = Training {
            epsilon: self.epsilon,
            momentum: self.momentum,
            view: [images, channels, positions],
        };
        let mut outputs = vec![Known::computed(x.shape.clone(), kind)];
        for slot in [3, 4, 3, 4].iter().take(self.most_outputs() - 1) {
            let kind = inputs.input(*slot)?.kind;
            outputs.push(Known::computed(vec![channels], kind));
        }
        Ok(Resolved::of(kernel, outputs))
    }
}

/// With given statistics, on the input viewed as `[N, C, positions]`.
#[derive(Debug)]
struct Inference {
    epsilon: f32,
    view: [usize; 3],
    spatial: bool,
}

impl Kernel for Inference {
    fn run(&self, mut inputs: Slots, outputs: &[Known]) -> Vec<Activation> {
        let shape = &outputs[0].shape;
        let x = inputs.take(0).untyped();
        let (factor, offset) = self.scale(&mut inputs);
        let [_, channels, positions] = self.view;
        let [scale, bias] = [&factor, &offset].map(|p| Some(AnyRank::from(p.clone())));
        let affine = match self.spatial {
            true => Affine::of(&x, scale, bias, channels, positions),
            false => None,
        };
        let mut per_channel = vec![1; shape.len()];
        if self.spatial && shape.len() > 1 {
            per_channel[1] = self.view[1];
        } else if !self.spatial {
            per_channel[1..].copy_from_slice(&shape[1..]);
        }
        let factor = factor.into_view(&per_channel).untyped();
        let offset = offset.into_view(&per_channel).untyped();
        let y = scale_and_shift(x, affine, |x| x * factor + offset);
        vec![y.into()]
    }

    fn flops(&self, shapes: &Shapes) -> Option<u64> {
        Some(2 * shapes.made())
    }

    fn windows(&self, reach: &Reach<'_>) -> Option<Windows> {
        reach.element_wise()
    }

    fn batch_norm(&self) -> Option<&dyn BatchNorm> {
        self.spatial.then_some(self as &dyn BatchNorm)
    }
}

impl BatchNorm for Inference {
    fn scale(&self, inputs: &mut Slots) -> (Activation, Activation) {
        let mut parameter = |slot| {
            let parameter = inputs.take(slot).into_view(&[self.view[1]]);
            parameter.into_cast::<1>()
        };
        let (scale, bias, mean, variance) =
            (parameter(1), parameter(2), parameter(3), parameter(4));
        let factor = scale / (variance + self.epsilon).sqrt();
        let offset = bias - mean * factor.clone();
        (factor.into(), offset.into())
    }
}

/// With the statistics of the batch.
#[derive(Debug)]
struct Training {
    epsilon: f32,
    momentum: f32,
    view: [usize; 3],
}

impl Kernel for Training {
    fn run(&self, mut inputs: Slots, outputs: &[Known]) -> Vec<Activation> {
        let [images, channels, positions] = self.view;
        let x = inputs.take(0).into_view(&self.view).into_cast::<3>();
        let rows = x.swap_dims(0, 1).reshape([channels, images * positions]);
        let (normal, mean, _) = standardised(rows.clone(), self.epsilon, true);
        let mut column = |slot| inputs.take(slot).into_view(&[channels, 1]).into_cast::<2>();
        let y = normal * column(1) + column(2);
        let y = y.reshape([channels, images, positions]).swap_dims(0, 1);
        let mut made = vec![y.into_view(&outputs[0].shape)];
        if outputs.len() > 1 {
            let mean = mean.unwrap_or_else(|| rows.clone().row_means());
            let centred = rows - mean.clone();
            let variance = (centred.clone() * centred).row_means();
            let mut running = |slot, batch: &Tensor<2>| {
                column(slot) * self.momentum + batch.clone() * (1.0 - self.momentum)
            };
            let statistics = [running(3, &mean), running(4, &variance), mean, variance];
            for (statistic, known) in statistics.into_iter().zip(&outputs[1..]) {
                made.push(statistic.into_view(&known.shape));
            }
        }
        made
    }

    fn flops(&self, shapes: &Shapes) -> Option<u64> {
        Some(7 * shapes.made())
    }
}
