//! A burn module behind a [`Network`] that is written by hand: everything that is no model is enough for.

use burn::module::{Module, ModuleMapper, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor, TensorData};
use elucid::attribution::{
    AttributionError, ClassRef, LayerWeights, METHODS, MethodOptions, Place, ReplaceWeights,
};
use elucid::metrics::{Case, Metric, ParameterRandomisation};
use elucid::prelude::*;
use elucid_testkit::{device, numbers, relative_error, tensor};
use ndarray::{Array2, ArrayD, Axis, IxDyn};

const SIDE: usize = 12;

/// Two convolutions, the mean over positions, and a dense layer.
#[derive(Module, Debug)]
struct Small {
    conv1: Conv2d,
    conv2: Conv2d,
    fc: Linear,
}

impl Small {
    fn new(device: &Device) -> Self {
        Self {
            conv1: Conv2dConfig::new([3, 4], [3, 3]).init(device),
            conv2: Conv2dConfig::new([4, 5], [3, 3]).init(device),
            fc: LinearConfig::new(5, 3).init(device),
        }
        .map(&mut Repeatable(7))
    }
}

/// Fills weights with numbers that are the same in every run.
struct Repeatable(u32);

impl ModuleMapper for Repeatable {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        self.0 = self.0.wrapping_mul(31).wrapping_add(17);
        let seed = self.0;
        param.map(|weight| {
            let shape = weight.dims();
            let values = numbers(shape.iter().product(), seed);
            Tensor::from_data(TensorData::new(values, shape), &weight.device())
        })
    }
}

/// The module as a network: its layers by name, and what is computed from each.
#[derive(Debug, Clone)]
struct ByHand {
    module: Small,
    device: Device,
    spec: InputSpec,
}

const LAYERS: [&str; 4] = ["input", "conv1", "conv2", "fc"];

impl ByHand {
    fn new() -> Self {
        let plain = device();
        Self {
            // Gradients go through the module's own weights.
            module: Small::new(&plain.clone().autodiff()),
            device: plain,
            spec: InputSpec::new([SIDE, SIDE]).unwrap(),
        }
    }

    /// Layer `i + 1` from layer `i`.
    fn step(&self, i: usize, x: Activation) -> Result<Activation, AttributionError> {
        Ok(match i {
            0 => relu(self.module.conv1.forward(x.tensor::<4>()?)).into(),
            1 => relu(self.module.conv2.forward(x.tensor::<4>()?)).into(),
            _ => {
                let x = x.tensor::<4>()?.mean_dims(&[2, 3]);
                let [n, c, ..] = x.dims();
                self.module.fc.forward(x.reshape([n, c])).into()
            }
        })
    }
}

fn index(layer: &str) -> Result<usize, AttributionError> {
    let known = LAYERS.iter().position(|known| *known == layer);
    known.ok_or_else(|| AttributionError::NeedsModel {
        what: format!("layer \"{layer}\""),
    })
}

impl Network for ByHand {
    fn device(&self) -> Option<&Device> {
        Some(&self.device)
    }

    fn layer(&self, name: &str) -> Result<String, AttributionError> {
        Ok(match name {
            INPUT => "input".to_owned(),
            LOGITS => "fc".to_owned(),
            FEATURES => "conv2".to_owned(),
            name => LAYERS[index(name)?].to_owned(),
        })
    }

    fn class(&self, class: &ClassRef) -> Result<usize, AttributionError> {
        match class {
            ClassRef::Index(index) if *index < 3 => Ok(*index),
            _ => Err(AttributionError::NeedsModel {
                what: "a class but 0 to 2".to_owned(),
            }),
        }
    }

    fn run(
        &self,
        feeds: Vec<(&str, Activation)>,
        fetch: &str,
        rules: &Rules,
    ) -> Result<Activation, AttributionError> {
        assert!(rules.is_empty());
        let to = index(fetch)?;
        // The last layer that is fed at or before what is fetched.
        let fed = feeds
            .into_iter()
            .map(|(layer, value)| Ok((index(layer)?, value)));
        let fed = fed.collect::<Result<Vec<_>, AttributionError>>()?;
        let last = fed
            .into_iter()
            .filter(|(i, _)| *i <= to)
            .max_by_key(|(i, _)| *i);
        let (from, value) = last.expect("the input is always fed");
        if from == to {
            return Ok(value);
        }
        // The module's weights are differentiable, and what meets them has to be.
        let value = value.tensor::<4>()?;
        let lifted = match value.device().is_autodiff() {
            true => value,
            false => value.autodiff(),
        };
        (from..to).try_fold(lifted.into(), |x, i| self.step(i, x))
    }

    fn input_spec(&self) -> Option<&InputSpec> {
        Some(&self.spec)
    }

    fn layer_weights(&self) -> Result<Option<Vec<LayerWeights>>, AttributionError> {
        let layers = LAYERS.iter().skip(1).rev().map(|layer| LayerWeights {
            layer: (*layer).to_owned(),
            weights: vec![format!("{layer}.weight"), format!("{layer}.bias")],
        });
        Ok(Some(layers.collect()))
    }

    fn with_weights(
        &self,
        replace: &mut ReplaceWeights<'_>,
    ) -> Result<Option<Box<dyn Network>>, AttributionError> {
        let mut with = Replace {
            path: Vec::new(),
            replace,
        };
        let module = self.module.clone().map(&mut with);
        Ok(Some(Box::new(Self {
            module,
            ..self.clone()
        })))
    }
}

/// Replaces weights by their path in the module.
struct Replace<'r, 'f> {
    path: Vec<String>,
    replace: &'r mut ReplaceWeights<'f>,
}

impl ModuleMapper for Replace<'_, '_> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let name = self.path.join(".");
        let values: Vec<f32> = param.val().into_data().iter::<f32>().collect();
        let values = ArrayD::from_shape_vec(IxDyn(&param.dims()), values).unwrap();
        match (self.replace)(&name, values.view()) {
            None => param,
            Some(new) => param.map(|weight| {
                let data = TensorData::new(new.into_raw_vec_and_offset().0, weight.dims());
                Tensor::from_data(data, &weight.device())
            }),
        }
    }
}

fn images(count: usize) -> Tensor<4> {
    tensor(numbers(count * 3 * SIDE * SIDE, 3), [count, 3, SIDE, SIDE])
}

/// Gradients at each layer are burn's own.
#[test]
fn gradients_at_every_layer_are_those_of_burn() {
    let network = ByHand::new();
    let x = images(2);
    let gradient = Gradient::at_input();
    let layers = ["conv2", INPUT, "conv1"];
    let together = gradient
        .attribute_at(layers, &network, &x, Target::class(1))
        .unwrap();
    for (layer, found) in layers.iter().zip(&together) {
        let full = network.layer(layer).unwrap();
        assert_eq!(found.layer(), full);
        let at = network
            .run(vec![("input", x.clone().into())], &full, &Rules::new())
            .unwrap();
        let leaf = at.require_grad();
        let scores = network
            .run(vec![(&full, leaf.clone())], "fc", &Rules::new())
            .unwrap();
        let scores = scores.tensor::<2>().unwrap().narrow(1, 1, 1).sum();
        let want = leaf
            .gradient(&scores.backward())
            .unwrap()
            .to_array()
            .unwrap();
        assert!(relative_error(found.values(), &want) < 1e-6, "{layer}");
        let alone = Gradient::at(layer)
            .attribute(&network, &x, Target::class(1))
            .unwrap();
        assert_eq!(alone.values(), found.values(), "{layer}");
    }
}

/// Layer to layer, against one gradient for each position.
#[test]
fn spatial_attribution_as_a_loop() {
    let network = ByHand::new();
    let x = images(2);
    let method = SpatialAttribution::between("conv1", "conv2").batch_size(5);
    let found = method.compute(&network, &x).unwrap();
    assert_eq!(found.len(), 2);
    for (i, maps) in found.iter().enumerate() {
        let image = x.clone().narrow(0, i, 1);
        let feeds = vec![("input", Activation::from(image))];
        let shallow = network.run(feeds, "conv1", &Rules::new()).unwrap();
        let [_, _, h, w] = <[usize; 4]>::try_from(
            network
                .run(vec![("conv1", shallow.clone())], "conv2", &Rules::new())
                .unwrap()
                .shape(),
        )
        .unwrap();
        assert_eq!(maps.maps().dim(), (h, w, SIDE - 2, SIDE - 2));
        for (y, x) in [(0, 0), (h - 1, 2), (3, w - 1)] {
            let leaf = shallow.clone().require_grad();
            let deep = network
                .run(vec![("conv1", leaf.clone())], "conv2", &Rules::new())
                .unwrap();
            let deep = deep.tensor::<4>().unwrap();
            let at = deep.narrow(2, y, 1).narrow(3, x, 1);
            let norm = at.square().sum().sqrt();
            let g = leaf.gradient(&norm.backward()).unwrap().to_array().unwrap();
            let product = &g * &shallow.to_array().unwrap();
            let want = product.index_axis(Axis(0), 0).sum_axis(Axis(0));
            let got = maps
                .maps()
                .index_axis(Axis(0), y)
                .index_axis_move(Axis(0), x);
            assert!(relative_error(got, &want) < 1e-5, "{y} {x}");
        }
    }
    let nowhere = SpatialAttribution::between("conv2", "conv1").compute(&network, &x);
    assert!(
        matches!(nowhere, Err(AttributionError::NoPath { .. })),
        "{nowhere:?}"
    );
}

/// Every method that needs no operators, at its own layer.
#[test]
fn methods_explain_it() {
    let network = ByHand::new();
    let x = images(1);
    let small = [
        ("masks", "20"),
        ("cells", "3"),
        ("samples", "6"),
        ("steps", "4"),
        ("segments", "grid:3"),
        ("permutations", "2"),
        ("design", "2"),
        ("iterations", "3"),
    ];
    let mut explained = 0;
    for method in METHODS.iter().filter(|method| !method.needs_model) {
        let options = small
            .iter()
            .filter(|(option, _)| method.takes(option))
            .fold(MethodOptions::new(), |all, (option, value)| {
                all.set(option, value)
            });
        // Black is known where the network says how pictures are prepared.
        let options = match method.takes("baseline") {
            true => options.set("baseline", "black"),
            false => options,
        };
        let built = method.build(&options).unwrap();
        let found = built
            .attribute(&network, &x, Target::class(2))
            .unwrap_or_else(|error| panic!("{}: {error}", method.name));
        assert!(
            found.values().iter().all(|v| v.is_finite()),
            "{}",
            method.name
        );
        if method.place == Place::SpatialLayer {
            assert_eq!(found.layer(), "conv2", "{}", method.name);
        }
        explained += 1;
    }
    assert!(explained > 20);
}

#[test]
fn its_weights_are_randomised() {
    let network = ByHand::new();
    let x = images(1);
    assert_eq!(
        ParameterRandomisation::layers(&network).unwrap(),
        ["fc", "conv2", "conv1"]
    );
    let gradient = Gradient::at_input();
    let map = gradient
        .attribute(&network, &x, Target::class(0))
        .unwrap()
        .map()
        .unwrap();
    let map: Array2<f32> = map.maps().index_axis(Axis(0), 0).to_owned();
    let case = Case::new(&network, &x, 0, map.view())
        .unwrap()
        .attributor(&gradient);
    let stages = ParameterRandomisation::spearman()
        .stages(&case)
        .unwrap()
        .unwrap();
    let layers: Vec<&str> = stages.iter().map(|stage| stage.layer.as_str()).collect();
    assert_eq!(layers, ["fc", "conv2", "conv1"]);
    assert!(stages.iter().all(|stage| stage.spearman.abs() <= 1.0));
    assert!(stages.last().unwrap().spearman < 0.99, "{stages:?}");
    let found = ParameterRandomisation::ssim().measure(&case).unwrap();
    assert!(found.value().is_some(), "{found}");
    // The network itself is what it was.
    let again = gradient.attribute(&network, &x, Target::class(0)).unwrap();
    assert_eq!(again.map().unwrap().maps().index_axis(Axis(0), 0), map);
}

#[test]
fn its_features_are_visualised() {
    let network = ByHand::new();
    let vis = FeatureVis::pixels(10)
        .steps(30)
        .transforms(Transforms::none());
    let found = vis.channels(&network, "conv2", &[0, 1, 2, 3, 4]).unwrap();
    assert_eq!(found.images().dim(), (5, 3, 10, 10));
    // It sees pictures at the size that it says it takes.
    assert_eq!(found.network_size(), Some([SIDE, SIDE]));
    // A channel that is 0 everywhere has no gradient to climb.
    let alive = found.values().iter().filter(|values| values[0] > 0.0);
    assert!(alive.clone().count() > 1);
    for values in alive {
        assert!(values[29] > values[0], "{values:?}");
    }
    let any = vis
        .clone()
        .any_size(true)
        .classes(&network, [1_usize])
        .unwrap();
    assert_eq!(
        (any.network_size(), any.layers()),
        (None, &["fc".to_owned()][..])
    );
    assert!(any.values()[0][29] > any.values()[0][0]);
    let refused = vis
        .channels(&network, "conv2", &[5])
        .unwrap_err()
        .to_string();
    assert!(refused.contains("channels 0 to 4"), "{refused}");

    // A closure has scores, and says nothing of pictures.
    let module = network.module.clone();
    let closure = move |x: Tensor<4>| {
        let x = if x.device().is_autodiff() {
            x
        } else {
            x.autodiff()
        };
        let x = relu(module.conv2.forward(relu(module.conv1.forward(x)))).mean_dims(&[2, 3]);
        let n = x.dims()[0];
        module.fc.forward(x.reshape([n, 5]))
    };
    let refused = vis.classes(&closure, [1_usize]).unwrap_err().to_string();
    assert!(refused.contains("input_spec"), "{refused}");
    let told = vis.any_size(true).input_spec(&network.spec);
    let found = told.classes(&closure, [1_usize]).unwrap();
    assert_eq!(found.images(), any.images());
}
