use crate::OpKind;

/// Why a rule cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RuleError {
    /// The rule has no backward for this kind of operator.
    #[error(
        "the rule `{rule}` cannot replace the gradient of {kind}{}",
        is_for(supported)
    )]
    Unsupported {
        /// The rule's name.
        rule: String,
        /// The operator it was asked to replace.
        kind: OpKind,
        /// The operators it is for; may be empty where that is not a matter of kinds.
        supported: Vec<OpKind>,
    },
    /// The rule cannot stand at this operator.
    #[error("the rule `{rule}` cannot replace the gradient of {kind}: {reason}")]
    DoesNotFit {
        /// The rule's name.
        rule: String,
        /// The operator it was asked to replace.
        kind: OpKind,
        /// What it lacks, and what would be right.
        reason: String,
    },
    /// An entry of a list of rules is about no operator of the network.
    #[error(
        "the rule `{rule}` is for {which}, and the network has none{}; its operators are {}",
        near(nearest),
        list_or(kinds, "none at all")
    )]
    MatchesNothing {
        /// The rule's name.
        rule: String,
        /// Which operators it was meant for.
        which: String,
        /// Names that its pattern may have been meant to fit; may be empty.
        nearest: Vec<String>,
        /// The kinds of operators that do occur.
        kinds: Vec<OpKind>,
    },
    /// No preset has this name.
    #[error(
        "no rules are called `{name}`{}; there are {}",
        nearest.map(|n| format!(", did you mean `{n}`?")).unwrap_or_default(),
        list_or(presets, "none")
    )]
    UnknownPreset {
        /// The name asked for.
        name: String,
        /// The preset spelled most like it, if any is close.
        nearest: Option<&'static str>,
        /// Every preset.
        presets: &'static [&'static str],
    },
}

fn near(names: &[String]) -> String {
    match names.is_empty() {
        true => String::new(),
        false => format!(" (near: {})", names.join(", ")),
    }
}

fn is_for(kinds: &[OpKind]) -> String {
    match kinds.is_empty() {
        true => String::new(),
        false => format!(": it is for {}", list_or(kinds, "")),
    }
}

fn list_or<T: std::fmt::Display>(items: &[T], none: &str) -> String {
    if items.is_empty() {
        return none.to_owned();
    }
    let items: Vec<String> = items.iter().map(T::to_string).collect();
    items.join(", ")
}
