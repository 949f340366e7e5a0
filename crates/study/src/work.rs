//! Attributing and measuring, cell by cell.

use std::cell::Cell;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use elucid_attribution::{Attribution, Attributor, Progress, Saliency, Target};
use elucid_metrics::{Case, Metric, Outcome, Present, RandomNetworks, baseline};
use elucid_vision::input::open_image;
use elucid_vision::{HeadKind, Model, Photo};
use ndarray::{Array2, ArrayView2, Axis};

use crate::boxes;
use crate::data::Item;
use crate::entries::{Entry, Look};
use crate::error::StudyError;
use crate::folder::{Begin, Folder};
use crate::found::{Found, Image};
use crate::journal::{CellRecord, ImageRecord, ImageState, Record, RowRecord, Value};
use crate::settings::{BASELINES, Settings};
use crate::study::{Explained, Study};

/// How long a worker that found nothing free waits before it looks again, at first.
const PAUSE: Duration = Duration::from_millis(500);

/// The longest that it waits: each time twice as long, so that many who wait for one do not keep a file system busy.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// What is told how far a method has come with its samples.
pub type Steps = dyn Fn(&str, Progress) + Send + Sync;

/// How a running study is stopped, and whom it tells of single steps.
#[derive(Clone, Default)]
pub struct Control {
    /// Set it to end the study: the cell that is being computed is dropped.
    pub stop: Arc<AtomicBool>,
    /// Called with the name of the method.
    pub steps: Option<Arc<Steps>>,
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control")
            .field("stop", &self.stop)
            .finish_non_exhaustive()
    }
}

impl Control {
    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// How a study ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Nothing is missing.
    Whole,
    /// It was stopped.
    Stopped,
}

/// An explanation that was just measured.
#[derive(Debug)]
pub struct Shown<'s> {
    /// Of the method, in order of the study's methods.
    pub method: usize,
    /// The image's number in the data.
    pub number: usize,
    /// The image.
    pub photo: &'s Photo,
    /// The map, `[H, W]` at the size of the image.
    pub map: ArrayView2<'s, f32>,
    /// `[xmin, ymin, xmax, ymax]` in pixels of the image as the network sees it.
    pub boxes: &'s [[f32; 4]],
    /// One for each metric.
    pub values: &'s [Value],
}

/// Whoever looks on. All of it may be left out.
pub trait Watch {
    /// The journals were read; measuring begins.
    fn begun(&mut self, settings: &Settings, found: &Found) {
        let _ = (settings, found);
    }

    /// A method begins with some images.
    fn cell(&mut self, method: &str) {
        let _ = method;
    }

    /// So many cells of one image and one method are done, of so many.
    fn cells(&mut self, done: usize, all: usize) {
        let _ = (done, all);
    }

    /// Something is to be said, of a file or, where that is empty, of the study.
    fn remark(&mut self, file: &str, text: &str) {
        let _ = (file, text);
    }

    /// A map was measured: it is not kept.
    ///
    /// # Errors
    ///
    /// What could not be kept of it, in words. The study goes on, and the first such error is a remark.
    fn measured(&mut self, shown: &Shown<'_>) -> Result<(), String> {
        let _ = shown;
        Ok(())
    }
}

impl Watch for () {}

/// A method, ready to be applied.
struct Ready<'a> {
    entry: &'a Entry,
    attributor: Box<dyn Attributor>,
    look: Look,
    present: Box<Present>,
}

/// An image that could be read.
struct Loaded<'a> {
    item: &'a Item,
    /// Its place among the planned images.
    at: usize,
    photo: Photo,
    /// In pixels of the input.
    boxes: Vec<[f32; 4]>,
    predicted: usize,
}

/// The work was asked to stop.
struct Stopped;

struct Work<'a> {
    study: &'a Study<'a>,
    control: &'a Control,
    ready: Vec<Ready<'a>>,
    /// With random weights, for all images.
    networks: RandomNetworks,
    /// An image whose file was there when it was last looked for.
    there: Cell<Option<usize>>,
    /// Whether it was said that whoever looks on could not keep something.
    has_complained: Cell<bool>,
}

pub(crate) fn run(
    study: &Study<'_>,
    path: &Path,
    begin: &Begin,
    control: &Control,
    watch: &mut dyn Watch,
) -> Result<(Ended, Settings, Found), StudyError> {
    let work = Work::new(study, control)?;
    let mut folder = Folder::open(path, &study.settings()?, study.planned(), begin)?;
    watch.begun(&folder.settings, &folder.found);
    let ended = work.run(&mut folder, watch)?;
    let Folder {
        settings, found, ..
    } = folder;
    if ended == Ended::Whole && found.seen().next().is_none() {
        let why = found.skipped().next().map(|(_, reason)| reason.to_owned());
        let why = why.unwrap_or_else(|| "there is none".to_owned());
        return Err(StudyError::Empty(format!("no image could be read: {why}")));
    }
    Ok((ended, settings, found))
}

impl<'a> Work<'a> {
    fn new(study: &'a Study<'a>, control: &'a Control) -> Result<Self, StudyError> {
        let ready = study.methods.iter().map(|entry| {
            let options = entry.options(study.seed, study.batch_size).progress({
                let (control, name) = (control.clone(), entry.name.clone());
                move |progress| {
                    if let Some(steps) = &control.steps {
                        steps(&name, progress);
                    }
                    match control.is_stopped() {
                        true => ControlFlow::Break(()),
                        false => ControlFlow::Continue(()),
                    }
                }
            });
            let look = entry.look();
            let present = move |attribution: &Attribution| {
                let [_, large] = look.maps(attribution)?;
                Ok(first(&large))
            };
            Ok::<_, StudyError>(Ready {
                entry,
                attributor: entry.method.build(&options)?,
                look,
                present: Box::new(present),
            })
        });
        Ok(Self {
            study,
            control,
            ready: ready.collect::<Result<_, _>>()?,
            networks: RandomNetworks::new(),
            there: Cell::new(None),
            has_complained: Cell::new(false),
        })
    }

    /// Block by block, until nothing is missing.
    fn run(&self, folder: &mut Folder, watch: &mut dyn Watch) -> Result<Ended, StudyError> {
        let mut has_waited = false;
        let mut pause = PAUSE;
        let mut left: Vec<usize> = (0..folder.blocks()).collect();
        loop {
            left.retain(|&block| !folder.left(block).is_empty());
            if left.is_empty() {
                return Ok(Ended::Whole);
            }
            let mine = self.claim(&left, folder)?;
            // What others finished before they gave the blocks back.
            folder.refresh()?;
            let images: Vec<usize> = mine.iter().flat_map(|&block| folder.left(block)).collect();
            for batch in images.chunks(self.study.batch_size) {
                if self.batch(batch, folder, watch)?.is_err() {
                    return Ok(Ended::Stopped);
                }
            }
            mine.iter().for_each(|&block| folder.leases.release(block));
            if self.control.is_stopped() {
                return Ok(Ended::Stopped);
            }
            if !mine.is_empty() {
                pause = PAUSE;
                continue;
            }
            if !has_waited {
                watch.remark("", "others are measuring what is left; waiting for them");
                has_waited = true;
            }
            self.wait(pause);
            pause = (2 * pause).min(LONGEST_PAUSE);
            folder.refresh()?;
        }
    }

    /// Blocks of `left` that nobody else has: one, and more as long as all their images fit into a batch. Others could take
    /// those that have to wait for the next.
    fn claim(&self, left: &[usize], folder: &Folder) -> Result<Vec<usize>, StudyError> {
        let (mut mine, mut images) = (Vec::new(), 0);
        for &block in left {
            let more = folder.left(block).len();
            let is_full = images > 0 && images + more > self.study.batch_size;
            if is_full || self.control.is_stopped() {
                break;
            }
            if folder.leases.claim(block)? {
                images += more;
                mine.push(block);
            }
        }
        Ok(mine)
    }

    /// Lets time go by, unless the work is asked to stop.
    fn wait(&self, pause: Duration) {
        let until = Instant::now() + pause;
        while !self.control.is_stopped() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            thread::sleep(left.min(PAUSE));
        }
    }

    /// Some images under all methods that they lack.
    fn batch(
        &self,
        places: &[usize],
        folder: &mut Folder,
        watch: &mut dyn Watch,
    ) -> Result<Result<(), Stopped>, StudyError> {
        let images = self.load(places, folder, watch)?;
        let tell = |folder: &Folder, watch: &mut dyn Watch| {
            let [done, all] = folder.found.cells();
            watch.cells(done, all);
        };
        tell(folder, watch);
        let names = folder.settings.rows().into_iter().map(str::to_owned);
        for (row, name) in names.collect::<Vec<_>>().into_iter().enumerate() {
            let lacking: Vec<&Loaded<'_>> = (images.iter())
                .filter(|image| !folder.found.is_measured(image.at, row))
                .collect();
            if lacking.is_empty() {
                continue;
            }
            watch.cell(&name);
            let rows = match row.checked_sub(self.ready.len()) {
                None => self.method(row, &lacking, watch),
                Some(baseline) => self.baseline(baseline, &lacking),
            };
            let Ok(rows) = rows else {
                return Ok(Err(Stopped));
            };
            folder.add(Record::Cell(CellRecord {
                method: name,
                metrics: folder.settings.metrics.clone(),
                rows,
            }))?;
            tell(folder, watch);
        }
        Ok(Ok(()))
    }

    /// Reads and classifies images. What cannot be read is skipped or, if it was seen before, has failed.
    fn load(
        &self,
        places: &[usize],
        folder: &mut Folder,
        watch: &mut dyn Watch,
    ) -> Result<Vec<Loaded<'a>>, StudyError> {
        let model = self.study.model;
        let mut read = Vec::new();
        let mut unread: Vec<(usize, String)> = Vec::new();
        for &at in places {
            let item = &self.study.items[at];
            let prepared = open_image(&item.path)
                .map_err(|error| error.to_string())
                .and_then(|picture| {
                    let size = [picture.width(), picture.height()];
                    let photo = model.prepare(&picture).map_err(|e| e.to_string())?;
                    Ok((photo, size))
                });
            match prepared {
                Ok((photo, size)) => {
                    let boxes = boxes::seen(model.input_spec(), size, item.size, &item.boxes);
                    read.push((at, item, photo, boxes));
                }
                Err(error) => unread.push((at, error)),
            }
        }
        match read.last() {
            Some((at, ..)) => self.there.set(Some(*at)),
            None => self.check_data()?,
        }
        let photos: Vec<&Photo> = read.iter().map(|(_, _, photo, _)| photo).collect();
        let guesses = classify(model, &photos);
        let was_seen =
            |folder: &Folder, at| matches!(folder.found.image(at), Some(Image::Seen { .. }));
        let mut loaded = Vec::new();
        let mut records = Vec::new();
        for ((at, item, photo, boxes), guess) in read.into_iter().zip(guesses) {
            let (predicted, probability) = match guess {
                Ok(guess) => guess,
                Err(error) => {
                    unread.push((at, error));
                    continue;
                }
            };
            let nothing_left = boxes.is_empty() && !item.boxes.is_empty();
            let note = nothing_left.then(|| "the network sees nothing of the boxes".to_owned());
            if !was_seen(folder, at) {
                if let Some(note) = &note {
                    watch.remark(&item.file, note);
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
                photo,
                boxes,
                predicted,
            });
        }
        let (lost, new): (Vec<_>, Vec<_>) = unread
            .into_iter()
            .partition(|(at, _)| was_seen(folder, *at));
        for (at, error) in new {
            let item = &self.study.items[at];
            let reason = format!("skipped: {error}");
            watch.remark(&item.file, &reason);
            records.push(record(item, ImageState::Skipped(reason)));
        }
        records.sort_by_key(|record| record.image);
        if !records.is_empty() {
            folder.add(Record::Images(records))?;
        }
        self.give_up(&lost, folder, watch)?;
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
            watch.remark(&item.file, &reason);
            reasons.push((*at, item.number, reason));
        }
        let metrics = folder.settings.metrics.clone();
        for (row, method) in folder.found.rows().to_vec().into_iter().enumerate() {
            let lacking = reasons
                .iter()
                .filter(|(at, ..)| !folder.found.is_measured(*at, row));
            let rows = lacking.map(|(_, image, reason)| RowRecord {
                image: *image,
                seconds: 0.0,
                values: vec![Value::Failed(reason.clone()); metrics.len()],
            });
            let rows: Vec<RowRecord> = rows.collect();
            if !rows.is_empty() {
                folder.add(Record::Cell(CellRecord {
                    method,
                    metrics: metrics.clone(),
                    rows,
                }))?;
            }
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
        if last.is_some_and(|item| is_there(&item.path).is_ok()) {
            return Ok(());
        }
        let mut first = None;
        for (at, item) in items.iter().enumerate() {
            match is_there(&item.path) {
                Ok(_) => {
                    self.there.set(Some(at));
                    return Ok(());
                }
                Err(error) => {
                    first.get_or_insert_with(|| format!("{}: {error}", item.path.display()));
                }
            }
        }
        Err(StudyError::Empty(format!(
            "no image could be read: none of {} files is there, of which the first is {}",
            items.len(),
            first.unwrap_or_default()
        )))
    }

    /// One method on some images: one row for each.
    fn method(
        &self,
        method: usize,
        images: &[&Loaded<'_>],
        watch: &mut dyn Watch,
    ) -> Result<Vec<RowRecord>, Stopped> {
        // An attribution of several images cannot be handed to a metric.
        let single = (self.study.metrics.iter()).any(|metric| metric.needs().attribution);
        let together = if single { 1 } else { images.len() };
        let mut groups: Vec<&[&Loaded<'_>]> = images.chunks(together.max(1)).rev().collect();
        let mut rows = Vec::new();
        while let Some(group) = groups.pop() {
            let started = Instant::now();
            let explained = caught(|| self.explain(method, group));
            if self.control.is_stopped() {
                return Err(Stopped);
            }
            let seconds = started.elapsed().as_secs_f64() / group.len() as f64;
            let (attribution, maps) = match explained {
                Ok(explained) => explained,
                // One of them may be to blame.
                Err(_) if group.len() > 1 => {
                    groups.extend(group.chunks(1).rev());
                    continue;
                }
                Err(error) => {
                    let name = &self.ready[method].entry.name;
                    for image in group {
                        watch.remark(&image.item.file, &format!("{name} failed: {error}"));
                        let failed = Value::Failed(format!("{name}: {error}"));
                        rows.push(RowRecord {
                            image: image.item.number,
                            seconds: 0.0,
                            values: vec![failed; self.study.metrics.len()],
                        });
                    }
                    continue;
                }
            };
            for (i, image) in group.iter().enumerate() {
                let [raw, large] = [&maps[0], &maps[1]].map(|m| m.maps().index_axis(Axis(0), i));
                let attribution = single.then_some(&attribution);
                let values = self.measure(image, large, |case| {
                    let ready = &self.ready[method];
                    let case = (case.raw_map(raw))
                        .attributor(&*ready.attributor)
                        .present(&*ready.present);
                    match attribution {
                        Some(attribution) => case.attribution(attribution),
                        None => Ok(case),
                    }
                });
                let values = values?;
                self.remark_failures(&self.ready[method].entry.name, image, &values, watch);
                let kept = watch.measured(&Shown {
                    method,
                    number: image.item.number,
                    photo: &image.photo,
                    map: large,
                    boxes: &image.boxes,
                    values: &values,
                });
                if let Err(error) = kept
                    && !self.has_complained.replace(true)
                {
                    let text = format!("not everything that is shown could be kept: {error}");
                    watch.remark(&image.item.file, &text);
                }
                rows.push(RowRecord {
                    image: image.item.number,
                    seconds,
                    values,
                });
            }
        }
        rows.sort_by_key(|row| row.image);
        Ok(rows)
    }

    fn explain(
        &self,
        method: usize,
        group: &[&Loaded<'_>],
    ) -> Result<(Attribution, [Saliency; 2]), String> {
        let ready = &self.ready[method];
        let photos: Vec<Photo> = group.iter().map(|image| image.photo.clone()).collect();
        let targets = group.iter().map(|image| Target::class(self.class(image)));
        let photos = Photo::stack(&photos).map_err(|e| e.to_string())?;
        let attribution = ready
            .attributor
            .attribute(self.study.model, &photos, Target::each(targets))
            .map_err(|e| e.to_string())?;
        let maps = ready.look.maps(&attribution).map_err(|e| e.to_string())?;
        Ok((attribution, maps))
    }

    /// The class that is explained.
    fn class(&self, image: &Loaded<'_>) -> usize {
        match self.study.target {
            Explained::Label => image.item.class,
            Explained::Prediction => image.predicted,
        }
    }

    /// What each metric says of a map.
    fn measure<'c>(
        &'c self,
        image: &'c Loaded<'_>,
        map: ArrayView2<'c, f32>,
        complete: impl FnOnce(Case<'c>) -> Result<Case<'c>, elucid_metrics::MetricError>,
    ) -> Result<Vec<Value>, Stopped> {
        let case = Case::new(self.study.model, &image.photo, self.class(image), map)
            .and_then(|case| case.identity(image.item.identity()).boxes(&image.boxes))
            .map(|case| case.networks(&self.networks))
            .and_then(complete);
        let mut values = Vec::new();
        for metric in &self.study.metrics {
            let measured = match &case {
                Ok(case) => caught(|| metric.measure(case).map_err(|e| e.to_string())),
                Err(error) => Err(error.to_string()),
            };
            // What a method gives that was stopped on the way is no measurement.
            if self.control.is_stopped() {
                return Err(Stopped);
            }
            values.push(match measured {
                Ok(Outcome::Value(value)) => Value::of(value, metric.name()),
                Ok(Outcome::NotApplicable(reason)) => Value::NotApplicable(reason.to_string()),
                Err(error) => Value::Failed(format!("{}: {error}", metric.name())),
            });
        }
        Ok(values)
    }

    fn remark_failures(
        &self,
        method: &str,
        image: &Loaded<'_>,
        values: &[Value],
        watch: &mut dyn Watch,
    ) {
        for value in values {
            if let Value::Failed(reason) = value {
                watch.remark(&image.item.file, &format!("{method} failed: {reason}"));
            }
        }
    }

    /// The rows of what knows nothing.
    fn baseline(&self, baseline: usize, images: &[&Loaded<'_>]) -> Result<Vec<RowRecord>, Stopped> {
        let [height, width] = self.study.model.input_spec().size();
        let rows = images.iter().map(|image| {
            // Every image has its own, wherever its shard and its batch begin.
            let seed = self.study.seed.wrapping_add(image.item.number as u64);
            let map = match BASELINES[baseline] {
                "centre" => baseline::centre(height, width),
                _ => baseline::random(height, width, seed),
            };
            Ok(RowRecord {
                image: image.item.number,
                seconds: 0.0,
                values: self.measure(image, map.view(), Ok)?,
            })
        });
        rows.collect()
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
    let guess = |scores: &elucid_vision::Scores, i: usize| {
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

/// What `work` gives; a bug in it is a failure of what it works on.
fn caught<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|cause| {
        let said = (cause.downcast_ref::<&str>().map(|text| (*text).to_owned()))
            .or_else(|| cause.downcast_ref::<String>().cloned());
        Err(format!("a bug: {}", said.unwrap_or_default()))
    })
}

/// The first of several maps; nothing where there is none.
fn first(maps: &Saliency) -> Array2<f32> {
    match maps.maps().is_empty() {
        true => Array2::zeros((0, 0)),
        false => maps.maps().index_axis(Axis(0), 0).to_owned(),
    }
}
