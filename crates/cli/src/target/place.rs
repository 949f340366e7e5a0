//! Targets that are no scores of a whole picture: numbers of layers, regions, boxes, likeness.

use std::path::Path;

use elucid::attribution::{BoxFormat, ClassRef, DenseMap};
use elucid::graph::LOGITS;
use elucid::prelude::*;
use elucid::vision::Guess;

use super::{TargetFacts, of_classes};
use crate::error::CliError;

/// How a target is understood beyond its text.
#[derive(Debug, Clone, Default)]
pub struct Reading {
    /// How a detector writes its boxes; what is usual if `None`.
    pub boxes: Option<BoxFormat>,
    /// Whether a number that is a probability is explained as it is.
    pub as_given: bool,
}

impl Reading {
    /// The target that `text` names, for a photograph whose classes are `ranked`, best first.
    pub fn of(
        &self,
        text: &str,
        model: &Model,
        ranked: &[Guess],
    ) -> Result<(Target, TargetFacts), CliError> {
        let target: Target = text.parse()?;
        let is_name = || {
            model
                .labels()
                .is_some_and(|labels| labels.find(text).is_ok())
        };
        match target.sort() {
            "element" | "region" | "detection" if !is_name() => {
                self.place(text, target, model, ranked)
            }
            sort => {
                let (of_class, mut facts) = of_classes(text, model, ranked)?;
                if sort == "element" && target.layer_in(model).is_ok() {
                    facts.note = Some(format!(
                        "\"{text}\" is the name of a class, and could be a number of a layer as well: the \
                         class is explained; with a space in the brackets it is the number"
                    ));
                }
                Ok((of_class, facts))
            }
        }
    }

    fn place(
        &self,
        text: &str,
        target: Target,
        model: &Model,
        ranked: &[Guess],
    ) -> Result<(Target, TargetFacts), CliError> {
        let target = match self.as_given {
            true => target.as_given(),
            false => target,
        };
        let target = match self.boxes {
            Some(format) => target.with_boxes(format),
            None => target,
        };
        let layer = target.layer_in(model)?;
        let (name, note) = match target.sort() {
            "element" => (element(text, &layer, model)?, None),
            "region" => {
                let name = format!("sum of the scores of {target}");
                (name, stretched(&target, model)?)
            }
            _ => (format!("score of {target}"), self.assumed()),
        };
        let class = target.class_of_place();
        let of_class = |guess: &&Guess| match class {
            Some(ClassRef::Index(index)) => guess.index == *index,
            Some(ClassRef::Label(label)) => guess.label == *label,
            None => false,
        };
        let classes = ranked.iter().find(of_class).cloned();
        let facts = TargetFacts {
            layer: Some(layer),
            note,
            ..TargetFacts::new(target.sort(), name, classes)
        };
        Ok((target, facts))
    }

    /// What is assumed of a detector's boxes.
    fn assumed(&self) -> Option<String> {
        self.boxes.is_none().then(|| {
            format!(
                "boxes are read as {} without objectness and with scores that are probabilities, as \
                 nothing says otherwise; --boxes changes it",
                BoxFormat::new()
            )
        })
    }
}

/// A number of a layer, and the scores that it is a probability of.
fn element(text: &str, layer: &str, model: &Model) -> Result<String, CliError> {
    let named = text.rsplit_once('[').map_or(text, |(name, _)| name.trim());
    Ok(match Network::layer(model, named)? == *layer {
        true => format!("number {text}"),
        false => format!("number {text} before it becomes a probability, in {layer}"),
    })
}

/// What is said of a mask of another size than the map.
fn stretched(target: &Target, model: &Model) -> Result<Option<String>, CliError> {
    let Some(size) = target.region_of().and_then(|region| region.mask_size()) else {
        return Ok(None);
    };
    let map = DenseMap::of(model)?.size();
    let words = |[height, width]: [usize; 2]| format!("{height} x {width}");
    Ok((size != map).then(|| {
        format!(
            "the mask is {} pixels and the map {}: it is stretched by the nearest pixel",
            words(size),
            words(map)
        )
    }))
}

/// The likeness to another picture, by the cosine of a layer, or of the scores.
pub fn like(
    picture: &Path,
    layer: Option<&str>,
    model: &Model,
) -> Result<(Target, TargetFacts), CliError> {
    let layer = Network::layer(model, layer.unwrap_or(LOGITS))?;
    let photo = model.read_image(picture)?;
    let found = model.pass().input(&photo).fetch([&layer])?;
    let values = found.get(&layer)?.to_array()?;
    let vector: Vec<f32> = values.iter().copied().collect();
    let target = Target::like(&layer, &vector);
    // A vector without a direction is found before minutes are spent.
    target.layer_in(model)?;
    let file = picture.file_name().unwrap_or(picture.as_os_str());
    let name = format!(
        "likeness to {}, the cosine of {layer}",
        file.to_string_lossy()
    );
    let facts = TargetFacts {
        layer: Some(layer),
        ..TargetFacts::new(target.sort(), name, [])
    };
    Ok((target, facts))
}
