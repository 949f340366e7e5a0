//! `elucid channels`: what each channel of a layer adds to a score.

use std::path::PathBuf;

use clap::Args;
use elucid::attribution::ChannelValue;
use elucid::prelude::*;
use serde::Serialize;

use crate::args::{GradientArgs, OutArgs};
use crate::console::table;
use crate::error::CliError;
use crate::look::{LookArgs, LookFacts};
use crate::page_icons::{IconFacts, PageIconArgs};
use crate::report::{CompletenessFacts, LayerFacts, RuleUseFacts, Step};
use crate::target::{self, TargetFacts};

use self::compute::Work;
use self::sprites::SpriteFacts;

mod compute;
mod files;
mod sprites;

/// As reports name it.
const COMMAND: &str = "channels";

/// The page, among the files of a run.
const PAGE: &str = "channels.html";

/// The three of the notebook.
const ALL_METHODS: &[&str] = &["linear", "path", "stochastic"];

#[derive(Debug, Args)]
pub struct ChannelsArgs {
    #[command(flatten)]
    look: LookArgs,

    /// The layer whose channels are attributed to, @features among them
    #[arg(long, value_name = "LAYER")]
    layer: String,

    /// What is explained: the difference A:B of two classes by name or number, either of which may
    /// be none or logsumexp, a class alone, or any other target that elucid attribute --help lists; by
    /// default the best guess minus the second
    #[arg(long, value_name = "A:B", value_parser = target::parse)]
    target: Option<String>,

    /// Where the gradient is taken: linear (at the photograph), path, adaptive, stochastic or
    /// notebook (its stochastic path), several with commas, or all for linear, path and stochastic
    #[arg(long, value_name = "NAME,...", default_value = "linear", value_parser = parse_methods)]
    method: MethodList,

    #[command(flatten)]
    gradients: GradientArgs,

    /// How many channels are shown with their icons at either end
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..))]
    top: u16,

    /// Take the icons from a sprite map of the layer: its picture, or the folder it lies in (see:
    /// elucid spritemap); by default they are made for the channels shown
    #[arg(long, value_name = "PATH", conflicts_with_all = ["size", "steps", "no_icons"])]
    sprites: Option<PathBuf>,

    #[command(flatten)]
    icons: PageIconArgs,

    #[command(flatten)]
    output: OutArgs,

    /// How many points of a path, or icons, to propagate together; by default 8 points and 6 icons
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    batch_size: Option<u32>,

    /// Where the random numbers of stochastic paths and icons begin
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
}

/// Methods with the names they were asked for by, at least one and none twice.
#[derive(Debug, Clone)]
pub struct MethodList(Vec<(&'static str, ChannelMethod)>);

fn parse_methods(text: &str) -> Result<MethodList, String> {
    let mut methods: Vec<(&'static str, ChannelMethod)> = Vec::new();
    for asked in text.split(',').map(str::trim) {
        let named: Vec<&'static str> = match asked {
            "all" => ALL_METHODS.to_vec(),
            name => {
                let known = ChannelMethod::NAMES.iter().copied();
                known.filter(|k| k.eq_ignore_ascii_case(name)).collect()
            }
        };
        if named.is_empty() {
            let known = ChannelMethod::NAMES.join(", ");
            return Err(format!(
                "no method is called \"{asked}\"; there are {known}, and all"
            ));
        }
        for name in named {
            let method = name
                .parse()
                .map_err(|e: elucid::attribution::AttributionError| e.to_string())?;
            if methods.iter().all(|(known, _)| *known != name) {
                methods.push((name, method));
            }
        }
    }
    Ok(MethodList(methods))
}

#[derive(Debug, Serialize)]
struct Report {
    #[serde(flatten)]
    look: LookFacts,
    layer: LayerFacts,
    target: TargetFacts,
    results: Vec<ResultFacts>,
    /// The channels with icons, in ascending order.
    shown: Vec<usize>,
    /// Absent where none were made.
    icons: Option<IconFacts>,
    /// Absent where there is no sprite map.
    sprites: Option<SpriteFacts>,
    seed: u64,
    batch_size: Option<u32>,
    seconds: Vec<Step>,
    files: Vec<String>,
}

/// What one method found.
#[derive(Debug, Serialize)]
struct ResultFacts {
    method: &'static str,
    /// In words.
    description: String,
    rules: String,
    /// How many operators each rule took; empty for the true gradient.
    rules_used: Vec<RuleUseFacts>,
    /// `f(A) - f(B)`.
    score: f32,
    /// `f(A)` and `f(B)`.
    sides: [f32; 2],
    /// What the values add up to, and the score less that of zero activations.
    completeness: CompletenessFacts,
    evaluations: usize,
    /// Absent for methods without a tolerance.
    tolerance_met: Option<bool>,
    top: Vec<ChannelFacts>,
    bottom: Vec<ChannelFacts>,
    /// Where the files lie in the folder; empty for the folder itself.
    folder: String,
}

#[derive(Debug, Serialize)]
struct ChannelFacts {
    channel: usize,
    value: f32,
}

impl From<ChannelValue> for ChannelFacts {
    fn from(ChannelValue { channel, value }: ChannelValue) -> Self {
        Self { channel, value }
    }
}

pub fn run(args: &ChannelsArgs) -> Result<(), CliError> {
    let destination = args.output.check(COMMAND)?;
    let sprites = args.sprites.as_deref().map(sprites::open).transpose()?;
    let (image, session, mut clock) = args.look.open()?;
    let model = &session.model;
    let work = Work::new(&session, args, sprites)?;
    let photo = args.look.read(&session, &mut clock)?;
    let results = work.compute(&photo, &mut clock)?;

    let files = clock.time("draw", || files::of(&work, &results))?;
    let top = usize::from(args.top);
    let lines = lines(&results.views);
    let report = Report {
        look: LookFacts::of(COMMAND, &session, image, &results.seen),
        layer: LayerFacts::of(work.layer, model)?,
        target: results.target,
        results: results
            .views
            .iter()
            .map(|view| ResultFacts {
                method: view.name,
                description: view.found.method().to_string(),
                rules: view.found.rules().to_owned(),
                rules_used: view.found.rule_uses().iter().map(Into::into).collect(),
                score: view.found.score(),
                sides: view.found.side_scores(),
                completeness: view.found.completeness().into(),
                evaluations: view.found.evaluations(),
                tolerance_met: view.found.tolerance_met(),
                top: view
                    .found
                    .top(top)
                    .into_iter()
                    .map(ChannelFacts::from)
                    .collect(),
                bottom: view
                    .found
                    .bottom(top)
                    .into_iter()
                    .map(ChannelFacts::from)
                    .collect(),
                folder: view.folder.to_owned(),
            })
            .collect(),
        shown: results.icons.iter().map(|(channel, _)| *channel).collect(),
        icons: results.made,
        sprites: work.sprites.as_ref().map(SpriteFacts::of),
        seed: args.seed,
        batch_size: args.batch_size,
        seconds: clock.steps(),
        files: files.names(),
    };
    let report = files.write(&destination, &report)?;
    args.output.say(lines, PAGE, &report)
}

/// One line for each method: what its values add up to.
fn lines(views: &[compute::View]) -> Vec<String> {
    let row = |view: &compute::View| {
        let Completeness { sum, expected } = view.found.completeness();
        let met = match view.found.tolerance_met() {
            Some(false) => ", tolerance not met",
            _ => "",
        };
        vec![
            view.name.to_owned(),
            format!("score {:.4}", view.found.score()),
            format!("sum {sum:.4} of {expected:.4}{met}"),
        ]
    };
    table(&views.iter().map(row).collect::<Vec<_>>(), &[])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_parsed_once_each() {
        let names = |text| {
            let MethodList(methods) = parse_methods(text).unwrap();
            methods.iter().map(|(name, _)| *name).collect::<Vec<_>>()
        };
        assert_eq!(names("linear"), ["linear"]);
        assert_eq!(names("Path, linear,path"), ["path", "linear"]);
        assert_eq!(
            names("notebook,all"),
            ["notebook", "linear", "path", "stochastic"]
        );
        for wrong in ["", ",", "straight", "linear,"] {
            assert!(parse_methods(wrong).is_err(), "{wrong}");
        }
        for name in ChannelMethod::NAMES {
            names(name);
        }
    }
}
