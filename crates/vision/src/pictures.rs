//! Which input of a network takes pictures, and how they are prepared where nobody said it.

use elucid_graph::{Graph, GraphError, ValueId};

use crate::error::ModelError;
use crate::input::InputSpec;

/// The one input that takes images.
pub(crate) fn image_input(graph: &Graph) -> Result<ValueId, GraphError> {
    let fits = |s: &[Option<usize>]| s.len() == 4 && matches!(s[1], None | Some(3));
    let images: Vec<_> = graph.inputs().iter().filter(|i| fits(&i.shape)).collect();
    match images.as_slice() {
        [] if graph.inputs().is_empty() => Err(GraphError::Malformed {
            reason: "the graph has no input".to_owned(),
        }),
        [only] if only.kind.is_float() => Ok(only.value),
        [only] => Err(GraphError::Malformed {
            reason: format!(
                "input \"{}\" holds {}, expected floating point",
                graph.name(only.value),
                only.kind
            ),
        }),
        _ => {
            let stated: Vec<String> = graph
                .inputs()
                .iter()
                .map(|i| {
                    let dims = i
                        .shape
                        .iter()
                        .map(|d| d.map_or("?".to_owned(), |d| d.to_string()));
                    format!(
                        "\"{}\" [{}]",
                        graph.name(i.value),
                        dims.collect::<Vec<_>>().join(", ")
                    )
                })
                .collect();
            Err(GraphError::Malformed {
                reason: format!(
                    "expected one input of colour images, [N, 3, H, W]; the graph has {}",
                    stated.join(", ")
                ),
            })
        }
    }
}

/// For files that nobody described: ImageNet's usual preparation at the size that the file states.
pub(crate) fn default_spec(graph: &Graph, input: ValueId) -> Result<InputSpec, ModelError> {
    let stated = graph
        .inputs()
        .iter()
        .find(|i| i.value == input)
        .map(|i| i.shape.as_slice());
    Ok(match stated {
        Some(&[_, _, Some(h), Some(w)]) => InputSpec::default().with_size([h, w])?,
        _ => InputSpec::default(),
    })
}
