//! What an operator is: everything that Elucid knows about one, behind two traits.
//!
//! An [`Operator`] is a node's operator with its attributes, as a file states it. Given what is known
//! of its inputs it [resolves](Operator::resolve): shapes are checked and computed, and what comes out
//! is either a value that is known already or a [`Kernel`], which runs on tensors. burn panics on
//! shapes that do not fit, so everything that can be wrong with a node is found while it resolves,
//! before any tensor exists.

mod axes;
mod check;
mod facts;
mod operands;
mod shapes;
mod weighted;

use std::fmt::Debug;
use std::sync::Arc;

use elucid_rules::{Algebra, OpKind, Statistics};

use crate::activation::Activation;
use crate::heads::Attends;
use crate::host::{ElementType, HostTensor};
use crate::limits::Excess;
use crate::place::Branch;
use crate::receptive::{Reach, Windows};

pub(crate) use axes::{aligned, axes_of, axes_or_all, axis_of, do_not_broadcast, sizes};
pub(crate) use check::{
    LONGEST_LIST, Ready, check_computable, check_host_size, check_size, check_work, resolve,
};
pub(crate) use facts::facts;
pub use operands::{Operands, Slots};
pub use shapes::Shapes;
pub(crate) use shapes::numbers;
pub use weighted::{BatchNorm, Weighted, Weights};

/// What is known of a value before the network runs.
#[derive(Debug, Clone)]
pub struct Known {
    /// Its shape.
    pub shape: Vec<usize>,
    /// What its elements are. On a device integers and booleans are numbers, too: exact up to 2^24, and
    /// 0 and 1.
    pub kind: ElementType,
    /// Its elements, if they do not depend on the image or were asked for.
    pub host: Option<HostTensor>,
    /// Whether the elements depend on the image and were read back because the operator asked for
    /// them. What is differentiable must still be computed from the tensor.
    pub is_read: bool,
}

impl Known {
    /// A value that is known.
    pub fn host(tensor: HostTensor) -> Self {
        Self {
            shape: tensor.shape().to_vec(),
            kind: tensor.element_type(),
            host: Some(tensor),
            is_read: false,
        }
    }

    /// A value of floating-point numbers that the network will compute.
    pub fn activation(shape: Vec<usize>) -> Self {
        Self::computed(shape, ElementType::F32)
    }

    /// A value that the network will compute.
    pub fn computed(shape: Vec<usize>, kind: ElementType) -> Self {
        Self {
            shape,
            kind,
            host: None,
            is_read: false,
        }
    }

    /// A value of which nothing is there, which burn has no tensors for, if its shape says so.
    pub fn empty(shape: &[usize], kind: ElementType) -> Option<Self> {
        let made = HostTensor::of_numbers(kind, shape, Vec::new());
        made.ok().map(Self::host)
    }

    /// Its elements, if they do not depend on the image.
    pub fn settled(&self) -> Option<&HostTensor> {
        self.host.as_ref().filter(|_| !self.is_read)
    }
}

/// Why a node cannot be computed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Refused {
    /// In words: what was expected and what came.
    Reason(String),
    /// A tensor would take more memory than is allowed.
    TooLarge {
        /// Its shape; empty for several tensors together.
        shape: Vec<usize>,
        /// The numbers.
        excess: Excess,
    },
    /// Sizes follow from the values of an input that the network has yet to compute.
    NeedsValue {
        /// The input slot.
        slot: usize,
        /// What it says: `"the shape"`.
        what: &'static str,
    },
    /// Something that ONNX allows and this library does not do. What does not depend on the node is
    /// not hindered by it.
    Unsupported(String),
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
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Batch {
    /// In the file.
    pub stated: Option<usize>,
    /// In this pass.
    pub actual: Option<usize>,
}

impl Batch {
    /// How many of what the file states go through this pass: images, where it states one or leaves the
    /// batch open.
    pub(crate) fn images(self) -> usize {
        let (stated, actual) = (self.stated.unwrap_or(1), self.actual.unwrap_or(1));
        (actual / stated.max(1)).max(1)
    }
}

/// What a node computes, with every size known.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// How to compute it; `None` when all of `outputs` are known.
    pub kernel: Option<Arc<dyn Kernel>>,
    /// What is made.
    pub outputs: Vec<Known>,
}

impl Resolved {
    /// A kernel that makes one tensor of floating-point numbers.
    pub fn one(kernel: impl Kernel + 'static, shape: Vec<usize>) -> Self {
        Self::of(kernel, vec![Known::activation(shape)])
    }

    /// A kernel that makes one tensor of any type.
    pub fn typed(kernel: impl Kernel + 'static, shape: Vec<usize>, kind: ElementType) -> Self {
        Self::of(kernel, vec![Known::computed(shape, kind)])
    }

    /// A kernel that makes several tensors.
    pub fn of(kernel: impl Kernel + 'static, outputs: Vec<Known>) -> Self {
        Self {
            kernel: Some(Arc::new(kernel)),
            outputs,
        }
    }

    /// One known value.
    pub fn known(tensor: HostTensor) -> Self {
        Self::all_known(vec![tensor])
    }

    /// Known values.
    pub fn all_known(tensors: Vec<HostTensor>) -> Self {
        Self {
            kernel: None,
            outputs: tensors.into_iter().map(Known::host).collect(),
        }
    }
}

/// How an operator keeps images apart that lie one after the other along axis 0 of its inputs.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Apart {
    /// It does not, or that is not known.
    No,
    /// What it makes of a row of its first input does not depend on the other rows, and is one row. The
    /// other inputs are parameters.
    Rows,
    /// Its inputs broadcast along axis 0, as those of `Add` do, and no row depends on another.
    Stacks,
    /// All its inputs have as many rows as its output, and no row depends on another, as in a `Concat`
    /// along another axis.
    Joined,
    /// Its kernel for one image does for any number of them: it looks at no axis 0 but that of its first
    /// input and its output, and no row depends on another image's. The other inputs are parameters.
    Shape,
    /// It does with this kernel, which is for any number of images.
    By(Arc<dyn Kernel>),
    /// It does with this kernel, when each input in these slots holds the values of every image one behind
    /// the other. What is in other slots must be the same for all images.
    Blocks(Arc<dyn Kernel>, Vec<usize>),
    /// The inputs in these slots have as many rows as its output, and no row depends on another. The
    /// other inputs are parameters, and must be the same for all images.
    RowsOf(Vec<usize>),
}

impl Apart {
    /// Of what works along an axis of its first input, unless that is the first axis.
    pub(crate) fn along(axis: i64, inputs: &Operands<'_>) -> Self {
        match inputs.input(0).map(|x| axis_of(axis, x.shape.len())) {
            Ok(Ok(1..)) => Self::Rows,
            _ => Self::No,
        }
    }
}

/// A node's operator with its attributes.
pub trait Operator: Debug + Send + Sync {
    /// Its name in ONNX.
    fn kind(&self) -> OpKind;

    /// What it is to rules. `constant[i]` says whether input `i` is the same whatever the image, which
    /// is true of an input left out.
    fn algebra(&self, constant: &[bool]) -> Algebra;

    /// Checks its inputs and computes the shapes of its outputs, or the outputs themselves where they
    /// follow from what is known.
    ///
    /// # Errors
    ///
    /// [`Refused`], with what was expected and what came.
    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused>;

    /// Whether it may be given several images, one after the other along axis 0 of its inputs, and
    /// keeps them apart. `inputs` is what is known of them for one image. An operator that does not say
    /// so is run image by image in networks whose file fixes a batch of one.
    fn apart(&self, _inputs: &Operands<'_>) -> Apart {
        Apart::No
    }

    /// The one axis along which it compares numbers or adds them up, or that it puts in, as a file states
    /// it among the attributes: that of `Softmax`, `ArgMax`, `ReduceSum` or `Unsqueeze`. `None` for
    /// operators that have none or several, and where an input says it.
    fn axis(&self) -> Option<i64> {
        None
    }

    /// What comes out where the values that [`resolve`](Self::resolve) asks for are not there yet: shapes
    /// and types that follow from shapes alone. `None` where they depend on the values.
    fn outline(&self, _inputs: &Operands<'_>) -> Option<Vec<Known>> {
        None
    }

    /// How many outputs it may be asked for.
    fn most_outputs(&self) -> usize {
        1
    }

    /// Whether an output that nobody reads changes the others when it is left out, as the number of
    /// parts of a `Split` does.
    fn counts_outputs(&self) -> bool {
        false
    }

    /// A number among its attributes by ONNX's name, or what ONNX takes where the file states none; what
    /// [patterns](crate::Blocks) and heads ask for. `None` for what has no such attribute.
    fn number(&self, _attribute: &str) -> Option<f64> {
        None
    }

    /// The body that stands in its place, given those of its inputs that are constants.
    #[doc(hidden)]
    fn branch(&self, _constants: &[Option<&HostTensor>]) -> Option<Branch> {
        None
    }

    /// Whether it stands for an operator that is not known.
    #[doc(hidden)]
    fn is_missing(&self) -> bool {
        false
    }
}

/// An operator with every size known, ready to run.
pub trait Kernel: Debug + Send + Sync {
    /// Computes the outputs. The tensors have the shapes that were resolved, and so must what is
    /// returned; in the place of an output that is known anything may stand.
    fn run(&self, inputs: Slots, outputs: &[Known]) -> Vec<Activation>;

    /// The same for a kernel that reads numbers back, which a device may fail to hand over.
    ///
    /// # Errors
    ///
    /// In words, when it did.
    fn try_run(&self, inputs: Slots, outputs: &[Known]) -> Result<Vec<Activation>, String> {
        Ok(self.run(inputs, outputs))
    }

    /// How much arithmetic it takes: additions, multiplications, comparisons and functions of one number,
    /// each counted as one, so that a multiplication with an addition counts as two. `None` where the
    /// default does: one for each number that it makes, and nothing where it only
    /// [moves](Algebra::Moves) numbers.
    fn flops(&self, _shapes: &Shapes) -> Option<u64> {
        None
    }

    /// Bytes that it holds beside its inputs and outputs while it runs.
    fn working(&self) -> u64 {
        0
    }

    /// Whether it can do with a first input that holds no numbers, for which there is no tensor.
    fn takes_empty(&self) -> bool {
        false
    }

    /// On which positions of its inputs each position of its output depends; `None` if on all.
    fn windows(&self, _reach: &Reach<'_>) -> Option<Windows> {
        None
    }

    /// The form in which a rule for gradients gets to see it, if there is a special one.
    fn form(&self) -> Option<elucid_rules::Operator<'_>> {
        None
    }

    /// Which statistics it divides by, for a normalisation of rows.
    fn statistics(&self) -> Option<Statistics> {
        None
    }

    /// Whether it rounds its input: its gradient is then that of the same without rounding.
    fn rounds(&self) -> bool {
        false
    }

    /// How a softmax views its input, `[before, along, behind]` its axis.
    fn softmax_view(&self) -> Option<[usize; 3]> {
        None
    }

    /// Queries, keys and values, for the operators that attend by themselves.
    fn attends(&self) -> Option<&dyn Attends> {
        None
    }

    /// The function of each number of its first input that it is, if it is one and no more.
    fn bends(&self) -> Option<elucid_rules::Pointwise> {
        None
    }

    /// A kernel that computes the same and then a function of each number, in one go; `None` where there is none that does
    /// better than both by themselves.
    fn then(&self, _function: elucid_rules::Pointwise) -> Option<Arc<dyn Kernel>> {
        None
    }

    /// Its weights, for the operators that are linear in their first input.
    fn weighted(&self) -> Option<&dyn Weighted> {
        None
    }

    /// The factors and offsets, for a batch normalisation.
    fn batch_norm(&self) -> Option<&dyn BatchNorm> {
        None
    }
}
