//! Opens and runs a network, whatever it is.

use std::path::Path;

use elucid_graph::{Activation, BoundGraph, Graph, GraphError, INPUT, Limits, ValueId};
use elucid_onnx::Importer;

use super::MEMORY;

/// Numbers that a pass may compute, so that one run stays short.
const MOST: usize = 1 << 20;

/// How far a file got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reached {
    Refused,
    Opened,
    Ran,
    Differentiated,
}

/// Opens a file and runs it forwards and backwards, on one image and on two.
pub fn attempt(bytes: &[u8], folder: Option<&Path>, backwards: bool) -> Reached {
    let limits = Limits::default().with_memory(MEMORY);
    let device = crate::device();
    let importer = Importer::new().folder(folder).limits(limits);
    let graph = importer.import(bytes.to_vec());
    let bound = |graph: Graph| {
        let (input, size) = pictures(&graph)?;
        let bound = BoundGraph::new(graph, &device);
        bound.with_pictures(input, size).ok()
    };
    let Some(model) = graph.ok().and_then(bound) else {
        return Reached::Refused;
    };
    let graph = model.graph();
    let ends: Vec<String> = graph
        .outputs()
        .iter()
        .map(|&v: &ValueId| graph.name(v).to_owned())
        .collect();
    let Some(end) = ends.first().filter(|end| model.layer(end).is_ok()) else {
        return Reached::Opened;
    };
    let mut reached = Reached::Opened;
    let _ = model.obstacles();
    let _ = model.windows(INPUT, end, &Default::default(), [9, 8]);
    let _ = model.runs_one_by_one([end]);
    let Ok(stated) = model.layer(INPUT).map(|layer| layer.shape().to_vec()) else {
        return reached;
    };
    for (images, size) in [(1, [stated[2], stated[3]]), (2, [9, 8])] {
        let small = model
            .pass_elements(INPUT, end, size)
            .is_ok_and(|n| n < MOST);
        if !small || size.iter().product::<usize>() > 4096 {
            continue;
        }
        let count = images * 3 * size[0] * size[1];
        let values = (0..count).map(|i| (i % 17) as f32 / 8.0 - 1.0).collect();
        let x = crate::tensor(values, [images, 3, size[0], size[1]]);
        let x: Activation = x.into();
        let Ok(fetched) = model.pass().feed(INPUT, x.clone()).fetch([end]) else {
            continue;
        };
        reached = reached.max(Reached::Ran);
        drop(fetched);
        if backwards && differentiated(&model, end, x).is_ok() {
            reached = reached.max(Reached::Differentiated);
        }
    }
    reached
}

/// The input that takes pictures of three channels, with the size that the file states.
fn pictures(graph: &Graph) -> Option<(ValueId, [usize; 2])> {
    let found = graph.inputs().iter().find_map(|input| match *input.shape {
        [_, None | Some(3), height, width] => Some((input.value, [height, width])),
        _ => None,
    });
    found.map(|(value, size)| (value, size.map(|side| side.unwrap_or(64))))
}

fn differentiated(model: &BoundGraph, end: &str, x: Activation) -> Result<(), GraphError> {
    let x = x.require_grad();
    let fetched = model.pass().feed(INPUT, x.clone()).fetch([end])?;
    let sum = fetched.get(end)?.rows().sum();
    if sum.is_tracked() {
        let _ = x.gradient(&sum.backward());
    }
    let _ = model.pass().feed(INPUT, x).record([end])?;
    Ok(())
}
