//! Which of a network's outputs is explained.

use std::collections::{HashSet, VecDeque};

use elucid_graph::{BoundGraph, Graph, INPUT, ValueId};
use elucid_rules::OpKind;

use super::axes::{from_front, map_before};
use super::before::label;
use super::follow::{Found, follow};
use super::written_out::{input, squash};
use super::{Form, Head, HeadKind, Probabilities};
use crate::error::ModelError;
use crate::opening::Remark;

/// What was said of the head beforehand.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asked {
    /// The output that is explained.
    pub output: Option<String>,
    /// The value that holds the scores.
    pub logits: Option<String>,
    /// What makes probabilities of them.
    pub scores: Option<Probabilities>,
    /// Whether the network is one that somebody described: nothing about it is assumed.
    pub is_known: bool,
}

/// An output with what it is made of.
struct Candidate {
    output: ValueId,
    found: Found,
    /// Of the scores, for one image; empty where they have none.
    shape: Vec<usize>,
}

/// Finds the head, and what has to be said of it.
pub(crate) fn choose(
    bound: &BoundGraph,
    asked: &Asked,
) -> Result<(ValueId, Head, Vec<Remark>), ModelError> {
    let mut remarks = Vec::new();
    let mut candidate = match &asked.logits {
        Some(name) => named_scores(bound, name, asked.output.as_deref())?,
        None => {
            let (candidate, several) = output(bound, asked)?;
            if !asked.is_known {
                remarks.extend(several);
            }
            candidate
        }
    };
    lie_as_made(bound, &mut candidate);
    let (kind, probabilities) = read(bound, &candidate, asked, &mut remarks)?;
    let graph = bound.graph();
    let scores = candidate.found.scores;
    let obstacle = candidate
        .shape
        .is_empty()
        .then(|| why_none(bound, candidate.output, scores));
    let head = Head {
        kind,
        probabilities,
        axis: axis(&candidate),
        output: graph.name(candidate.output).to_owned(),
        scores: graph.name(scores).to_owned(),
        shape: candidate.shape,
        obstacle,
    };
    Ok((scores, head, remarks))
}

/// The shape of a layer for one image; empty where it has none.
fn shape_of(bound: &BoundGraph, value: ValueId) -> Vec<usize> {
    let layer = bound.layers().iter().find(|layer| layer.value() == value);
    layer.map_or_else(Vec::new, |layer| layer.shape().to_vec())
}

/// Why an output holds no scores where what it is made of has no shape, and what to do about it.
fn why_none(bound: &BoundGraph, output: ValueId, scores: ValueId) -> String {
    let graph = bound.graph();
    let name = graph.name(output);
    let (pictures, before) = behind(bound, scores);
    let explains = match before {
        Some(before) => format!(
            "Opening::logits(\"{}\") explains what it is made of",
            graph.name(before)
        ),
        None => "Opening::logits explains a value inside the network".to_owned(),
    };
    let or_another = match graph.outputs().len() {
        1 => "",
        _ => ", Opening::output another output",
    };
    if !pictures {
        return format!(
            "output \"{name}\" does not depend on the picture, so nothing explains it; Opening::logits \
             explains a value inside the network{or_another}"
        );
    }
    let made = graph.producer(scores).map_or_else(
        || "as it is given".to_owned(),
        |node| format!("by {}", label(graph, node)),
    );
    let outputs = bound.outputs();
    match outputs.iter().find(|(value, _)| *value == output) {
        Some((_, Some(shape))) => format!(
            "output \"{name}\" {shape:?} is made {made}, of whole numbers or decisions, which are no \
             scores and have no gradient; {explains}{or_another}"
        ),
        _ => format!(
            "what output \"{name}\" is made of, {made}, has no shape before an image is seen, or cannot \
             be computed, so it holds no class scores; {explains}{or_another}"
        ),
    }
}

/// Whether a value is computed from the picture, and the nearest value before it that may be scores.
fn behind(bound: &BoundGraph, value: ValueId) -> (bool, Option<ValueId>) {
    let graph = bound.graph();
    let image = bound.layer(INPUT).map(|layer| layer.value()).ok();
    let mut waiting = VecDeque::from([value]);
    let mut seen: HashSet<ValueId> = HashSet::new();
    let (mut pictures, mut nearest) = (false, None);
    while let Some(next) = waiting.pop_front() {
        if !seen.insert(next) {
            continue;
        }
        if Some(next) == image {
            pictures = true;
            continue;
        }
        if nearest.is_none() && next != value && !shape_of(bound, next).is_empty() {
            nearest = Some(next);
        }
        let node = graph.producer(next);
        waiting.extend(
            node.into_iter()
                .flat_map(|node| node.inputs.iter().flatten()),
        );
    }
    (pictures, nearest)
}

fn candidate(bound: &BoundGraph, output: ValueId, is_raw: bool) -> Candidate {
    let mut found = follow(bound, output);
    if is_raw
        && found
            .probabilities
            .is_some_and(|p| p != Probabilities::None)
    {
        // Whoever says that an output holds no scores wants the output.
        found = Found {
            scores: output,
            probabilities: None,
            axis: None,
            remark: None,
        };
    }
    Candidate {
        shape: shape_of(bound, found.scores),
        output,
        found,
    }
}

/// The value that was named, read as the output that is made of it is.
fn named_scores(
    bound: &BoundGraph,
    name: &str,
    output: Option<&str>,
) -> Result<Candidate, ModelError> {
    let graph = bound.graph();
    let layer = bound.layer(name)?;
    let outputs = match output {
        Some(name) => vec![named_output(graph, name)?],
        None => graph.outputs().to_vec(),
    };
    let ends = |value: &ValueId| follow(bound, *value).scores == layer.value();
    let reads = graph.nodes().iter().find_map(|node| {
        let squash = squash(graph, *node.outputs.first()?)?;
        (squash.scores == layer.value()).then_some(squash)
    });
    Ok(Candidate {
        output: outputs.iter().copied().find(ends).unwrap_or(outputs[0]),
        found: Found {
            scores: layer.value(),
            probabilities: reads.map(|squash| squash.by),
            axis: reads.and_then(|squash| squash.axis),
            remark: None,
        },
        shape: layer.shape().to_vec(),
    })
}

fn named_output(graph: &Graph, name: &str) -> Result<ValueId, ModelError> {
    let outputs = graph.outputs();
    let named = outputs.iter().find(|value| graph.name(**value) == name);
    named.copied().ok_or_else(|| {
        let names: Vec<String> = few(outputs.iter().map(|v| format!("\"{}\"", graph.name(*v))));
        let inside = match graph.value(name) {
            Some(_) => format!("; Opening::logits(\"{name}\") explains a value inside the network"),
            None => String::new(),
        };
        ModelError::Head {
            reason: format!(
                "no output \"{name}\": the network has {}{inside}",
                names.join(", ")
            ),
        }
    })
}

/// The output that is explained, and what to say where there are others.
fn output(bound: &BoundGraph, asked: &Asked) -> Result<(Candidate, Option<Remark>), ModelError> {
    let graph = bound.graph();
    let is_raw = asked.scores == Some(Probabilities::None);
    if let Some(name) = &asked.output {
        let value = named_output(graph, name)?;
        return Ok((candidate(bound, value, is_raw), None));
    }
    let mut all: Vec<Candidate> = Vec::new();
    for &output in graph.outputs() {
        let one = candidate(bound, output, is_raw);
        let same = all
            .iter_mut()
            .find(|other| other.found.scores == one.found.scores);
        match same {
            // Of an argmax and a softmax of the same scores, the softmax says more.
            Some(other) if other.found.probabilities.is_none() => *other = one,
            Some(_) => {}
            None => all.push(one),
        }
    }
    let several = all.len() > 1;
    let scores: Vec<ValueId> = all.iter().map(|one| one.found.scores).collect();
    let is_read = |one: &Candidate| leads_to_another(graph, one.found.scores, &scores);
    let best = all
        .into_iter()
        .min_by_key(|one| rank(graph, one, is_read(one)));
    let best = best.ok_or_else(|| ModelError::NoLogits {
        reason: "the model names no output, so it has no class scores".to_owned(),
    })?;
    let remark = several.then(|| {
        let outputs = bound.outputs();
        let named = outputs.iter().map(|(value, shape)| {
            let shape = shape.as_ref().map_or("?".to_owned(), |s| format!("{s:?}"));
            format!("{} {shape}", graph.name(*value))
        });
        Remark::new(format!(
            "the network has {} outputs, {}: \"{}\" is explained, and Opening::output chooses another",
            outputs.len(),
            few(named).join(", "),
            graph.name(best.output)
        ))
    });
    Ok((best, remark))
}

/// The first names of a list, and how many more there are.
fn few(names: impl ExactSizeIterator<Item = String>) -> Vec<String> {
    const SHOWN: usize = 8;
    let more = names.len().saturating_sub(SHOWN);
    let mut shown: Vec<String> = names.take(SHOWN).collect();
    if more > 0 {
        shown.push(format!("{more} more"));
    }
    shown
}

/// How likely it is that an output is the one that people mean, 0 for most.
fn rank(graph: &Graph, one: &Candidate, is_read: bool) -> usize {
    let is_features = is_read || is_called_embedding(graph.name(one.output));
    match (Form::of(&one.shape), one.found.probabilities) {
        (Form::Row(_), Some(Probabilities::Softmax | Probabilities::Sigmoid)) => 0,
        (Form::Row(_), None) if !is_features => 1,
        (Form::Row(_), _) => 2,
        (Form::Map, _) => 3,
        (Form::Boxes, _) => 4,
        (Form::Other, _) => 5,
    }
}

/// Whether others of the scores are computed from these, which then are features.
fn leads_to_another(graph: &Graph, value: ValueId, scores: &[ValueId]) -> bool {
    let mut waiting: Vec<ValueId> = scores.iter().copied().filter(|v| *v != value).collect();
    let mut seen: HashSet<ValueId> = HashSet::new();
    while let Some(next) = waiting.pop() {
        let Some(node) = graph.producer(next).filter(|_| seen.insert(next)) else {
            continue;
        };
        if node.inputs.contains(&Some(value)) {
            return true;
        }
        waiting.extend(node.inputs.iter().flatten());
    }
    false
}

/// Whether an output's name says that it holds features.
fn is_called_embedding(name: &str) -> bool {
    let name = name.to_lowercase();
    ["embed", "feature", "pooler", "hidden_state"]
        .iter()
        .any(|part| name.contains(part))
}

/// Steps back over what puts the classes of a map last, or its positions in a row.
fn lie_as_made(bound: &BoundGraph, candidate: &mut Candidate) {
    let graph = bound.graph();
    let (found, shape) = (&mut candidate.found, &mut candidate.shape);
    let is_row = matches!(Form::of(shape), Form::Row(_));
    if let (Some(axis), false) = (found.axis, is_row)
        && let Some(map) = map_before(bound, found.scores, axis)
    {
        (found.scores, found.axis) = (map, Some(1));
        *shape = shape_of(bound, map);
        return;
    }
    if Form::of(shape) != Form::Map || !matches!(found.axis, None | Some(3 | -1)) {
        return;
    }
    let Some(node) = graph.producer(found.scores) else {
        return;
    };
    let Some(before) = input(node, 0).filter(|_| node.op.kind() == OpKind::Transpose) else {
        return;
    };
    let wide = shape_of(bound, before);
    if let ([_, c, h, w], [_, a, b, last]) = (&wide[..], &shape[..])
        && [h, w, c] == [a, b, last]
    {
        found.scores = before;
        found.axis = Some(1);
        *shape = wide;
    }
}

/// The axis along which classes lie.
fn axis(candidate: &Candidate) -> Option<usize> {
    let rank = candidate.shape.len();
    let stated = candidate.found.axis;
    let stated = stated.and_then(|axis| from_front(axis, rank));
    let stated = stated.filter(|axis| *axis > 0);
    match Form::of(&candidate.shape) {
        Form::Row(_) | Form::Map => stated.or(Some(1)).filter(|axis| *axis < rank.max(2)),
        Form::Boxes | Form::Other => stated,
    }
}

/// What the scores are about, and what makes probabilities of them.
fn read(
    bound: &BoundGraph,
    candidate: &Candidate,
    asked: &Asked,
    remarks: &mut Vec<Remark>,
) -> Result<(HeadKind, Probabilities), ModelError> {
    use Probabilities::{None as Nothing, Sigmoid, Softmax};
    let graph = bound.graph();
    let found = &candidate.found;
    let name = graph.name(found.scores);
    let form = Form::of(&candidate.shape);
    let mut say = |text: String| {
        if !asked.is_known {
            remarks.push(Remark::new(text));
        }
    };
    if let (Some(text), None, true) = (
        &found.remark,
        asked.scores,
        // What has no scores has a reason of its own.
        matches!(form, Form::Row(_) | Form::Map),
    ) {
        say(text.clone());
    }
    let said = asked.scores.or(found.probabilities);
    let probabilities = match (form, said) {
        (Form::Row(1), Some(Softmax)) if asked.scores.is_some() => {
            return Err(ModelError::Head {
                reason: format!(
                    "a softmax over the one number of \"{name}\" is always 1: its scores are sigmoid \
                     or none"
                ),
            });
        }
        (Form::Row(1), Some(Softmax)) => {
            say(format!(
                "a softmax over the one number of \"{name}\" is always 1: the number is explained as \
                 it is"
            ));
            Nothing
        }
        (_, Some(said)) => said,
        (Form::Row(1), None) if asked.logits.is_some() => {
            say(format!(
                "the one number of \"{name}\" is taken for the logit of yes; Opening::scores(none) says that \
                 it is a number"
            ));
            Sigmoid
        }
        (Form::Row(1), None) => {
            say(format!(
                "the one number of \"{name}\" is taken for a regression; Opening::scores(sigmoid) says \
                 that it is the logit of yes"
            ));
            Nothing
        }
        (Form::Row(_), None) if is_called_embedding(graph.name(candidate.output)) => {
            say(format!(
                "\"{name}\" is taken for features by its name; Opening::scores(softmax or sigmoid) says \
                 that it holds class scores"
            ));
            Nothing
        }
        (Form::Row(_), None) => {
            say(format!(
                "the scores \"{name}\" are assumed to be logits of classes that exclude each other; \
                 Opening::scores(sigmoid or none) says otherwise"
            ));
            Softmax
        }
        (Form::Map, None) if candidate.shape.get(1) == Some(&1) => Nothing,
        (Form::Map, None) => Softmax,
        (Form::Boxes | Form::Other, None) => Nothing,
    };
    let kind = match (form, probabilities) {
        (Form::Row(1), Sigmoid) => HeadKind::Binary,
        (Form::Row(1), _) => HeadKind::Number,
        (Form::Row(_), Softmax) => HeadKind::Classes,
        (Form::Row(_), Sigmoid) => HeadKind::Labels,
        (Form::Row(_), Nothing) => HeadKind::Numbers,
        (Form::Map, _) => HeadKind::Map,
        (Form::Boxes, _) => HeadKind::Boxes,
        (Form::Other, _) => HeadKind::Other,
    };
    Ok((kind, probabilities))
}
