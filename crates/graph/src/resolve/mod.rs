//! From an operator and the shapes of its inputs to what exactly is to be computed.
//!
//! Everything that can be wrong with a node is found here, before any tensor is touched: burn's
//! operations panic on shapes that do not fit, so nothing unchecked may reach them. Values that are
//! known without running the network (weights, shape arithmetic) are computed here as well.

mod arithmetic;
mod shape;
mod windows;

use elucid_rules::{Conv2d, Lrn, Pool2d};

use crate::activation::MAX_RANK;
use crate::error::few;
use crate::host::{
    ElementType, HostBinary, HostTensor, MAX_COMPUTED, MAX_ELEMENTS, Range, element_count,
};
use crate::op::{Op, PadKind, Unary};

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
        conv: Conv2d,
        kernel: [usize; 2],
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
    TooLarge { shape: Vec<usize>, limit: usize },
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
    let node = Node {
        inputs,
        outputs,
        batch,
    };
    let (kernel, known) = node.resolve(op)?;
    if kernel != Kernel::Host {
        let numbers = inputs.iter().flatten().chain(&known);
        for value in numbers.filter(|k| k.kind == ElementType::F32) {
            check_computable(&value.shape)?;
        }
    }
    Ok((kernel, known))
}

/// What burn computes with: a few dimensions, none of them empty.
fn check_computable(shape: &[usize]) -> Result<(), Refused> {
    if shape.len() > MAX_RANK {
        return Err(format!(
            "a tensor of shape {} has more than {MAX_RANK} dimensions",
            few(shape)
        )
        .into());
    }
    check_size(shape, MAX_ELEMENTS)?;
    if shape.contains(&0) {
        return Err(format!("a tensor of shape {shape:?} holds no numbers").into());
    }
    Ok(())
}

fn check_size(shape: &[usize], limit: usize) -> Result<(), Refused> {
    match element_count(shape) {
        Some(count) if count <= limit => Ok(()),
        _ => Err(Refused::TooLarge {
            shape: shape.to_vec(),
            limit,
        }),
    }
}

/// Checks a value that is about to be computed on the host.
fn check_host_size(shape: &[usize]) -> Result<(), Refused> {
    if shape.len() > LONGEST_LIST {
        return Err(format!("{} dimensions are too many", shape.len()).into());
    }
    check_size(shape, MAX_COMPUTED)
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
                format!(
                    "input has shape {}, expected [N, C, H, W] with no dimension 0",
                    few(shape)
                )
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

    /// The same for a list with at most one entry per dimension.
    fn list(&self, index: usize, what: &str) -> Result<Vec<i64>, Refused> {
        let count: usize = self.input(index)?.shape.iter().product();
        if count > LONGEST_LIST {
            return Err(format!("{what}: {count} numbers, expected one per dimension").into());
        }
        self.ints(index, what)
    }

    fn optional_list(&self, index: usize, what: &str) -> Result<Option<Vec<i64>>, Refused> {
        self.optional(index)
            .map(|_| self.list(index, what))
            .transpose()
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
                let shape = sizes(&self.list(0, "the shape")?)?;
                check_host_size(&shape)?;
                Ok(Self::known(value.expand(&shape)?))
            }
            Op::Conv { window, groups } => self.conv(window, *groups),
            Op::MaxPool(window) => self.max_pool(window),
            Op::AveragePool {
                window,
                count_include_pad,
            } => self.average_pool(window, *count_include_pad),
            Op::GlobalAveragePool => {
                let [n, c, ..] = self.image()?;
                let kernel = Kernel::ReduceMean { axes: vec![2, 3] };
                Ok(Self::one(kernel, vec![n, c, 1, 1]))
            }
            Op::GlobalMaxPool => {
                let [n, c, ..] = self.image()?;
                Ok(Self::one(Kernel::GlobalMaxPool, vec![n, c, 1, 1]))
            }
            Op::Lrn(lrn) => Ok(Self::one(Kernel::Lrn(*lrn), self.image()?.to_vec())),
            Op::BatchNormalization { epsilon } => {
                let shape = self.floats(0)?.shape.clone();
                self.per_channel(&shape, 1..5)?;
                let kernel = Kernel::BatchNormalization { epsilon: *epsilon };
                Ok(Self::one(kernel, shape))
            }
            Op::InstanceNormalization { epsilon } => {
                let shape = self.image()?.to_vec();
                self.per_channel(&shape, 1..3)?;
                let kernel = Kernel::InstanceNormalization { epsilon: *epsilon };
                Ok(Self::one(kernel, shape))
            }
            Op::LayerNormalization { axis, epsilon } => self.layer_normalization(*axis, *epsilon),
            Op::Unary(unary) => self.unary(*unary),
            Op::Clip { min, max, inputs } => self.clip(*min, *max, *inputs),
            Op::PRelu { per_channel } => self.prelu(*per_channel),
            Op::Softmax { axis, flatten, log } => self.softmax(*axis, *flatten, *log),
            Op::Binary { op, axis } => self.binary(*op, *axis),
            Op::Sum => self.sum(),
            Op::Gemm {
                alpha,
                beta,
                transpose_a,
                transpose_b,
            } => self.gemm(*alpha, *beta, *transpose_a, *transpose_b),
            Op::MatMul => self.matmul(),
            Op::Concat { axis } => self.concat(*axis),
            Op::Split { axis, sizes } => self.split(*axis, sizes.as_deref()),
            Op::Flatten { axis } => self.flatten(*axis),
            Op::Reshape { shape, allow_zero } => self.reshape(shape.as_deref(), *allow_zero),
            Op::Transpose { permutation } => self.transpose(permutation.as_deref()),
            Op::Squeeze { axes } => self.squeeze(axes.as_deref()),
            Op::Unsqueeze { axes } => self.unsqueeze(axes.as_deref()),
            Op::Identity { dropout } => self.identity(*dropout),
            Op::Pad { mode, pads, value } => self.pad(*mode, pads.as_deref(), *value),
            Op::Slice { attributes } => match attributes {
                Some(s) => self.slice(&s.starts, &s.ends, s.axes.as_deref(), None),
                None => {
                    let axes = self.optional_list(3, "axes")?;
                    let steps = self.optional_list(4, "steps")?;
                    let (starts, ends) = (self.list(1, "starts")?, self.list(2, "ends")?);
                    self.slice(&starts, &ends, axes.as_deref(), steps.as_deref())
                }
            },
            Op::Gather { axis } => self.gather(*axis),
            Op::Shape { start, end } => {
                let shape: Vec<_> = self.input(0)?.shape.iter().map(|&d| d as i64).collect();
                let end = end.unwrap_or(i64::MAX);
                let range = Range::resolve(shape.len(), *start, end, 1)?;
                let picked = range.indices().map(|i| shape[i]).collect();
                Ok(Self::known(HostTensor::from_ints(picked)))
            }
            Op::Cast { to } => self.cast(*to),
            Op::ReduceMean {
                axes,
                keep_dims,
                empty_is_identity,
            } => self.reduce_mean(axes.as_deref(), *keep_dims, *empty_is_identity),
            Op::Where => self.choose(),
            Op::Expand => self.expand(),
        }
    }
}

/// Far more dimensions than any tensor has.
pub(crate) const LONGEST_LIST: usize = 64;

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
        .map(|&v| usize::try_from(v).map_err(|_| format!("{} holds a negative size", few(values))))
        .collect()
}

/// The shape with ones in front up to `rank`.
fn aligned(shape: &[usize], rank: usize) -> Vec<usize> {
    let mut view = vec![1; rank.saturating_sub(shape.len())];
    view.extend_from_slice(shape);
    view
}
