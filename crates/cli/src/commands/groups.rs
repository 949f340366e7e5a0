//! `elucid groups`: a layer's channels in a few groups that fire together.

use clap::Args;
use elucid::attribution::Groups;
use elucid::factor::Method;
use serde::Serialize;

use crate::args::{GradientArgs, OutArgs};
use crate::console::table;
use crate::error::CliError;
use crate::look::{LookArgs, LookFacts};
use crate::page_icons::{IconFacts, PageIconArgs};
use crate::report::{LayerFacts, Step};
use crate::target::{self, TargetFacts, TargetList};

use self::compute::{Division, Work};

mod compute;
mod files;

/// As reports name it.
const COMMAND: &str = "groups";

/// The page, among the files of a run.
const PAGE: &str = "groups.html";

#[derive(Debug, Args)]
pub struct GroupsArgs {
    #[command(flatten)]
    look: LookArgs,

    /// The layer whose channels are grouped, @features among them
    #[arg(long, value_name = "LAYER")]
    layer: String,

    /// How many groups, several numbers with commas
    #[arg(long, value_name = "N,...", default_value = "6", value_parser = parse_numbers)]
    groups: Numbers,

    /// What the groups are attributed to: classes by name or number, differences A:B, logsumexp, or any
    /// other target that elucid attribute --help lists, several with commas; by default the two best
    /// guesses
    #[arg(long, value_name = "A,B", value_parser = target::parse_list)]
    targets: Option<TargetList>,

    /// How groups are found: nmf, pca, ica or kmeans
    #[arg(long, value_name = "NAME", default_value_t = Method::Nmf)]
    reducer: Method,

    #[command(flatten)]
    gradients: GradientArgs,

    #[command(flatten)]
    icons: PageIconArgs,

    #[command(flatten)]
    output: OutArgs,

    /// How many icons to optimise together; by default 6
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    batch_size: Option<u32>,

    /// Where the random numbers of ICA, k-means and icons begin
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
}

/// Numbers of groups, at least one and none twice.
#[derive(Debug, Clone)]
struct Numbers(Vec<usize>);

fn parse_numbers(text: &str) -> Result<Numbers, String> {
    let mut numbers: Vec<usize> = Vec::new();
    for number in text.split(',') {
        let number = number.trim().parse();
        let number = number.ok().filter(|&number| number > 0);
        let number = number.ok_or("expected numbers from 1 on with commas, such as 2,4,6")?;
        if !numbers.contains(&number) {
            numbers.push(number);
        }
    }
    Ok(Numbers(numbers))
}

#[derive(Debug, Serialize)]
struct Report {
    #[serde(flatten)]
    look: LookFacts,
    layer: LayerFacts,
    targets: Vec<TargetFacts>,
    reducer: &'static str,
    rules: Option<String>,
    results: Vec<ResultFacts>,
    seed: u64,
    batch_size: Option<u32>,
    seconds: Vec<Step>,
    files: Vec<String>,
}

/// One number of groups.
#[derive(Debug, Serialize)]
struct ResultFacts {
    groups: usize,
    /// The norm of what the reconstruction leaves out over that of the activations.
    relative_error: f64,
    /// Absent where the reducer does not iterate.
    iterations: Option<usize>,
    converged: Option<bool>,
    /// Row and column of each group's largest value.
    peaks: Vec<[usize; 2]>,
    /// The reducer's own number of each group.
    order: Vec<usize>,
    /// One for each target.
    effects: Vec<EffectFacts>,
    /// Groups that fire nowhere.
    dead: Vec<usize>,
    /// Absent where none were made.
    icons: Option<IconFacts>,
    /// Where the files lie in the folder; empty for the folder itself.
    folder: String,
}

/// What groups add to a target.
#[derive(Debug, Serialize)]
struct EffectFacts {
    target: String,
    score: f32,
    groups: Vec<f64>,
    /// Of the mean that PCA and ICA subtract; 0 for others.
    offset: f64,
    /// Of all groups and the mean.
    reconstructed: f64,
    /// Of what the reconstruction leaves out.
    residual: f64,
    /// Activation times gradient.
    total: f64,
}

impl ResultFacts {
    fn new(division: &Division, targets: &[TargetFacts]) -> Self {
        let found = &division.found;
        let summary = found.summary();
        let effects = found
            .effects()
            .iter()
            .zip(targets)
            .map(|(effects, target)| EffectFacts {
                target: target.name.clone(),
                score: effects.scores()[0],
                groups: effects.values().row(0).to_vec(),
                offset: effects.offset()[0],
                reconstructed: effects.reconstructed()[0],
                residual: effects.residual()[0],
                total: effects.total()[0],
            });
        Self {
            groups: found.count(),
            relative_error: summary.relative_error,
            iterations: summary.iterations,
            converged: summary.converged,
            peaks: found.peaks(0).to_vec(),
            order: found.order().to_vec(),
            effects: effects.collect(),
            dead: division.dead.clone(),
            icons: division.made.clone(),
            folder: division.folder.clone(),
        }
    }
}

impl GroupsArgs {
    /// The targets that were asked for.
    fn asked(&self) -> &[String] {
        self.targets.as_deref().unwrap_or_default()
    }
}

pub fn run(args: &GroupsArgs) -> Result<(), CliError> {
    let destination = args.output.check(COMMAND)?;
    let (image, session, mut clock) = args.look.open()?;
    let work = Work::new(&session, args)?;
    let photo = args.look.read(&session, &mut clock)?;
    let results = work.compute(&photo, &mut clock)?;

    let files = clock.time("draw", || files::of(&work, &results))?;
    let lines = lines(&results.divisions);
    let facts = |division: &Division| ResultFacts::new(division, &results.targets);
    let report = Report {
        look: LookFacts::of(COMMAND, &session, image, &results.seen),
        layer: LayerFacts::of(work.layer, &session.model)?,
        reducer: args.reducer.name(),
        rules: args
            .gradients
            .rules
            .as_ref()
            .map(|rules| rules.name().to_owned()),
        results: results.divisions.iter().map(facts).collect(),
        targets: results.targets,
        seed: args.seed,
        batch_size: args.batch_size,
        seconds: clock.steps(),
        files: files.names(),
    };
    let report = files.write(&destination, &report)?;
    args.output.say(lines, PAGE, &report)
}

/// One line for each number of groups.
fn lines(divisions: &[Division]) -> Vec<String> {
    let row = |division: &Division| {
        let found: &Groups = &division.found;
        let summary = found.summary();
        let end = match (summary.iterations, summary.converged) {
            (Some(n), Some(false)) => format!("{n} iterations, not converged"),
            (Some(n), _) => format!("{n} iterations"),
            (None, _) => String::new(),
        };
        vec![
            format!("{} groups", found.count()),
            format!("leave out {:.1} %", 100.0 * summary.relative_error),
            end,
        ]
    };
    table(&divisions.iter().map(row).collect::<Vec<_>>(), &[])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_parsed_once_each() {
        let numbers = |text| parse_numbers(text).map(|Numbers(numbers)| numbers);
        assert_eq!(numbers("6"), Ok(vec![6]));
        assert_eq!(numbers("2, 4,2,6"), Ok(vec![2, 4, 6]));
        for wrong in ["", "0", "2,", "-1", "a", "1.5", "99999999999999999999999"] {
            assert!(numbers(wrong).is_err(), "{wrong}");
        }
    }
}
