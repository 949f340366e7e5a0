//! Relevance and DeepLIFT on networks as today's exporters write them: a map, or a refusal that names what has no rule.
//!
//! `ELUCID_NETWORKS=swin,own_` runs only the networks whose names contain one of the texts; `ELUCID_WRITE_DOCS=1` writes
//! `docs/relevance.md` again.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use elucid_attribution::relevance::RelevanceRules;
use elucid_attribution::{AttributionError, Attributor, DeepLift, Lrp, Target};
use elucid_graph::{INPUT, LOGITS};
use elucid_models::photographs;
use elucid_testkit::generated::with_weights;
use elucid_testkit::{assets, device};
use elucid_vision::Model;
use serde_json::Value;

const METHODS: [&str; 4] = ["attn-lrp", "cp-lrp", "epsilon-plus", "DeepLIFT"];

fn method(name: &str) -> Box<dyn Attributor> {
    match RelevanceRules::composite(name) {
        Some(rules) => Box::new(Lrp::new(rules)),
        None => Box::new(DeepLift::at_input()),
    }
}

/// What became of a method on a network: how far its sum is from what it should add up to, or why there is no map.
fn outcome(method: &dyn Attributor, model: &Model) -> String {
    match explained(method, model) {
        Ok(cell) => cell,
        Err(AttributionError::Uncovered { nodes, .. }) => {
            let kind = |node: &String| node.split(' ').next().unwrap_or(node).to_owned();
            let kinds: BTreeSet<String> = nodes.iter().map(kind).collect();
            let kinds: Vec<String> = kinds.iter().map(|kind| format!("`{kind}`")).collect();
            format!("no rule for {}", kinds.join(", "))
        }
        Err(error) => format!("refused: {}", first_part(&error.to_string())),
    }
}

/// A message up to its first colon or semicolon, behind which there is advice.
fn first_part(text: &str) -> String {
    let text = text.replace(['|', '\n'], " ");
    text.split([':', ';']).next().unwrap_or_default().to_owned()
}

fn explained(method: &dyn Attributor, model: &Model) -> Result<String, AttributionError> {
    let picture = elucid_vision::input::decode_image(photographs::chelsea()).unwrap();
    let prepared = model.prepare(&picture)?;
    let fetched = model.pass().input(prepared.tensor()).fetch([LOGITS])?;
    let scores: Vec<f32> = fetched.get(LOGITS)?.to_array()?.into_iter().collect();
    let best = (0..scores.len()).max_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    let target = Target::class(best.unwrap_or(0));
    let found = method.attribute(model, prepared.tensor(), target)?;
    let values = found.values();
    assert!(values.iter().all(|v| v.is_finite()), "{found}");
    assert!(values.iter().any(|&v| v != 0.0), "{found}");
    Ok(match (method.name(), found.completeness_error()) {
        ("deep-lift", Some(error)) => format!("a map, complete within {error:.0e}"),
        _ => "a map".to_owned(),
    })
}

fn rows(folder: &Path) -> Vec<(String, Vec<String>)> {
    let asked = std::env::var("ELUCID_NETWORKS").unwrap_or_default();
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .filter_map(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            Some(name.strip_suffix("_layers.json")?.to_owned())
        })
        .filter(|name| asked.split(',').any(|part| name.contains(part)))
        .collect();
    names.sort();
    let mut rows = Vec::new();
    for name in names {
        let text = std::fs::read_to_string(folder.join(format!("{name}_layers.json"))).unwrap();
        let reference: Value = serde_json::from_str(&text).unwrap();
        let file = folder.join(reference["file"].as_str().unwrap());
        let gain = reference["gain"].as_f64().unwrap();
        let cells = match Model::from_bytes(with_weights(&file, gain), &device(), None) {
            Ok(model) if model.layer(INPUT).is_ok() => {
                let of = |name: &&str| outcome(&*method(name), &model);
                METHODS.iter().map(of).collect()
            }
            Ok(_) => vec!["no input of pictures".to_owned(); METHODS.len()],
            Err(error) => {
                let text = first_part(&error.to_string());
                vec![format!("does not open: {text}"); METHODS.len()]
            }
        };
        println!("{name}: {}", cells.join(" | "));
        rows.push((name, cells));
    }
    rows
}

#[test]
fn networks_are_explained_or_refused_by_name() {
    let Some(assets) = assets() else { return };
    let rows = rows(&assets.join("models/modern"));
    let everything = std::env::var_os("ELUCID_NETWORKS").is_none();
    if std::env::var_os("ELUCID_WRITE_DOCS").is_some() && everything {
        let mut text = String::from(HEAD);
        for (name, cells) in &rows {
            writeln!(text, "| `{name}` | {} |", cells.join(" | ")).unwrap();
        }
        let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/relevance.md");
        std::fs::write(document, text).unwrap();
    }
}

const HEAD: &str = "\
# Relevance and DeepLIFT on today's networks

Written by the test `modern_relevance` of `elucid-attribution` (`ELUCID_WRITE_DOCS=1`): LRP under three composites and
DeepLIFT on one photograph, for the class with the largest score. The weights are generated, not trained. Where an
operator has no rule the method refuses and names it; there is no map then. DeepLIFT's sum is compared with the
difference of scores. In networks that round (`own_cnn_qdq`) values that differ by less than a step get the slope, not
what rounding makes of them. In `tm_resnetv2_50x1_bit` the baseline, a picture of zeros, is the same everywhere up to the
first group normalisation, whose deviation is then the root of its epsilon alone: contributions below that layer are
large and cancel, in sum of absolute values to a part in 10^8 of them, which is what single precision holds. From the
normalisation upwards the sum holds within 1e-4, and from the first block upwards within 1e-5.

| network | LRP, attn-lrp | LRP, cp-lrp | LRP, epsilon-plus | DeepLIFT |
| --- | --- | --- | --- | --- |
";
