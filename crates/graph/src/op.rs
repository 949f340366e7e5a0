//! The typed operators of a graph, as the file states them.

use elucid_rules::{Lrn, OpKind};

use crate::host::{ElementType, HostBinary, HostTensor};

/// How a window operator treats the border.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Padding {
    /// `[top, left, bottom, right]`.
    Explicit([usize; 4]),
    /// As much as keeps `ceil(input / stride)` positions; the odd one at the end.
    SameUpper,
    /// The same with the odd one at the beginning.
    SameLower,
}

/// A sliding window in two dimensions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// `[height, width]`; `None` where the weights say it.
    pub kernel: Option<[usize; 2]>,
    /// Steps `[down, right]`.
    pub stride: [usize; 2],
    /// The border.
    pub padding: Padding,
    /// Distance between taps `[down, right]`.
    pub dilation: [usize; 2],
    /// Whether a last, partial window counts.
    pub ceil_mode: bool,
}

/// Element-wise functions of one tensor.
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(missing_docs)]
pub enum Unary {
    Relu,
    LeakyRelu { alpha: f32 },
    Sigmoid,
    HardSigmoid { alpha: f32, beta: f32 },
    HardSwish,
    Tanh,
    Elu { alpha: f32 },
    Sqrt,
    Exp,
    Log,
    Neg,
    Abs,
    Reciprocal,
    Erf,
    Floor,
    Ceil,
}

/// How numbers outside a tensor are made up by `Pad`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum PadKind {
    Constant,
    Reflect,
    Edge,
}

/// An operator with its attributes.
///
/// Where a parameter moved from an attribute to an input between opsets, the field is `Some` for
/// the attribute and `None` for the input.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub enum Op {
    Constant(HostTensor),
    ConstantOfShape(HostTensor),
    Conv {
        window: Window,
        groups: usize,
    },
    MaxPool(Window),
    AveragePool {
        window: Window,
        count_include_pad: bool,
    },
    GlobalAveragePool,
    GlobalMaxPool,
    Lrn(Lrn),
    BatchNormalization {
        epsilon: f32,
    },
    InstanceNormalization {
        epsilon: f32,
    },
    LayerNormalization {
        axis: i64,
        epsilon: f32,
    },
    Unary(Unary),
    Clip {
        min: Option<f32>,
        max: Option<f32>,
        inputs: bool,
    },
    PRelu {
        per_channel: bool,
    },
    /// `flatten`: before opset 13, everything from `axis` on is one dimension.
    Softmax {
        axis: i64,
        flatten: bool,
        log: bool,
    },
    /// `axis`: where the second operand is aligned, before opset 7.
    Binary {
        op: HostBinary,
        axis: Option<i64>,
    },
    Sum,
    Gemm {
        alpha: f32,
        beta: f32,
        transpose_a: bool,
        transpose_b: bool,
    },
    MatMul,
    Concat {
        axis: i64,
    },
    Split {
        axis: i64,
        sizes: Option<Vec<i64>>,
    },
    Flatten {
        axis: i64,
    },
    Reshape {
        shape: Option<Vec<i64>>,
        allow_zero: bool,
    },
    Transpose {
        permutation: Option<Vec<i64>>,
    },
    Squeeze {
        axes: Option<Vec<i64>>,
    },
    Unsqueeze {
        axes: Option<Vec<i64>>,
    },
    /// Also `Dropout`, which does nothing at inference.
    Identity {
        dropout: bool,
    },
    Pad {
        mode: PadKind,
        pads: Option<Vec<i64>>,
        value: f32,
    },
    Slice {
        attributes: Option<SliceAttributes>,
    },
    Gather {
        axis: i64,
    },
    Shape {
        start: i64,
        end: Option<i64>,
    },
    Cast {
        to: ElementType,
    },
    ReduceMean {
        axes: Option<Vec<i64>>,
        keep_dims: bool,
        empty_is_identity: bool,
    },
    Where,
    Expand,
}

/// `Slice` before opset 10.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct SliceAttributes {
    pub starts: Vec<i64>,
    pub ends: Vec<i64>,
    pub axes: Option<Vec<i64>>,
}

impl Op {
    /// The operator's kind.
    pub fn kind(&self) -> OpKind {
        match self {
            Self::Constant(_) => OpKind::Constant,
            Self::ConstantOfShape(_) => OpKind::ConstantOfShape,
            Self::Conv { .. } => OpKind::Conv,
            Self::MaxPool(_) => OpKind::MaxPool,
            Self::AveragePool { .. } => OpKind::AveragePool,
            Self::GlobalAveragePool => OpKind::GlobalAveragePool,
            Self::GlobalMaxPool => OpKind::GlobalMaxPool,
            Self::Lrn(_) => OpKind::Lrn,
            Self::BatchNormalization { .. } => OpKind::BatchNormalization,
            Self::InstanceNormalization { .. } => OpKind::InstanceNormalization,
            Self::LayerNormalization { .. } => OpKind::LayerNormalization,
            Self::Unary(unary) => match unary {
                Unary::Relu => OpKind::Relu,
                Unary::LeakyRelu { .. } => OpKind::LeakyRelu,
                Unary::Sigmoid => OpKind::Sigmoid,
                Unary::HardSigmoid { .. } => OpKind::HardSigmoid,
                Unary::HardSwish => OpKind::HardSwish,
                Unary::Tanh => OpKind::Tanh,
                Unary::Elu { .. } => OpKind::Elu,
                Unary::Sqrt => OpKind::Sqrt,
                Unary::Exp => OpKind::Exp,
                Unary::Log => OpKind::Log,
                Unary::Neg => OpKind::Neg,
                Unary::Abs => OpKind::Abs,
                Unary::Reciprocal => OpKind::Reciprocal,
                Unary::Erf => OpKind::Erf,
                Unary::Floor => OpKind::Floor,
                Unary::Ceil => OpKind::Ceil,
            },
            Self::Clip { .. } => OpKind::Clip,
            Self::PRelu { .. } => OpKind::PRelu,
            Self::Softmax { log: false, .. } => OpKind::Softmax,
            Self::Softmax { log: true, .. } => OpKind::LogSoftmax,
            Self::Binary { op, .. } => match op {
                HostBinary::Add => OpKind::Add,
                HostBinary::Sub => OpKind::Sub,
                HostBinary::Mul => OpKind::Mul,
                HostBinary::Div => OpKind::Div,
                HostBinary::Pow => OpKind::Pow,
                HostBinary::Mod => OpKind::Mod,
                HostBinary::Min => OpKind::Min,
                HostBinary::Max => OpKind::Max,
                HostBinary::Equal => OpKind::Equal,
            },
            Self::Sum => OpKind::Sum,
            Self::Gemm { .. } => OpKind::Gemm,
            Self::MatMul => OpKind::MatMul,
            Self::Concat { .. } => OpKind::Concat,
            Self::Split { .. } => OpKind::Split,
            Self::Flatten { .. } => OpKind::Flatten,
            Self::Reshape { .. } => OpKind::Reshape,
            Self::Transpose { .. } => OpKind::Transpose,
            Self::Squeeze { .. } => OpKind::Squeeze,
            Self::Unsqueeze { .. } => OpKind::Unsqueeze,
            Self::Identity { dropout: true } => OpKind::Dropout,
            Self::Identity { dropout: false } => OpKind::Identity,
            Self::Pad { .. } => OpKind::Pad,
            Self::Slice { .. } => OpKind::Slice,
            Self::Gather { .. } => OpKind::Gather,
            Self::Shape { .. } => OpKind::Shape,
            Self::Cast { .. } => OpKind::Cast,
            Self::ReduceMean { .. } => OpKind::ReduceMean,
            Self::Where => OpKind::Where,
            Self::Expand => OpKind::Expand,
        }
    }
}
