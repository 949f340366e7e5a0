//! The table `docs/operators.md`.

use std::collections::BTreeMap;
use std::path::Path;

use elucid_graph::{Attributes, Registry};

use super::Outcome;

/// What each operator is to rules: with all inputs but the first constant, and, where it differs, with all
/// inputs computed by the network.
/// `arity`: how many inputs each has at most.
fn algebras(arity: &BTreeMap<&str, usize>) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for entry in Registry::standard().entries() {
        // Attributes without which some operators cannot be read.
        let attributes = Attributes::new(i64::MAX, 3, 1)
            .with("to", 1)
            .with("direction", "LEFT")
            .with("kernel_shape", vec![1, 1])
            .with("equation", "ij,jk->ik")
            .with("hidden_size", 1)
            .with("num_heads", 1)
            .with("num_groups", 1)
            .with("axis", 0)
            .with("blocksize", 1);
        let Ok(operator) = (entry.parse)(&attributes) else {
            continue;
        };
        let count = arity.get(entry.kind().as_str()).copied().unwrap_or(1);
        let of = |constant: fn(usize) -> bool| {
            let constant: Vec<bool> = (0..count).map(constant).collect();
            operator.algebra(&constant).to_string()
        };
        let (constant, live) = (of(|slot| slot > 0), of(|_| false));
        let text = match constant == live {
            true => constant,
            false => format!("{constant}; {live}"),
        };
        found.insert(entry.kind().to_string(), text);
    }
    found
}

/// Writes `docs/operators.md`.
pub(super) fn write_table(outcomes: &[Outcome]) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut by_operator: BTreeMap<&str, [usize; 4]> = BTreeMap::new();
    let mut arity: BTreeMap<&str, usize> = BTreeMap::new();
    for o in outcomes.iter().filter(|o| o.row.operators.len() == 1) {
        let counts = by_operator.entry(&o.row.operators[0]).or_default();
        let most = arity.entry(&o.row.operators[0]).or_default();
        *most = o.row.inputs.max(*most);
        counts[0] += usize::from(o.forward.is_ok());
        counts[1] += 1;
        counts[2] += usize::from(matches!(o.gradient, Some(Ok(()))));
        counts[3] += usize::from(o.gradient.is_some());
    }
    let mut text = include_str!("../operators_head.md").to_owned();
    let mut entries: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for entry in Registry::standard().entries() {
        let kind = entry.kind().to_string();
        entries.entry(kind).or_default().push(entry.since);
    }
    let algebra = algebras(&arity);
    for (kind, since) in &entries {
        let counts = by_operator.get(kind.as_str()).copied().unwrap_or_default();
        let part = |passed: usize, all: usize| match all {
            0 => String::new(),
            _ => format!("{passed} of {all}"),
        };
        text += &format!(
            "| {kind} | {} | {} | {} | {} |\n",
            since.iter().min().copied().unwrap_or(1),
            algebra.get(kind).map_or("", String::as_str),
            part(counts[0], counts[1]),
            part(counts[2], counts[3]),
        );
    }
    text += "\n## Cases that do not pass\n\n| case | what is wrong |\n| --- | --- |\n";
    for o in outcomes {
        let (what, reason) = match (&o.forward, &o.gradient) {
            (Err(reason), _) => ("", reason),
            (_, Some(Err(reason))) => ("gradient: ", reason),
            _ => continue,
        };
        let reason = reason.replace('|', "\\|");
        text += &format!("| {} | {what}{reason} |\n", o.row.case);
    }
    std::fs::write(root.join("docs/operators.md"), text).unwrap();
}
