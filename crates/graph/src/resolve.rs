//! From an operator and the shapes of its inputs to what exactly is to be computed.
//!
//! Everything that can be wrong with a node is found here, before any tensor is touched: burn's
//! operations panic on shapes that do not fit, so nothing unchecked may reach them. Values that are
//! known without running the network (weights, shape arithmetic) are computed here as well.

use elucid_rules::{Lrn, Pool2d};

use crate::host::{ElementType, HostBinary, HostTensor, Range, broadcast, element_count};
use crate::op::{Op, PadKind, Padding, Unary, Window};

/// What is known of a value before the network runs.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub shape: Vec<usize>,
    pub kind: ElementType,
    pub host: Option<HostTensor>,
}

impl Known {
    pub fn host(tensor: HostTensor) -> Self {
        Self {
            shape: tensor.shape().to_vec(),
            kind: tensor.element_type(),
            host: Some(tensor),
        }
    }

    pub fn activation(shape: Vec<usize>) -> Self {
        Self {
            shape,
            kind: ElementType::F32,
            host: None,
        }
    }
}

/// What a node computes, with every size resolved.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kernel {
    /// Nothing: the value is already known.
    Host,
    Identity,
    Conv {
        stride: [usize; 2],
        pads: [usize; 4],
        dilation: [usize; 2],
        kernel: [usize; 2],
        groups: usize,
    },
    MaxPool(Pool2d),
    AveragePool {
        pool: Pool2d,
        count_include_pad: bool,
    },
    GlobalMaxPool,
    Lrn(Lrn),
    BatchNormalization {
        epsilon: f32,
    },
    InstanceNormalization {
        epsilon: f32,
    },
    LayerNormalization {
        axes: Vec<usize>,
        epsilon: f32,
    },
    Unary(Unary),
    Clip {
        min: f32,
        max: f32,
    },
    /// The slope, viewed with this shape.
    PRelu {
        slope: Vec<usize>,
    },
    /// Over `axis` of the input viewed as `view`.
    Softmax {
        view: Vec<usize>,
        axis: usize,
        log: bool,
    },
    /// Operands viewed with these shapes, which broadcast.
    Binary {
        op: HostBinary,
        a: Vec<usize>,
        b: Vec<usize>,
    },
    Sum,
    Gemm {
        alpha: f32,
        beta: f32,
        transpose_a: bool,
        transpose_b: bool,
    },
    /// Operands viewed with these shapes of equal rank.
    MatMul {
        a: Vec<usize>,
        b: Vec<usize>,
    },
    Concat {
        axis: usize,
    },
    Split {
        axis: usize,
        sizes: Vec<usize>,
    },
    /// To the output's shape.
    Reshape,
    Permute(Vec<usize>),
    Pad {
        pads: Vec<(usize, usize)>,
        mode: PadKind,
        value: f32,
    },
    Slice(Vec<Range>),
    Gather {
        axis: usize,
        indices: Vec<usize>,
    },
    ReduceMean {
        axes: Vec<usize>,
    },
    Expand,
}

/// Why a node cannot be computed.
#[derive(Debug)]
pub(crate) enum Refused {
    Reason(String),
    TooLarge(Vec<usize>),
}

impl From<String> for Refused {
    fn from(reason: String) -> Self {
        Self::Reason(reason)
    }
}

impl From<&str> for Refused {
    fn from(reason: &str) -> Self {
        Self::Reason(reason.to_owned())
    }
}

/// The batch that the file states and the one that runs, where the file states one.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Batch {
    pub stated: Option<usize>,
    pub actual: Option<usize>,
}

type Resolved = (Kernel, Vec<Known>);

/// Resolves one node. `outputs` is the number of outputs that the node names.
pub(crate) fn resolve(
    op: &Op,
    inputs: &[Option<Known>],
    outputs: usize,
    batch: Batch,
) -> Result<Resolved, Refused> {
    if outputs == 0 {
        return Err("it names no output".into());
    }
    let (kernel, known) = Node {
        inputs,
        outputs,
        batch,
    }
    .resolve(op)?;
    for value in &known {
        element_count(&value.shape).ok_or_else(|| Refused::TooLarge(value.shape.clone()))?;
    }
    Ok((kernel, known))
}

struct Node<'a> {
    inputs: &'a [Option<Known>],
    outputs: usize,
    batch: Batch,
}

impl Node<'_> {
    fn optional(&self, index: usize) -> Option<&Known> {
        self.inputs.get(index).and_then(Option::as_ref)
    }

    fn input(&self, index: usize) -> Result<&Known, Refused> {
        self.optional(index)
            .ok_or_else(|| format!("input {index} is missing").into())
    }

    /// The floating-point input at `index`.
    fn floats(&self, index: usize) -> Result<&Known, Refused> {
        let known = self.input(index)?;
        if known.kind != ElementType::F32 {
            return Err(format!("input {index} holds {:?}, expected floats", known.kind).into());
        }
        Ok(known)
    }

    /// The input as an image batch `[N, C, H, W]`.
    fn image(&self) -> Result<[usize; 4], Refused> {
        let shape = &self.floats(0)?.shape;
        <[usize; 4]>::try_from(shape.as_slice())
            .ok()
            .filter(|s| s.iter().all(|&d| d > 0))
            .ok_or_else(|| {
                format!("input has shape {shape:?}, expected [N, C, H, W] with no dimension 0")
                    .into()
            })
    }

    /// The integers of an input that must be known in advance.
    fn ints(&self, index: usize, what: &str) -> Result<Vec<i64>, Refused> {
        let known = self.input(index)?;
        let host = known
            .host
            .as_ref()
            .ok_or_else(|| format!("{what} depends on the image; only constants are supported"))?;
        host.ints().map_err(|e| format!("{what}: {e}").into())
    }

    fn all_host(&self) -> Option<Vec<&HostTensor>> {
        self.inputs
            .iter()
            .flatten()
            .map(|k| k.host.as_ref())
            .collect()
    }

    fn one(kernel: Kernel, shape: Vec<usize>) -> Resolved {
        (kernel, vec![Known::activation(shape)])
    }

    fn known(tensor: HostTensor) -> Resolved {
        (Kernel::Host, vec![Known::host(tensor)])
    }

    fn resolve(&self, op: &Op) -> Result<Resolved, Refused> {
        if self.outputs > 1 && !matches!(op, Op::Split { .. }) {
            return Err("its second output is used, only the first is supported".into());
        }
        match op {
            Op::Constant(value) => Ok(Self::known(value.clone())),
            Op::ConstantOfShape(value) => {
                let shape = sizes(&self.ints(0, "the shape")?)?;
                element_count(&shape).ok_or_else(|| Refused::TooLarge(shape.clone()))?;
                Ok(Self::known(value.expand(&shape)?))
            }
            Op::Conv { window, groups } => self.conv(window, *groups),
            Op::MaxPool(window) => {
                let [n, c, h, w] = self.image()?;
                let pool = pool(window, [h, w])?;
                let [oh, ow] = pool.output_size([h, w]).map_err(|e| e.to_string())?;
                Ok(Self::one(Kernel::MaxPool(pool), vec![n, c, oh, ow]))
            }
            Op::AveragePool {
                window,
                count_include_pad,
            } => {
                let [n, c, h, w] = self.image()?;
                let pool = pool(window, [h, w])?;
                let [oh, ow] = pool.output_size([h, w]).map_err(|e| e.to_string())?;
                let kernel = Kernel::AveragePool {
                    pool,
                    count_include_pad: *count_include_pad,
                };
                Ok(Self::one(kernel, vec![n, c, oh, ow]))
            }
            Op::GlobalAveragePool => {
                let [n, c, ..] = self.image()?;
                Ok(Self::one(
                    Kernel::ReduceMean { axes: vec![2, 3] },
                    vec![n, c, 1, 1],
                ))
            }
            Op::GlobalMaxPool => {
                let [n, c, ..] = self.image()?;
                Ok(Self::one(Kernel::GlobalMaxPool, vec![n, c, 1, 1]))
            }
            Op::Lrn(lrn) => Ok(Self::one(Kernel::Lrn(lrn.clone()), self.image()?.to_vec())),
            Op::BatchNormalization { epsilon } => {
                let shape = self.floats(0)?.shape.clone();
                self.per_channel(&shape, 1..5)?;
                Ok(Self::one(
                    Kernel::BatchNormalization { epsilon: *epsilon },
                    shape,
                ))
            }
            Op::InstanceNormalization { epsilon } => {
                let shape = self.image()?.to_vec();
                self.per_channel(&shape, 1..3)?;
                Ok(Self::one(
                    Kernel::InstanceNormalization { epsilon: *epsilon },
                    shape,
                ))
            }
            Op::LayerNormalization { axis, epsilon } => self.layer_normalization(*axis, *epsilon),
            Op::Unary(unary) => self.unary(*unary),
            Op::Clip { min, max, inputs } => self.clip(*min, *max, *inputs),
            Op::PRelu { per_channel } => self.prelu(*per_channel),
            Op::Softmax { axis, flatten, log } => {
                let shape = self.floats(0)?.shape.clone();
                let axis = axis_of(*axis, shape.len())?;
                let (view, axis) = if *flatten {
                    (
                        vec![
                            shape[..axis].iter().product(),
                            shape[axis..].iter().product(),
                        ],
                        1,
                    )
                } else {
                    (shape.clone(), axis)
                };
                Ok(Self::one(
                    Kernel::Softmax {
                        view,
                        axis,
                        log: *log,
                    },
                    shape,
                ))
            }
            Op::Binary { op, axis } => self.binary(*op, *axis),
            Op::Sum => {
                let mut shape = self.floats(0)?.shape.clone();
                for i in 1..self.inputs.len() {
                    let other = &self.floats(i)?.shape;
                    shape = broadcast(&shape, other)
                        .ok_or_else(|| format!("{shape:?} and {other:?} do not broadcast"))?;
                }
                Ok(Self::one(Kernel::Sum, shape))
            }
            Op::Gemm {
                alpha,
                beta,
                transpose_a,
                transpose_b,
            } => self.gemm(*alpha, *beta, *transpose_a, *transpose_b),
            Op::MatMul => self.matmul(),
            Op::Concat { axis } => self.concat(*axis),
            Op::Split { axis, sizes } => self.split(*axis, sizes.as_deref()),
            Op::Flatten { axis } => {
                let shape = &self.input(0)?.shape;
                let rank = shape.len() as i64;
                let axis = if *axis < 0 { axis + rank } else { *axis };
                let cut = usize::try_from(axis)
                    .ok()
                    .filter(|&a| a <= shape.len())
                    .ok_or_else(|| format!("axis {axis} is outside a tensor of rank {rank}"))?;
                let (outer, inner) = shape.split_at(cut);
                self.view(vec![outer.iter().product(), inner.iter().product()])
            }
            Op::Reshape { shape, allow_zero } => self.reshape(shape.as_deref(), *allow_zero),
            Op::Transpose { permutation } => self.transpose(permutation.as_deref()),
            Op::Squeeze { axes } => self.squeeze(axes.as_deref()),
            Op::Unsqueeze { axes } => self.unsqueeze(axes.as_deref()),
            Op::Identity { dropout } => {
                if *dropout
                    && let Some(training) = self.optional(2).and_then(|k| k.host.as_ref())
                    && training.floats().iter().any(|&v| v != 0.0)
                {
                    return Err("training_mode is on; export for inference".into());
                }
                Ok((Kernel::Identity, vec![self.input(0)?.clone()])).map(host_if_known)
            }
            Op::Pad { mode, pads, value } => self.pad(*mode, pads.as_deref(), *value),
            Op::Slice { attributes } => match attributes {
                Some(s) => self.slice(&s.starts, &s.ends, s.axes.as_deref(), None),
                None => {
                    let axes = self.optional_ints(3, "axes")?;
                    let steps = self.optional_ints(4, "steps")?;
                    let (starts, ends) = (self.ints(1, "starts")?, self.ints(2, "ends")?);
                    self.slice(&starts, &ends, axes.as_deref(), steps.as_deref())
                }
            },
            Op::Gather { axis } => self.gather(*axis),
            Op::Shape { start, end } => {
                let shape: Vec<_> = self.input(0)?.shape.iter().map(|&d| d as i64).collect();
                let end = end.unwrap_or(i64::MAX);
                let range = Range::resolve(shape.len(), *start, end, 1)?;
                Ok(Self::known(HostTensor::from_ints(
                    range.indices().map(|i| shape[i]).collect(),
                )))
            }
            Op::Cast { to } => {
                let x = self.input(0)?;
                match &x.host {
                    Some(host) => Ok(Self::known(host.cast(*to))),
                    None if x.kind == *to => Ok(Self::one(Kernel::Identity, x.shape.clone())),
                    None => Err(format!("casting activations to {to:?} is not supported").into()),
                }
            }
            Op::ReduceMean {
                axes,
                keep_dims,
                empty_is_identity,
            } => self.reduce_mean(axes.as_deref(), *keep_dims, *empty_is_identity),
            Op::Where => match self.all_host().as_deref() {
                Some(&[c, yes, no]) => {
                    let shape = broadcast(c.shape(), yes.shape())
                        .and_then(|s| broadcast(&s, no.shape()))
                        .ok_or("its inputs do not broadcast")?;
                    element_count(&shape).ok_or_else(|| Refused::TooLarge(shape.clone()))?;
                    Ok(Self::known(c.choose(yes, no, &shape)?))
                }
                Some(_) => Err("it needs three inputs".into()),
                None => Err("only constants are supported".into()),
            },
            Op::Expand => {
                let x = self.input(0)?;
                let target = sizes(&self.ints(1, "the shape")?)?;
                let shape = broadcast(&x.shape, &target)
                    .ok_or_else(|| format!("{:?} does not expand to {target:?}", x.shape))?;
                element_count(&shape).ok_or_else(|| Refused::TooLarge(shape.clone()))?;
                match &x.host {
                    Some(host) => Ok(Self::known(host.expand(&shape)?)),
                    None => Ok(Self::one(Kernel::Expand, shape)),
                }
            }
        }
    }

    fn optional_ints(&self, index: usize, what: &str) -> Result<Option<Vec<i64>>, Refused> {
        self.optional(index)
            .map(|_| self.ints(index, what))
            .transpose()
    }

    fn conv(&self, window: &Window, groups: usize) -> Result<Resolved, Refused> {
        let [n, c, h, w] = self.image()?;
        let weight = &self.floats(1)?.shape;
        let [out, per_group, kh, kw] = <[usize; 4]>::try_from(weight.as_slice())
            .ok()
            .filter(|s| s.iter().all(|&d| d > 0))
            .ok_or_else(|| {
                format!("weights have shape {weight:?}, expected [O, C/groups, H, W]")
            })?;
        if per_group.checked_mul(groups) != Some(c) || out % groups != 0 {
            return Err(format!(
                "weights {weight:?} in {groups} groups do not fit an input of {c} channels"
            )
            .into());
        }
        if let Some(stated) = window.kernel
            && stated != [kh, kw]
        {
            return Err(
                format!("kernel_shape {stated:?} differs from the weights' {weight:?}").into(),
            );
        }
        if let Some(bias) = self.optional(2)
            && (bias.shape != [out] || bias.kind != ElementType::F32)
        {
            return Err(format!("bias has shape {:?}, expected [{out}]", bias.shape).into());
        }
        let pads = pads(window, [kh, kw], [h, w])?;
        let size = |i: usize, input: usize, kernel: usize| {
            let reach = (kernel - 1)
                .checked_mul(window.dilation[i])?
                .checked_add(1)?;
            let span = (input + pads[i] + pads[i + 2]).checked_sub(reach)?;
            Some(span / window.stride[i] + 1)
        };
        let (Some(oh), Some(ow)) = (size(0, h, kh), size(1, w, kw)) else {
            return Err(format!(
                "a kernel of {kh}x{kw} (dilation {:?}) does not fit an input of {h}x{w} padded by \
                 {pads:?}",
                window.dilation
            )
            .into());
        };
        let kernel = Kernel::Conv {
            stride: window.stride,
            pads,
            dilation: window.dilation,
            kernel: [kh, kw],
            groups,
        };
        Ok(Self::one(kernel, vec![n, out, oh, ow]))
    }

    /// Checks that inputs `which` hold one number per channel of `shape`.
    fn per_channel(&self, shape: &[usize], which: std::ops::Range<usize>) -> Result<(), Refused> {
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

    fn layer_normalization(&self, axis: i64, epsilon: f32) -> Result<Resolved, Refused> {
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

    fn unary(&self, unary: Unary) -> Result<Resolved, Refused> {
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

    fn clip(
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
        Ok(Self::one(Kernel::Clip { min, max }, shape))
    }

    fn prelu(&self, per_channel: bool) -> Result<Resolved, Refused> {
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

    fn binary(&self, op: HostBinary, axis: Option<i64>) -> Result<Resolved, Refused> {
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
        let shape = broadcast(&a.shape, &b_view)
            .ok_or_else(|| format!("{:?} and {:?} do not broadcast", a.shape, b.shape))?;
        element_count(&shape).ok_or_else(|| Refused::TooLarge(shape.clone()))?;
        if let (Some(x), Some(y)) = (&a.host, &b.host) {
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

    fn gemm(
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

    fn matmul(&self) -> Result<Resolved, Refused> {
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

    fn concat(&self, axis: i64) -> Result<Resolved, Refused> {
        let first = &self.input(0)?.shape;
        let axis = axis_of(axis, first.len())?;
        let mut shape = first.clone();
        for i in 1..self.inputs.len() {
            let other = &self.input(i)?.shape;
            let fits = other.len() == shape.len()
                && (0..shape.len()).all(|d| d == axis || other[d] == shape[d]);
            if !fits {
                return Err(format!("{other:?} cannot follow {first:?} along axis {axis}").into());
            }
            shape[axis] = shape[axis]
                .checked_add(other[axis])
                .ok_or("the sizes overflow")?;
        }
        if let Some(parts) = self.all_host() {
            return Ok(Self::known(HostTensor::concat(&parts, axis)?));
        }
        for i in 0..self.inputs.len() {
            self.floats(i)?;
        }
        Ok(Self::one(Kernel::Concat { axis }, shape))
    }

    fn split(&self, axis: i64, stated: Option<&[i64]>) -> Result<Resolved, Refused> {
        let x = self.input(0)?;
        let axis = axis_of(axis, x.shape.len())?;
        let total = x.shape[axis];
        let from_input = self.optional_ints(1, "the split")?;
        let parts = match stated.map(<[_]>::to_vec).or(from_input) {
            Some(parts) => sizes(&parts)?,
            None => {
                let part = total.div_ceil(self.outputs);
                (0..self.outputs)
                    .map(|i| part.min(total.saturating_sub(i * part)))
                    .collect()
            }
        };
        let sum = parts.iter().try_fold(0_usize, |s, &p| s.checked_add(p));
        if sum != Some(total) || parts.len() != self.outputs || parts.contains(&0) {
            return Err(format!(
                "{parts:?} does not split {total} into {} outputs",
                self.outputs
            )
            .into());
        }
        let mut start = 0;
        let mut known = Vec::new();
        for &len in &parts {
            let mut ranges: Vec<_> = x.shape.iter().map(|&d| Range::whole(d)).collect();
            ranges[axis] = Range {
                start,
                step: 1,
                len,
            };
            let mut shape = x.shape.clone();
            shape[axis] = len;
            known.push(match &x.host {
                Some(host) => Known::host(host.slice(&ranges)),
                None => Known::activation(shape),
            });
            start += len;
        }
        if x.host.is_some() {
            return Ok((Kernel::Host, known));
        }
        self.floats(0)?;
        Ok((Kernel::Split { axis, sizes: parts }, known))
    }

    /// The input with another shape of the same size.
    fn view(&self, shape: Vec<usize>) -> Result<Resolved, Refused> {
        let x = self.input(0)?;
        if element_count(&x.shape) != element_count(&shape) {
            return Err(format!("cannot view {:?} as {shape:?}", x.shape).into());
        }
        match &x.host {
            Some(host) => Ok(Self::known(host.reshape(&shape)?)),
            None => {
                self.floats(0)?;
                Ok(Self::one(Kernel::Reshape, shape))
            }
        }
    }

    fn reshape(&self, stated: Option<&[i64]>, allow_zero: bool) -> Result<Resolved, Refused> {
        let x = self.input(0)?;
        let mut target = match stated {
            Some(shape) => shape.to_vec(),
            None => self.ints(1, "the shape")?,
        };
        let stated = target.clone();
        // Files made for one batch size write it into their reshapes.
        if let (Some(written), Some(actual)) = (self.batch.stated, self.batch.actual)
            && written != actual
            && x.host.is_none()
            && x.shape.first() == Some(&actual)
            && target.first() == Some(&(written as i64))
        {
            target[0] = actual as i64;
        }
        let fail = || format!("cannot view {:?} as {stated:?}", x.shape);
        let mut shape = Vec::with_capacity(target.len());
        let mut free = None;
        for (i, &d) in target.iter().enumerate() {
            shape.push(match d {
                0 if !allow_zero => *x.shape.get(i).ok_or_else(fail)?,
                -1 if free.is_none() => {
                    free = Some(i);
                    1
                }
                d => usize::try_from(d).map_err(|_| fail())?,
            });
        }
        if let Some(i) = free {
            let rest = element_count(&shape).ok_or_else(|| Refused::TooLarge(shape.clone()))?;
            let all = element_count(&x.shape).unwrap_or(0);
            if rest == 0 || all % rest != 0 {
                return Err(fail().into());
            }
            shape[i] = all / rest;
        }
        self.view(shape)
    }

    fn transpose(&self, permutation: Option<&[i64]>) -> Result<Resolved, Refused> {
        let x = self.input(0)?;
        let rank = x.shape.len();
        let axes = match permutation {
            None => (0..rank).rev().collect(),
            Some(stated) => {
                let axes: Vec<usize> = stated
                    .iter()
                    .map(|&a| axis_of(a, rank))
                    .collect::<Result<_, _>>()?;
                let mut sorted = axes.clone();
                sorted.sort_unstable();
                if sorted != (0..rank).collect::<Vec<_>>() {
                    return Err(format!("{stated:?} does not permute {rank} axes").into());
                }
                axes
            }
        };
        let shape = axes.iter().map(|&a| x.shape[a]).collect();
        match &x.host {
            Some(host) => Ok(Self::known(host.permute(&axes))),
            None => Ok(Self::one(Kernel::Permute(axes), shape)),
        }
    }

    fn squeeze(&self, stated: Option<&[i64]>) -> Result<Resolved, Refused> {
        let shape = &self.input(0)?.shape;
        let from_input = self.optional_ints(1, "axes")?;
        let drop: Vec<usize> = match stated.map(<[_]>::to_vec).or(from_input) {
            None => (0..shape.len()).filter(|&i| shape[i] == 1).collect(),
            Some(axes) => axes
                .iter()
                .map(|&a| axis_of(a, shape.len()))
                .collect::<Result<_, _>>()?,
        };
        if let Some(&axis) = drop.iter().find(|&&a| shape[a] != 1) {
            return Err(format!("axis {axis} of {shape:?} is not 1").into());
        }
        let kept = (0..shape.len())
            .filter(|i| !drop.contains(i))
            .map(|i| shape[i])
            .collect();
        self.view(kept)
    }

    fn unsqueeze(&self, stated: Option<&[i64]>) -> Result<Resolved, Refused> {
        let shape = &self.input(0)?.shape;
        let axes = match stated {
            Some(axes) => axes.to_vec(),
            None => self.ints(1, "axes")?,
        };
        let rank = shape.len() + axes.len();
        let mut added: Vec<usize> = axes
            .iter()
            .map(|&a| axis_of(a, rank))
            .collect::<Result<_, _>>()?;
        added.sort_unstable();
        added.dedup();
        if added.len() != axes.len() {
            return Err(format!("axes {axes:?} repeat").into());
        }
        let mut view = shape.clone();
        for axis in added {
            view.insert(axis, 1);
        }
        self.view(view)
    }

    fn pad(&self, mode: PadKind, stated: Option<&[i64]>, value: f32) -> Result<Resolved, Refused> {
        let shape = self.floats(0)?.shape.clone();
        let pads = match stated {
            Some(pads) => pads.to_vec(),
            None => self.ints(1, "pads")?,
        };
        let value = match self.optional(2) {
            None => value,
            Some(known) => match &known.host {
                Some(host) => host.scalar_float()?,
                None => return Err("the padding's value depends on the image".into()),
            },
        };
        let axes: Vec<usize> = match self.optional_ints(3, "axes")? {
            None => (0..shape.len()).collect(),
            Some(axes) => axes
                .iter()
                .map(|&a| axis_of(a, shape.len()))
                .collect::<Result<_, _>>()?,
        };
        if pads.len() != 2 * axes.len() {
            return Err(format!("{} pads for {} axes", pads.len(), axes.len()).into());
        }
        let pads = sizes(&pads).map_err(|_| "negative pads are not supported")?;
        let mut pairs = vec![(0, 0); shape.len()];
        for (i, &axis) in axes.iter().enumerate() {
            pairs[axis] = (pads[i], pads[i + axes.len()]);
        }
        let mut out = Vec::new();
        for (&d, &(before, after)) in shape.iter().zip(&pairs) {
            let widest = before.max(after);
            let too_wide = match mode {
                PadKind::Constant => false,
                PadKind::Reflect => widest > 0 && widest >= d,
                PadKind::Edge => widest > 0 && d == 0,
            };
            if too_wide {
                return Err(format!("{mode:?} padding by {widest} of a dimension of {d}").into());
            }
            let sum = d.checked_add(before).and_then(|s| s.checked_add(after));
            out.push(sum.ok_or("the padded size overflows")?);
        }
        Ok(Self::one(
            Kernel::Pad {
                pads: pairs,
                mode,
                value,
            },
            out,
        ))
    }

    fn slice(
        &self,
        starts: &[i64],
        ends: &[i64],
        axes: Option<&[i64]>,
        steps: Option<&[i64]>,
    ) -> Result<Resolved, Refused> {
        let x = self.input(0)?;
        let rank = x.shape.len();
        let default: Vec<i64> = (0..starts.len() as i64).collect();
        let axes = axes.unwrap_or(&default);
        let ones = vec![1; starts.len()];
        let steps = steps.unwrap_or(&ones);
        if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] {
            return Err("starts, ends, axes and steps differ in length".into());
        }
        let mut ranges: Vec<_> = x.shape.iter().map(|&d| Range::whole(d)).collect();
        for i in 0..starts.len() {
            let axis = axis_of(axes[i], rank)?;
            ranges[axis] = Range::resolve(x.shape[axis], starts[i], ends[i], steps[i])?;
        }
        if let Some(host) = &x.host {
            return Ok(Self::known(host.slice(&ranges)));
        }
        let shape: Vec<usize> = ranges.iter().map(|r| r.len).collect();
        if shape.contains(&0) {
            return Err(format!("nothing of {:?} is left", x.shape).into());
        }
        Ok(Self::one(Kernel::Slice(ranges), shape))
    }

    fn gather(&self, axis: i64) -> Result<Resolved, Refused> {
        let x = self.input(0)?;
        let axis = axis_of(axis, x.shape.len())?;
        let shape = self.input(1)?.shape.clone();
        let dim = x.shape[axis];
        let indices: Vec<usize> = self
            .ints(1, "the indices")?
            .iter()
            .map(|&i| {
                let wrapped = if i < 0 {
                    i.saturating_add(dim as i64)
                } else {
                    i
                };
                usize::try_from(wrapped)
                    .ok()
                    .filter(|&i| i < dim)
                    .ok_or_else(|| format!("index {i} is outside a dimension of {dim}"))
            })
            .collect::<Result<_, _>>()?;
        let mut out = x.shape.clone();
        out.splice(axis..=axis, shape.iter().copied());
        element_count(&out).ok_or_else(|| Refused::TooLarge(out.clone()))?;
        match &x.host {
            Some(host) => Ok(Self::known(host.gather(axis, &indices, &shape)?)),
            None if indices.is_empty() => Err("no index is given".into()),
            None => Ok(Self::one(Kernel::Gather { axis, indices }, out)),
        }
    }

    fn reduce_mean(
        &self,
        stated: Option<&[i64]>,
        keep: bool,
        empty_is_identity: bool,
    ) -> Result<Resolved, Refused> {
        let shape = self.floats(0)?.shape.clone();
        let from_input = self.optional_ints(1, "axes")?;
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
}

fn host_if_known((kernel, known): Resolved) -> Resolved {
    if known.iter().all(|k| k.host.is_some()) {
        (Kernel::Host, known)
    } else {
        (kernel, known)
    }
}

/// `axis` counted from the front.
fn axis_of(axis: i64, rank: usize) -> Result<usize, String> {
    let wrapped = if axis < 0 {
        axis.saturating_add(rank as i64)
    } else {
        axis
    };
    usize::try_from(wrapped)
        .ok()
        .filter(|&a| a < rank)
        .ok_or_else(|| format!("axis {axis} is outside a tensor of rank {rank}"))
}

fn sizes(values: &[i64]) -> Result<Vec<usize>, String> {
    values
        .iter()
        .map(|&v| usize::try_from(v).map_err(|_| format!("{values:?} holds a negative size")))
        .collect()
}

/// The shape with ones in front up to `rank`.
fn aligned(shape: &[usize], rank: usize) -> Vec<usize> {
    let mut view = vec![1; rank.saturating_sub(shape.len())];
    view.extend_from_slice(shape);
    view
}

fn pool(window: &Window, input: [usize; 2]) -> Result<Pool2d, Refused> {
    let kernel = window.kernel.ok_or("the window has no size")?;
    Ok(Pool2d {
        kernel,
        stride: window.stride,
        pads: pads(window, kernel, input)?,
        dilation: window.dilation,
        ceil_mode: window.ceil_mode && matches!(window.padding, Padding::Explicit(_)),
    })
}

/// The border `[top, left, bottom, right]`.
fn pads(window: &Window, kernel: [usize; 2], input: [usize; 2]) -> Result<[usize; 4], String> {
    let mut pads = [0; 4];
    for i in 0..2 {
        let reach = (kernel[i] - 1)
            .checked_mul(window.dilation[i])
            .and_then(|r| r.checked_add(1))
            .ok_or("the window overflows")?;
        let needed = || {
            let positions = input[i].div_ceil(window.stride[i]);
            ((positions - 1) * window.stride[i] + reach).saturating_sub(input[i])
        };
        (pads[i], pads[i + 2]) = match window.padding {
            Padding::Explicit(p) => (p[i], p[i + 2]),
            Padding::SameUpper => (needed() / 2, needed() - needed() / 2),
            Padding::SameLower => (needed() - needed() / 2, needed() / 2),
        };
    }
    Ok(pads)
}
