//! Operators that compute with numbers.

use super::{Kernel, Node, Refused, Resolved, aligned, axis_of, check_host_size};
use crate::error::few;
use crate::host::{HostBinary, HostTensor, broadcast};
use crate::op::Unary;

impl Node<'_> {
    /// Checks that inputs `which` hold one number per channel of `shape`.
    pub(super) fn per_channel(
        &self,
        shape: &[usize],
        which: std::ops::Range<usize>,
    ) -> Result<(), Refused> {
        let &[_, channels, ..] = shape else {
            return Err(format!("input has shape {shape:?}, expected [N, C, ...]").into());
        };
        for i in which {
            let parameter = self.floats(i)?;
            if parameter.shape != [channels] {
                return Err(format!(
                    "input {i} has shape {:?}, expected [{channels}], one number per channel",
                    parameter.shape
                )
                .into());
            }
        }
        Ok(())
    }

    pub(super) fn layer_normalization(&self, axis: i64, epsilon: f32) -> Result<Resolved, Refused> {
        let shape = self.floats(0)?.shape.clone();
        let first = axis_of(axis, shape.len())?;
        for i in 1..3 {
            if self.optional(i).is_some() {
                let parameter = &self.floats(i)?.shape;
                if broadcast(&shape, parameter).as_deref() != Some(&shape) {
                    return Err(format!("{parameter:?} does not broadcast to {shape:?}").into());
                }
            }
        }
        let axes = (first..shape.len()).collect();
        Ok(Self::one(
            Kernel::LayerNormalization { axes, epsilon },
            shape,
        ))
    }

    pub(super) fn unary(&self, unary: Unary) -> Result<Resolved, Refused> {
        let x = self.input(0)?;
        if let Some(host) = &x.host {
            let f: Option<fn(f32) -> f32> = match unary {
                Unary::Sqrt => Some(f32::sqrt),
                Unary::Exp => Some(f32::exp),
                Unary::Log => Some(f32::ln),
                Unary::Neg => Some(|v| -v),
                Unary::Abs => Some(f32::abs),
                Unary::Reciprocal => Some(f32::recip),
                Unary::Floor => Some(f32::floor),
                Unary::Ceil => Some(f32::ceil),
                _ => None,
            };
            match (host, unary, f) {
                (HostTensor::I64(a), Unary::Neg, _) => {
                    let negated = a.mapv(i64::wrapping_neg).into_shared();
                    return Ok(Self::known(HostTensor::I64(negated)));
                }
                (_, _, Some(f)) => return Ok(Self::known(host.map_float(f)?)),
                _ => {}
            }
        }
        Ok(Self::one(
            Kernel::Unary(unary),
            self.floats(0)?.shape.clone(),
        ))
    }

    pub(super) fn clip(
        &self,
        min: Option<f32>,
        max: Option<f32>,
        from_inputs: bool,
    ) -> Result<Resolved, Refused> {
        let shape = self.floats(0)?.shape.clone();
        let bound = |index: usize, attribute: Option<f32>, default: f32| match self.optional(index)
        {
            Some(known) if from_inputs => match &known.host {
                Some(host) => Ok(host.scalar_float()?),
                None => Err(Refused::from("its bounds depend on the image")),
            },
            _ => Ok(attribute.unwrap_or(default)),
        };
        let min = bound(1, min, f32::NEG_INFINITY)?;
        let max = bound(2, max, f32::INFINITY)?;
        // ONNX lets the maximum win.
        let min = if min > max { max } else { min };
        Ok(Self::one(Kernel::Clip { min, max }, shape))
    }

    pub(super) fn prelu(&self, per_channel: bool) -> Result<Resolved, Refused> {
        let shape = self.floats(0)?.shape.clone();
        let stated = &self.floats(1)?.shape;
        let slope = if per_channel && stated.len() == 1 && shape.len() > 1 {
            let mut view = stated.clone();
            view.extend(vec![1; shape.len() - 2]);
            view
        } else {
            stated.clone()
        };
        if broadcast(&shape, &slope).as_deref() != Some(&shape) {
            return Err(format!("slope {stated:?} does not broadcast to {shape:?}").into());
        }
        Ok(Self::one(
            Kernel::PRelu {
                slope: aligned(&slope, shape.len()),
            },
            shape,
        ))
    }

    pub(super) fn binary(&self, op: HostBinary, axis: Option<i64>) -> Result<Resolved, Refused> {
        let (a, b) = (self.input(0)?, self.input(1)?);
        let mut b_view = b.shape.clone();
        if let Some(axis) = axis {
            let axis = axis_of(axis, a.shape.len())?;
            let behind = (a.shape.len() - axis)
                .checked_sub(b.shape.len())
                .ok_or_else(|| {
                    format!(
                        "{:?} does not fit {:?} from axis {axis} on",
                        b.shape, a.shape
                    )
                })?;
            b_view.extend(vec![1; behind]);
        }
        let shape =
            broadcast(&a.shape, &b_view).ok_or_else(|| do_not_broadcast(&a.shape, &b.shape))?;
        if let (Some(x), Some(y)) = (&a.host, &b.host) {
            check_host_size(&shape)?;
            return Ok(Self::known(x.binary(&y.reshape(&b_view)?, &shape, op)?));
        }
        self.floats(0)?;
        self.floats(1)?;
        if matches!(op, HostBinary::Equal | HostBinary::Mod) {
            return Err("only constants are supported".into());
        }
        let rank = shape.len();
        let kernel = Kernel::Binary {
            op,
            a: aligned(&a.shape, rank),
            b: aligned(&b_view, rank),
        };
        Ok(Self::one(kernel, shape))
    }

    pub(super) fn gemm(
        &self,
        alpha: f32,
        beta: f32,
        transpose_a: bool,
        transpose_b: bool,
    ) -> Result<Resolved, Refused> {
        let matrix = |i: usize, transposed: bool| match self.floats(i)?.shape.as_slice() {
            &[r, c] if transposed => Ok([c, r]),
            &[r, c] => Ok([r, c]),
            other => Err(Refused::from(format!(
                "input {i} has shape {other:?}, expected a matrix"
            ))),
        };
        let ([m, k], [k2, n]) = (matrix(0, transpose_a)?, matrix(1, transpose_b)?);
        if k != k2 {
            return Err(format!("cannot multiply [{m}, {k}] by [{k2}, {n}]").into());
        }
        if self.optional(2).is_some() {
            let c = &self.floats(2)?.shape;
            if broadcast(&[m, n], c).as_deref() != Some(&[m, n]) {
                return Err(format!("{c:?} does not broadcast to [{m}, {n}]").into());
            }
        }
        Ok(Self::one(
            Kernel::Gemm {
                alpha,
                beta,
                transpose_a,
                transpose_b,
            },
            vec![m, n],
        ))
    }

    pub(super) fn matmul(&self) -> Result<Resolved, Refused> {
        let (a, b) = (&self.floats(0)?.shape, &self.floats(1)?.shape);
        let fail = || Refused::from(format!("cannot multiply {a:?} by {b:?}"));
        if a.is_empty() || b.is_empty() {
            return Err(fail());
        }
        let left = if a.len() == 1 {
            vec![1, a[0]]
        } else {
            a.clone()
        };
        let right = if b.len() == 1 {
            vec![b[0], 1]
        } else {
            b.clone()
        };
        let (l, r) = (left.len(), right.len());
        if left[l - 1] != right[r - 2] {
            return Err(fail());
        }
        let mut shape = broadcast(&left[..l - 2], &right[..r - 2]).ok_or_else(fail)?;
        let rank = shape.len() + 2;
        if a.len() > 1 {
            shape.push(left[l - 2]);
        }
        if b.len() > 1 {
            shape.push(right[r - 1]);
        }
        let kernel = Kernel::MatMul {
            a: aligned(&left, rank),
            b: aligned(&right, rank),
        };
        Ok(Self::one(kernel, shape))
    }

    pub(super) fn reduce_mean(
        &self,
        stated: Option<&[i64]>,
        keep: bool,
        empty_is_identity: bool,
    ) -> Result<Resolved, Refused> {
        let shape = self.floats(0)?.shape.clone();
        let from_input = self.optional_list(1, "axes")?;
        let axes = stated.map(<[_]>::to_vec).or(from_input).unwrap_or_default();
        let mut axes: Vec<usize> = axes
            .iter()
            .map(|&a| axis_of(a, shape.len()))
            .collect::<Result<_, _>>()?;
        axes.sort_unstable();
        axes.dedup();
        if axes.is_empty() {
            if empty_is_identity {
                return Ok(Self::one(Kernel::Identity, shape));
            }
            axes = (0..shape.len()).collect();
        }
        let out = (0..shape.len())
            .filter(|i| keep || !axes.contains(i))
            .map(|i| if axes.contains(&i) { 1 } else { shape[i] })
            .collect();
        Ok(Self::one(Kernel::ReduceMean { axes }, out))
    }

    pub(super) fn softmax(&self, axis: i64, flatten: bool, log: bool) -> Result<Resolved, Refused> {
        let shape = self.floats(0)?.shape.clone();
        let axis = axis_of(axis, shape.len())?;
        let (view, axis) = if flatten {
            let (outer, inner) = shape.split_at(axis);
            (vec![outer.iter().product(), inner.iter().product()], 1)
        } else {
            (shape.clone(), axis)
        };
        Ok(Self::one(Kernel::Softmax { view, axis, log }, shape))
    }

    pub(super) fn sum(&self) -> Result<Resolved, Refused> {
        let mut shape = self.floats(0)?.shape.clone();
        for i in 1..self.inputs.len() {
            let other = &self.floats(i)?.shape;
            shape = broadcast(&shape, other).ok_or_else(|| do_not_broadcast(&shape, other))?;
        }
        Ok(Self::one(Kernel::Sum, shape))
    }
}

fn do_not_broadcast(a: &[usize], b: &[usize]) -> String {
    format!("{} and {} do not broadcast", few(a), few(b))
}
