use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use crate::Pool2d;

/// What an operator does, by the name that ONNX gives it.
///
/// The constants are the names that rules and reports speak of most; [`OpKind::new`] makes one of any
/// other name, also of operators that this library does not know. [`Display`](fmt::Display) and
/// [`FromStr`] use the ONNX `op_type`: `OpKind::Lrn` is `"LRN"`. `Input` stands for a graph's input,
/// which ONNX does not count as an operator. Operators of other domains than ONNX's own have the domain
/// in front: `com.microsoft.BiasGelu`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OpKind(&'static str);

macro_rules! named {
    ($($kind:ident => $onnx:literal),* $(,)?) => {
        #[allow(non_upper_case_globals)]
        impl OpKind {
            $(#[doc = concat!("`", $onnx, "`")] pub const $kind: OpKind = OpKind($onnx);)*
        }
    };
}

named! {
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
    /// The operator of this name.
    pub const fn new(name: &'static str) -> Self {
        Self(name)
    }

    /// The operator of a name that was read somewhere. Each name is kept once, for as long as the
    /// program runs; who invents tens of thousands of names gets one for the rest.
    pub fn named(name: &str) -> Self {
        const MOST: usize = 1 << 15;
        static NAMES: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
        let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
        match names.get(name) {
            Some(known) => Self(known),
            None if names.len() >= MOST => Self("Unknown"),
            None => {
                let kept: &'static str = Box::leak(name.to_owned().into_boxed_str());
                names.insert(kept);
                Self(kept)
            }
        }
    }

    /// The ONNX `op_type`.
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for OpKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A text that cannot name an operator: ONNX's names have letters, digits, `_` and `.` only.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` cannot name an operator")]
pub struct InvalidOpKind(pub String);

impl FromStr for OpKind {
    type Err = InvalidOpKind;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
        match !name.is_empty() && name.len() <= 128 && name.chars().all(fits) {
            true => Ok(Self::named(name)),
            false => Err(InvalidOpKind(name.to_owned())),
        }
    }
}

/// What an operator is to whoever hands something from its output to its inputs: gradients by another
/// rule, relevance, contributions.
///
/// Rules are written for an algebra, not for a list of names, so that a new operator is covered from
/// the day on which it says what it is. It depends on which inputs are constant: `Mul` by a weight is
/// [`Affine`](Algebra::Affine), `Mul` of two activations a [`Product`](Algebra::Product).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Algebra {
    /// Joins, cuts, repeats or rearranges numbers, and changes none: `Concat`, `Reshape`, `Gather`.
    Moves,
    /// Linear in its first input over positions and channels, with constant weights: `Conv`,
    /// `ConvTranspose`.
    Convolution,
    /// The product with a constant matrix, and perhaps a bias: `Gemm`, `MatMul` by a weight.
    Dense,
    /// A constant matrix times the input: `MatMul` of a weight by an activation.
    Mixture,
    /// Means or sums of one input, or fixed mixtures of its positions: `AveragePool`, `ReduceSum`,
    /// `Resize`.
    Linear,
    /// A sum or difference of its inputs: `Add`, `Sub`, `Sum`.
    Sum,
    /// Element by element a constant times the input, and perhaps plus one: `BatchNormalization`,
    /// `Neg`, `Mul` by a weight.
    Affine,
    /// The largest of several numbers: `MaxPool`, `Max` of several inputs.
    Maximum,
    /// The smallest of several numbers: `Min` of several inputs.
    Minimum,
    /// A nonlinearity of one input, element by element, that stands between layers: `Relu`, `Clip`,
    /// `Tanh`.
    Activation,
    /// An activation that is its input times a factor that follows from it: `HardSwish`, `Gelu`.
    Gate,
    /// Any other function of one input, element by element: `Exp`, `Sqrt`.
    Function,
    /// A product of values that both depend on the image: `Mul`, `MatMul`.
    Product,
    /// A quotient whose divisor depends on the image: `Div`.
    Quotient,
    /// Divides each number by something that its neighbours decide: `LRN`.
    LocalNormalization,
    /// Subtracts a mean, divides by a deviation, or both: `LayerNormalization`.
    Normalization,
    /// Exponentials that sum to one, or their logarithms: `Softmax`, `LogSoftmax`.
    Softmax,
    /// Decides between numbers or tells where something is: its derivative is 0 wherever there is one.
    /// `Equal`, `ArgMax`, `Floor`.
    Decision,
    /// None of these.
    Other,
}

impl Algebra {
    /// Every algebra.
    pub const ALL: [Algebra; 19] = [
        Self::Moves,
        Self::Convolution,
        Self::Dense,
        Self::Mixture,
        Self::Linear,
        Self::Sum,
        Self::Affine,
        Self::Maximum,
        Self::Minimum,
        Self::Activation,
        Self::Gate,
        Self::Function,
        Self::Product,
        Self::Quotient,
        Self::LocalNormalization,
        Self::Normalization,
        Self::Softmax,
        Self::Decision,
        Self::Other,
    ];

    /// Whether this is an element-wise nonlinearity between layers. A softmax mixes classes and is
    /// none.
    pub const fn is_activation(self) -> bool {
        matches!(self, Self::Activation | Self::Gate)
    }

    /// Whether the operator has weights that a rule may look at.
    pub const fn is_weighted(self) -> bool {
        matches!(self, Self::Convolution | Self::Dense)
    }

    /// Its name in messages and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Moves => "moves numbers",
            Self::Convolution => "convolution",
            Self::Dense => "dense",
            Self::Mixture => "mixture",
            Self::Linear => "linear",
            Self::Sum => "sum",
            Self::Affine => "affine",
            Self::Maximum => "maximum",
            Self::Minimum => "minimum",
            Self::Activation => "activation",
            Self::Gate => "gate",
            Self::Function => "function",
            Self::Product => "product",
            Self::Quotient => "quotient",
            Self::LocalNormalization => "local normalization",
            Self::Normalization => "normalization",
            Self::Softmax => "softmax",
            Self::Decision => "decision",
            Self::Other => "other",
        }
    }
}

impl fmt::Display for Algebra {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
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
    Other(OpKind, Algebra),
}

impl Operator<'_> {
    /// What it is to a rule.
    pub fn algebra(&self) -> Algebra {
        match self {
            Operator::Relu | Operator::Clip { .. } => Algebra::Activation,
            Operator::MaxPool(_) => Algebra::Maximum,
            Operator::Other(_, algebra) => *algebra,
        }
    }

    /// The kind of operator.
    pub fn kind(&self) -> OpKind {
        match self {
            Operator::Relu => OpKind::Relu,
            Operator::Clip { .. } => OpKind::Clip,
            Operator::MaxPool(_) => OpKind::MaxPool,
            Operator::Other(kind, _) => *kind,
        }
    }
}
