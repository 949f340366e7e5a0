//! Where in the program that was exported a node stands, as exporters write it.

use crate::proto::{ModelProto, NodeProto};

/// PyTorch's exporter since 2.5: the modules around a node and the operation, outermost first, as
/// Python prints a list.
const NAME_SCOPES: &str = "pkg.torch.onnx.name_scopes";

/// What `torch.export` writes where an operation belongs to no module.
const NO_MODULE: &str = "_empty_nn_module_stack_from_metadata_hook";

/// Longer paths than any program has are taken for none, so that a file cannot make work by them.
const LONGEST: usize = 512;

/// The same for modules within modules.
const DEEPEST: usize = 64;

/// How a file's names are to be read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scopes {
    /// Nodes are named by TensorFlow's scopes, and all of them begin like this: the model itself, of
    /// which Keras does not speak when it names a layer.
    tensorflow: Option<Vec<String>>,
}

impl Scopes {
    pub fn of(model: &ModelProto) -> Self {
        let nodes = model.graph.as_ref().map_or(&[][..], |graph| &graph.node);
        let scoped = || {
            nodes
                .iter()
                .filter_map(|node| tensorflow_scope(node.name()))
        };
        // Tools that come after the exporter put their own name in its place, but leave the values'.
        let tensors = nodes.iter().filter(|node| makes_tensor_zero(node)).count();
        let is_tensorflow = model.producer_name.as_deref() == Some("tf2onnx")
            || (tensors > 0 && 2 * tensors >= scoped().count());
        if !is_tensorflow {
            return Self::default();
        }
        let longest = scoped().map(|scope| scope.split('/').count()).max();
        let mut shared: Option<Vec<&str>> = None;
        for scope in scoped() {
            match &mut shared {
                None => shared = Some(scope.split('/').collect()),
                Some(shared) => {
                    let same = shared.iter().zip(scope.split('/'));
                    let same = same.take_while(|(a, b)| *a == b).count();
                    shared.truncate(same);
                }
            }
        }
        let mut shared = shared.unwrap_or_default();
        // With one layer only, all of its path is shared.
        shared.truncate(longest.unwrap_or(0).saturating_sub(1));
        Self {
            tensorflow: Some(shared.into_iter().map(str::to_owned).collect()),
        }
    }

    /// The path of the innermost module that a node stands in, `layer4.1.conv2`; empty where the file
    /// names none.
    pub fn module_of(&self, node: &NodeProto) -> String {
        let scopes = node.metadata_props.iter();
        let scopes = scopes.filter(|entry| entry.key.as_deref() == Some(NAME_SCOPES));
        let written = scopes.filter_map(|entry| entry.value.as_deref()).next();
        let path = match written.and_then(python_list) {
            Some(scopes) => from_scopes(&scopes),
            None => self.by_name(node.name()),
        };
        let is_usual = path.len() <= LONGEST && path.split('.').count() <= DEEPEST;
        if is_usual { path } else { String::new() }
    }

    fn by_name(&self, name: &str) -> String {
        if name.len() > 4 * LONGEST {
            return String::new();
        }
        if let Some(scopes) = name.strip_prefix('/') {
            return from_nested(scopes);
        }
        let (Some(root), Some(scope)) = (&self.tensorflow, tensorflow_scope(name)) else {
            return String::new();
        };
        let mut segments = scope.split('/').peekable();
        for part in root {
            if segments.peek() != Some(&part.as_str()) {
                break;
            }
            segments.next();
        }
        segments.collect::<Vec<_>>().join(".")
    }
}

/// `["", "layer4", "layer4.1", "layer4.1.conv2", "conv2d_19"]`: the last is the operation.
fn from_scopes(scopes: &[String]) -> String {
    let module = scopes.len().checked_sub(2).map_or("", |i| &scopes[i]);
    // A module that is called again is `relu@1`.
    let called = module.rsplit_once('@');
    let again = called.filter(|(_, n)| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    let module = again.map_or(module, |(module, _)| module);
    if module == NO_MODULE {
        String::new()
    } else {
        module.to_owned()
    }
}

/// `layer4/layer4.1/conv2/Conv`, PyTorch's first exporter: a module in a list bears the list's name,
/// and the last is the operation.
fn from_nested(scopes: &str) -> String {
    let mut path: Vec<&str> = Vec::new();
    let Some((scopes, _)) = scopes.rsplit_once('/') else {
        return String::new();
    };
    for scope in scopes.split('/').filter(|scope| !scope.is_empty()) {
        let repeats = |outer: &&str| {
            let inside = scope.strip_prefix(*outer);
            inside.is_some_and(|rest| rest.starts_with('.'))
        };
        if path.last().is_some_and(repeats) {
            path.pop();
        }
        path.push(scope);
    }
    path.join(".")
}

/// `model/block5_conv3` of `model/block5_conv3/Conv2D`.
fn tensorflow_scope(name: &str) -> Option<&str> {
    let (scope, _) = name.rsplit_once('/')?;
    (!scope.is_empty() && !scope.starts_with('/')).then_some(scope)
}

/// Whether a node makes `model/stem/BiasAdd:0` and is called `model/stem/BiasAdd`.
fn makes_tensor_zero(node: &NodeProto) -> bool {
    let name = node.name();
    let made = node.output.first().and_then(|made| made.strip_prefix(name));
    tensorflow_scope(name).is_some() && made == Some(":0")
}

/// The texts of a list as Python prints it; nothing when it is not one.
fn python_list(text: &str) -> Option<Vec<String>> {
    if text.len() > 64 * LONGEST {
        return None;
    }
    let inside = text.trim().strip_prefix('[')?.strip_suffix(']')?;
    let mut list = Vec::new();
    let mut chars = inside.chars().peekable();
    loop {
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        let Some(quote) = chars.next() else {
            return Some(list);
        };
        if quote != '\'' && quote != '"' {
            return None;
        }
        let mut item = String::new();
        loop {
            match chars.next()? {
                '\\' => item.push(chars.next()?),
                c if c == quote => break,
                c => item.push(c),
            }
        }
        list.push(item);
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        match chars.next() {
            None => return Some(list),
            Some(',') => {}
            Some(_) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{GraphProto, StringStringEntryProto};

    fn node(name: &str, output: &str) -> NodeProto {
        NodeProto {
            name: Some(name.to_owned()),
            output: vec![output.to_owned()],
            ..NodeProto::default()
        }
    }

    fn with_scopes(scopes: &str) -> String {
        let mut node = node("node_conv2d_19", "conv2d_19");
        node.metadata_props.push(StringStringEntryProto {
            key: Some(NAME_SCOPES.to_owned()),
            value: Some(scopes.to_owned()),
        });
        Scopes::default().module_of(&node)
    }

    fn model(producer: &str, names: &[&str], ending: &str) -> ModelProto {
        let made = names
            .iter()
            .map(|name| node(name, &format!("{name}{ending}")));
        ModelProto {
            producer_name: Some(producer.to_owned()),
            graph: Some(GraphProto {
                node: made.collect(),
                ..GraphProto::default()
            }),
            ..ModelProto::default()
        }
    }

    #[test]
    fn the_new_exporter_lists_scopes() {
        for (scopes, module) in [
            (
                "['', 'features', 'features.0', 'features.0.0', 'conv2d']",
                "features.0.0",
            ),
            (
                "['', 'blocks', 'blocks.11', 'blocks.11.mlp', 'blocks.11.mlp.fc2', 'linear_47']",
                "blocks.11.mlp.fc2",
            ),
            (
                "['', 'm', 'm.backbone', 'm.backbone.relu@2', 'relu']",
                "m.backbone.relu",
            ),
            ("['', 'select']", ""),
            (
                "['_empty_nn_module_stack_from_metadata_hook', 'sym_size_int_1']",
                "",
            ),
            (r#"['', "it's", 'add']"#, "it's"),
            (r"['', 'a\'b', 'add']", "a'b"),
            ("['only']", ""),
            ("[]", ""),
        ] {
            assert_eq!(with_scopes(scopes), module, "{scopes}");
        }
    }

    #[test]
    fn lists_that_are_none_are_no_module() {
        for scopes in [
            "",
            "[",
            "['",
            "['a",
            "['a' 'b']",
            "[a, b]",
            "['a\\",
            "']['",
            "é",
            "['é', ¨]",
        ] {
            assert_eq!(with_scopes(scopes), "", "{scopes}");
        }
        let long = format!("['', '{}', 'add']", "a".repeat(LONGEST + 1));
        assert_eq!(with_scopes(&long), "");
        let deep = format!("['', '{}', 'add']", "a.".repeat(DEEPEST));
        assert_eq!(with_scopes(&deep), "");
    }

    #[test]
    fn the_first_exporter_nests_scopes_in_names() {
        for (name, module) in [
            ("/layer4/layer4.1/conv2/Conv", "layer4.1.conv2"),
            (
                "/features/denseblock4/denselayer1/Concat",
                "features.denseblock4.denselayer1",
            ),
            (
                "/features/features.4/conv/conv.1/conv.1.0/Conv",
                "features.4.conv.1.0",
            ),
            (
                "/encoder/layers/encoder_layer_5/self_attention/MatMul",
                "encoder.layers.encoder_layer_5.self_attention",
            ),
            (
                "/m/backbone/features.1/features.1.1/block/block.2/scale_activation/HardSigmoid",
                "m.backbone.features.1.1.block.2.scale_activation",
            ),
            (
                "/m/head/classification_head/module_list.4/module_list.4.0/module_list.4.0.0/Conv",
                "m.head.classification_head.module_list.4.0.0",
            ),
            ("/blocks/blocks.1/blocks.10/Add", "blocks.1.blocks.10"),
            ("/Gather", ""),
            ("Identity_216", ""),
            ("inception_4c/3x3", ""),
            ("", ""),
            ("/", ""),
            ("//", ""),
            ("///a", ""),
        ] {
            let found = Scopes::default().module_of(&node(name, "v"));
            assert_eq!(found, module, "{name}");
        }
    }

    #[test]
    fn tensorflow_scopes_are_layers_of_the_model() {
        let names = [
            "model/stem/BiasAdd",
            "model/block5_conv3/Conv2D",
            "model/se/reduce/Relu",
            "model/Reshape",
        ];
        for (producer, ending) in [("tf2onnx", ""), ("onnx.quantize", ":0")] {
            let scopes = Scopes::of(&model(producer, &names, ending));
            let module = |name: &str| scopes.module_of(&node(name, "v"));
            assert_eq!(module("model/block5_conv3/Conv2D"), "block5_conv3");
            assert_eq!(module("model/stem/Conv2D__6"), "stem");
            assert_eq!(module("model/se/reduce/Relu"), "se.reduce");
            assert_eq!(module("model/Reshape"), "");
            assert_eq!(module("predictions"), "");
            assert_eq!(module("other/part/Relu"), "other.part");
        }
        let wrapped = [
            "StatefulPartitionedCall/vgg16/block1_conv1/Relu",
            "StatefulPartitionedCall/vgg16/fc1/MatMul",
        ];
        let scopes = Scopes::of(&model("tf2onnx", &wrapped, ":0"));
        assert_eq!(scopes.module_of(&node(wrapped[0], "v")), "block1_conv1");
        let one = Scopes::of(&model("tf2onnx", &names[..1], ":0"));
        assert_eq!(one.module_of(&node(names[0], "v")), "stem");
        // Caffe's names look alike, and name no modules.
        let caffe = Scopes::of(&model(
            "build_caffe.py",
            &["inception_4c/3x3", "conv1/7x7_s2"],
            "",
        ));
        assert_eq!(caffe.module_of(&node("inception_4c/3x3", "v")), "");
    }
}
