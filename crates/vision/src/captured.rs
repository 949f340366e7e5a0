//! Burn modules as models.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use elucid_capture::{Beside, Captured, Inputs, Outputs};

use crate::error::ModelError;
use crate::input::InputSpec;
use crate::model::Model;
use crate::opening::{Opening, Remark};

/// What a captured model is made again from.
#[derive(Debug)]
pub(crate) struct Source {
    opening: Opening,
    captured: Captured,
    name: String,
    device: Device,
}

impl Model {
    /// A burn module as a model: `forward` is recorded, and every value of it is a layer by the path of the
    /// field that it stands for.
    ///
    /// Pictures are prepared as `spec` says, whose size and channels are those that `forward` is recorded
    /// with; another size is another capture. The model runs where the module's parameters lie. The module is
    /// not changed; what is explained is how it infers. How a forward pass is to be written, what cannot be
    /// captured and what things are called: [`Captured`].
    ///
    /// ```
    /// use burn::module::Module;
    /// use burn::nn::conv::{Conv2d, Conv2dConfig};
    /// use burn::nn::{Linear, LinearConfig};
    /// use burn::tensor::{Device, Tensor, activation::relu};
    /// use elucid_vision::{InputSpec, Model};
    ///
    /// #[derive(Module, Debug)]
    /// struct Net {
    ///     conv: Conv2d,
    ///     fc: Linear,
    /// }
    ///
    /// impl Net {
    ///     fn forward(&self, x: Tensor<4>) -> Tensor<2> {
    ///         let x = relu(self.conv.forward(x));
    ///         self.fc.forward(x.mean_dims(&[2, 3]).flatten(1, 3))
    ///     }
    /// }
    ///
    /// let device = Device::flex();
    /// let net = Net {
    ///     conv: Conv2dConfig::new([3, 8], [3, 3]).init(&device),
    ///     fc: LinearConfig::new(8, 10).init(&device),
    /// };
    /// let model = Model::capture(&net, InputSpec::new([32, 32])?, |m, x| m.forward(x))?;
    /// assert_eq!(model.layer("conv")?.shape(), [1, 8, 30, 30]);
    /// assert_eq!(model.classes()?, 10);
    /// # Ok::<(), elucid_vision::ModelError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ModelError::Capture`] when the forward pass cannot be captured; it says what it does, and where. As
    /// [`Opening::graph`].
    pub fn capture<M: Module, O: Outputs>(
        module: &M,
        spec: InputSpec,
        forward: impl Fn(&M, Tensor<4>) -> O,
    ) -> Result<Self, ModelError> {
        Opening::of(Some(spec)).capture(module, forward)
    }

    /// The same network with the parameters that the module has now, without capturing it again: what a
    /// training loop calls to explain what it has so far.
    ///
    /// # Errors
    ///
    /// [`ModelError::Capture`] when a parameter is missing or has another shape;
    /// [`ModelError::Pictures`] for a model that was not captured.
    pub fn refresh<M: Module>(&self, module: &M) -> Result<Self, ModelError> {
        let Some(source) = &self.source else {
            return Err(ModelError::Pictures {
                reason: "only a model of Model::capture takes parameters from a module; \
                         with_weights replaces weights by name"
                    .to_owned(),
            });
        };
        let captured = source.captured.refreshed(module)?;
        let model = source
            .opening
            .of_captured(captured, &source.name, source.device.clone())?;
        match self.labels() {
            Some(labels) if model.labels() != Some(labels) => model.with_labels(labels.clone()),
            _ => Ok(model),
        }
    }
}

impl Opening {
    /// A burn module as a model, as [`Model::capture`], with what is said here of its input and output.
    /// Without a [preparation](Opening::prepared_by) pictures are of 224 x 224 pixels, prepared as
    /// ImageNet's.
    ///
    /// # Errors
    ///
    /// As [`Model::capture`].
    pub fn capture<M: Module, O: Outputs>(
        &self,
        module: &M,
        forward: impl Fn(&M, Tensor<4>) -> O,
    ) -> Result<Model, ModelError> {
        self.capture_with(module, |m, x, _: &Inputs| forward(m, x))
    }

    /// The same of a forward pass with more inputs than the images: each value that is
    /// [fed](Opening::feed) is one, by its name, with a row for each image.
    ///
    /// ```
    /// # use burn::module::Module;
    /// # use burn::nn::{Linear, LinearConfig};
    /// # use burn::tensor::{Device, Tensor};
    /// # use elucid_vision::{InputSpec, ModelError, Opening};
    /// # #[derive(Module, Debug)]
    /// # struct Net { fc: Linear }
    /// # impl Net {
    /// #     fn forward(&self, x: Tensor<4>, state: Tensor<2>) -> Tensor<2> {
    /// #         self.fc.forward(Tensor::cat(vec![x.mean_dims(&[2, 3]).flatten(1, 3), state], 1))
    /// #     }
    /// # }
    /// # let net = Net { fc: LinearConfig::new(5, 10).init(&Device::flex()) };
    /// let state = ndarray::array![0.5, -1.0].into_dyn();
    /// let model = Opening::new()
    ///     .prepared_by(InputSpec::new([32, 32])?)
    ///     .feed("state", state)
    ///     .capture_with(&net, |m, x, beside| m.forward(x, beside.float("state")))?;
    /// # assert_eq!(model.classes()?, 10);
    /// # Ok::<(), ModelError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Model::capture`].
    pub fn capture_with<M: Module, O: Outputs>(
        &self,
        module: &M,
        forward: impl Fn(&M, Tensor<4>, &Inputs) -> O,
    ) -> Result<Model, ModelError> {
        let usual = InputSpec::new([224, 224])?;
        let spec = self.said_spec().unwrap_or(usual);
        let [height, width] = spec.size();
        let image = [spec.channels(), height, width];
        let beside: Vec<Beside> = self.beside();
        let captured = Captured::with_inputs(module, image, &beside, forward)?;
        let device = module.devices().into_iter().next().unwrap_or_default();
        let mut opening = self.clone();
        opening.say_spec(spec);
        opening.of_captured(captured, &name_of::<M>(), device)
    }

    fn of_captured(
        &self,
        captured: Captured,
        name: &str,
        device: Device,
    ) -> Result<Model, ModelError> {
        let graph = captured.graph_within(self.said_limits())?;
        let reason = captured.one_by_one().map(|reason| {
            Remark::new(format!(
                "the forward pass was captured for one image at a time: {reason}"
            ))
        });
        let mut model = self.named_graph(graph, name, &device, reason)?;
        model.source = Some(std::sync::Arc::new(Source {
            opening: self.clone(),
            captured,
            name: name.to_owned(),
            device,
        }));
        Ok(model)
    }
}

/// A module's type without its path and parameters: `ResNet`.
fn name_of<M>() -> String {
    let path = std::any::type_name::<M>();
    let path = path.split('<').next().unwrap_or_default();
    path.rsplit("::").next().unwrap_or_default().to_owned()
}
