//! The tables, the page and the report of an evaluation, and what people are told of them.

use std::path::{Path, PathBuf};

use elucid::metrics::Metric;
use elucid::study::{
    self, Found, Merge, ORIGINS, Origins, SETTINGS, SUMMARY, Settings, StudyError, TABLE, results,
};

use super::TableArgs;
use super::curves::Curves;
use super::examples;
use super::outcome::{Outcome, PAGE};
use crate::console::{Console, Output, table, to_json};
use crate::error::{CliError, WITH_FAILURES};
use crate::known;
use crate::output::{MERGED, REPORT};
use crate::report::{Clock, Step};
use crate::schema::Versioned;

/// Makes the tables, the page and the report in the folder of an evaluation.
pub fn sum_up(
    folder: &Path,
    (settings, found): (&Settings, &Found),
    metrics: &[Box<dyn Metric>],
    (device, batch_size): (Option<&str>, Option<usize>),
    mut clock: Clock,
) -> Result<Said, CliError> {
    let outcome = clock.time("sum up", || Outcome::new(settings, metrics, found))?;
    let [done, all] = found.cells();
    if done == all && settings.merged_from == 0 {
        let folders = examples::folders(folder, &method_names(settings));
        for (folder, extremes) in folders.iter().zip(&outcome.extremes) {
            examples::prune(folder, &extremes.kept());
        }
    }
    let written = write(folder, &outcome, (device, batch_size), clock.steps())?;
    Ok(Said::of(&outcome, folder, written))
}

fn method_names(settings: &Settings) -> Vec<&str> {
    let methods = settings.methods.iter();
    methods.map(|method| method.name.as_str()).collect()
}

/// What was written into the folder of an evaluation.
pub struct Written {
    /// The report.
    report: String,
    /// What had to be left out, in words.
    lost: Vec<String>,
}

/// Writes everything that is made of the journal into its folder.
pub fn write(
    folder: &Path,
    outcome: &Outcome<'_>,
    (device, batch_size): (Option<&str>, Option<usize>),
    seconds: Vec<Step>,
) -> Result<Written, CliError> {
    let methods = method_names(outcome.settings);
    let origins = Origins::of(folder, outcome.settings);
    let curves = Curves::of(&origins, outcome.settings, outcome.found)?;
    let drawn = curves.files()?;
    let page = outcome.page(curves.plots(), |row, number| {
        let folders = examples::folders(origins.folder(number)?, &methods);
        Some(folders[row].join(examples::file(number)))
    })?;
    let (command, others): (_, &[&str]) = match outcome.settings.merged_from {
        0 => ("evaluate", &[]),
        _ => (MERGED, &[Merge::JOURNAL, ORIGINS]),
    };
    results::write(folder, outcome.settings, outcome.found)?;
    let names = [SETTINGS, study::IMAGES].iter().chain(results::FILES);
    let names = names
        .chain(&[SUMMARY, TABLE, PAGE, REPORT])
        .chain(others)
        .map(|name| (*name).to_owned())
        .chain(drawn.iter().map(|(name, _)| name.clone()))
        .collect();
    let report = outcome.report(command, device, batch_size, seconds, names);
    let report = to_json(&Versioned::of(command, &report))? + "\n";
    let (summary, table) = (outcome.csv(), outcome.markdown());
    let drawn = drawn.iter().map(|(name, bytes)| (&**name, &**bytes));
    // Last the report, which lists the others.
    for (name, bytes) in drawn.chain([
        (SUMMARY, summary.as_bytes()),
        (TABLE, table.as_bytes()),
        (PAGE, page.as_slice()),
        (REPORT, report.as_bytes()),
    ]) {
        elucid::render::file::write_atomically(folder.join(name), bytes)?;
    }
    Ok(Written {
        report,
        lost: curves.lost,
    })
}

pub fn make_table(args: &TableArgs) -> Result<(), CliError> {
    let mut clock = Clock::default();
    let (settings, found) = clock.time("read", || study::read(&args.folder))?;
    let [done, all] = found.cells();
    if done < all {
        let console = Console::new(args.quiet);
        console.note(format!("{done} of {all} cells are measured so far"));
    }
    if found.seen().next().is_none() {
        return Err(CliError::Failure("nothing is measured yet".to_owned()));
    }
    let metrics = metrics(&settings)?;
    sum_up(
        &args.folder,
        (&settings, &found),
        &metrics,
        (None, None),
        clock,
    )?
    .print("", args.json)
}

/// The metrics of a folder's study.
pub fn metrics(settings: &Settings) -> Result<Vec<Box<dyn Metric>>, StudyError> {
    study::metrics(
        known::metrics(),
        &settings.metrics,
        settings.seed,
        study::BATCH,
    )
}

/// What people are told of an outcome.
pub struct Said {
    /// The table, and where everything lies.
    lines: Vec<String>,
    /// The report.
    report: String,
    /// How many values failed, and which file lists them.
    failed: (usize, PathBuf),
}

impl Said {
    /// Of an outcome whose files lie, or will lie, in `folder`.
    pub fn of(outcome: &Outcome<'_>, folder: &Path, written: Written) -> Self {
        let mut rows = vec![[vec!["method".to_owned()], outcome.summary.heads()].concat()];
        let named = outcome.summary.rows().into_iter();
        rows.extend(named.map(|(name, cells)| [vec![name], cells].concat()));
        let mut lines = table(&rows, &[]);
        let accuracy = outcome.summary.accuracy;
        lines.push(String::new());
        lines.push(format!(
            "top-1 accuracy {:.1} %: {} of {} images",
            100.0 * accuracy.top1,
            accuracy.correct,
            accuracy.images
        ));
        if let Some(mixed) = outcome.found.mixed() {
            lines.push(format!(
                "numbers may differ between {}",
                mixed.join(", and ")
            ));
        }
        match outcome.found.skipped().count() {
            0 => {}
            count => lines.push(format!(
                "skipped {count}: {}",
                folder.join(results::SKIPPED).display()
            )),
        }
        lines.extend(written.lost);
        lines.push(format!("page {}", folder.join(PAGE).display()));
        Self {
            lines,
            report: written.report,
            failed: (
                outcome.found.failures().len(),
                folder.join(results::FAILURES),
            ),
        }
    }

    /// Prints it, or as JSON the report; `hint` says what can be done about values that failed.
    pub fn print(&self, hint: &str, json: bool) -> Result<(), CliError> {
        let mut out = Output::new();
        match json {
            true => out.json_text(&self.report)?,
            false => self.lines.iter().try_for_each(|line| out.line(line))?,
        }
        out.flush()?;
        match &self.failed {
            (0, _) => Ok(()),
            (count, file) => Err(CliError::Ended(
                WITH_FAILURES,
                format!("{count} values failed: {}{hint}", file.display()),
            )),
        }
    }
}
