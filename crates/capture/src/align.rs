//! Two recordings of one pass over different numbers of images: what follows the batch, and whether
//! anything else does.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use burn::backend::capture::TensorId;
use burn::backend::ir::{BaseOperationIr, IrVisitorMut, OperationIr, TensorIr, TensorStatus};
use burn::tensor::{Shape, Slice};

use crate::program::Size;
use crate::record::Recording;

/// The numbers of images of the two recordings. Not one: a batch of one hides what is broadcast.
pub(crate) const IMAGES: [usize; 2] = [2, 3];

/// The sizes of each value by its identity in the first recording.
pub(crate) type Sizes = HashMap<TensorId, Vec<Size>>;

/// Sizes of a recording that is taken as it is.
pub(crate) fn as_recorded(recording: &Recording) -> Sizes {
    let mut sizes = Sizes::new();
    for tensor in recording.operations.iter().flat_map(OperationIr::nodes) {
        let fixed = tensor.shape.iter().map(|&size| Size::Fixed(size));
        sizes.insert(tensor.id, fixed.collect());
    }
    for (id, data) in &recording.values {
        let fixed = data.shape().iter().map(|&size| Size::Fixed(size));
        sizes.insert(*id, fixed.collect());
    }
    sizes
}

/// What the first of two recordings is for any number of images.
///
/// # Errors
///
/// In words, what follows the batch beside sizes.
pub(crate) fn align(two: &Recording, three: &Recording) -> Result<Sizes, String> {
    if two.operations.len() != three.operations.len() {
        return Err(format!(
            "{} operations are done for {} images, and {} for {}",
            two.operations.len(),
            IMAGES[0],
            three.operations.len(),
            IMAGES[1]
        ));
    }
    let mut aligned = Aligned {
        two,
        three,
        sizes: Sizes::new(),
        same: HashMap::new(),
    };
    aligned.put(two.image, three.image)?;
    for ((name, a), (other, b)) in two.beside.iter().zip(&three.beside) {
        if name != other {
            return Err(format!("input \"{name}\" is not always asked for"));
        }
        aligned.put(a.id, b.id)?;
    }
    if two.beside.len() != three.beside.len() || two.outputs.len() != three.outputs.len() {
        return Err("inputs or outputs are not always as many".to_owned());
    }
    for (a, b) in two.operations.iter().zip(&three.operations) {
        aligned.operation(a, b)?;
    }
    for (&a, &b) in two.outputs.iter().zip(&three.outputs) {
        aligned.put(a, b)?;
    }
    Ok(aligned.sizes)
}

struct Aligned<'r> {
    two: &'r Recording,
    three: &'r Recording,
    sizes: Sizes,
    /// The value of the second recording for each of the first.
    same: HashMap<TensorId, TensorId>,
}

impl Aligned<'_> {
    fn operation(&mut self, a: &OperationIr, b: &OperationIr) -> Result<(), String> {
        if bare(a) != bare(b) {
            return Err(format!(
                "{} is not the same operation for every number of images",
                name(a)
            ));
        }
        let (inputs, others): (Vec<_>, Vec<_>) = (a.inputs().collect(), b.inputs().collect());
        for (x, y) in inputs.into_iter().zip(others) {
            self.tensor(x, y)?;
        }
        let (outputs, others): (Vec<_>, Vec<_>) = (a.outputs().collect(), b.outputs().collect());
        for (x, y) in outputs.into_iter().zip(others) {
            self.tensor(x, y)?;
        }
        Ok(())
    }

    fn tensor(&mut self, a: &TensorIr, b: &TensorIr) -> Result<(), String> {
        if let Entry::Vacant(vacant) = self.sizes.entry(a.id) {
            vacant.insert(sizes(&a.shape, &b.shape)?);
        }
        self.put(a.id, b.id)
    }

    /// Says that two values are the same one.
    fn put(&mut self, a: TensorId, b: TensorId) -> Result<(), String> {
        if let Some(known) = self.same.get(&a) {
            return match *known == b {
                true => Ok(()),
                false => {
                    Err("operations read other values for another number of images".to_owned())
                }
            };
        }
        self.same.insert(a, b);
        let (Some(x), Some(y)) = (self.two.values.get(&a), self.three.values.get(&b)) else {
            return Ok(());
        };
        if let Entry::Vacant(vacant) = self.sizes.entry(a) {
            vacant.insert(sizes(x.shape(), y.shape())?);
        }
        let is_given =
            a == self.two.image || self.two.beside.iter().any(|(_, given)| given.id == a);
        if is_given {
            return Ok(());
        }
        match (self.two.paths.get(&a), self.three.paths.get(&b)) {
            (Some(path), Some(other)) if path == other => Ok(()),
            (None, None) if x == y => Ok(()),
            (None, None) => Err(format!(
                "numbers that the forward pass makes, of shape {:?} for {} images, are others for {}",
                x.shape().as_slice(),
                IMAGES[0],
                IMAGES[1]
            )),
            _ => Err("other parameters are read for another number of images".to_owned()),
        }
    }
}

/// One shape for two images and for three.
fn sizes(two: &Shape, three: &Shape) -> Result<Vec<Size>, String> {
    let [m, n] = IMAGES;
    if two.num_dims() != three.num_dims() {
        return Err("the number of axes follows the number of images".to_owned());
    }
    let both = two.iter().zip(three.iter());
    both.map(|(&a, &b)| match (a, b) {
        _ if a == b => Ok(Size::Fixed(a)),
        _ if a % m == 0 && b % n == 0 && a / m == b / n => Ok(Size::Images(a / m)),
        _ => Err(format!(
            "a size of {a} for {m} images and of {b} for {n} is no multiple of their number"
        )),
    })
    .collect()
}

/// An operation apart from the tensors that it is about.
fn bare(operation: &OperationIr) -> OperationIr {
    struct Bare;
    impl IrVisitorMut for Bare {
        fn visit_tensor_mut(&mut self, tensor: &mut TensorIr) {
            tensor.id = TensorId::new(0);
            tensor.shape = Shape::new([0]);
            tensor.status = TensorStatus::ReadOnly;
        }
    }
    let mut bare = operation.clone();
    // What is taken whole, and how often something is repeated, says its shape.
    if let OperationIr::BaseFloat(base) | OperationIr::BaseInt(base) | OperationIr::BaseBool(base) =
        &mut bare
    {
        let open = |ranges: &mut [Slice], shape: &Shape| {
            for (range, &size) in ranges.iter_mut().zip(shape.iter()) {
                let is_whole = range.end.is_none_or(|end| end == size as isize);
                if range.start == 0 && range.step == 1 && is_whole {
                    range.end = None;
                }
            }
        };
        match base {
            BaseOperationIr::Slice(slice) => open(&mut slice.ranges, &slice.tensor.shape),
            BaseOperationIr::SliceAssign(slice) => open(&mut slice.ranges, &slice.tensor.shape),
            BaseOperationIr::RepeatDim(repeat) => repeat.times = 0,
            _ => {}
        }
    }
    bare.visit_mut(&mut Bare);
    bare
}

/// burn's name of an operation: `Conv2d`, `Relu`, `Cat`.
pub(crate) fn name(operation: &OperationIr) -> String {
    if let OperationIr::Custom(custom) = operation {
        return format!("the extension operation \"{}\"", custom.id);
    }
    let text = format!("{operation:?}");
    let mut parts = text.split(['(', ' ', ',']).filter(|part| !part.is_empty());
    let family = parts.next().unwrap_or_default();
    // `NumericFloat(F32, Add(BinaryOpIr ..`: an element type is no operation.
    let is_kind = |part: &str| {
        let mut chars = part.chars();
        let first = chars
            .next()
            .is_some_and(|c| matches!(c, 'F' | 'I' | 'U' | 'B'));
        first && chars.clone().next().is_some() && chars.all(|c| c.is_ascii_digit() || c == 'F')
    };
    let found = parts.find(|part| part.starts_with(char::is_uppercase) && !is_kind(part));
    found.unwrap_or(family).to_owned()
}
