//! A forward pass on burn's recording device.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use burn::backend::capture::{CapturedGraph, TensorId};
use burn::backend::ir::OperationIr;
use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};

use crate::error::CaptureError;
use crate::inputs::{Beside, Given, Inputs, Outputs};
use crate::mark::{Marks, id_of};
use crate::parameters::{Recorded, detached};
use crate::quiet::{Panic, quietly};

/// What a pass over some images did.
pub(crate) struct Recording {
    pub operations: Vec<OperationIr>,
    /// Parameters, and values that the pass made of numbers.
    pub values: BTreeMap<TensorId, TensorData>,
    /// Parameters by the path of their fields.
    pub paths: HashMap<TensorId, String>,
    pub marks: Vec<(TensorId, String)>,
    pub image: TensorId,
    pub beside: Vec<(String, Given)>,
    pub outputs: Vec<TensorId>,
}

/// Devices that record, to be used again: a process can have 65,536 of them, and a device one recording at
/// a time.
static DEVICES: Mutex<Vec<Device>> = Mutex::new(Vec::new());

/// A device of one's own while this lives.
struct Lent(Option<Device>);

impl Lent {
    fn new() -> Self {
        let mut devices = DEVICES.lock().unwrap_or_else(PoisonError::into_inner);
        Self(Some(devices.pop().unwrap_or_else(Device::capture)))
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut devices = DEVICES.lock().unwrap_or_else(PoisonError::into_inner);
        devices.extend(self.0.take());
    }
}

/// Where values are made that a recording takes for given: on whatever computes.
pub(crate) fn source() -> Device {
    #[cfg(feature = "flex")]
    let device = Device::flex();
    #[cfg(not(feature = "flex"))]
    let device = Device::default();
    device
}

/// Runs `forward` over `images` images of shape `[C, H, W]` on a device that records.
pub(crate) fn record<M: Module, O: Outputs>(
    module: &M,
    images: usize,
    [channels, height, width]: [usize; 3],
    beside: &[Beside],
    forward: &impl Fn(&M, Tensor<4>, &Inputs) -> O,
) -> Result<Recording, CaptureError> {
    let lent = Lent::new();
    let Some(device) = &lent.0 else {
        return Err(CaptureError::Recording {
            reason: "no device that records".to_owned(),
        });
    };
    let marks = Marks::collect();
    let mut found = Recorded::default();
    let mut ends = Err(Panic(String::new()));
    let captured = quietly(|| {
        device.capture_scope(|scope| {
            // A panic is caught inside the scope: what was recorded before says where it happened.
            ends = quietly(|| {
                let module = detached(module).to_device(device);
                module.visit(&mut found);
                let shape = [images, channels, height, width];
                let x = Tensor::<4>::zeros(shape, &source()).to_device(device);
                let image = id_of(&x);
                let inputs = Inputs::new(images, device, beside);
                let outputs = forward(&module, x, &inputs).ids();
                Ends::new(image, inputs.given(), outputs).unwrap_or_else(|| panic!("{ELSEWHERE}"))
            });
            match &ends {
                Ok(ends) => scope.complete(ends.inputs(), ends.distinct_outputs()),
                Err(_) => scope.complete([], []),
            }
        })
    });
    let captured = captured.map_err(|Panic(reason)| CaptureError::Recording { reason })?;
    let CapturedGraph { graph, values } = captured.map_err(|error| CaptureError::Recording {
        reason: error.to_string(),
    })?;
    match ends {
        Ok(ends) => Ok(Recording {
            operations: graph.operations,
            values,
            paths: found.paths,
            marks: marks.take(),
            image: ends.image,
            beside: ends.beside,
            outputs: ends.outputs,
        }),
        Err(Panic(reason)) => Err(CaptureError::Forward {
            at: place(&graph.operations, &found.paths),
            reason: advice(&reason),
        }),
    }
}

const ELSEWHERE: &str = "what the forward pass returns does not lie on the input's device";

/// Where a recording begins and ends.
struct Ends {
    image: TensorId,
    beside: Vec<(String, Given)>,
    outputs: Vec<TensorId>,
}

impl Ends {
    fn new(
        image: Option<TensorId>,
        beside: Vec<(String, Given)>,
        outputs: Vec<Option<TensorId>>,
    ) -> Option<Self> {
        Some(Self {
            image: image?,
            beside,
            outputs: outputs.into_iter().collect::<Option<_>>()?,
        })
    }

    fn inputs(&self) -> Vec<TensorId> {
        let beside = self.beside.iter().map(|(_, given)| given.id);
        std::iter::once(self.image).chain(beside).collect()
    }

    /// A value may be returned twice; burn wants to be told once.
    fn distinct_outputs(&self) -> BTreeSet<TensorId> {
        self.outputs.iter().copied().collect()
    }
}

/// Behind which layer with parameters a recording stops.
fn place(operations: &[OperationIr], paths: &HashMap<TensorId, String>) -> String {
    let read = |operation: &OperationIr| {
        let mut inputs = operation.inputs();
        inputs.find_map(|x| paths.get(&x.id)).cloned()
    };
    match operations.iter().rev().find_map(read) {
        Some(path) => format!("after \"{}\"", module_of(&path)),
        None => "before any parameter is used".to_owned(),
    }
}

/// The module that holds a parameter; of one of the network itself, the parameter.
pub(crate) fn module_of(path: &str) -> &str {
    path.rsplit_once('.').map_or(path, |(module, _)| module)
}

/// burn's words for a panic under capture, and what would be right.
fn advice(panic: &str) -> String {
    let known = [
        (
            "has no concrete value",
            "it reads numbers of a tensor (into_scalar, into_data, to_data), and a recording has none: \
             what depends on numbers must stay in tensors, as in mask_where",
        ),
        (
            "Backend not supported for custom op",
            "it calls an extension operation whose backend extension does not list `Capture`: list it, \
             with what it computes in burn's own operations",
        ),
        (
            "unsupported dispatch",
            "it calls an extension operation whose backend extension does not list `Capture`: list it, \
             with what it computes in burn's own operations",
        ),
        (
            "wrong backend",
            "it brings tensors of another device together with the input: make them on the input's \
             device, as in `Tensor::zeros(shape, &x.device())`, or move them there by \
             `to_device(&x.device())`",
        ),
        (
            "not on the same device",
            "it brings tensors of another device together with the input: make them on the input's \
             device, as in `Tensor::zeros(shape, &x.device())`, or move them there by \
             `to_device(&x.device())`",
        ),
        (
            "from a capture device",
            "it moves a tensor to another device, and a recording has no numbers that could be moved: \
             stay on the input's device",
        ),
        (
            "with autodiff enabled",
            "it moves a tensor that tracks gradients onto the recording: call `without_autodiff()` on it \
             first",
        ),
        (
            "Requires autodiff tensor",
            "it differentiates (backward, grad), which cannot be recorded",
        ),
        (
            "must run inside CaptureDevice::capture_scope",
            "it uses a tensor of an earlier capture, which is over: a module must not keep tensors from \
             one pass to the next",
        ),
        (
            "scope is already complete",
            "it uses a tensor of an earlier capture, which is over: a module must not keep tensors from \
             one pass to the next",
        ),
        (
            "seeding is not supported",
            "it seeds the random numbers of the device, which a recording does not have",
        ),
        (
            ELSEWHERE,
            "what it returns does not lie on the input's device: it does not follow from the input, or \
             was made on a device of its own",
        ),
    ];
    let found = known.iter().find(|(sign, _)| panic.contains(sign));
    match found {
        Some((_, advice)) => format!("{advice} (burn says: {panic})"),
        None => format!("it panics: {panic}"),
    }
}
