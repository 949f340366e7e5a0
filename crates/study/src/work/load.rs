//! Images, read and classified, or why they are not.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Instant;

use elucid_vision::{HeadKind, Model, Photo, Scores};
use ndarray::Array2;
use tracing::debug;

use super::{Loaded, Seen, Watch, Work, caught, remark};
use crate::boxes;
use crate::data::Item;
use crate::error::StudyError;
use crate::folder::Folder;
use crate::found::Image;
use crate::journal::{CellRecord, ImageRecord, ImageState, Record, RowRecord, Value};
use crate::masks::Part;

impl<'a> Work<'a> {
    /// Reads and classifies images. What cannot be read is skipped or, if it was seen before, has failed.
    pub(super) fn load(
        &self,
        places: &[usize],
        folder: &mut Folder,
        watch: &mut dyn Watch,
    ) -> Result<Vec<Loaded<'a>>, StudyError> {
        let model = self.study.model;
        let started = Instant::now();
        let mut read = Vec::new();
        let mut unread: Vec<(usize, String)> = Vec::new();
        for &at in places {
            let item = &self.study.items[at];
            match seen(model, item) {
                Ok(seen) => read.push((at, item, seen)),
                Err(error) => unread.push((at, error.to_string())),
            }
        }
        match read.last() {
            Some((at, ..)) => self.there.set(Some(*at)),
            None => self.check_data()?,
        }
        let photos: Vec<&Photo> = read.iter().map(|(.., seen)| &seen.photo).collect();
        let guesses = classify(model, &photos);
        let was_seen =
            |folder: &Folder, at| matches!(folder.found.image(at), Some(Image::Seen { .. }));
        let mut loaded = Vec::new();
        let mut records = Vec::new();
        for ((at, item, seen), guess) in read.into_iter().zip(guesses) {
            let (predicted, probability) = match guess {
                Ok(guess) => guess,
                Err(error) => {
                    unread.push((at, error));
                    continue;
                }
            };
            let note = seen.note(item);
            if !was_seen(folder, at) {
                if let Some(note) = &note {
                    remark(watch, &item.file, note);
                }
                records.push(record(
                    item,
                    ImageState::Seen {
                        predicted,
                        probability,
                        note,
                    },
                ));
            }
            loaded.push(Loaded {
                item,
                at,
                seen,
                predicted,
            });
        }
        let (lost, new): (Vec<_>, Vec<_>) = unread
            .into_iter()
            .partition(|(at, _)| was_seen(folder, *at));
        for (at, error) in new {
            let item = &self.study.items[at];
            let reason = format!("skipped: {error}");
            remark(watch, &item.file, &reason);
            records.push(record(item, ImageState::Skipped(reason)));
        }
        records.sort_by_key(|record| record.image);
        if !records.is_empty() {
            folder.add(Record::Images(records))?;
        }
        self.give_up(&lost, folder, watch)?;
        let elapsed_ms = started.elapsed().as_millis();
        debug!(
            images = loaded.len(),
            elapsed_ms, "images read and classified"
        );
        Ok(loaded)
    }

    /// Of images that were seen before and cannot be read any more, what they lack has failed: what was measured on them stays.
    fn give_up(
        &self,
        lost: &[(usize, String)],
        folder: &mut Folder,
        watch: &mut dyn Watch,
    ) -> Result<(), StudyError> {
        let mut reasons = Vec::new();
        for (at, error) in lost {
            let item = &self.study.items[*at];
            let reason = format!("cannot be read any more: {error}");
            remark(watch, &item.file, &reason);
            reasons.push((*at, item.number, reason));
        }
        for (row, method) in folder.found.rows().to_vec().into_iter().enumerate() {
            for (at, image, reason) in &reasons {
                let metrics = folder.found.lacking(*at, row);
                let metrics = metrics.map(|metric| folder.settings.metrics[metric].clone());
                let metrics: Vec<String> = metrics.collect();
                if !metrics.is_empty() {
                    let values = vec![Value::Failed(reason.clone()); metrics.len()];
                    folder.add(Record::Cell(CellRecord {
                        method: method.clone(),
                        metrics,
                        rows: vec![RowRecord {
                            image: *image,
                            seconds: 0.0,
                            values,
                        }],
                        maps: None,
                        curves: None,
                    }))?;
                }
            }
            let gone = reasons.iter().map(|(at, ..)| *at);
            folder.found.excuse(gone, row);
        }
        Ok(())
    }

    /// Tells data that are not there, such as a folder that this machine has not mounted, from images that cannot be read: those
    /// would be skipped for every worker. A single file that is there tells.
    fn check_data(&self) -> Result<(), StudyError> {
        let items = &self.study.items;
        let is_there = |path: &Path| -> io::Result<usize> {
            File::open(path)?.take(1).read_to_end(&mut Vec::new())
        };
        let last = self.there.get().and_then(|at| items.get(at));
        if last.is_some_and(|item| is_there(item.stored.file()).is_ok()) {
            return Ok(());
        }
        let mut first = None;
        for (at, item) in items.iter().enumerate() {
            match is_there(item.stored.file()) {
                Ok(_) => {
                    self.there.set(Some(at));
                    return Ok(());
                }
                Err(error) => {
                    first.get_or_insert_with(|| format!("{}: {error}", item.stored));
                }
            }
        }
        Err(StudyError::Empty(format!(
            "no image could be read: none of {} files is there, of which the first is {}",
            items.len(),
            first.unwrap_or_default()
        )))
    }
}

/// What the network sees of an image, and of its objects.
fn seen(model: &Model, item: &Item) -> Result<Seen, StudyError> {
    let picture = item.stored.picture()?;
    let size = [picture.width(), picture.height()];
    let spec = model.input_spec();
    let mask = match &item.mask {
        Some(mask) => {
            let parts = boxes::seen_parts(spec, &mask.parts(size)?);
            Some([Part::Object, Part::Void].map(|part| parts.mapv(|p| p == part)))
        }
        None => None,
    };
    Ok(Seen {
        photo: model.prepare(&picture)?,
        boxes: boxes::seen(spec, size, item.size, &item.boxes),
        mask,
    })
}

impl Seen {
    /// What is odd about it.
    fn note(&self, item: &Item) -> Option<String> {
        let no_boxes = self.boxes.is_empty() && !item.boxes.is_empty();
        let sees = |[object, _]: &[Array2<bool>; 2]| object.iter().any(|&inside| inside);
        let no_object = self.mask.as_ref().is_some_and(|mask| !sees(mask));
        let what = match (no_object, no_boxes) {
            (true, _) => "object's mask",
            (false, true) => "boxes",
            (false, false) => return None,
        };
        Some(format!("the network sees nothing of the {what}"))
    }
}

fn record(item: &Item, state: ImageState) -> ImageRecord {
    ImageRecord {
        image: item.number,
        file: item.file.clone(),
        class: item.class,
        state,
    }
}

/// The best guess for each photograph and its probability, or why there is none.
fn classify(model: &Model, photos: &[&Photo]) -> Vec<Result<(usize, f32), String>> {
    let together = |photos: &[&Photo]| {
        caught(|| {
            let photos: Vec<Photo> = photos.iter().map(|photo| (*photo).clone()).collect();
            let stack = Photo::stack(&photos).map_err(|error| error.to_string())?;
            model.classify(&stack).map_err(|error| error.to_string())
        })
    };
    let guess = |scores: &Scores, i: usize| {
        let best = scores.top_of(i, 1).into_iter().next();
        let best = best.ok_or_else(|| "the network has no scores for it".to_owned())?;
        let predicted = match model.head().kind() {
            // No has no score of its own.
            HeadKind::Binary if best.logit < 0.0 => 1,
            _ => best.index,
        };
        Ok((predicted, best.probability.unwrap_or(f32::NAN)))
    };
    match together(photos) {
        _ if photos.is_empty() => Vec::new(),
        Ok(scores) => (0..photos.len()).map(|i| guess(&scores, i)).collect(),
        Err(error) if photos.len() == 1 => vec![Err(error)],
        Err(_) => {
            let alone = photos.chunks(1).flat_map(|photo| classify(model, photo));
            alone.collect()
        }
    }
}
