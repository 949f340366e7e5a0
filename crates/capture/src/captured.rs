//! A module's forward pass as a graph.

use std::collections::BTreeMap;
use std::sync::Arc;

use burn::module::Module;
use burn::tensor::Tensor;
use elucid_graph::{Graph, HostTensor, Limits};

use crate::align::{IMAGES, align, as_recorded};
use crate::error::CaptureError;
use crate::inputs::{Beside, Inputs, Outputs};
use crate::names::{Names, name};
use crate::normal::normalise;
use crate::parameters::values;
use crate::program::Program;
use crate::record::record;
use crate::translate::translate;
use crate::write::write;

/// A module's forward pass: what it computes, and the parameters that it computes with.
///
/// Cheap to clone: the clone shares everything.
#[derive(Debug, Clone)]
pub struct Captured {
    pass: Arc<Pass>,
    /// Those that the pass reads, by the paths of their fields.
    parameters: BTreeMap<String, HostTensor>,
}

#[derive(Debug)]
struct Pass {
    program: Program,
    names: Names,
    /// Why it takes one image at a time.
    one_by_one: Option<String>,
}

impl Captured {
    /// Captures `forward` for images of this shape, `[C, H, W]`.
    ///
    /// The module is not changed and stays where it is: what is captured is how it infers, as
    /// [`Module::valid`] makes it. `forward` runs over two images and over three; where that shows that
    /// something follows the number of images beside sizes, it runs over one, and
    /// [`one_by_one`](Self::one_by_one) says what. Another size of images is another capture.
    ///
    /// # Errors
    ///
    /// [`CaptureError::Forward`] when the forward pass panics or does what cannot be recorded,
    /// [`CaptureError::Unsupported`] with all operations that have no counterpart,
    /// [`CaptureError::Inputs`] when nothing that it returns follows from the images.
    pub fn of<M: Module, O: Outputs>(
        module: &M,
        image: [usize; 3],
        forward: impl Fn(&M, Tensor<4>) -> O,
    ) -> Result<Self, CaptureError> {
        Self::with_inputs(module, image, &[], |m, x, _: &Inputs| forward(m, x))
    }

    /// The same of a forward pass with more inputs than the images.
    ///
    /// # Errors
    ///
    /// As [`Captured::of`].
    pub fn with_inputs<M: Module, O: Outputs>(
        module: &M,
        image: [usize; 3],
        beside: &[Beside],
        forward: impl Fn(&M, Tensor<4>, &Inputs) -> O,
    ) -> Result<Self, CaptureError> {
        if let Some(beside) = beside
            .iter()
            .find(|b| b.name.is_empty() || b.name == "input")
        {
            let name = &beside.name;
            return Err(CaptureError::Inputs {
                reason: format!("\"{name}\" cannot be the name of an input beside the images"),
            });
        }
        let two = record(module, IMAGES[0], image, beside, &forward)?;
        let aligned = record(module, IMAGES[1], image, beside, &forward)
            .map_err(|error| error.to_string())
            .and_then(|three| align(&two, &three));
        let (recording, sizes, one_by_one) = match aligned {
            Ok(sizes) => (two, sizes, None),
            Err(reason) => {
                drop(two);
                let one = record(module, 1, image, beside, &forward)?;
                let sizes = as_recorded(&one);
                (one, sizes, Some(reason))
            }
        };
        let mut program = translate(&recording, &sizes)?;
        drop(recording);
        normalise(&mut program);
        program.check_inputs()?;
        let names = name(&program);
        let mut parameters = values(module)?;
        let read = program.parameters();
        parameters.retain(|path, _| read.contains(path.as_str()));
        let pass = Pass {
            program,
            names,
            one_by_one,
        };
        Ok(Self {
            pass: Arc::new(pass),
            parameters,
        })
    }

    /// What follows the number of images beside sizes, if anything does: the graph takes one image then.
    pub fn one_by_one(&self) -> Option<&str> {
        self.pass.one_by_one.as_deref()
    }

    /// The paths and shapes of the parameters that the pass reads.
    pub fn parameters(&self) -> impl Iterator<Item = (&str, &[usize])> {
        let parameters = self.parameters.iter();
        parameters.map(|(path, value)| (path.as_str(), value.shape()))
    }

    /// The same pass with the parameters that the module has now, without capturing it again.
    ///
    /// # Errors
    ///
    /// [`CaptureError::Parameter`] when one is missing or has another shape.
    pub fn refreshed<M: Module>(&self, module: &M) -> Result<Self, CaptureError> {
        let mut there = values(module)?;
        let mut parameters = BTreeMap::new();
        for (path, old) in &self.parameters {
            let refused = |reason: String| CaptureError::Parameter {
                path: path.clone(),
                reason,
            };
            let new = there.remove(path);
            let new = new.ok_or_else(|| refused("the module has none by this path".to_owned()))?;
            if new.shape() != old.shape() {
                return Err(refused(format!(
                    "its shape is {:?}, and was {:?} when the module was captured: capture it again",
                    new.shape(),
                    old.shape()
                )));
            }
            parameters.insert(path.clone(), new);
        }
        Ok(Self {
            pass: Arc::clone(&self.pass),
            parameters,
        })
    }

    /// The graph, within the usual limits of memory.
    ///
    /// # Errors
    ///
    /// [`CaptureError::Graph`] when the network is beyond what an operator can do, or takes more memory than
    /// is allowed.
    pub fn graph(&self) -> Result<Graph, CaptureError> {
        self.graph_within(Limits::default())
    }

    /// The same within other limits.
    ///
    /// # Errors
    ///
    /// As [`Captured::graph`].
    pub fn graph_within(&self, limits: Limits) -> Result<Graph, CaptureError> {
        let Pass {
            program,
            names,
            one_by_one,
        } = &*self.pass;
        let builder = write(program, names, &self.parameters, one_by_one.is_none())?;
        Ok(builder.limits(limits).build()?)
    }
}
