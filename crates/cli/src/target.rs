//! What is explained, as a flag and as facts.

use std::path::Path;

use elucid::prelude::*;
use elucid::vision::Guess;
use serde::Serialize;

use crate::console::Console;
use crate::error::CliError;
use crate::report::GuessFacts;
use crate::session::Session;

mod list;
mod place;

pub use self::list::{TargetList, parse_list};
pub use self::place::{Reading, like};

/// Every spelling of a target, for the help.
pub const SPELLINGS: &str = "\
What is explained, by default the best guess:
  A                        the logit of a class, by name or number
  A:B                      the difference of two; either may be none or logsumexp
  none:A                   the answer no of a network with one score for yes
  logsumexp                all classes together
  NAME[I,J,...]            one number of an output or a layer, indices without the batch, from 0;
                           an index may be : for the sum along the axis, mean, norm (of the first
                           axis), or a file x.npy with a direction
  A@box:XMIN,YMIN,XMAX,YMAX
                           the sum of the scores of class A over a box of a dense map, in pixels of
                           the map, of which XMAX and YMAX are outside
  A@mask.png               the same over the white pixels of a picture, or the numbers above 0 of an
                           array .npy
  A@predicted              the same where A has the largest score
  A@at:ROW,COLUMN          the connected part of that which has this pixel
  A@detected:XMIN,YMIN,XMAX,YMAX
                           the best anchor of a detector for class A in a box, in pixels of the
                           network's input: overlap times objectness times score (see --boxes)
  A@d-rise:XMIN,YMIN,XMAX,YMAX
                           the same with the cosine of the class scores; D-RISE with --method rise";

/// What is explained of one photograph.
#[derive(Debug, Clone, Serialize)]
pub struct TargetFacts {
    /// `logit`, `output` (a number that is no logit), `probability`, `difference`, `logsumexp`,
    /// `element`, `region`, `detection` or `similarity`.
    pub kind: &'static str,
    /// In words.
    pub name: String,
    /// The classes it is about, with what the network says of them.
    pub classes: Vec<GuessFacts>,
    /// The layer that it is computed from; absent for what is about the network's scores.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layer: Option<String>,
    /// What was assumed or done to what was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl TargetFacts {
    /// Says what was assumed.
    pub fn tell(&self, console: &Console) {
        if let Some(note) = &self.note {
            console.note(format!("note: {note}"));
        }
    }

    /// Whether both are of the same score. Classes of one name are told apart by their numbers.
    pub fn is_same(&self, other: &Self) -> bool {
        let indices = |facts: &Self| -> Vec<usize> {
            let classes = facts.classes.iter();
            classes.map(|class| class.index).collect()
        };
        self.name == other.name && indices(self) == indices(other)
    }

    /// Of a score of these classes.
    pub fn new(kind: &'static str, name: String, classes: impl IntoIterator<Item = Guess>) -> Self {
        Self {
            kind,
            name,
            classes: classes.into_iter().map(GuessFacts::from).collect(),
            layer: None,
            note: None,
        }
    }
}

/// One side of a difference.
enum Part {
    None,
    LogSumExp,
    Class(Guess),
}

impl Part {
    fn of(text: &str, model: &Model, ranked: &[Guess]) -> Result<Self, CliError> {
        Ok(match text {
            _ if is(text, "none") => Self::None,
            _ if is(text, "logsumexp") => Self::LogSumExp,
            _ => Self::Class(class(text, model, ranked)?),
        })
    }

    fn side(&self) -> Side {
        match self {
            Self::None => Side::None,
            Self::LogSumExp => Side::LogSumExp,
            Self::Class(class) => class.index.into(),
        }
    }
}

/// Refuses what is no target whatever the network.
pub fn parse(text: &str) -> Result<String, String> {
    let target: Result<Target, _> = text.parse();
    target.map_err(|error| error.to_string())?;
    match text.split_once(':') {
        Some((a, b)) if is(a, "none") && is(b, "none") => {
            Err("there is none on both sides, so nothing to explain".to_owned())
        }
        _ => Ok(text.trim().to_owned()),
    }
}

/// Whether a target is the logit of a class, which has a probability too.
pub fn is_class(text: &str) -> bool {
    sort(text) == Some("class")
}

/// Whether a target may be a probability: a class, or one number of an output.
pub fn may_be_probability(text: &str) -> bool {
    matches!(sort(text), Some("class" | "element")) || is_answer_no(text)
}

/// Whether a target is the answer no of a network with one score for yes.
pub fn is_answer_no(text: &str) -> bool {
    let sides = text.split_once(':');
    sort(text) == Some("difference") && sides.is_some_and(|(first, _)| is(first, "none"))
}

/// The probability of the answer no.
pub fn improbability(
    (target, facts): (Target, TargetFacts),
    model: &Model,
) -> Result<(Target, TargetFacts), CliError> {
    let target = target.as_probability(model.head().probabilities());
    match (target.sort(), facts.classes.first()) {
        ("probability", Some(class)) => {
            let name = format!("probability against {}", class.label);
            let facts = TargetFacts {
                kind: "probability",
                name,
                ..facts
            };
            Ok((target, facts))
        }
        _ => Err(CliError::Failure(format!(
            "{} has no probability: the network's scores become probabilities by {}, and only a sigmoid \
             has an answer no",
            facts.name,
            model.head().probabilities()
        ))),
    }
}

fn sort(text: &str) -> Option<&'static str> {
    text.parse().ok().map(|target: Target| target.sort())
}

/// The target that `text` names, for a photograph whose classes are `ranked`, best first.
pub fn of(text: &str, model: &Model, ranked: &[Guess]) -> Result<(Target, TargetFacts), CliError> {
    Reading::default().of(text, model, ranked)
}

/// The targets that a flag names, each once, and says what was assumed of them.
pub fn each(
    asked: &[String],
    flag: &str,
    session: &Session,
    ranked: &[Guess],
) -> Result<Vec<(Target, TargetFacts)>, CliError> {
    let mut targets: Vec<(Target, TargetFacts)> = Vec::with_capacity(asked.len());
    for text in asked {
        let found = of(text, &session.model, ranked)?;
        found.1.tell(&session.console);
        if targets.iter().any(|(_, facts)| facts.is_same(&found.1)) {
            let name = &found.1.name;
            return Err(CliError::Usage(format!("--{flag} has the {name} twice")));
        }
        targets.push(found);
    }
    Ok(targets)
}

/// The target of classes that `text` names.
fn of_classes(
    text: &str,
    model: &Model,
    ranked: &[Guess],
) -> Result<(Target, TargetFacts), CliError> {
    Ok(match text.split_once(':') {
        Some((a, b)) => {
            let part = |text| Part::of(text, model, ranked);
            difference(part(a)?, part(b)?)
        }
        None if is_class(text) => logit(class(text, model, ranked)?),
        None => (
            Target::log_sum_exp(),
            TargetFacts::new("logsumexp", LOG_SUM_EXP.to_owned(), []),
        ),
    })
}

/// The logit of a class.
pub fn logit(class: Guess) -> (Target, TargetFacts) {
    let (kind, name) = match class.probability {
        Some(_) => ("logit", format!("logit of {}", class.label)),
        None => ("output", class.label.clone()),
    };
    let target = Target::class(class.index);
    (target, TargetFacts::new(kind, name, [class]))
}

/// The probability of a class.
pub fn probability(class: Guess) -> (Target, TargetFacts) {
    let name = format!("probability of {}", class.label);
    let target = Target::probability(class.index);
    (target, TargetFacts::new("probability", name, [class]))
}

/// The logit of `a` minus that of `b`.
pub fn between(a: Guess, b: Guess) -> (Target, TargetFacts) {
    difference(Part::Class(a), Part::Class(b))
}

const LOG_SUM_EXP: &str = "log sum exp of all logits";

fn difference(a: Part, b: Part) -> (Target, TargetFacts) {
    use Part::{Class, LogSumExp, None};
    let name = match (&a, &b) {
        (Class(a), Class(b)) => format!("logit of {} minus that of {}", a.label, b.label),
        (Class(a), None) => format!("logit of {}", a.label),
        (None, Class(b)) => format!("minus the logit of {}", b.label),
        (Class(a), LogSumExp) => format!("logit of {} minus {LOG_SUM_EXP}", a.label),
        (LogSumExp, Class(b)) => format!("{LOG_SUM_EXP} minus that of {}", b.label),
        (LogSumExp, LogSumExp) => format!("{LOG_SUM_EXP} minus itself"),
        (LogSumExp, None) => LOG_SUM_EXP.to_owned(),
        (None, LogSumExp) => format!("minus {LOG_SUM_EXP}"),
        (None, None) => "nothing".to_owned(),
    };
    let target = Target::difference(a.side(), b.side());
    let classes = [a, b].into_iter().filter_map(|part| match part {
        Class(class) => Some(class),
        _ => Option::None,
    });
    (target, TargetFacts::new("difference", name, classes))
}

/// A class, by name or number, with what the network says of it.
pub fn class(text: &str, model: &Model, ranked: &[Guess]) -> Result<Guess, CliError> {
    let index = model.class(text.trim())?;
    let guess = ranked.iter().find(|guess| guess.index == index);
    guess
        .cloned()
        .ok_or_else(|| CliError::Failure(format!("the network gives class {index} no score")))
}

/// Refuses scores that are no numbers, which rank no class and which nothing explains.
pub fn finite(ranked: &[Guess], picture: &Path) -> Result<(), CliError> {
    // A class may be ruled out, by minus infinity, as long as not all of them are.
    let is_wrong = |guess: &Guess| {
        let is_ruled_out = guess.logit.is_infinite() && guess.logit < 0.0;
        let is_no_share = guess.probability.is_some_and(f32::is_nan);
        is_no_share || !(guess.logit.is_finite() || is_ruled_out)
    };
    let all_out = !ranked.is_empty() && ranked.iter().all(|guess| !guess.logit.is_finite());
    match all_out || ranked.iter().any(is_wrong) {
        true => Err(CliError::Failure(format!(
            "the network's scores are not finite for {}: they hold NaN or an infinity",
            picture.display()
        ))),
        false => Ok(()),
    }
}

/// Whether the text is this word.
fn is(text: &str, word: &str) -> bool {
    text.trim().eq_ignore_ascii_case(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_target_is_refused_before_any_network() {
        for text in ["285", "tabby", "a:b", "none:b", "a:LogSumExp", "logsumexp"] {
            assert_eq!(parse(&format!(" {text} ")), Ok(text.to_owned()));
        }
        for text in ["", ":", "a:", ":b", "none:None"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(is_class("tabby") && !is_class("a:b") && !is_class("LogSumExp"));
    }
}
