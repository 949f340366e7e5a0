//! Attributing and measuring, cell by cell.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::ControlFlow;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use elucid_attribution::{Attribution, Attributor, Progress};
use elucid_metrics::{Present, RandomNetworks};
use elucid_vision::Photo;
use ndarray::{Array2, ArrayView2};
use tracing::{debug, info, warn};

use self::measure::Measured;
use crate::curves;
use crate::data::Item;
use crate::entries::Look;
use crate::error::StudyError;
use crate::folder::{Begin, Folder};
use crate::foreign::ForeignMaps;
use crate::found::Found;
use crate::journal::{CellRecord, Record, RowRecord, Value};
use crate::lease::Leases;
use crate::maps::{self, Shelf, first};
use crate::settings::Settings;
use crate::shared::{self, Blocks, Ended};
use crate::study::{Explainer, Study};

mod load;
mod measure;

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

/// An explanation that was just measured.
#[derive(Debug)]
pub struct Shown<'s> {
    /// Of the method, in order of the settings' methods.
    pub method: usize,
    /// The image's number in the data.
    pub number: usize,
    /// The image.
    pub photo: &'s Photo,
    /// The map, `[H, W]` at the size of the image.
    pub map: ArrayView2<'s, f32>,
    /// `[xmin, ymin, xmax, ymax]` in pixels of the image as the network sees it.
    pub boxes: &'s [[f32; 4]],
    /// Which of these pixels are the object, `[H, W]`, where masks say it.
    pub mask: Option<ArrayView2<'s, bool>>,
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

    /// A map was measured: unless the study keeps its maps, it is gone afterwards.
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

/// What explains images, ready to be applied.
enum Ready<'a> {
    Method(ReadyMethod<'a>),
    Maps(&'a ForeignMaps),
}

/// A method, ready to be applied.
struct ReadyMethod<'a> {
    name: &'a str,
    attributor: Box<dyn Attributor>,
    look: Look,
    present: Box<Present>,
}

/// An image that could be read.
struct Loaded<'a> {
    item: &'a Item,
    /// Its place among the planned images.
    at: usize,
    seen: Seen,
    predicted: usize,
}

/// What the network sees of an image, in pixels of the input.
struct Seen {
    photo: Photo,
    boxes: Vec<[f32; 4]>,
    /// Which pixels are the object, and of which nobody says.
    mask: Option<[Array2<bool>; 2]>,
}

/// The work was asked to stop.
struct Stopped;

struct Work<'a> {
    study: &'a Study<'a>,
    control: &'a Control,
    ready: Vec<Ready<'a>>,
    /// With random weights, for all images.
    networks: RandomNetworks,
    /// Maps that were kept before.
    shelf: RefCell<Shelf>,
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
    if begin.save_curves && study.curved().is_empty() {
        return Err(study.no_curves());
    }
    let mut folder = Folder::open(path, &study.settings()?, study.planned(), begin)?;
    if begin.save_curves {
        folder.keep_curves(&study.curved())?;
    }
    let [done, all] = folder.found.cells();
    info!(folder = %path.display(), images = folder.found.planned().len(), done, all, "study begun");
    watch.begun(&folder.settings, &folder.found);
    let mut blocks = ImageBlocks {
        work: &work,
        folder: &mut folder,
        watch,
    };
    let ended = shared::run(&mut blocks, study.batch_size, &control.stop)?;
    let [done, all] = folder.found.cells();
    info!(folder = %path.display(), ?ended, done, all, "study ended");
    let (settings, found) = folder.finish()?;
    if ended == Ended::Whole && found.seen().next().is_none() {
        let why = found.skipped().next().map(|(_, reason)| reason.to_owned());
        let why = why.unwrap_or_else(|| "there is none".to_owned());
        return Err(StudyError::Empty(format!("no image could be read: {why}")));
    }
    Ok((ended, settings, found))
}

impl<'a> Work<'a> {
    fn new(study: &'a Study<'a>, control: &'a Control) -> Result<Self, StudyError> {
        let ready = study.methods.iter().map(|explainer| {
            let entry = match explainer {
                Explainer::Method(entry) => entry,
                Explainer::Maps(maps) => return Ok(Ready::Maps(maps)),
            };
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
            Ok::<_, StudyError>(Ready::Method(ReadyMethod {
                name: &entry.name,
                attributor: entry.method.build(&options)?,
                look,
                present: Box::new(present),
            }))
        });
        Ok(Self {
            study,
            control,
            ready: ready.collect::<Result<_, _>>()?,
            networks: RandomNetworks::new(),
            shelf: RefCell::default(),
            there: Cell::new(None),
            has_complained: Cell::new(false),
        })
    }

    /// Some images under all methods, with whatever they lack.
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
            // Mostly all lack the same.
            let mut lacking: BTreeMap<Vec<usize>, Vec<&Loaded<'_>>> = BTreeMap::new();
            for image in &images {
                if !folder.found.is_measured(image.at, row) {
                    let metrics = folder.found.lacking(image.at, row).collect();
                    lacking.entry(metrics).or_default().push(image);
                }
            }
            for (metrics, images) in lacking {
                watch.cell(&name);
                let first = images.first().map(|image| image.item.file.as_str());
                let (method, count) = (name.as_str(), images.len());
                debug!(
                    method,
                    images = count,
                    first,
                    metrics = metrics.len(),
                    "cell begun"
                );
                let started = Instant::now();
                let Ok(measured) = self.row((row, &metrics), &images, folder, watch) else {
                    warn!(
                        method,
                        images = count,
                        first,
                        "asked to stop: the cell is dropped"
                    );
                    return Ok(Err(Stopped));
                };
                let failed = measured.failed();
                self.keep((row, &metrics), measured, &images, folder)?;
                let elapsed_ms = started.elapsed().as_millis();
                info!(
                    method,
                    images = count,
                    first,
                    failed,
                    elapsed_ms,
                    "cell done"
                );
                tell(folder, watch);
            }
        }
        Ok(Ok(()))
    }

    /// Writes down a cell: its maps and curves, and then what is known of them.
    fn keep(
        &self,
        (row, metrics): (usize, &[usize]),
        Measured { rows, maps, curves }: Measured,
        images: &[&Loaded<'_>],
        folder: &mut Folder,
    ) -> Result<(), StudyError> {
        let method = folder.found.rows()[row].clone();
        let ends =
            [images.first(), images.last()].map(|image| image.map(|image| image.item.number));
        let kept = match ends {
            [Some(first), Some(last)] if !maps.is_empty() => {
                Some(maps::write(&folder.path, &method, [first, last], &maps)?)
            }
            _ => None,
        };
        let curves = match ends {
            [Some(first), Some(last)] if !curves.is_empty() => Some(curves::write(
                &folder.path,
                &method,
                [first, last],
                &curves,
            )?),
            _ => None,
        };
        // Of what failed there is no map.
        let (with, without): (Vec<RowRecord>, Vec<RowRecord>) =
            (rows.into_iter()).partition(|row| maps.contains_key(&row.image));
        for (rows, maps) in [(with, kept), (without, None)] {
            if !rows.is_empty() {
                folder.add(Record::Cell(CellRecord {
                    method: method.clone(),
                    metrics: (metrics.iter())
                        .map(|&metric| folder.settings.metrics[metric].clone())
                        .collect(),
                    rows,
                    maps,
                    curves: curves.clone(),
                }))?;
            }
        }
        let places = images.iter().map(|image| image.at);
        folder.found.excuse(places, row);
        Ok(())
    }
}

/// What is left of a study, block by block.
struct ImageBlocks<'r, 'a> {
    work: &'r Work<'a>,
    folder: &'r mut Folder,
    watch: &'r mut dyn Watch,
}

impl Blocks for ImageBlocks<'_, '_> {
    type Error = StudyError;

    fn count(&self) -> usize {
        self.folder.blocks()
    }

    fn left(&self, block: usize) -> usize {
        self.folder.left(block).len()
    }

    fn leases(&self) -> &Leases {
        self.folder.leases()
    }

    fn refresh(&mut self) -> Result<(), StudyError> {
        self.folder.refresh()
    }

    fn work(&mut self, blocks: &[usize]) -> Result<Ended, StudyError> {
        let images = blocks.iter().flat_map(|&block| self.folder.left(block));
        let images: Vec<usize> = images.collect();
        for batch in images.chunks(self.work.study.batch_size) {
            if self.work.batch(batch, self.folder, self.watch)?.is_err() {
                return Ok(Ended::Stopped);
            }
        }
        Ok(Ended::Whole)
    }

    fn waits(&mut self) {
        let text = "others are measuring what is left; waiting for them";
        self.watch.remark("", text);
    }
}

/// Says something of a file, to whoever looks on and to whoever reads the log.
fn remark(watch: &mut dyn Watch, file: &str, text: &str) {
    warn!(file, "{text}");
    watch.remark(file, text);
}

/// What `work` gives; a bug in it is a failure of what it works on.
fn caught<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|cause| {
        let said = (cause.downcast_ref::<&str>().map(|text| (*text).to_owned()))
            .or_else(|| cause.downcast_ref::<String>().cloned());
        Err(format!("a bug: {}", said.unwrap_or_default()))
    })
}
