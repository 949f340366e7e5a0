//! What an operator is: everything that Elucid knows about one, behind two traits.
//!
//! An [`Operator`] is a node's operator with its attributes, as a file states it. Given what is known
//! of its inputs it [resolves](Operator::resolve): shapes are checked and computed, and what comes out
//! is either a value that is known already or a [`Kernel`], which runs on tensors. burn panics on
//! shapes that do not fit, so everything that can be wrong with a node is found while it resolves,
//! before any tensor exists.

use std::fmt::Debug;
use std::sync::Arc;

use elucid_rules::{Algebra, OpKind, Statistics};

use crate::activation::{Activation, MAX_RANK};
use crate::heads::Attends;
use crate::host::{ElementType, HostTensor, element_count};
use crate::limits::{self, Excess};
use crate::message::few;
use crate::place::Branch;
use crate::receptive::{Reach, Windows};

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

    /// How a softmax views its input, `[before, along, behind]` its axis.
    fn softmax_view(&self) -> Option<[usize; 3]> {
        None
    }

    /// Queries, keys and values, for the operators that attend by themselves.
    fn attends(&self) -> Option<&dyn Attends> {
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

/// The weights of an operator that is linear in one input.
#[derive(Debug, Clone)]
pub struct Weights {
    /// `[O, I / groups, height, width]` for `Conv`, `[I, O / groups, height, width]` for
    /// `ConvTranspose`, `[inputs, outputs]` for `Gemm` and `MatMul`.
    pub weight: Activation,
    /// `[O]` for convolutions; for others anything that broadcasts to the output.
    pub bias: Option<Activation>,
}

/// A kernel that is linear in its first input when the others are constants.
pub trait Weighted {
    /// Whether it is, given which inputs are constants.
    fn is_weighted(&self, constant: &[bool]) -> bool;

    /// The weights, read from the inputs.
    fn weights(&self, inputs: Slots) -> Option<Weights>;

    /// The operator with other weights, on `x` of the shape resolved but for the batch.
    fn linear(&self, x: Activation, weight: &Activation, bias: Option<&Activation>) -> Activation;

    /// The transpose of [`Weighted::linear`] without a bias: from the output's shape to `input`, the
    /// shape of `x`.
    fn transpose(&self, g: Activation, weight: &Activation, input: &[usize]) -> Activation;

    /// The weights with a factor `[O]` multiplied into those of each output channel.
    fn scale_outputs(&self, weight: Activation, factor: Activation) -> Activation;
}

/// Methods of an [`Operator`] that answer the same whatever its attributes and inputs: a kind of
/// ONNX's by its name, or a kind that others name.
macro_rules! facts {
    (kind: $kind:literal $(, $($rest:tt)*)?) => {
        $crate::operator::facts!(kind: elucid_rules::OpKind::new($kind) $(, $($rest)*)?);
    };
    (kind: $kind:expr $(, $($rest:tt)*)?) => {
        fn kind(&self) -> elucid_rules::OpKind {
            $kind
        }

        $($crate::operator::facts!($($rest)*);)?
    };
    (algebra: $algebra:ident $(, $($rest:tt)*)?) => {
        fn algebra(&self, _constant: &[bool]) -> elucid_rules::Algebra {
            elucid_rules::Algebra::$algebra
        }

        $($crate::operator::facts!($($rest)*);)?
    };
    (apart: $apart:ident) => {
        fn apart(&self, _inputs: &$crate::operator::Operands<'_>) -> $crate::operator::Apart {
            $crate::operator::Apart::$apart
        }
    };
}
pub(crate) use facts;

/// A kernel that multiplies each channel by a factor and adds an offset, both constant: it can become
/// part of the weights before it.
pub trait BatchNorm {
    /// Factor and offset, `[C]` each, read from the inputs behind the first.
    fn scale(&self, inputs: &mut Slots) -> (Activation, Activation);
}

/// The tensors that a kernel runs on, by input slot.
#[derive(Debug, Clone, Default)]
pub struct Slots(Vec<Option<Activation>>);

impl Slots {
    /// Tensors by slot; `None` for an optional input left out.
    pub fn new(slots: Vec<Option<Activation>>) -> Self {
        Self(slots)
    }

    /// Number of slots.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no slots.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The tensor in a slot that was checked to be filled.
    ///
    /// # Panics
    ///
    /// When it is not, or was taken before.
    pub fn take(&mut self, slot: usize) -> Activation {
        self.maybe(slot)
            .expect("resolving checked that the input is there")
    }

    /// The tensor in a slot, if it is filled.
    pub fn maybe(&mut self, slot: usize) -> Option<Activation> {
        self.0.get_mut(slot).and_then(Option::take)
    }

    /// The tensors by slot.
    pub(crate) fn into_slots(self) -> Vec<Option<Activation>> {
        self.0
    }

    /// The tensors of all slots that are filled, in order.
    pub fn all(self) -> impl Iterator<Item = Activation> {
        self.0.into_iter().flatten()
    }
}

/// What is known of a node's inputs, with checks that end in clear refusals.
#[derive(Debug, Clone, Copy)]
pub struct Operands<'a> {
    known: &'a [Option<Known>],
    outputs: usize,
    batch: Batch,
}

impl<'a> Operands<'a> {
    /// Inputs by slot, and how many outputs the node names.
    pub fn new(known: &'a [Option<Known>], outputs: usize, batch: Batch) -> Self {
        Self {
            known,
            outputs,
            batch,
        }
    }

    /// Number of input slots.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether there are no input slots.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Number of outputs that the node names.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// The batch sizes of file and pass.
    pub fn batch(&self) -> Batch {
        self.batch
    }

    /// What is known of an input; `None` when it is left out.
    pub fn optional(&self, slot: usize) -> Option<&'a Known> {
        self.known.get(slot).and_then(Option::as_ref)
    }

    /// What is known of an input that must be there.
    ///
    /// # Errors
    ///
    /// When it is left out.
    pub fn input(&self, slot: usize) -> Result<&'a Known, Refused> {
        self.optional(slot)
            .ok_or_else(|| format!("input {slot} is missing").into())
    }

    /// An input of floating-point numbers.
    ///
    /// # Errors
    ///
    /// When it is left out or holds something else.
    pub fn floats(&self, slot: usize) -> Result<&'a Known, Refused> {
        let known = self.input(slot)?;
        if known.kind.is_float() {
            Ok(known)
        } else {
            Err(format!("input {slot} holds {}, expected floats", known.kind).into())
        }
    }

    /// An input that a kernel computes with: floating-point numbers, and at least one, for burn has no
    /// empty tensors.
    ///
    /// # Errors
    ///
    /// When it is left out or holds something else, or nothing.
    pub fn operand(&self, slot: usize) -> Result<&'a Known, Refused> {
        let known = self.floats(slot)?;
        if known.shape.contains(&0) {
            let shape = few(&known.shape);
            return Err(format!("input {slot} of shape {shape} holds no numbers").into());
        }
        Ok(known)
    }

    /// An input as an image batch `[N, C, H, W]`.
    ///
    /// # Errors
    ///
    /// When it is something else.
    pub fn image(&self) -> Result<[usize; 4], Refused> {
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

    /// The elements of an input that sizes follow from, `what` in messages.
    ///
    /// # Errors
    ///
    /// [`Refused::NeedsValue`] when the network has yet to compute them.
    pub fn value(&self, slot: usize, what: &'static str) -> Result<&'a HostTensor, Refused> {
        let known = self.input(slot)?;
        let needs = Refused::NeedsValue { slot, what };
        known.host.as_ref().ok_or(needs)
    }

    /// The same for an input that may be left out.
    ///
    /// # Errors
    ///
    /// As [`Operands::value`].
    pub fn optional_value(
        &self,
        slot: usize,
        what: &'static str,
    ) -> Result<Option<&'a HostTensor>, Refused> {
        self.optional(slot)
            .map(|_| self.value(slot, what))
            .transpose()
    }

    /// The integers of an input that sizes follow from.
    ///
    /// # Errors
    ///
    /// As [`Operands::value`], and when they are no integers.
    pub fn ints(&self, slot: usize, what: &'static str) -> Result<Vec<i64>, Refused> {
        let host = self.value(slot, what)?;
        host.ints().map_err(|e| format!("{what}: {e}").into())
    }

    /// The same for a list with at most one entry for each dimension.
    ///
    /// # Errors
    ///
    /// As [`Operands::ints`], and when the list is longer than any tensor has dimensions.
    pub fn list(&self, slot: usize, what: &'static str) -> Result<Vec<i64>, Refused> {
        let count = element_count(&self.input(slot)?.shape).unwrap_or(usize::MAX);
        if count > LONGEST_LIST {
            return Err(format!("{what}: {count} numbers, expected one per dimension").into());
        }
        self.ints(slot, what)
    }

    /// The same for an input that may be left out.
    ///
    /// # Errors
    ///
    /// As [`Operands::list`].
    pub fn optional_list(
        &self,
        slot: usize,
        what: &'static str,
    ) -> Result<Option<Vec<i64>>, Refused> {
        self.optional(slot)
            .map(|_| self.list(slot, what))
            .transpose()
    }

    /// All inputs that are there, if all of them are known.
    pub fn all_host(&self) -> Option<Vec<&'a HostTensor>> {
        let filled = self.known.iter().flatten();
        filled.map(|known| known.host.as_ref()).collect()
    }

    /// Checks that inputs `which` hold one number for each channel of `shape`, `[N, C, ...]`.
    ///
    /// # Errors
    ///
    /// When they do not.
    pub fn per_channel(
        &self,
        shape: &[usize],
        which: std::ops::Range<usize>,
    ) -> Result<(), Refused> {
        let &[_, channels, ..] = shape else {
            return Err(format!("input has shape {shape:?}, expected [N, C, ...]").into());
        };
        for slot in which {
            let parameter = self.floats(slot)?;
            if parameter.shape != [channels] {
                return Err(format!(
                    "input {slot} has shape {:?}, expected [{channels}], one number per channel",
                    parameter.shape
                )
                .into());
            }
        }
        Ok(())
    }
}

/// A node that is resolved and checked.
#[derive(Debug, Clone)]
pub(crate) struct Ready {
    pub resolved: Resolved,
    /// Bytes of the tensors that its operator asked for room for: those between its inputs and outputs,
    /// as the scores of an attention.
    pub working: u64,
}

/// Resolves an operator and checks what comes out: nothing unchecked may reach burn.
pub(crate) fn resolve(operator: &dyn Operator, inputs: &Operands<'_>) -> Result<Ready, Refused> {
    if inputs.outputs() == 0 {
        return Err("it names no output".into());
    }
    if inputs.outputs() > operator.most_outputs() {
        let most = operator.most_outputs();
        return Err(Refused::Unsupported(format!(
            "{} of its outputs are used, only the first {most} can be",
            inputs.outputs()
        )));
    }
    let (resolved, working) = limits::asked(|| operator.resolve(inputs));
    let mut resolved = resolved?;
    if resolved.outputs.len() < inputs.outputs() {
        let made = resolved.outputs.len();
        return Err(format!("it makes {made} outputs, {} are named", inputs.outputs()).into());
    }
    resolved.outputs.truncate(inputs.outputs());
    if let Some(kernel) = &resolved.kernel {
        if let Some(first) = inputs.optional(0)
            && first.kind.is_float()
            && !kernel.takes_empty()
        {
            check_computable(&first.shape)?;
        }
        let known = inputs.known.iter().flatten();
        for value in known.chain(&resolved.outputs) {
            // Lists of axes and the like are no operands of arithmetic, and what is empty never
            // reaches a kernel.
            let is_operand = value.kind.is_float() && !value.shape.contains(&0);
            if value.host.is_none() || is_operand {
                check_computable(&value.shape)?;
            }
        }
    }
    Ok(Ready { resolved, working })
}

/// What burn computes with: a few dimensions, none of them empty.
pub(crate) fn check_computable(shape: &[usize]) -> Result<(), Refused> {
    if shape.len() > MAX_RANK {
        return Err(format!(
            "a tensor of shape {} has more than {MAX_RANK} dimensions",
            few(shape)
        )
        .into());
    }
    limits::allow_device(shape)?;
    if shape.contains(&0) {
        return Err(format!("a tensor of shape {shape:?} holds no numbers").into());
    }
    Ok(())
}

/// Refuses a tensor on a device that takes more memory than is allowed.
pub(crate) fn check_size(shape: &[usize]) -> Result<(), Refused> {
    limits::check_device(shape)
}

/// The same for a value that is about to be computed on the host.
pub(crate) fn check_host_size(shape: &[usize]) -> Result<(), Refused> {
    if shape.len() > LONGEST_LIST {
        return Err(format!("{} dimensions are too many", shape.len()).into());
    }
    limits::check_host(shape)
}

/// Refuses a computation on the host of more steps than can be waited for.
pub(crate) fn check_work(bounds: &[usize]) -> Result<(), Refused> {
    const MOST: usize = 1 << 28;
    match element_count(bounds) {
        Some(count) if count <= MOST => Ok(()),
        _ => Err(format!("more than {MOST} products of integers").into()),
    }
}

/// Far more dimensions than any tensor has.
pub(crate) const LONGEST_LIST: usize = 64;

/// `axis` counted from the front.
pub(crate) fn axis_of(axis: i64, rank: usize) -> Result<usize, String> {
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

/// Those that are stated, in their order, else all.
pub(crate) fn axes_or_all(axes: Option<&[i64]>, rank: usize) -> Result<Vec<usize>, String> {
    match axes {
        None => Ok((0..rank).collect()),
        Some(axes) => axes.iter().map(|&axis| axis_of(axis, rank)).collect(),
    }
}

/// Several of them, each once and in order; repetitions are refused.
pub(crate) fn axes_of(axes: &[i64], rank: usize) -> Result<Vec<usize>, String> {
    let mut found: Vec<usize> = axes
        .iter()
        .map(|&axis| axis_of(axis, rank))
        .collect::<Result<_, _>>()?;
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// Sizes, none negative.
pub(crate) fn sizes(values: &[i64]) -> Result<Vec<usize>, String> {
    values
        .iter()
        .map(|&v| usize::try_from(v).map_err(|_| format!("{} holds a negative size", few(values))))
        .collect()
}

/// The shape with ones in front up to `rank`.
pub(crate) fn aligned(shape: &[usize], rank: usize) -> Vec<usize> {
    let mut view = vec![1; rank.saturating_sub(shape.len())];
    view.extend_from_slice(shape);
    view
}

/// In messages about two shapes.
pub(crate) fn do_not_broadcast(a: &[usize], b: &[usize]) -> String {
    format!("{} and {} do not broadcast", few(a), few(b))
}
