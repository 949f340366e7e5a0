//! Which input of a network takes the pictures, and how they lie in it.

use elucid_graph::{Batch, ElementType, Graph, GraphInput, InputLayout, Known, Operands, ValueId};
use elucid_rules::OpKind;

use crate::error::ModelError;
use crate::input::{InputError, InputSpec};

/// The sides of pictures where neither the file nor anybody says them, in pixels.
const USUAL: usize = 224;

/// The side of a picture that any kernel fits into, and the most groups that a first convolution may
/// have.
const FITTING: usize = 512;
const MOST_GROUPS: usize = 64;

/// As many channels as a picture has.
const FEW: usize = 4;

/// The input that takes the pictures.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pictures {
    pub input: ValueId,
    pub kind: ElementType,
    pub layout: InputLayout,
    /// Whether nothing but the sizes say that channels lie last.
    pub layout_is_guessed: bool,
    /// Whether nothing says that channels lie first, and they could lie last.
    pub layout_is_open: bool,
    pub channels: Option<usize>,
    /// Height and width, where the file fixes them.
    pub stated: [Option<usize>; 2],
}

impl Pictures {
    /// Finds the input: the one called `named`, else the only one of four dimensions that nothing is
    /// fed to.
    pub fn find(
        graph: &Graph,
        named: Option<&str>,
        layout: Option<InputLayout>,
        fed: &[String],
    ) -> Result<Self, ModelError> {
        let inputs = graph.inputs();
        let refused = |reason| Err(ModelError::Pictures { reason });
        let is_free = |i: &&GraphInput| !fed.iter().any(|name| name == graph.name(i.value));
        let free: Vec<&GraphInput> = inputs.iter().filter(is_free).collect();
        let of_pictures = |i: &&&GraphInput| i.shape.len() == 4;
        let found = match named {
            Some(name) => {
                let Some(input) = inputs.iter().find(|i| graph.name(i.value) == name) else {
                    return refused(format!(
                        "no input \"{name}\": the network has {}",
                        list(graph)
                    ));
                };
                if !is_free(&input) {
                    return refused(format!(
                        "input \"{name}\" takes the picture and is fed, too"
                    ));
                }
                input
            }
            None => {
                let candidates: Vec<&&GraphInput> = free.iter().filter(of_pictures).collect();
                match candidates[..] {
                    [only] => only,
                    [] => match free[..] {
                        [] => return refused("the graph has no input for a picture".to_owned()),
                        [only] => only,
                        _ => {
                            return refused(format!(
                                "none of its inputs takes pictures, [N, C, H, W] or [N, H, W, C]: \
                                 the network has {}",
                                list(graph)
                            ));
                        }
                    },
                    _ => {
                        return refused(format!(
                            "several inputs may take the picture: Opening::input chooses one, \
                             Opening::feed gives the others their values; the network has {}",
                            list(graph)
                        ));
                    }
                }
            }
        };
        let name = graph.name(found.value);
        let &[_, second, third, fourth] = &found.shape[..] else {
            return refused(format!(
                "input \"{name}\" has {} dimensions, {}: a picture has 4, [N, C, H, W] or \
                 [N, H, W, C]",
                found.shape.len(),
                shape_text(&found.shape)
            ));
        };
        if found.kind == ElementType::Bool {
            return refused(format!(
                "input \"{name}\" holds booleans, which make no picture"
            ));
        }
        let few = |size: Option<usize>| size.is_some_and(|size| (1..=FEW).contains(&size));
        let behind = graph.layout_behind(found.value);
        let by_size = match (few(second), few(fourth)) {
            (true, false) => Some(InputLayout::ChannelsFirst),
            // Few columns of pictures as high as they are wide are no channels.
            (false, true) if third != fourth => Some(InputLayout::ChannelsLast),
            _ => None,
        };
        let found_layout = by_size.or(behind).unwrap_or(InputLayout::ChannelsFirst);
        let is_last = layout.unwrap_or(found_layout) == InputLayout::ChannelsLast;
        let (channels, stated) = match is_last {
            true => (fourth, [second, third]),
            false => (second, [third, fourth]),
        };
        Ok(Self {
            input: found.value,
            kind: found.kind,
            layout: layout.unwrap_or(found_layout),
            layout_is_guessed: layout.is_none() && is_last && behind.is_none(),
            layout_is_open: layout.is_none()
                && by_size.is_none()
                && behind.is_none()
                && few(second)
                && few(fourth)
                && third != fourth,
            channels: channels.or_else(|| convolved_channels(graph, found.value)),
            stated,
        })
    }

    /// Refuses inputs that are neither the picture's nor fed, and that something reads.
    pub fn check_others(&self, graph: &Graph) -> Result<(), ModelError> {
        let is_read = |value: &ValueId| {
            let mut nodes = graph.nodes().iter();
            nodes.any(|node| node.inputs.contains(&Some(*value)))
        };
        let lacking: Vec<&str> = graph
            .inputs()
            .iter()
            .map(|i| i.value)
            .filter(|value| *value != self.input && is_read(value))
            .map(|value| graph.name(value))
            .collect();
        if lacking.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = lacking.iter().map(|name| format!("\"{name}\"")).collect();
        let verb = if lacking.len() == 1 {
            "lacks a value"
        } else {
            "lack values"
        };
        Err(ModelError::Pictures {
            reason: format!(
                "input {} {verb}: Opening::feed(\"{}\") gives one; the network has {}",
                names.join(", "),
                lacking[0],
                list(graph)
            ),
        })
    }

    /// Height and width: those of the file, and for what it leaves open the other side, or what is
    /// usual.
    pub fn size(&self) -> [usize; 2] {
        match self.stated {
            [Some(height), Some(width)] => [height, width],
            [Some(side), None] | [None, Some(side)] => [side, side],
            [None, None] => [USUAL, USUAL],
        }
    }

    /// For files that nobody described: ImageNet's usual preparation for three channels, values of 0 to 1
    /// for others.
    pub fn usual_spec(&self) -> Result<InputSpec, InputError> {
        match self.channels {
            None | Some(3) => InputSpec::new(self.size()),
            Some(channels) => InputSpec::plain(self.size(), channels),
        }
    }
}

/// The channels of the first convolution that reads an input as it is, or behind casts.
fn convolved_channels(graph: &Graph, input: ValueId) -> Option<usize> {
    let mut followed = vec![input];
    for node in graph.nodes() {
        let Some(first) = node.inputs.first().copied().flatten() else {
            continue;
        };
        if !followed.contains(&first) {
            continue;
        }
        match node.op.kind() {
            OpKind::Conv => {
                let weight = node.inputs.get(1).copied().flatten()?;
                let shape = graph.constant(weight)?.shape();
                let own = shape.get(1).copied()?;
                // Its groups are what fits.
                let fits = |channels: &usize| {
                    let pictures = Known::activation(vec![1, *channels, FITTING, FITTING]);
                    let weight = Known::host(graph.constant(weight)?.clone());
                    let inputs = [Some(pictures), Some(weight)];
                    let operands = Operands::new(&inputs, 1, Batch::default());
                    node.op.resolve(&operands).ok()
                };
                let mut multiples = (1..=MOST_GROUPS).map(|groups| own * groups);
                return multiples.find(|channels| fits(channels).is_some());
            }
            OpKind::Cast
            | OpKind::Identity
            | OpKind::Transpose
            | OpKind::Add
            | OpKind::Sub
            | OpKind::Mul
            | OpKind::Div => followed.extend(&node.outputs),
            _ => {}
        }
    }
    None
}

/// Every input with its shape: `"image" [1, 3, 8, 8], "meta" [1, 2]`.
pub(crate) fn list(graph: &Graph) -> String {
    let input = |i: &GraphInput| format!("\"{}\" {}", graph.name(i.value), shape_text(&i.shape));
    let inputs: Vec<String> = graph.inputs().iter().map(input).collect();
    inputs.join(", ")
}

pub(crate) fn shape_text(shape: &[Option<usize>]) -> String {
    let sizes = shape
        .iter()
        .map(|d| d.map_or("?".to_owned(), |d| d.to_string()));
    format!("[{}]", sizes.collect::<Vec<_>>().join(", "))
}
