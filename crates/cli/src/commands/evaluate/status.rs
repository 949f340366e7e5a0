//! `elucid evaluate status`: how far evaluations are, and who is working on them.

use std::path::PathBuf;

use clap::Args;
use elucid::study::lease::{self, Held};
use elucid::study::{self, Found, Settings, Shard};
use serde::Serialize;

use super::minutes;
use crate::console::{Output, table};
use crate::error::CliError;

#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Folders of evaluations
    #[arg(required = true, value_name = "DIR")]
    folders: Vec<PathBuf>,

    /// After how many minutes without a sign of life a worker counts as gone
    #[arg(long, value_name = "MINUTES", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    stale_after: u32,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Status {
    folder: String,
    shard: Shard,
    images: usize,
    skipped: usize,
    /// Of one image and one method.
    cells: usize,
    cells_done: usize,
    values_failed: usize,
    methods: Vec<MethodStatus>,
    workers: Vec<Worker>,
}

#[derive(Debug, Serialize)]
struct MethodStatus {
    method: String,
    images: usize,
    images_done: usize,
    values_failed: usize,
    /// Of attributing; absent where none is done.
    seconds_per_image: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Worker {
    /// Its images, as they are numbered in this folder, from 0.
    first_image: usize,
    last_image: usize,
    host: String,
    pid: u32,
    silent_seconds: u64,
    /// Whether others may take its images.
    is_stale: bool,
}

pub fn run(args: &StatusArgs) -> Result<(), CliError> {
    let stale_after = minutes(args.stale_after);
    let folders = args.folders.iter().map(|folder| {
        let (settings, found) = study::read(folder)?;
        let leases = lease::held(folder, stale_after)?;
        let shown = folder.display().to_string();
        Ok(Status::new(shown, &settings, &found, leases))
    });
    let folders: Vec<Status> = folders.collect::<Result<_, CliError>>()?;
    let mut out = Output::new();
    if args.json {
        out.json(&folders)?;
        return out.flush();
    }
    for status in &folders {
        status.say(&mut out)?;
    }
    out.flush()
}

impl Status {
    fn new(folder: String, settings: &Settings, found: &Found, leases: Vec<Held>) -> Self {
        let [cells_done, cells] = found.cells();
        let skipped = found.skipped().count();
        let images = found.planned().len();
        let rows = found.rows().iter().enumerate();
        let methods = rows.map(|(row, method)| MethodStatus {
            method: method.clone(),
            images: images - skipped,
            images_done: found.images_measured(row),
            values_failed: found.values_failed(row),
            seconds_per_image: found.seconds_per_image(row),
        });
        let workers = leases.into_iter().map(|held| {
            let holder = held.holder.as_ref();
            Worker {
                first_image: held.block * settings.block,
                last_image: ((held.block + 1) * settings.block)
                    .min(images)
                    .saturating_sub(1),
                host: holder.map_or("unknown".to_owned(), |holder| holder.host.clone()),
                pid: holder.map_or(0, |holder| holder.pid),
                silent_seconds: held.silent.as_secs(),
                is_stale: held.is_stale,
            }
        });
        Self {
            shard: settings.shard,
            images,
            skipped,
            cells,
            cells_done,
            values_failed: found.failures().len(),
            methods: methods.collect(),
            workers: workers.collect(),
            folder,
        }
    }

    fn say(&self, out: &mut Output) -> Result<(), CliError> {
        out.line(format!(
            "{}: {} of {} cells, {} images, {} skipped, {} values failed",
            self.folder, self.cells_done, self.cells, self.images, self.skipped, self.values_failed
        ))?;
        let mut rows = vec![
            ["method", "images", "failed", "s per image"]
                .map(str::to_owned)
                .to_vec(),
        ];
        rows.extend(self.methods.iter().map(|method| {
            let seconds = method.seconds_per_image;
            vec![
                method.method.clone(),
                format!("{} of {}", method.images_done, method.images),
                method.values_failed.to_string(),
                seconds.map_or(String::new(), |seconds| format!("{seconds:.3}")),
            ]
        }));
        for line in table(&rows, &[1, 2, 3]) {
            out.line(line)?;
        }
        for worker in &self.workers {
            let Worker {
                first_image,
                last_image,
                host,
                pid,
                silent_seconds,
                is_stale,
            } = worker;
            let state = if *is_stale { "gone" } else { "working" };
            out.line(format!(
                "process {pid} on {host} is {state} on images {first_image} to {last_image}, last heard of \
                 {silent_seconds} s ago"
            ))?;
        }
        Ok(())
    }
}
