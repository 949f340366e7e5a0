//! `elucid evaluate` and `elucid evaluate merge`: what they count, keep, go on with and refuse.

mod measured;
mod refused;
mod resumed;

use crate::common::{Desk, Ended};

const METHODS: &str = "gradient,grad-cam:layer=fire9";

const FILES: [&str; 13] = [
    "examples",
    "failures.csv",
    "images.csv",
    "index.html",
    "journal",
    "notes.csv",
    "report.json",
    "results.csv",
    "results.parquet",
    "settings.json",
    "skipped.csv",
    "summary.csv",
    "summary.md",
];

/// The last two boxes lie in corners where nothing is.
fn desk() -> Desk {
    Desk::squeezenet().boxed(&[
        "both.png,100,100,967,72,10,98,90",
        "cat.png,100,100,967,0,0,4,4",
        "coffee.png,100,100,285,96,96,100,100",
    ])
}

fn evaluate(desk: &Desk, arguments: &str) -> Ended {
    desk.say(&format!("evaluate --resize squash {arguments}"))
}

/// The usual run into `out`.
fn usual(desk: &Desk, arguments: &str) -> Ended {
    evaluate(
        desk,
        &format!(
            "--data boxes.csv --methods {METHODS} --metrics pointing:15,localisation-energy \
             --batch-size 2 {arguments}"
        ),
    )
}

/// Cells of a file without quotes.
fn cells(desk: &Desk, file: &str) -> Vec<Vec<String>> {
    let text = desk.text(file);
    assert!(!text.contains('"'), "{text}");
    let line = |line: &str| line.split(',').map(str::to_owned).collect();
    text.lines().map(line).collect()
}

/// Results without the times, which differ from run to run.
fn timeless(desk: &Desk, folder: &str) -> Vec<Vec<String>> {
    let mut rows = cells(desk, &format!("{folder}/results.csv"));
    rows.iter_mut().for_each(|row| drop(row.pop()));
    rows
}
