//! The tensors of a module by the paths of its fields.

use std::collections::{BTreeMap, HashMap};

use burn::backend::capture::{CaptureBackend, TensorId};
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Bool, Int, Tensor, TensorData};
use elucid_graph::HostTensor;

use crate::error::CaptureError;
use crate::host::host;
use crate::quiet::quietly;

/// The path of the field that a visitor is at: `layer1.0.conv.weight`.
#[derive(Default)]
struct Path(Vec<String>);

impl Path {
    fn text(&self) -> String {
        self.0.join(".")
    }
}

/// Parameters, running statistics included, on a recording device.
#[derive(Default)]
pub(crate) struct Recorded {
    path: Path,
    pub paths: HashMap<TensorId, String>,
}

/// The values of parameters where they are.
#[derive(Default)]
struct Values {
    path: Path,
    found: Vec<(String, TensorData)>,
}

/// A visitor that keeps the path of where it is.
macro_rules! walks {
    () => {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.path.0.push(name.to_owned());
        }

        fn exit_module(&mut self, _: &str, _: &str) {
            self.path.0.pop();
        }
    };
}

macro_rules! visit {
    ($($name:ident $(, $kind:ty)?;)*) => {
        impl ModuleVisitor for Recorded {
            walks!();

            $(fn $name<const D: usize>(&mut self, param: &Param<Tensor<D $(, $kind)?>>) {
                if let Ok(x) = param.val().try_into_primitive::<CaptureBackend>() {
                    let path = self.path.text();
                    self.paths.entry(x.id()).or_insert(path);
                }
            })*
        }

        impl ModuleVisitor for Values {
            walks!();

            $(fn $name<const D: usize>(&mut self, param: &Param<Tensor<D $(, $kind)?>>) {
                self.found.push((self.path.text(), param.val().into_data()));
            })*
        }
    };
}

visit! {
    visit_float;
    visit_int, Int;
    visit_bool, Bool;
}

/// A copy of a module that infers and can be moved: the running statistics of a clone are those of the
/// module itself, and would be moved with it.
pub(crate) fn detached<M: Module>(module: &M) -> M {
    module.valid().materialize()
}

/// The values of all parameters.
///
/// # Errors
///
/// [`CaptureError::Parameter`] for elements that have no counterpart.
pub(crate) fn values<M: Module>(module: &M) -> Result<BTreeMap<String, HostTensor>, CaptureError> {
    let mut values = Values::default();
    let read = quietly(|| detached(module).visit(&mut values));
    read.map_err(|panic| CaptureError::Recording {
        reason: format!("the parameters cannot be read: {}", panic.0),
    })?;
    let mut made = BTreeMap::new();
    for (path, data) in values.found {
        match host(&data) {
            Ok(value) => drop(made.insert(path, value)),
            Err(reason) => return Err(CaptureError::Parameter { path, reason }),
        }
    }
    Ok(made)
}
