//! `MaxUnpool`: numbers put back to where a `MaxPool` took them from, with zeros between.
//!
//! Where two numbers go to one place, the last stays. Places count in the output that follows from the
//! windows; where a larger one is stated, zeros are behind it along each axis.

use std::sync::Arc;

use burn::tensor::Tensor;
use burn::tensor::ops::PadMode;
use elucid_rules::{Algebra, };

use super::gather::index_tensor;
use super::window::{Window, spatial};
use crate::activation::{Activation, IntoView, at_rank};
use crate::host::{ElementType, HostTensor};
use crate::limits::widest_bytes;
use crate::operator::{facts, 
    Kernel, Known, Operands, Operator, Refused, Resolved, Slots, check_size, sizes,
};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[Entry::onnx("MaxUnpool", 1, |a| {
    Ok(Arc::new(MaxUnpool(Window::read_pool(a)?)))
})];

#[derive(Debug)]
struct MaxUnpool(Window);

impl Operator for MaxUnpool {
    facts!(kind: "MaxUnpool");

    fn algebra(&self, _constant: &[bool]) -> Algebra {
        // As a pool's positions do, it follows the image.
        Algebra::Other
    }

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let x = &inputs.floats(0)?.shape;
        spatial(inputs.input(0)?)?;
        let places = inputs.input(1)?;
        if places.shape != *x || !places.kind.is_int() {
            return Err(format!(
                "places have shape {:?} of {}, expected {x:?} of integers",
                places.shape, places.kind
            )
            .into());
        }
        let kernel = self.0.kernel.as_ref().ok_or("the window has no size")?;
        if kernel.len() + 2 != x.len() {
            return Err(format!("a window of {kernel:?} in an input of shape {x:?}").into());
        }
        let axes = self.0.unpadded(kernel)?;
        let mut inner = x[..2].to_vec();
        for (axis, &size) in axes.iter().zip(&x[2..]) {
            let out = (size - 1)
                .checked_mul(axis.stride)
                .and_then(|reached| reached.checked_add(axis.kernel))
                .and_then(|reached| reached.checked_sub(axis.before.checked_add(axis.after)?));
            let out = out.filter(|&out| out > 0);
            inner.push(out.ok_or_else(|| format!("windows of {kernel:?} leave nothing"))?);
        }
        let shape = match inputs.optional_list(2, "the output's shape")? {
            None => inner.clone(),
            Some(stated) => sizes(&stated)?,
        };
        let fits = shape.len() == inner.len()
            && shape[..2] == inner[..2]
            && shape.iter().zip(&inner).all(|(out, inner)| out >= inner);
        if !fits {
            return Err(
                format!("an output of {shape:?} does not hold windows over {inner:?}").into(),
            );
        }
        check_size(&shape)?;
        let known = places.host.clone();
        let kernel = PutBack { inner, known };
        Ok(Resolved::typed(kernel, shape, inputs.input(0)?.kind))
    }
}

#[derive(Debug)]
struct PutBack {
    /// The shape that places count in.
    inner: Vec<usize>,
    /// The places, where they are known more exactly than on a device.
    known: Option<HostTensor>,
}

impl Kernel for PutBack {
    fn run(&self, inputs: Slots, outputs: &[Known]) -> Vec<Activation> {
        self.try_run(inputs, outputs).unwrap_or_default()
    }

    fn try_run(&self, mut inputs: Slots, outputs: &[Known]) -> Result<Vec<Activation>, String> {
        let x = inputs.take(0);
        let places = match &self.known {
            Some(known) => known.clone(),
            None => {
                let places = inputs.take(1);
                places.to_host(ElementType::I64, &places.shape())?
            }
        };
        let count: usize = self.inner.iter().product();
        let numbers: usize = x.shape().iter().product();
        // Behind the numbers stands a zero for every place that gets none; places outside are left
        // out.
        let mut sources = vec![numbers; count];
        let places = places.ints().unwrap_or_default();
        for (i, place) in places.into_iter().enumerate() {
            if let Some(source) = usize::try_from(place).ok().and_then(|p| sources.get_mut(p)) {
                *source = i;
            }
        }
        let sources = index_tensor(&sources, &x);
        let x = x.into_view(&[numbers]).into_cast::<1>();
        let zero = x.clone().without_autodiff().narrow(0, 0, 1).zeros_like();
        let put: Tensor<1> = Tensor::cat(vec![x, zero], 0).select(0, sources);
        let y = put.into_view(&self.inner);
        let behind: Vec<(usize, usize)> = (outputs[0].shape.iter().zip(&self.inner))
            .map(|(out, inner)| (0, out - inner))
            .collect();
        match behind.iter().all(|&(_, n)| n == 0) {
            true => Ok(vec![y]),
            false => {
                let padding = PadMode::Constant(0.0);
                Ok(vec![at_rank!(y, y => y.pad(behind.as_slice(), padding))])
            }
        }
    }

    fn working(&self) -> u64 {
        // Where each number comes from, and the numbers before they are padded.
        widest_bytes(&self.inner).saturating_mul(2)
    }
}
