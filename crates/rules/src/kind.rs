use std::fmt;
use std::str::FromStr;

use crate::Pool2d;

macro_rules! op_kinds {
    ($($kind:ident => $onnx:literal),* $(,)?) => {
        /// What an operator does, named as ONNX names it.
        ///
        /// [`Display`](fmt::Display) and [`FromStr`] use the ONNX `op_type`: `OpKind::Lrn` is
        /// `"LRN"`. `Input` stands for a graph's input, which ONNX does not count as an operator.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum OpKind {
            $(#[doc = concat!("`", $onnx, "`")] $kind,)*
        }

        impl OpKind {
            /// Every kind, in the order of declaration.
            pub const ALL: &[OpKind] = &[$(OpKind::$kind),*];

            /// The ONNX `op_type`.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(OpKind::$kind => $onnx,)*
                }
            }
        }
    };
}

op_kinds! {
    Conv => "Conv",
    Relu => "Relu",
    Clip => "Clip",
    LeakyRelu => "LeakyRelu",
    PRelu => "PRelu",
    Sigmoid => "Sigmoid",
    HardSigmoid => "HardSigmoid",
    HardSwish => "HardSwish",
    Tanh => "Tanh",
    Elu => "Elu",
    Softmax => "Softmax",
    LogSoftmax => "LogSoftmax",
    MaxPool => "MaxPool",
    AveragePool => "AveragePool",
    GlobalAveragePool => "GlobalAveragePool",
    GlobalMaxPool => "GlobalMaxPool",
    Lrn => "LRN",
    BatchNormalization => "BatchNormalization",
    InstanceNormalization => "InstanceNormalization",
    LayerNormalization => "LayerNormalization",
    Concat => "Concat",
    Add => "Add",
    Sub => "Sub",
    Mul => "Mul",
    Div => "Div",
    Pow => "Pow",
    Sqrt => "Sqrt",
    Log => "Log",
    Abs => "Abs",
    Reciprocal => "Reciprocal",
    Floor => "Floor",
    Ceil => "Ceil",
    Min => "Min",
    Max => "Max",
    Exp => "Exp",
    Neg => "Neg",
    Sum => "Sum",
    Gemm => "Gemm",
    MatMul => "MatMul",
    Flatten => "Flatten",
    Reshape => "Reshape",
    Transpose => "Transpose",
    Squeeze => "Squeeze",
    Unsqueeze => "Unsqueeze",
    Dropout => "Dropout",
    Identity => "Identity",
    Constant => "Constant",
    ConstantOfShape => "ConstantOfShape",
    Shape => "Shape",
    Gather => "Gather",
    Slice => "Slice",
    Pad => "Pad",
    ReduceMean => "ReduceMean",
    Cast => "Cast",
    Split => "Split",
    Erf => "Erf",
    Where => "Where",
    Expand => "Expand",
    Equal => "Equal",
    Mod => "Mod",
    Input => "Input",
}

impl OpKind {
    /// Whether this is an element-wise nonlinearity between layers.
    ///
    /// `Softmax` and `LogSoftmax` mix classes and are not counted.
    pub fn is_activation(self) -> bool {
        matches!(
            self,
            OpKind::Relu
                | OpKind::Clip
                | OpKind::LeakyRelu
                | OpKind::PRelu
                | OpKind::Sigmoid
                | OpKind::HardSigmoid
                | OpKind::HardSwish
                | OpKind::Tanh
                | OpKind::Elu
        )
    }
}

impl fmt::Display for OpKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A name that is no [`OpKind`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown operator `{0}`")]
pub struct UnknownOpKind(pub String);

impl FromStr for OpKind {
    type Err = UnknownOpKind;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        OpKind::ALL
            .iter()
            .copied()
            .find(|kind| kind.as_str() == name)
            .ok_or_else(|| UnknownOpKind(name.to_owned()))
    }
}

/// An operator with the attributes that a [`Rule`](crate::Rule) needs to replace its gradient.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Operator<'a> {
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, min), max)`; ReLU6 is `Clip { min: 0.0, max: 6.0 }`. An absent bound is
    /// infinite.
    Clip {
        /// The lower bound.
        min: f32,
        /// The upper bound.
        max: f32,
    },
    /// Maximum over windows.
    MaxPool(&'a Pool2d),
    /// Any operator without attributes of interest to the built-in rules.
    Other(OpKind),
}

impl Operator<'_> {
    /// The kind of operator.
    pub fn kind(&self) -> OpKind {
        match self {
            Operator::Relu => OpKind::Relu,
            Operator::Clip { .. } => OpKind::Clip,
            Operator::MaxPool(_) => OpKind::MaxPool,
            Operator::Other(kind) => *kind,
        }
    }
}
