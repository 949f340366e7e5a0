//! Arrays on the host: weights before they are bound to a device, and the shape arithmetic that
//! exporters leave around `Reshape`.

use ndarray::{ArcArray, ArrayViewD, Axis, IxDyn, Zip};

/// The largest number of elements that one tensor may hold: 4 GiB of `f32`.
pub const MAX_ELEMENTS: usize = 1 << 30;

/// The largest number of elements that the values computed ahead of a pass may hold together:
/// a few bytes of a file can ask for any number of them.
pub(crate) const MAX_COMPUTED: usize = 1 << 28;

pub(crate) type Array<T> = ArcArray<T, IxDyn>;

/// A tensor whose values are known without running the network.
#[derive(Debug, Clone, PartialEq)]
pub enum HostTensor {
    /// Floating point.
    F32(ArcArray<f32, IxDyn>),
    /// Every integer type.
    I64(ArcArray<i64, IxDyn>),
    /// Booleans.
    Bool(ArcArray<bool, IxDyn>),
}

/// The element types that are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ElementType {
    /// Floating point, held as `f32`.
    F32,
    /// Integers, held as `i64`.
    I64,
    /// Booleans.
    Bool,
}

/// Applies an expression to whichever array the tensor holds, giving a tensor of the same type.
macro_rules! map_array {
    ($tensor:expr, $a:ident => $body:expr) => {
        match $tensor {
            HostTensor::F32($a) => HostTensor::F32($body),
            HostTensor::I64($a) => HostTensor::I64($body),
            HostTensor::Bool($a) => HostTensor::Bool($body),
        }
    };
}

impl HostTensor {
    /// Sizes of the dimensions; empty for a scalar.
    pub fn shape(&self) -> &[usize] {
        match self {
            Self::F32(a) => a.shape(),
            Self::I64(a) => a.shape(),
            Self::Bool(a) => a.shape(),
        }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(a) => a.len(),
            Self::I64(a) => a.len(),
            Self::Bool(a) => a.len(),
        }
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Type of the elements.
    pub fn element_type(&self) -> ElementType {
        match self {
            Self::F32(_) => ElementType::F32,
            Self::I64(_) => ElementType::I64,
            Self::Bool(_) => ElementType::Bool,
        }
    }

    pub(crate) fn from_ints(values: Vec<i64>) -> Self {
        Self::I64(ArcArray::from(values).into_dyn())
    }

    /// The elements in row-major order, when they are integers.
    pub(crate) fn ints(&self) -> Result<Vec<i64>, String> {
        match self {
            Self::I64(a) => Ok(a.iter().copied().collect()),
            other => Err(format!("expected integers, got {:?}", other.element_type())),
        }
    }

    /// The elements in row-major order, converted to `f32`.
    pub(crate) fn floats(&self) -> Vec<f32> {
        match self {
            Self::F32(a) => a.iter().copied().collect(),
            Self::I64(a) => a.iter().map(|&v| v as f32).collect(),
            Self::Bool(a) => a.iter().map(|&v| f32::from(u8::from(v))).collect(),
        }
    }

    pub(crate) fn scalar_float(&self) -> Result<f32, String> {
        match self.floats().as_slice() {
            [v] => Ok(*v),
            many => Err(format!("expected one number, got {}", many.len())),
        }
    }

    pub(crate) fn reshape(&self, shape: &[usize]) -> Result<Self, String> {
        let failed = |_| format!("cannot view {:?} as {shape:?}", self.shape());
        Ok(match self {
            Self::F32(a) => Self::F32(a.to_shape(IxDyn(shape)).map_err(failed)?.to_shared()),
            Self::I64(a) => Self::I64(a.to_shape(IxDyn(shape)).map_err(failed)?.to_shared()),
            Self::Bool(a) => Self::Bool(a.to_shape(IxDyn(shape)).map_err(failed)?.to_shared()),
        })
    }

    pub(crate) fn permute(&self, axes: &[usize]) -> Self {
        map_array!(self, a => a.view().permuted_axes(IxDyn(axes)).to_shared())
    }

    pub(crate) fn expand(&self, shape: &[usize]) -> Result<Self, String> {
        let failed = || format!("cannot broadcast {:?} to {shape:?}", self.shape());
        Ok(match self {
            Self::F32(a) => Self::F32(a.broadcast(IxDyn(shape)).ok_or_else(failed)?.to_shared()),
            Self::I64(a) => Self::I64(a.broadcast(IxDyn(shape)).ok_or_else(failed)?.to_shared()),
            Self::Bool(a) => Self::Bool(a.broadcast(IxDyn(shape)).ok_or_else(failed)?.to_shared()),
        })
    }

    pub(crate) fn slice(&self, ranges: &[Range]) -> Self {
        fn cut<T: Clone>(a: &Array<T>, ranges: &[Range]) -> Array<T> {
            let indices = |r: &Range| r.indices().collect::<Vec<_>>();
            let mut view = a.to_shared();
            for (axis, range) in ranges.iter().enumerate() {
                if !range.is_whole(view.shape()[axis]) {
                    view = view.select(Axis(axis), &indices(range)).into_shared();
                }
            }
            view
        }
        map_array!(self, a => cut(a, ranges))
    }

    /// Picks `indices` (already checked) along `axis`; `shape` is the shape of the index tensor.
    pub(crate) fn gather(
        &self,
        axis: usize,
        indices: &[usize],
        shape: &[usize],
    ) -> Result<Self, String> {
        let mut out: Vec<usize> = self.shape().to_vec();
        out.splice(axis..=axis, shape.iter().copied());
        map_array!(self, a => a.select(Axis(axis), indices).into_shared()).reshape(&out)
    }

    pub(crate) fn concat(parts: &[&Self], axis: usize) -> Result<Self, String> {
        fn join<T: Clone>(views: Vec<ArrayViewD<'_, T>>, axis: usize) -> Result<Array<T>, String> {
            ndarray::concatenate(Axis(axis), &views)
                .map(|a| a.into_shared())
                .map_err(|e| e.to_string())
        }
        let mixed = || "tensors of different element types".to_owned();
        match parts.first() {
            None => Err("nothing to concatenate".to_owned()),
            Some(Self::F32(_)) => {
                let views = parts.iter().map(|p| match p {
                    Self::F32(a) => Ok(a.view()),
                    _ => Err(mixed()),
                });
                join(views.collect::<Result<_, _>>()?, axis).map(Self::F32)
            }
            Some(Self::I64(_)) => {
                let views = parts.iter().map(|p| match p {
                    Self::I64(a) => Ok(a.view()),
                    _ => Err(mixed()),
                });
                join(views.collect::<Result<_, _>>()?, axis).map(Self::I64)
            }
            Some(Self::Bool(_)) => {
                let views = parts.iter().map(|p| match p {
                    Self::Bool(a) => Ok(a.view()),
                    _ => Err(mixed()),
                });
                join(views.collect::<Result<_, _>>()?, axis).map(Self::Bool)
            }
        }
    }

    pub(crate) fn cast(&self, to: ElementType) -> Self {
        match (self, to) {
            (_, t) if t == self.element_type() => self.clone(),
            // ONNX truncates towards zero, as `as` does; values out of range saturate.
            (Self::F32(a), ElementType::I64) => Self::I64(a.mapv(|v| v as i64).into_shared()),
            (Self::Bool(a), ElementType::I64) => Self::I64(a.mapv(i64::from).into_shared()),
            (Self::F32(a), ElementType::Bool) => Self::Bool(a.mapv(|v| v != 0.0).into_shared()),
            (Self::I64(a), ElementType::Bool) => Self::Bool(a.mapv(|v| v != 0).into_shared()),
            (Self::I64(a), _) => Self::F32(a.mapv(|v| v as f32).into_shared()),
            (Self::Bool(a), _) => Self::F32(a.mapv(|v| f32::from(u8::from(v))).into_shared()),
            (Self::F32(a), _) => Self::F32(a.clone()),
        }
    }

    /// Element-wise arithmetic on two tensors that already broadcast to `shape`.
    pub(crate) fn binary(
        &self,
        other: &Self,
        shape: &[usize],
        op: HostBinary,
    ) -> Result<Self, String> {
        fn zip<A: Clone, B: Clone>(
            a: &Array<A>,
            b: &Array<A>,
            shape: &[usize],
            f: impl Fn(A, A) -> B,
        ) -> Result<Array<B>, String> {
            let failed = || format!("cannot broadcast to {shape:?}");
            let a = a.broadcast(IxDyn(shape)).ok_or_else(failed)?;
            let b = b.broadcast(IxDyn(shape)).ok_or_else(failed)?;
            Ok(Zip::from(&a)
                .and(&b)
                .map_collect(|x, y| f(x.clone(), y.clone()))
                .into_shared())
        }
        use HostBinary as O;
        match (self, other) {
            (Self::F32(a), Self::F32(b)) => match op {
                O::Equal => zip(a, b, shape, |x, y| x == y).map(Self::Bool),
                _ => zip(a, b, shape, |x: f32, y: f32| match op {
                    O::Add => x + y,
                    O::Sub => x - y,
                    O::Mul => x * y,
                    O::Div => x / y,
                    O::Pow => x.powf(y),
                    O::Mod => x % y,
                    O::Min => x.min(y),
                    O::Max => x.max(y),
                    O::Equal => unreachable!("handled above"),
                })
                .map(Self::F32),
            },
            (Self::I64(a), Self::I64(b)) => {
                if matches!(op, O::Div | O::Mod) && b.iter().any(|&v| v == 0) {
                    return Err("integer division by zero".to_owned());
                }
                match op {
                    O::Equal => zip(a, b, shape, |x, y| x == y).map(Self::Bool),
                    _ => zip(a, b, shape, |x: i64, y: i64| match op {
                        O::Add => x.wrapping_add(y),
                        O::Sub => x.wrapping_sub(y),
                        O::Mul => x.wrapping_mul(y),
                        O::Div => x.wrapping_div(y),
                        // The sign of the divisor, as ONNX's `Mod` with `fmod = 0`.
                        O::Mod => x.wrapping_rem(y).wrapping_add(y).wrapping_rem(y),
                        O::Pow => (x as f64).powf(y as f64) as i64,
                        O::Min => x.min(y),
                        O::Max => x.max(y),
                        O::Equal => unreachable!("handled above"),
                    })
                    .map(Self::I64),
                }
            }
            (Self::Bool(a), Self::Bool(b)) if op == O::Equal => {
                zip(a, b, shape, |x, y| x == y).map(Self::Bool)
            }
            _ => Err(format!(
                "cannot combine {:?} with {:?}",
                self.element_type(),
                other.element_type()
            )),
        }
    }

    pub(crate) fn choose(&self, yes: &Self, no: &Self, shape: &[usize]) -> Result<Self, String> {
        fn pick<T: Clone>(c: &[bool], yes: &[T], no: &[T], shape: &[usize]) -> Array<T> {
            let values = c
                .iter()
                .zip(yes.iter().zip(no))
                .map(|(&c, (y, n))| if c { y.clone() } else { n.clone() });
            Array::from_shape_vec(IxDyn(shape), values.collect())
                .expect("three arrays of this shape were zipped")
        }
        fn flat<T: Clone>(a: &Array<T>) -> Vec<T> {
            a.iter().cloned().collect()
        }
        let (c, yes, no) = (self.expand(shape)?, yes.expand(shape)?, no.expand(shape)?);
        let Self::Bool(c) = &c else {
            return Err("the condition of Where must be boolean".to_owned());
        };
        let c = flat(c);
        match (&yes, &no) {
            (Self::F32(y), Self::F32(n)) => Ok(Self::F32(pick(&c, &flat(y), &flat(n), shape))),
            (Self::I64(y), Self::I64(n)) => Ok(Self::I64(pick(&c, &flat(y), &flat(n), shape))),
            _ => Err("the branches of Where differ in element type".to_owned()),
        }
    }

    pub(crate) fn map_float(&self, f: impl Fn(f32) -> f32) -> Result<Self, String> {
        match self {
            Self::F32(a) => Ok(Self::F32(a.mapv(f).into_shared())),
            other => Err(format!("expected floats, got {:?}", other.element_type())),
        }
    }
}

/// Element-wise operators on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostBinary {
    /// Addition.
    Add,
    /// Subtraction.
    Sub,
    /// Multiplication.
    Mul,
    /// Division; integers truncate.
    Div,
    /// Power.
    Pow,
    /// Remainder.
    Mod,
    /// The smaller.
    Min,
    /// The larger.
    Max,
    /// Equality, giving booleans.
    Equal,
}

/// One axis of a slice, resolved against its dimension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    pub start: usize,
    pub step: isize,
    pub len: usize,
}

impl Range {
    pub fn whole(dim: usize) -> Self {
        Self {
            start: 0,
            step: 1,
            len: dim,
        }
    }

    pub fn is_whole(self, dim: usize) -> bool {
        self == Self::whole(dim)
    }

    pub fn indices(self) -> impl Iterator<Item = usize> {
        (0..self.len).map(move |i| {
            self.start
                .wrapping_add_signed(self.step.wrapping_mul(i as isize))
        })
    }

    /// Numpy's rules: negative ends count from the back, everything is clamped.
    pub fn resolve(dim: usize, start: i64, end: i64, step: i64) -> Result<Self, String> {
        if step == 0 {
            return Err("a slice step of 0".to_owned());
        }
        let d = dim as i64;
        let wrap = |v: i64| if v < 0 { v.saturating_add(d) } else { v };
        let (low, high) = if step > 0 { (0, d) } else { (-1, d - 1) };
        // For a negative step, an end below -d means "past the first element".
        let clamp = |v: i64| wrap(v).clamp(low, high);
        let (start, end) = (clamp(start), clamp(end));
        let span = if step > 0 { end - start } else { start - end };
        let len = if span <= 0 {
            0
        } else {
            ((span - 1) as u64 / step.unsigned_abs() + 1) as usize
        };
        let start = usize::try_from(start).unwrap_or(0);
        let step = isize::try_from(step).map_err(|_| "a slice step out of range".to_owned())?;
        Ok(Self {
            start,
            step: if len <= 1 { 1 } else { step },
            len,
        })
    }
}

/// Number of elements of `shape`, unless it exceeds [`MAX_ELEMENTS`].
pub(crate) fn element_count(shape: &[usize]) -> Option<usize> {
    let mut count = 1_usize;
    let mut any_zero = false;
    for &d in shape {
        any_zero |= d == 0;
        count = count.checked_mul(d.max(1))?;
    }
    (count <= MAX_ELEMENTS).then_some(if any_zero { 0 } else { count })
}

/// The shape that numpy's broadcasting gives, if there is one.
pub(crate) fn broadcast(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    let rank = a.len().max(b.len());
    let dim = |s: &[usize], i: usize| (i + s.len()).checked_sub(rank).map_or(1, |k| s[k]);
    (0..rank)
        .map(|i| match (dim(a, i), dim(b, i)) {
            (x, y) if x == y => Some(x),
            (1, y) => Some(y),
            (x, 1) => Some(x),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_follow_numpy() {
        let take = |dim: usize, s, e, st| {
            Range::resolve(dim, s, e, st)
                .unwrap()
                .indices()
                .collect::<Vec<_>>()
        };
        assert_eq!(take(5, 1, 4, 1), [1, 2, 3]);
        assert_eq!(take(5, -2, i64::MAX, 1), [3, 4]);
        assert_eq!(take(5, 0, -1, 2), [0, 2]);
        assert_eq!(take(5, -1, i64::MIN, -1), [4, 3, 2, 1, 0]);
        assert_eq!(take(5, 3, 0, -2), [3, 1]);
        assert_eq!(take(5, 4, 2, 1), Vec::<usize>::new());
        assert_eq!(take(0, 0, 9, 1), Vec::<usize>::new());
        assert!(Range::resolve(5, 0, 1, 0).is_err());
    }

    #[test]
    fn broadcasting_follows_numpy() {
        assert_eq!(broadcast(&[2, 1, 4], &[3, 1]), Some(vec![2, 3, 4]));
        assert_eq!(broadcast(&[], &[3]), Some(vec![3]));
        assert_eq!(broadcast(&[2], &[3]), None);
    }

    #[test]
    fn element_counts_do_not_overflow() {
        assert_eq!(element_count(&[1 << 62, 1 << 62]), None);
        assert_eq!(element_count(&[1 << 62, 0]), None);
        assert_eq!(element_count(&[0, 3]), Some(0));
        assert_eq!(element_count(&[]), Some(1));
    }

    #[test]
    fn integer_remainder_has_the_sign_of_the_divisor() {
        let a = HostTensor::from_ints(vec![-7, 7]);
        let b = HostTensor::from_ints(vec![3, -3]);
        let m = a.binary(&b, &[2], HostBinary::Mod).unwrap();
        assert_eq!(m.ints().unwrap(), [2, -2]);
    }
}
