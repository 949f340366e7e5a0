//! What is explained, as a flag and as facts.

use elucid::graph::Guess;
use elucid::prelude::*;
use serde::Serialize;

use super::AttributeArgs;
use crate::error::CliError;
use crate::report::GuessFacts;

/// What is explained of one photograph.
#[derive(Debug, Clone, Serialize)]
pub struct TargetFacts {
    /// `logit`, `probability`, `difference` or `logsumexp`.
    pub kind: &'static str,
    /// In words.
    pub name: String,
    /// The classes it is about, with what the network says of them.
    pub classes: Vec<GuessFacts>,
}

/// Refuses what is no target whatever the network.
pub fn parse(text: &str) -> Result<String, elucid::attribution::AttributionError> {
    text.parse::<Target>().map(|_| text.trim().to_owned())
}

/// Refuses a probability of anything but one class.
pub fn check(args: &AttributeArgs) -> Result<(), CliError> {
    match &args.target {
        Some(text) if args.probability && classes(text).len() != 1 => Err(CliError::Usage(
            format!("--probability explains one class, and \"{text}\" is not one"),
        )),
        _ => Ok(()),
    }
}

/// The classes that a target names.
fn classes(text: &str) -> Vec<&str> {
    match text.split_once(':') {
        _ if text.eq_ignore_ascii_case("logsumexp") => Vec::new(),
        Some((a, b)) => vec![a, b],
        None => vec![text],
    }
}

/// The target for a photograph whose classes are `ranked`, best first.
pub fn choose(
    args: &AttributeArgs,
    model: &Model,
    ranked: &[Guess],
) -> Result<(Target, TargetFacts), CliError> {
    let indices: Vec<usize> = match &args.target {
        Some(text) => classes(text)
            .into_iter()
            .map(|class| model.class(class))
            .collect::<Result<_, _>>()?,
        None => ranked.iter().take(1).map(|guess| guess.index).collect(),
    };
    let guesses: Vec<Guess> = indices
        .iter()
        .filter_map(|index| ranked.iter().find(|guess| guess.index == *index).cloned())
        .collect();
    let (target, kind, name) = match &guesses[..] {
        [class] if args.probability => (
            Target::probability(class.index),
            "probability",
            format!("probability of {}", class.label),
        ),
        [class] => (
            Target::class(class.index),
            "logit",
            format!("logit of {}", class.label),
        ),
        [a, b] => (
            Target::difference(a.index, b.index),
            "difference",
            format!("logit of {} minus that of {}", a.label, b.label),
        ),
        _ => (
            Target::log_sum_exp(),
            "logsumexp",
            "log sum exp of all logits".to_owned(),
        ),
    };
    let facts = TargetFacts {
        kind,
        name,
        classes: guesses.into_iter().map(GuessFacts::from).collect(),
    };
    Ok((target, facts))
}
