//! `elucid evaluate status`: how far evaluations are, and who is working on them.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::Path;

use elucid::graph::Bytes;
use elucid::study::{self, Found, Origins, Settings, Shard, StudyError, maps};
use serde::Serialize;

use crate::console::{Output, table};
use crate::error::CliError;
use crate::workers::{StatusArgs, Worker};

#[derive(Debug, Serialize)]
struct List {
    folders: Vec<Status>,
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
    workers: Vec<Worker<Share>>,
}

#[derive(Debug, Serialize)]
struct MethodStatus {
    method: String,
    images: usize,
    images_done: usize,
    values_failed: usize,
    /// Of attributing; absent where none is done.
    seconds_per_image: Option<f64>,
    /// Of how many images the map is kept.
    maps: usize,
    /// Of how many of these it is not where it was put.
    maps_lost: usize,
    /// What they take on the disk, those that no record names among them.
    maps_bytes: u64,
}

/// Some images, as they are numbered in this folder, from 0.
#[derive(Debug, Serialize)]
struct Share {
    first_image: usize,
    last_image: usize,
}

pub fn run(args: &StatusArgs) -> Result<(), CliError> {
    let folders = args.folders.iter().map(|folder| {
        let (settings, found) = study::read(folder)?;
        Status::new(folder, &settings, &found, args)
    });
    let folders: Vec<Status> = folders.collect::<Result<_, CliError>>()?;
    let mut out = Output::new();
    if args.json {
        out.json("evaluate status", &List { folders })?;
        return out.flush();
    }
    for status in &folders {
        status.say(&mut out)?;
    }
    out.flush()
}

/// Of how many images the map is kept and not there, and how many bytes maps of a method take.
fn maps_of(found: &Found, row: usize, origins: &Origins) -> Result<(usize, u64), StudyError> {
    let mut lists: BTreeMap<&Path, BTreeMap<String, u64>> = BTreeMap::new();
    let mut lost = 0;
    for (image, planned) in found.planned().iter().enumerate() {
        let Some(file) = found.map_file(image, row) else {
            continue;
        };
        let list = match origins.folder(planned.number) {
            None => None,
            Some(folder) => Some(match lists.entry(folder) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(maps::list(folder, &found.rows()[row])?),
            }),
        };
        lost += usize::from(list.is_none_or(|list| !list.contains_key(file)));
    }
    Ok((lost, lists.values().flat_map(BTreeMap::values).sum()))
}

impl Status {
    fn new(
        folder: &Path,
        settings: &Settings,
        found: &Found,
        args: &StatusArgs,
    ) -> Result<Self, CliError> {
        let [cells_done, cells] = found.cells();
        let skipped = found.skipped().count();
        let images = found.planned().len();
        let rows = found.rows().iter().enumerate();
        let origins = Origins::of(folder, settings);
        let methods = rows.map(|(row, method)| {
            let (maps_lost, maps_bytes) = maps_of(found, row, &origins)?;
            Ok(MethodStatus {
                method: method.clone(),
                images: found.images_wanted(row),
                images_done: found.images_measured(row),
                values_failed: found.values_failed(row),
                seconds_per_image: found.seconds_per_image(row),
                maps: found.maps_kept(row),
                maps_lost,
                maps_bytes,
            })
        });
        let methods = methods.collect::<Result<_, CliError>>()?;
        let share = |block: usize| Share {
            first_image: block * settings.block,
            last_image: ((block + 1) * settings.block).min(images).saturating_sub(1),
        };
        Ok(Self {
            shard: settings.shard,
            images,
            skipped,
            cells,
            cells_done,
            values_failed: found.failures().len(),
            methods,
            workers: args.workers(folder, share)?,
            folder: folder.display().to_string(),
        })
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
        for method in self.methods.iter().filter(|method| method.maps > 0) {
            let size = Bytes(method.maps_bytes);
            let lost = match method.maps_lost {
                0 => String::new(),
                lost => format!(", {lost} of them are lost"),
            };
            out.line(format!(
                "{}: {} maps are kept, {size}{lost}",
                method.method, method.maps
            ))?;
        }
        for worker in &self.workers {
            let Share {
                first_image,
                last_image,
            } = worker.share;
            out.line(worker.sentence(&format!("images {first_image} to {last_image}")))?;
        }
        Ok(())
    }
}
