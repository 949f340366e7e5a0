//! What is put in front of a graph so that it takes pictures `[N, C, H, W]` of floating-point numbers
//! and nothing else, whatever its file states.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};

use elucid_rules::{Algebra, OpKind};

use crate::activation::Activation;
use crate::attributes::Attributes;
use crate::builder::GraphBuilder;
use crate::error::GraphError;
use crate::graph::{Graph, GraphInput, Node, NodeId, ValueId};
use crate::host::{ElementType, HostTensor};
use crate::message::quoted;
use crate::operator::{Apart, Batch, Kernel, Known, Operands, Operator, Refused, Resolved, Slots};
use crate::receptive::{Reach, Windows};
use crate::registry::Registry;

/// Where the channels of an input of pictures lie. Parsed from `nchw` and `nhwc`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InputLayout {
    /// `[N, C, H, W]`, as PyTorch has it.
    ChannelsFirst,
    /// `[N, H, W, C]`, as TensorFlow has it.
    ChannelsLast,
}

impl fmt::Display for InputLayout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ChannelsFirst => "nchw",
            Self::ChannelsLast => "nhwc",
        })
    }
}

impl FromStr for InputLayout {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "nchw" => Ok(Self::ChannelsFirst),
            "nhwc" => Ok(Self::ChannelsLast),
            _ => Err("expected a layout: nchw (channels first) or nhwc (channels last)".to_owned()),
        }
    }
}

/// From channels last to channels first, and back.
const TO_FIRST: [usize; 4] = [0, 3, 1, 2];
const TO_LAST: [i64; 4] = [0, 2, 3, 1];

impl Graph {
    /// The layout that nodes behind an input of pictures make clear: what they transpose it into, or
    /// what they convolve.
    pub fn layout_behind(&self, input: ValueId) -> Option<InputLayout> {
        let mut followed = HashSet::from([input]);
        for node in &self.nodes {
            let Some(slot) = node.inputs.first().copied().flatten() else {
                continue;
            };
            if !node.inputs.iter().flatten().any(|v| followed.contains(v)) {
                continue;
            }
            match node.op.kind() {
                OpKind::Transpose if followed.contains(&slot) => {
                    match self.permutation(node, 4)?[..] {
                        [0, 3, 1, 2] => return Some(InputLayout::ChannelsLast),
                        [0, 2, 3, 1] => return Some(InputLayout::ChannelsFirst),
                        _ => return None,
                    }
                }
                OpKind::Conv | OpKind::BatchNormalization => {
                    return Some(InputLayout::ChannelsFirst);
                }
                kind if keeps_axes(kind) => followed.extend(&node.outputs),
                _ => {}
            }
        }
        None
    }

    /// Which axis of its input each axis of a `Transpose`'s output is, of a value of `rank` axes; `None` of
    /// other operators, and where it does not take such a value.
    pub fn permutation(&self, node: &Node, rank: usize) -> Option<Vec<usize>> {
        if node.op.kind() != OpKind::Transpose {
            return None;
        }
        // Axes of different sizes tell where they went.
        let sizes: Vec<usize> = (1..=rank).collect();
        let inputs = [Some(Known::activation(sizes))];
        let resolved = node
            .op
            .resolve(&Operands::new(&inputs, 1, Batch::default()));
        let outputs = resolved.ok()?.outputs;
        let sizes = &outputs.first()?.shape;
        sizes.iter().map(|size| size.checked_sub(1)).collect()
    }

    /// The graph with an input of pictures `[N, C, H, W]` of floating-point numbers under the name of
    /// `input`, which states them as `layout` and perhaps as integers; and that input.
    ///
    /// Numbers go in as they are: where the file wants whole ones, those between are not rounded, and
    /// gradients pass. Channels that lie last are put first once: what the file does to each channel
    /// before it transposes them itself is done to channels that are first.
    ///
    /// # Errors
    ///
    /// [`GraphError::Malformed`] unless `input` is an input of four dimensions.
    pub fn of_pictures(
        mut self,
        input: ValueId,
        layout: InputLayout,
        channels: usize,
    ) -> Result<(Self, ValueId), GraphError> {
        let Some(place) = self
            .place_of(input)
            .filter(|p| self.inputs[*p].shape.len() == 4)
        else {
            return Err(GraphError::Malformed {
                reason: format!("{} is no input of pictures", quoted(self.name(input))),
            });
        };
        let stated = self.inputs[place].clone();
        let shape: Vec<Option<usize>> = match layout {
            InputLayout::ChannelsFirst => stated.shape.clone(),
            InputLayout::ChannelsLast => TO_FIRST.iter().map(|&axis| stated.shape[axis]).collect(),
        };
        let shape = vec![shape[0], Some(channels), shape[2], shape[3]];
        if layout == InputLayout::ChannelsFirst && stated.kind.is_float() {
            self.inputs[place].shape = shape;
            return Ok((self, input));
        }
        let name = self.name(input).to_owned();
        self.rename(input, &format!("{name} as the file has it"));
        let pictures = self.add_value(&name);
        let kind = if stated.kind.is_float() {
            stated.kind
        } else {
            ElementType::F32
        };
        self.inputs[place] = GraphInput {
            value: pictures,
            shape,
            kind,
        };
        let mut nodes = Vec::new();
        let mut first = pictures;
        if !stated.kind.is_float() {
            let typed = match layout {
                InputLayout::ChannelsFirst => input,
                InputLayout::ChannelsLast => self.add_value(&format!("{name} as {}", stated.kind)),
            };
            nodes.push(front_node(Arc::new(Taken(stated.kind)), &[pictures], typed));
            first = typed;
        }
        match layout {
            InputLayout::ChannelsFirst => nodes.append(&mut self.nodes),
            InputLayout::ChannelsLast => {
                let order = |a: Attributes| a.with("perm", TO_LAST.to_vec());
                let transpose = self.standard("Transpose", 1, order)?;
                nodes.push(front_node(transpose, &[first], input));
                self.turn(&mut nodes, HashMap::from([(input, first)]))?;
            }
        }
        Ok((self.with_nodes(nodes), pictures))
    }

    /// Puts this graph's nodes behind `nodes`. `firsts` holds, of each value with channels last that is
    /// known with channels first, that one: what only works on single elements is done there, too, and
    /// the transposition that follows does nothing any more.
    fn turn(
        &mut self,
        nodes: &mut Vec<Node>,
        mut firsts: HashMap<ValueId, ValueId>,
    ) -> Result<(), GraphError> {
        for node in std::mem::take(&mut self.nodes) {
            let first = node.inputs.first().copied().flatten();
            let known = first.and_then(|value| firsts.get(&value).copied());
            if node.op.kind() == OpKind::Transpose
                && let Some(known) = known
                && self
                    .permutation(&node, 4)
                    .is_some_and(|order| order == TO_FIRST)
            {
                let op = self.standard("Identity", 1, |a| a)?;
                let inputs = vec![Some(known)];
                nodes.push(Node { op, inputs, ..node });
                continue;
            }
            if keeps_axes(node.op.kind())
                && let [output] = node.outputs[..]
                && let Some(inputs) = self.first_inputs(&node, &firsts)
            {
                let name = format!("{} with channels first", self.name(output));
                let turned = self.add_value(&name);
                firsts.insert(output, turned);
                let outputs = vec![turned];
                nodes.push(Node {
                    outputs,
                    inputs,
                    ..node.clone()
                });
            }
            nodes.push(node);
        }
        // What has been turned is perhaps read by nobody any more.
        let mut read: HashSet<ValueId> = self.outputs.iter().copied().collect();
        let mut kept = Vec::new();
        for node in std::mem::take(nodes).into_iter().rev() {
            let turned = node.outputs.iter().any(|value| firsts.contains_key(value));
            if !turned || node.outputs.iter().any(|value| read.contains(value)) {
                read.extend(node.inputs.iter().flatten());
                kept.push(node);
            }
        }
        kept.reverse();
        *nodes = kept;
        Ok(())
    }

    /// A node's inputs with channels first, if each is known so or is a constant that can be turned.
    fn first_inputs(
        &mut self,
        node: &Node,
        firsts: &HashMap<ValueId, ValueId>,
    ) -> Option<Vec<Option<ValueId>>> {
        let values: Option<Vec<ValueId>> = node.inputs.iter().copied().collect();
        let values = values?;
        if !values.iter().any(|value| firsts.contains_key(value)) {
            return None;
        }
        let mut turned = Vec::new();
        for value in values {
            turned.push(match firsts.get(&value) {
                Some(first) => Some(*first),
                None => {
                    let constant = channels_first(self.constants.get(&value)?)?;
                    let name = format!("{} with channels first", self.name(value));
                    let first = self.add_value(&name);
                    self.constants.insert(first, constant);
                    Some(first)
                }
            });
        }
        Some(turned)
    }

    /// The graph with a value in an input's place, the same for every picture.
    ///
    /// Where neither `pictures`, the input that varies, nor this one has a fixed batch, and the value is
    /// of a batch of one, it is repeated for each picture. An axis of one may be left out in front.
    ///
    /// # Errors
    ///
    /// [`GraphError::Malformed`] unless `input` is an input of the graph, [`GraphError::Shape`] for
    /// another shape than it states.
    pub fn hold(
        mut self,
        input: ValueId,
        value: &HostTensor,
        pictures: Option<ValueId>,
    ) -> Result<Self, GraphError> {
        let Some(place) = self.place_of(input) else {
            return Err(GraphError::Malformed {
                reason: format!("{} is no input of the graph", quoted(self.name(input))),
            });
        };
        let stated = self.inputs[place].clone();
        let fits = |shape: &[usize]| {
            let mut sizes = shape.iter().zip(&stated.shape);
            shape.len() == stated.shape.len()
                && sizes.all(|(got, stated)| stated.is_none_or(|stated| stated == *got))
        };
        let mut shape = value.shape().to_vec();
        if !fits(&shape) {
            shape.insert(0, 1);
        }
        let refused = || GraphError::Shape {
            what: format!("the value of input {}", quoted(self.name(input))),
            expected: shape_text(&stated.shape),
            got: value.shape().to_vec(),
        };
        if !fits(&shape) {
            return Err(refused());
        }
        if !stated.kind.is_float() && value.floats().iter().any(|v| v.fract() != 0.0) {
            return Err(GraphError::Malformed {
                reason: format!(
                    "input {} holds {}, and its value has numbers between whole ones",
                    quoted(self.name(input)),
                    stated.kind
                ),
            });
        }
        let held = HostTensor::of_numbers(stated.kind, &shape, value.floats());
        let held = held.map_err(|_| refused())?;
        self.inputs.remove(place);
        let varies = pictures.filter(|value| self.has_open_batch(*value));
        let one = match stated.shape.first() {
            Some(None) => true,
            Some(Some(1)) => shape.len() > 1,
            _ => false,
        };
        match varies.filter(|_| one && shape.first() == Some(&1)) {
            Some(pictures) => self.repeat(input, held, pictures),
            None => {
                self.keep(input, held);
                self.given.insert(input);
                Ok(self)
            }
        }
    }

    fn has_open_batch(&self, input: ValueId) -> bool {
        let place = self.place_of(input);
        place.is_some_and(|place| self.inputs[place].shape.first() == Some(&None))
    }

    /// Makes `value` of `held`, once for each of `pictures`.
    fn repeat(
        mut self,
        value: ValueId,
        held: HostTensor,
        pictures: ValueId,
    ) -> Result<Self, GraphError> {
        let name = self.name(value).to_owned();
        let rest: Vec<i64> = held.shape()[1..].iter().map(|d| *d as i64).collect();
        let part = |graph: &mut Self, what: &str| graph.add_value(&format!("{name} {what}"));
        let given = part(&mut self, "as given");
        let first = part(&mut self, "axis of pictures");
        let rest_of = part(&mut self, "sizes of one");
        let [sizes, count, whole] =
            ["pictures' sizes", "times", "sizes"].map(|what| part(&mut self, what));
        self.keep(given, held);
        self.constants.insert(first, HostTensor::from_ints(vec![0]));
        self.constants.insert(rest_of, HostTensor::from_ints(rest));
        self.given.insert(given);
        let mut nodes = vec![
            front_node(self.standard("Shape", 1, |a| a)?, &[pictures], sizes),
            front_node(self.standard("Gather", 2, |a| a)?, &[sizes, first], count),
            front_node(
                self.standard("Concat", 2, |a| a.with("axis", 0_i64))?,
                &[count, rest_of],
                whole,
            ),
            front_node(self.standard("Expand", 2, |a| a)?, &[given, whole], value),
        ];
        nodes.append(&mut self.nodes);
        Ok(self.with_nodes(nodes))
    }

    fn place_of(&self, input: ValueId) -> Option<usize> {
        self.inputs.iter().position(|i| i.value == input)
    }

    /// An operator of ONNX's own.
    fn standard(
        &self,
        name: &str,
        inputs: usize,
        attributes: impl FnOnce(Attributes) -> Attributes,
    ) -> Result<Arc<dyn Operator>, GraphError> {
        let missing = || GraphError::UnsupportedOperators(vec![(name.to_owned(), Vec::new())]);
        let registry = Registry::standard();
        let entry = registry
            .find("", name, GraphBuilder::NEWEST_OPSET)
            .ok_or_else(missing)?;
        let attributes = attributes(Attributes::new(GraphBuilder::NEWEST_OPSET, inputs, 1));
        (entry.parse)(&attributes).map_err(|reason| GraphError::Operator {
            node: name.to_owned(),
            reason,
        })
    }

    /// A new value, called `name` or something like it.
    fn add_value(&mut self, name: &str) -> ValueId {
        let mut name = name.to_owned();
        while self.by_name.contains_key(&name) {
            name.push('\'');
        }
        let value = ValueId(self.names.len());
        self.names.push(name.clone());
        self.by_name.insert(name, value);
        self.producer.push(None);
        value
    }

    /// Calls a value something else: its name is free.
    fn rename(&mut self, value: ValueId, name: &str) {
        let new = self.add_value(name);
        // The slot that was made for the name holds nothing else.
        self.producer.pop();
        if let Some(name) = self.names.pop().filter(|_| new != value) {
            let old = std::mem::replace(&mut self.names[value.0], name.clone());
            self.by_name.remove(&old);
            self.by_name.insert(name, value);
        }
    }

    fn with_nodes(mut self, nodes: Vec<Node>) -> Self {
        self.nodes = nodes;
        self.producer = vec![None; self.names.len()];
        for (i, node) in self.nodes.iter().enumerate() {
            for output in &node.outputs {
                self.producer[output.0] = Some(NodeId(i));
            }
        }
        self.index = OnceLock::new();
        self
    }
}

/// Whether an operator works on single elements, whatever axes they lie along.
fn keeps_axes(kind: OpKind) -> bool {
    let binary = matches!(kind, OpKind::Add | OpKind::Sub | OpKind::Mul | OpKind::Div);
    binary || matches!(kind, OpKind::Cast | OpKind::Identity)
}

/// A constant that is broadcast against `[N, H, W, C]`, for `[N, C, H, W]`.
fn channels_first(constant: &HostTensor) -> Option<HostTensor> {
    match *constant.shape() {
        [] => Some(constant.clone()),
        [c] => constant.reshape(&[c, 1, 1]).ok(),
        [_, _, _] => Some(constant.permute(&[2, 0, 1])),
        [_, _, _, _] => Some(constant.permute(&TO_FIRST)),
        _ => None,
    }
}

fn front_node(op: Arc<dyn Operator>, inputs: &[ValueId], output: ValueId) -> Node {
    Node {
        name: String::new(),
        module: String::new(),
        op,
        inputs: inputs.iter().copied().map(Some).collect(),
        outputs: vec![output],
    }
}

/// A shape as a file states it: `[?, 3, 224, 224]`.
pub(crate) fn shape_text(shape: &[Option<usize>]) -> String {
    let sizes = shape
        .iter()
        .map(|d| d.map_or("?".to_owned(), |d| d.to_string()));
    format!("[{}]", sizes.collect::<Vec<_>>().join(", "))
}

/// Numbers taken for those of another type, without rounding: what a network that wants whole numbers
/// is given instead.
#[derive(Debug)]
struct Taken(ElementType);

impl Operator for Taken {
    fn kind(&self) -> OpKind {
        OpKind::Identity
    }

    fn algebra(&self, _constant: &[bool]) -> Algebra {
        Algebra::Moves
    }

    fn apart(&self, _inputs: &Operands<'_>) -> Apart {
        Apart::Rows
    }

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let x = inputs.input(0)?;
        Ok(Resolved::typed(AsItIs, x.shape.clone(), self.0))
    }
}

#[derive(Debug)]
struct AsItIs;

impl Kernel for AsItIs {
    fn run(&self, mut inputs: Slots, _outputs: &[Known]) -> Vec<Activation> {
        vec![inputs.take(0)]
    }

    fn windows(&self, reach: &Reach<'_>) -> Option<Windows> {
        reach.element_wise()
    }
}
