//! How time and memory grow with the pictures that go through together, with their size and with threads, forwards and for gradients to the
//! input. Each number is that of a process of its own, whose peak of memory counts.
//!
//! ```text
//! cargo bench --bench growth                    prints the table
//! cargo bench --bench growth -- --write DIR     and draws growth_*.svg into the folder
//! ```

#[allow(dead_code, reason = "criterion measures nothing here")]
mod common;

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use burn::tensor::{Distribution, Tensor};
use elucid::device;
use elucid::prelude::*;
use elucid::render::{LinePlot, Series};
use elucid_testkit::memory;

use common::subject;

const BATCHES: [usize; 7] = [1, 2, 4, 8, 16, 32, 64];
const SIDES: [usize; 6] = [112, 160, 224, 288, 352, 448];
const THREADS: [usize; 2] = [1, 2];
const WAYS: [&str; 2] = ["forward", "gradient"];

/// Times are medians of so many runs.
const RUNS: usize = 7;

/// What is measured, and what came of it.
#[derive(Clone)]
struct Case {
    way: &'static str,
    batch: usize,
    side: usize,
    threads: usize,
    /// Of the whole batch.
    milliseconds: f64,
    megabytes: f64,
}

impl Case {
    fn measured(way: &'static str, batch: usize, side: usize, threads: usize) -> Self {
        let program = std::env::current_exe().expect("a program knows where it lies");
        let words = [way, &batch.to_string(), &side.to_string()].map(str::to_owned);
        let ran = Command::new(program)
            .arg("--case")
            .args(words)
            .env("RAYON_NUM_THREADS", threads.to_string())
            .output()
            .expect("it runs itself");
        assert!(
            ran.status.success(),
            "{}",
            String::from_utf8_lossy(&ran.stderr)
        );
        let said = String::from_utf8_lossy(&ran.stdout);
        let numbers: Vec<f64> = said.split_whitespace().flat_map(str::parse).collect();
        let [milliseconds, megabytes] = numbers[..] else {
            panic!("a case says two numbers, and this said {said}");
        };
        println!(
            "{way:8}  {threads} threads  batch {batch:2}  {side} pixels  {milliseconds:8.1} ms  {:7.2} ms an image  {megabytes:6.0} MB",
            milliseconds / batch as f64
        );
        Self {
            way,
            batch,
            side,
            threads,
            milliseconds,
            megabytes,
        }
    }
}

/// Measures in this process.
fn run(way: &str, batch: usize, side: usize) {
    let subject = subject(&device::cpu().device);
    let model = &subject.model;
    let range = Distribution::Uniform(-100.0, 100.0);
    let images: Tensor<4> = Tensor::random([batch, 3, side, side], range, model.device());
    let once = || match way {
        "forward" => {
            let pass = model.pass().input(&images).fetch([LOGITS]);
            let pass = pass.expect("it runs");
            let logits = pass.get(LOGITS).expect("it was fetched").to_array();
            drop(logits.expect("the values can be read back"));
        }
        _ => {
            let target = Target::class(subject.classes[0]);
            let method = Gradient::at_input().batch_size(batch);
            drop(method.attribute(model, &images, target).expect("it runs"));
        }
    };
    once();
    let mut times: Vec<f64> = (0..RUNS)
        .map(|_| {
            let begun = Instant::now();
            once();
            1e3 * begun.elapsed().as_secs_f64()
        })
        .collect();
    times.sort_by(f64::total_cmp);
    let megabytes = memory::peak().map_or(f64::NAN, |bytes| bytes as f64 / 1e6);
    println!("{} {megabytes}", times[RUNS / 2]);
}

/// A line for each way and number of threads.
fn plot(
    title: &str,
    axes: [&str; 2],
    cases: &[Case],
    point: impl Fn(&Case) -> (f64, f64),
) -> LinePlot {
    let places = cases.iter().map(|case| point(case).0);
    let plot = LinePlot::new(title, axes[0], axes[1])
        .logarithmic()
        .horizontal_ticks(places);
    let lines = WAYS
        .into_iter()
        .flat_map(|way| THREADS.map(|threads| (way, threads)));
    lines.fold(plot, |plot, (way, threads)| {
        let of_line = cases
            .iter()
            .filter(|case| case.way == way && case.threads == threads);
        let name = match threads {
            1 => format!("{way}, 1 thread"),
            _ => format!("{way}, {threads} threads"),
        };
        plot.series(Series::new(name, of_line.map(&point)).marked())
    })
}

fn measure(folder: Option<&Path>) {
    let network = subject(&device::cpu().device).name;
    println!("{network}");
    let mut by_batch = Vec::new();
    let mut by_side = Vec::new();
    for threads in THREADS {
        for way in WAYS {
            by_batch.extend(BATCHES.map(|batch| Case::measured(way, batch, 224, threads)));
            by_side.extend(SIDES.map(|side| Case::measured(way, 1, side, threads)));
        }
    }
    let Some(folder) = folder else { return };
    let batches = "pictures that go through together";
    let an_image = |case: &Case| case.milliseconds / case.batch as f64;
    let plots = [
        (
            "growth_batch.svg",
            plot(
                &format!("{network}: time of a picture by batch"),
                [batches, "ms"],
                &by_batch,
                |case| (case.batch as f64, an_image(case)),
            ),
        ),
        (
            "growth_size.svg",
            plot(
                &format!("{network}: time by size"),
                ["side of the picture, pixels", "ms"],
                &by_side,
                |case| (case.side as f64, case.milliseconds),
            ),
        ),
        (
            "growth_memory.svg",
            plot(
                &format!("{network}: peak of memory by batch"),
                [batches, "MB"],
                &by_batch,
                |case| (case.batch as f64, case.megabytes),
            ),
        ),
    ];
    for (file, plot) in plots {
        let path = folder.join(file);
        plot.save(&path).expect("it can be written");
        println!("drawn {}", path.display());
    }
}

fn main() {
    // `--bench` is cargo's.
    let words = std::env::args().skip(1).filter(|word| word != "--bench");
    let words: Vec<String> = words.collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["--case", way, batch, side] => {
            let number = |text: &str| text.parse().expect("a number");
            run(way, number(batch), number(side));
        }
        ["--test"] => {
            for way in WAYS {
                let case = Case::measured(way, 1, 224, 1);
                assert!(case.milliseconds > 0.0);
            }
        }
        ["--write", folder] => measure(Some(Path::new(folder))),
        _ => measure(None),
    }
}
