//! Names that a forward pass gives to values itself.

use std::cell::RefCell;

use burn::backend::capture::{CaptureBackend, TensorId};
use burn::tensor::{Int, Tensor};

thread_local! {
    /// What has been marked in the recording of this thread, if there is one.
    static MARKS: RefCell<Option<Vec<(TensorId, String)>>> = const { RefCell::new(None) };
}

/// Names a value inside a `forward`: hands `x` back as it is, on every backend, tracked or not.
///
/// A captured network has the value as the layer `name`, whatever it would be called otherwise; where
/// several have one name, as in a layer that runs twice, they become `name`, `name_2` and so on in the
/// order in which they are computed. While nothing is captured this costs the look at one thread-local.
///
/// ```
/// use burn::tensor::Tensor;
///
/// fn forward(x: Tensor<4>) -> Tensor<4> {
///     let x = elucid_capture::layer("stem", x.mul_scalar(2.0));
///     x.tanh()
/// }
/// # forward(Tensor::zeros([1, 1, 1, 1], &burn::tensor::Device::flex()));
/// ```
pub fn layer<const D: usize>(name: &str, x: Tensor<D>) -> Tensor<D> {
    MARKS.with_borrow_mut(|marks| {
        if let Some(marks) = marks
            && let Some(id) = id_of(&x)
        {
            marks.push((id, name.to_owned()));
        }
    });
    x
}

/// The identity of a value on a recording device.
pub(crate) fn id_of<const D: usize>(x: &Tensor<D>) -> Option<TensorId> {
    let x = x.clone().try_into_primitive::<CaptureBackend>().ok()?;
    Some(x.id())
}

/// The same of integers.
pub(crate) fn id_of_int<const D: usize>(x: &Tensor<D, Int>) -> Option<TensorId> {
    let x = x.clone().try_into_primitive::<CaptureBackend>().ok()?;
    Some(x.id())
}

/// Marks of one recording. What an outer recording had marked is put back when this is dropped.
pub(crate) struct Marks(Option<Vec<(TensorId, String)>>);

impl Marks {
    pub fn collect() -> Self {
        Self(MARKS.replace(Some(Vec::new())))
    }

    pub fn take(&self) -> Vec<(TensorId, String)> {
        MARKS.take().unwrap_or_default()
    }
}

impl Drop for Marks {
    fn drop(&mut self) {
        MARKS.set(self.0.take());
    }
}
