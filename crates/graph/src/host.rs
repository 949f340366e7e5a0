//! Arrays on the host: weights before they are bound to a device, and the shape arithmetic that
//! exporters leave around `Reshape`.

use ndarray::{ArcArray, ArrayViewD, Axis, IxDyn, Zip};

pub use crate::element::ElementType;

/// The largest number of elements that one tensor may hold, 4 GiB of `f32`, however much memory
/// [`Limits`](crate::Limits) allow.
pub const MAX_ELEMENTS: usize = 1 << 30;

pub(crate) type Array<T> = ArcArray<T, IxDyn>;

/// A tensor whose values are known without running the network.
///
/// Cloning shares the values.
#[derive(Debug, Clone, PartialEq)]
pub struct HostTensor {
    kind: ElementType,
    data: Data,
}

/// What holds the values: floating point of any width as `f32`, integers of any width as `i64`
/// (`uint64` by its bits).
#[derive(Debug, Clone, PartialEq)]
enum Data {
    Float(Array<f32>),
    Int(Array<i64>),
    Bool(Array<bool>),
}

/// Applies an expression to whichever array there is, giving the same kind of array.
macro_rules! map_array {
    ($tensor:expr, $a:ident => $body:expr) => {
        match &$tensor.data {
            Data::Float($a) => Data::Float($body),
            Data::Int($a) => Data::Int($body),
            Data::Bool($a) => Data::Bool($body),
        }
    };
}

/// Applies an expression to whichever array there is.
macro_rules! with_array {
    ($tensor:expr, $a:ident => $body:expr) => {
        match &$tensor.data {
            Data::Float($a) => $body,
            Data::Int($a) => $body,
            Data::Bool($a) => $body,
        }
    };
}

fn shaped<T>(shape: &[usize], values: Vec<T>) -> Result<Array<T>, String> {
    let got = values.len();
    Array::from_shape_vec(IxDyn(shape), values).map_err(|_| {
        let needed: usize = shape.iter().product();
        format!("shape {shape:?} needs {needed} values, the tensor holds {got}")
    })
}

/// Functions of pairs of elements, whose results are made to fit the type of the tensors.
macro_rules! zips {
    ($($(#[$doc:meta])* $name:ident($type:ty) => $data:ident, $fit:expr;)*) => {$(
        $(#[$doc])*
        pub(crate) fn $name(
            &self,
            other: &Self,
            shape: &[usize],
            f: impl Fn($type, $type) -> $type,
        ) -> Result<Self, String> {
            let (Data::$data(a), Data::$data(b)) = (&self.data, &other.data) else {
                return Err(self.unlike(other));
            };
            let fit: fn(ElementType, $type) -> $type = $fit;
            let data = zip(a, b, shape, |x, y| fit(self.kind, f(x, y)))?;
            Ok(self.with_data(Data::$data(data)))
        }
    )*};
}

impl HostTensor {
    /// Floating point. Each number becomes what `kind` can hold.
    ///
    /// # Errors
    ///
    /// In words, when `values` do not fill `shape` or `kind` is no floating point.
    pub fn of_floats(
        kind: ElementType,
        shape: &[usize],
        mut values: Vec<f32>,
    ) -> Result<Self, String> {
        if !kind.is_float() {
            return Err(format!("{kind} is no floating point"));
        }
        if matches!(kind, ElementType::F16 | ElementType::BF16) {
            values.iter_mut().for_each(|v| *v = kind.round(*v));
        }
        let data = Data::Float(shaped(shape, values)?);
        Ok(Self { kind, data })
    }

    /// Integers, wrapped to the width of `kind`.
    ///
    /// # Errors
    ///
    /// In words, when `values` do not fill `shape` or `kind` is no integer type.
    pub fn of_ints(
        kind: ElementType,
        shape: &[usize],
        mut values: Vec<i64>,
    ) -> Result<Self, String> {
        if !kind.is_int() {
            return Err(format!("{kind} is no integer type"));
        }
        values.iter_mut().for_each(|v| *v = kind.wrap(*v));
        let data = Data::Int(shaped(shape, values)?);
        Ok(Self { kind, data })
    }

    /// Booleans.
    ///
    /// # Errors
    ///
    /// In words, when `values` do not fill `shape`.
    pub fn of_bools(shape: &[usize], values: Vec<bool>) -> Result<Self, String> {
        let data = Data::Bool(shaped(shape, values)?);
        let kind = ElementType::Bool;
        Ok(Self { kind, data })
    }

    /// Numbers of any type, given as floating point.
    ///
    /// # Errors
    ///
    /// In words, when `values` do not fill `shape`.
    pub fn of_numbers(
        kind: ElementType,
        shape: &[usize],
        values: Vec<f32>,
    ) -> Result<Self, String> {
        if kind.is_float() {
            Self::of_floats(kind, shape, values)
        } else if kind == ElementType::Bool {
            Self::of_bools(shape, values.into_iter().map(|v| v != 0.0).collect())
        } else {
            Self::of_ints(kind, shape, values.into_iter().map(|v| v as i64).collect())
        }
    }

    /// One number in single precision, with no dimension.
    pub fn float(value: f32) -> Self {
        let data = Data::Float(Array::from_elem(IxDyn(&[]), value));
        let kind = ElementType::F32;
        Self { kind, data }
    }

    /// One 64-bit integer, with no dimension.
    pub fn int(value: i64) -> Self {
        let data = Data::Int(Array::from_elem(IxDyn(&[]), value));
        let kind = ElementType::I64;
        Self { kind, data }
    }

    /// A list of 64-bit integers.
    pub fn from_ints(values: Vec<i64>) -> Self {
        let data = Data::Int(ArcArray::from(values).into_dyn());
        let kind = ElementType::I64;
        Self { kind, data }
    }

    /// Sizes of the dimensions; empty for a scalar.
    pub fn shape(&self) -> &[usize] {
        with_array!(self, a => a.shape())
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        with_array!(self, a => a.len())
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Type of the elements.
    pub fn element_type(&self) -> ElementType {
        self.kind
    }

    /// The elements in row-major order.
    ///
    /// # Errors
    ///
    /// In words, when they are no integers.
    pub fn ints(&self) -> Result<Vec<i64>, String> {
        match &self.data {
            Data::Int(a) => Ok(a.iter().copied().collect()),
            _ => Err(format!("expected integers, got {}", self.kind)),
        }
    }

    /// The elements in row-major order.
    ///
    /// # Errors
    ///
    /// In words, when they are no booleans.
    pub fn bools(&self) -> Result<Vec<bool>, String> {
        match &self.data {
            Data::Bool(a) => Ok(a.iter().copied().collect()),
            _ => Err(format!("expected booleans, got {}", self.kind)),
        }
    }

    /// The elements in row-major order, whatever their type, as `f32`; booleans are 0 and 1.
    pub fn floats(&self) -> Vec<f32> {
        match &self.data {
            Data::Float(a) => a.iter().copied().collect(),
            Data::Int(a) if self.kind == ElementType::U64 => {
                a.iter().map(|&v| v as u64 as f32).collect()
            }
            Data::Int(a) => a.iter().map(|&v| v as f32).collect(),
            Data::Bool(a) => a.iter().map(|&v| f32::from(u8::from(v))).collect(),
        }
    }

    /// The array of floating-point numbers, if they are that.
    pub fn float_array(&self) -> Option<&ArcArray<f32, IxDyn>> {
        match &self.data {
            Data::Float(a) => Some(a),
            _ => None,
        }
    }

    pub(crate) fn scalar_float(&self) -> Result<f32, String> {
        match self.floats().as_slice() {
            [v] => Ok(*v),
            many => Err(format!("expected one number, got {}", many.len())),
        }
    }

    pub(crate) fn scalar_int(&self) -> Result<i64, String> {
        match self.ints()?.as_slice() {
            [v] => Ok(*v),
            many => Err(format!("expected one integer, got {}", many.len())),
        }
    }

    /// The same values under another type of the same sort.
    fn with_data(&self, data: Data) -> Self {
        let kind = self.kind;
        Self { kind, data }
    }

    pub(crate) fn reshape(&self, shape: &[usize]) -> Result<Self, String> {
        let failed = |_| format!("cannot view {:?} as {shape:?}", self.shape());
        let data = map_array!(self, a => a.to_shape(IxDyn(shape)).map_err(failed)?.to_shared());
        Ok(self.with_data(data))
    }

    pub(crate) fn permute(&self, axes: &[usize]) -> Self {
        self.with_data(map_array!(self, a => a.view().permuted_axes(IxDyn(axes)).to_shared()))
    }

    pub(crate) fn expand(&self, shape: &[usize]) -> Result<Self, String> {
        let failed = || format!("cannot broadcast {:?} to {shape:?}", self.shape());
        let data = map_array!(self, a => a.broadcast(IxDyn(shape)).ok_or_else(failed)?.to_shared());
        Ok(self.with_data(data))
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
        self.with_data(map_array!(self, a => cut(a, ranges)))
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
        let data = map_array!(self, a => a.select(Axis(axis), indices).into_shared());
        self.with_data(data).reshape(&out)
    }

    /// The elements at flat, row-major `places` (already checked), in `shape`.
    pub(crate) fn pick(&self, places: &[usize], shape: &[usize]) -> Result<Self, String> {
        fn at<T: Copy>(
            a: &Array<T>,
            places: &[usize],
            shape: &[usize],
        ) -> Result<Array<T>, String> {
            let flat: Vec<T> = a.iter().copied().collect();
            shaped(shape, places.iter().map(|&p| flat[p]).collect())
        }
        Ok(self.with_data(map_array!(self, a => at(a, places, shape)?)))
    }

    pub(crate) fn concat(parts: &[&Self], axis: usize) -> Result<Self, String> {
        fn join<T: Clone>(
            parts: &[&HostTensor],
            axis: usize,
            view: impl for<'a> Fn(&'a HostTensor) -> Option<ArrayViewD<'a, T>>,
        ) -> Result<Array<T>, String> {
            let views: Option<Vec<_>> = parts.iter().map(|part| view(part)).collect();
            let views = views.ok_or("tensors of different element types")?;
            ndarray::concatenate(Axis(axis), &views)
                .map(|a| a.into_shared())
                .map_err(|e| e.to_string())
        }
        let first = parts.first().ok_or("nothing to concatenate")?;
        let data = match &first.data {
            Data::Float(_) => Data::Float(join(parts, axis, |p| match &p.data {
                Data::Float(a) => Some(a.view()),
                _ => None,
            })?),
            Data::Int(_) => Data::Int(join(parts, axis, |p| match &p.data {
                Data::Int(a) => Some(a.view()),
                _ => None,
            })?),
            Data::Bool(_) => Data::Bool(join(parts, axis, |p| match &p.data {
                Data::Bool(a) => Some(a.view()),
                _ => None,
            })?),
        };
        Ok(first.with_data(data))
    }

    /// As another type: floating point is truncated towards zero and saturates at 64 bits, integers
    /// wrap, and whatever is not zero is true.
    pub fn cast(&self, to: ElementType) -> Self {
        if to == self.kind {
            return self.clone();
        }
        let unsigned = self.kind == ElementType::U64;
        let data = match &self.data {
            Data::Float(a) if to.is_float() => Data::Float(a.mapv(|v| to.round(v)).into_shared()),
            Data::Float(a) if to.is_int() => {
                let whole = |v: f32| match to {
                    ElementType::U64 => v as u64 as i64,
                    _ => v as i64,
                };
                Data::Int(a.mapv(|v| to.wrap(whole(v))).into_shared())
            }
            Data::Float(a) => Data::Bool(a.mapv(|v| v != 0.0).into_shared()),
            Data::Int(a) if to.is_float() => {
                let number = |v: i64| match unsigned {
                    true => v as u64 as f32,
                    false => v as f32,
                };
                Data::Float(a.mapv(|v| to.round(number(v))).into_shared())
            }
            Data::Int(a) if to.is_int() => Data::Int(a.mapv(|v| to.wrap(v)).into_shared()),
            Data::Int(a) => Data::Bool(a.mapv(|v| v != 0).into_shared()),
            Data::Bool(a) if to.is_float() => {
                Data::Float(a.mapv(|v| f32::from(u8::from(v))).into_shared())
            }
            Data::Bool(a) => Data::Int(a.mapv(i64::from).into_shared()),
        };
        Self { kind: to, data }
    }

    /// A function of each number, as `f32`; the type stays.
    pub(crate) fn map_floats(&self, f: impl Fn(f32) -> f32) -> Result<Self, String> {
        match &self.data {
            Data::Float(a) => {
                let kind = self.kind;
                Ok(self.with_data(Data::Float(a.mapv(|v| kind.round(f(v))).into_shared())))
            }
            _ => Err(format!("expected floats, got {}", self.kind)),
        }
    }

    /// A function of each integer; the type stays.
    pub(crate) fn map_ints(&self, f: impl Fn(i64) -> i64) -> Result<Self, String> {
        match &self.data {
            Data::Int(a) => {
                let kind = self.kind;
                Ok(self.with_data(Data::Int(a.mapv(|v| kind.wrap(f(v))).into_shared())))
            }
            _ => Err(format!("expected integers, got {}", self.kind)),
        }
    }

    zips! {
        /// A function of pairs of floats, both broadcast to `shape`.
        zip_floats(f32) => Float, |kind, v| kind.round(v);
        /// A function of pairs of integers, both broadcast to `shape`.
        zip_ints(i64) => Int, |kind, v| kind.wrap(v);
        /// A function of pairs of booleans, both broadcast to `shape`.
        zip_bools(bool) => Bool, |_, v| v;
    }

    /// A comparison of pairs of numbers of one type, both broadcast to `shape`. Nothing compares to
    /// a number that is none.
    pub(crate) fn compare(
        &self,
        other: &Self,
        shape: &[usize],
        holds: impl Fn(Option<std::cmp::Ordering>) -> bool,
    ) -> Result<Self, String> {
        let unsigned = self.kind == ElementType::U64;
        let found = match (&self.data, &other.data) {
            (Data::Float(a), Data::Float(b)) => zip(a, b, shape, |x, y| holds(x.partial_cmp(&y)))?,
            (Data::Int(a), Data::Int(b)) => zip(a, b, shape, |x, y| {
                holds(Some(match unsigned {
                    true => (x as u64).cmp(&(y as u64)),
                    false => x.cmp(&y),
                }))
            })?,
            (Data::Bool(a), Data::Bool(b)) => zip(a, b, shape, |x, y| holds(Some(x.cmp(&y))))?,
            _ => return Err(self.unlike(other)),
        };
        Ok(Self {
            kind: ElementType::Bool,
            data: Data::Bool(found),
        })
    }

    fn unlike(&self, other: &Self) -> String {
        format!("cannot combine {} with {}", self.kind, other.kind)
    }

    /// Where these booleans are true the elements of `yes`, elsewhere those of `no`, all broadcast
    /// to `shape`.
    pub(crate) fn choose(&self, yes: &Self, no: &Self, shape: &[usize]) -> Result<Self, String> {
        fn pick<T: Copy>(
            c: &Array<bool>,
            yes: &Array<T>,
            no: &Array<T>,
            shape: &[usize],
        ) -> Result<Array<T>, String> {
            let failed = || format!("cannot broadcast to {shape:?}");
            let c = c.broadcast(IxDyn(shape)).ok_or_else(failed)?;
            let yes = yes.broadcast(IxDyn(shape)).ok_or_else(failed)?;
            let no = no.broadcast(IxDyn(shape)).ok_or_else(failed)?;
            let choice = Zip::from(&c).and(&yes).and(&no);
            Ok(choice
                .map_collect(|&c, &y, &n| if c { y } else { n })
                .into_shared())
        }
        let Data::Bool(c) = &self.data else {
            return Err(format!("expected booleans, got {}", self.kind));
        };
        let data = match (&yes.data, &no.data) {
            (Data::Float(y), Data::Float(n)) => Data::Float(pick(c, y, n, shape)?),
            (Data::Int(y), Data::Int(n)) => Data::Int(pick(c, y, n, shape)?),
            (Data::Bool(y), Data::Bool(n)) => Data::Bool(pick(c, y, n, shape)?),
            _ => return Err(yes.unlike(no)),
        };
        Ok(yes.with_data(data))
    }
}

fn zip<A: Copy, B: Clone>(
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
        .map_collect(|&x, &y| f(x, y))
        .into_shared())
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
        (0..self.len).filter_map(move |i| self.at(i))
    }

    /// The index at place `i` of the range.
    pub fn at(self, i: usize) -> Option<usize> {
        let at = self.step.wrapping_mul(i as isize);
        (i < self.len).then(|| self.start.wrapping_add_signed(at))
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

/// Number of elements of `shape`; `None` when it exceeds [`MAX_ELEMENTS`], or when the dimensions beside a 0
/// do.
pub fn element_count(shape: &[usize]) -> Option<usize> {
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
    fn values_change_type_as_onnx_says() {
        let ints =
            |values: &[i64], kind| HostTensor::of_ints(kind, &[values.len()], values.to_vec());
        let bytes = ints(&[-1, 300], ElementType::U8).unwrap();
        assert_eq!(bytes.ints().unwrap(), [255, 44]);
        assert_eq!(bytes.cast(ElementType::I8).ints().unwrap(), [-1, 44]);
        let floats = HostTensor::of_floats(ElementType::F32, &[3], vec![-1.7, 2.9, 1e9]).unwrap();
        assert_eq!(
            floats.cast(ElementType::I32).ints().unwrap(),
            [-1, 2, 1_000_000_000]
        );
        assert_eq!(floats.cast(ElementType::F16).floats()[1], 2.900_390_6);
        assert_eq!(floats.cast(ElementType::Bool).bools().unwrap(), [true; 3]);
        let huge = ints(&[-1], ElementType::U64).unwrap();
        assert_eq!(huge.floats(), [1.844_674_4e19]);
    }

    #[test]
    fn broadcasting_zips_row_by_row() {
        let a = HostTensor::from_ints(vec![1, 2, 3]);
        let b = HostTensor::of_ints(ElementType::I64, &[2, 1], vec![10, 20]).unwrap();
        let sum = a.zip_ints(&b, &[2, 3], |x, y| x + y).unwrap();
        assert_eq!(sum.ints().unwrap(), [11, 12, 13, 21, 22, 23]);
    }
}
