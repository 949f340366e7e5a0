//! Attributing and measuring, batch by batch.

use std::io::{self, IsTerminal};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use elucid::attribution::AttributionError;
use elucid::metrics::{Case, Direction, Metric, Present, baseline};
use elucid::prelude::*;
use elucid::vision::HeadKind;
use elucid::vision::input::open_image;
use indicatif::ProgressBar;
use ndarray::{Array2, Axis};

use super::data::Item;
use super::entries::{Entry, Look};
use super::examples::{self, Extremes};
use super::results::{Found, Journal, Measured, Planned, Remark, Row};
use super::settings::BASELINES;
use super::{Evaluation, Explained, boxes};
use crate::error::CliError;
use crate::session::Session;

/// How many images make a batch unless it is said.
pub const BATCH: usize = 8;

/// How often a log is told how far things are, where no terminal shows a bar.
const NEWS: Duration = Duration::from_secs(60);

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
    photo: Photo,
    /// In pixels of the input.
    boxes: Vec<[f32; 4]>,
    predicted: usize,
    probability: f32,
}

impl Loaded<'_> {
    fn explained(&self, what: Explained) -> usize {
        match what {
            Explained::Label => self.item.class,
            Explained::Prediction => self.predicted,
        }
    }
}

/// A model, methods and metrics.
pub struct Work<'a> {
    session: &'a Session,
    args: &'a Evaluation,
    ready: Vec<Ready<'a>>,
    metrics: &'a [Box<dyn Metric>],
    directions: Vec<Direction>,
    names: Vec<&'a str>,
    folders: Vec<std::path::PathBuf>,
    extremes: Vec<Extremes>,
    bar: ProgressBar,
}

impl<'a> Work<'a> {
    /// Builds the methods.
    pub fn new(
        session: &'a Session,
        args: &'a Evaluation,
        metrics: &'a [Box<dyn Metric>],
        found: &Found,
    ) -> Result<Self, CliError> {
        let bar = session.console.steps("evaluate");
        let ready = args.methods.0.iter().map(|entry| {
            let options = entry.options(args).progress({
                let bar = bar.clone();
                let name = entry.name.clone();
                move |progress| {
                    bar.set_message(format!("{name} {}/{}", progress.done, progress.total));
                    ControlFlow::Continue(())
                }
            });
            let look = entry.look(args);
            let present = move |attribution: &Attribution| {
                let [_, large] = look.maps(attribution)?;
                Ok(first(&large))
            };
            Ok::<_, elucid::Error>(Ready {
                entry,
                attributor: entry.method.build(&options)?,
                look,
                present: Box::new(present),
            })
        });
        let ready = ready.collect::<Result<Vec<_>, _>>()?;
        let directions: Vec<Direction> = metrics.iter().map(|m| m.direction()).collect();
        let names: Vec<&str> = args.methods.0.iter().map(|e| e.name.as_str()).collect();
        let extremes = 0..ready.len();
        Ok(Self {
            extremes: extremes
                .map(|row| Extremes::of(&found.measured, row, &directions))
                .collect(),
            folders: examples::folders(&args.out, &names),
            names: names.into_iter().chain(BASELINES).collect(),
            session,
            args,
            ready,
            metrics,
            directions,
            bar,
        })
    }

    /// Measures what is still to be measured of `items`, adding to what was found before.
    pub fn run(
        &mut self,
        items: &[&Item],
        journal: &mut Journal,
        found: &mut Found,
    ) -> Result<(), CliError> {
        self.bar.set_length(items.len() as u64);
        self.bar.set_position(journal.done as u64);
        self.bar.reset_eta();
        let (started, before) = (Instant::now(), journal.done);
        let mut told = started;
        let batch = self.args.batch();
        while journal.done < items.len() {
            let rest = &items[journal.done..];
            let chunk = &rest[..batch.min(rest.len())];
            self.batch(chunk, journal, found)?;
            self.bar.set_position(journal.done as u64);
            if told.elapsed() >= NEWS && !io::stderr().is_terminal() {
                told = Instant::now();
                let done = journal.done - before;
                let left = items.len() - journal.done;
                let seconds = started.elapsed().as_secs_f64() * left as f64 / done as f64;
                self.session.console.note(format!(
                    "{} of {} images, {} left",
                    journal.done,
                    items.len(),
                    duration(seconds)
                ));
            }
        }
        self.bar.finish_and_clear();
        if found.measured.is_empty() {
            let why = found.skipped.first().map(|remark| remark.reason.as_str());
            return Err(CliError::Failure(format!(
                "no image could be read: {}",
                why.unwrap_or("there is none")
            )));
        }
        Ok(())
    }

    fn batch(
        &mut self,
        items: &[&Item],
        journal: &mut Journal,
        found: &mut Found,
    ) -> Result<(), CliError> {
        let (mut skipped, mut notes) = (Vec::new(), Vec::new());
        let images = self.load(items, &mut skipped, &mut notes)?;
        let mut measured: Vec<Measured> = images
            .iter()
            .map(|image| Measured {
                number: image.item.number,
                predicted: image.predicted,
                probability: image.probability,
                rows: Vec::new(),
            })
            .collect();
        if !images.is_empty() {
            for method in 0..self.ready.len() {
                self.bar.set_message(self.names[method].to_owned());
                for (row, image) in self.method(method, &images)?.into_iter().zip(&mut measured) {
                    image.rows.push(row);
                }
            }
            for (image, measured) in images.iter().zip(&mut measured) {
                measured.rows.extend(self.baselines(image)?);
            }
        }
        let lines: String = (measured.iter().zip(&images))
            .map(|(measured, image)| measured.lines(&Planned::from(image.item), &self.names))
            .collect();
        journal.add(items.len(), &lines, &skipped, &notes)?;
        found.measured.extend(measured);
        found.skipped.extend(skipped);
        found.notes.extend(notes);
        Ok(())
    }

    /// Reads and classifies images; what cannot be read is skipped.
    fn load<'i>(
        &self,
        items: &[&'i Item],
        skipped: &mut Vec<Remark>,
        notes: &mut Vec<Remark>,
    ) -> Result<Vec<Loaded<'i>>, CliError> {
        let model = &self.session.model;
        let remark = |item: &Item, reason: String| {
            self.bar.suspend(|| {
                self.session
                    .console
                    .note(format!("{}: {reason}", item.file));
            });
            Remark {
                number: item.number,
                file: item.file.clone(),
                class: item.class,
                reason,
            }
        };
        let mut read = Vec::new();
        for &item in items {
            let picture = open_image(&item.path).map_err(elucid::Error::from);
            let prepared = picture.and_then(|picture| {
                let size = [picture.width(), picture.height()];
                Ok((model.prepare(&picture)?, size))
            });
            let (photo, size) = match prepared {
                Ok(prepared) => prepared,
                Err(error) => {
                    skipped.push(remark(item, format!("skipped: {error}")));
                    continue;
                }
            };
            let boxes = boxes::seen(model.input_spec(), size, item.size, &item.boxes);
            if boxes.is_empty() && !item.boxes.is_empty() {
                let reason = "the network sees nothing of the boxes".to_owned();
                notes.push(remark(item, reason));
            }
            read.push((item, photo, boxes));
        }
        if read.is_empty() {
            return Ok(Vec::new());
        }
        let photos: Vec<Photo> = read.iter().map(|(_, photo, _)| photo.clone()).collect();
        let scores = model.classify(&Photo::stack(&photos)?)?;
        let loaded = read.into_iter().enumerate();
        let loaded = loaded.map(|(i, (item, photo, boxes))| {
            let best = scores.top_of(i, 1).into_iter().next();
            let best = best.ok_or_else(|| {
                CliError::Failure(format!("the network has no scores for {}", item.file))
            })?;
            Ok(Loaded {
                item,
                photo,
                boxes,
                predicted: match model.head().kind() {
                    // No has no score of its own.
                    HeadKind::Binary if best.logit < 0.0 => 1,
                    _ => best.index,
                },
                probability: best.probability.unwrap_or(f32::NAN),
            })
        });
        loaded.collect()
    }

    /// One method on the images of a batch: one row for each.
    fn method(&mut self, method: usize, images: &[Loaded<'_>]) -> Result<Vec<Row>, CliError> {
        let model = &self.session.model;
        // An attribution of several images cannot be handed to a metric.
        let single = self.metrics.iter().any(|metric| metric.needs().attribution);
        let together = if single { 1 } else { images.len() };
        let mut rows = Vec::new();
        for group in images.chunks(together) {
            let (ready, target) = (&self.ready[method], self.args.target);
            let failed = |error: AttributionError| {
                let files: Vec<&str> = group.iter().map(|i| i.item.file.as_str()).collect();
                let (name, files) = (&ready.entry.name, files.join(", "));
                CliError::Failure(format!("{name} failed on {files}: {error}"))
            };
            let photos: Vec<Photo> = group.iter().map(|image| image.photo.clone()).collect();
            let targets = group
                .iter()
                .map(|i| Target::class(i.explained(self.args.target)));
            let started = Instant::now();
            let attribution = ready
                .attributor
                .attribute(model, &Photo::stack(&photos)?, Target::each(targets))
                .map_err(failed)?;
            let seconds = started.elapsed().as_secs_f64() / group.len() as f64;
            let [raw, large] = ready.look.maps(&attribution).map_err(failed)?;
            for (i, image) in group.iter().enumerate() {
                let map = large.maps().index_axis(Axis(0), i);
                let mut case = Case::new(model, &image.photo, image.explained(target), map)
                    .and_then(|case| case.boxes(&image.boxes))
                    .map_err(elucid::Error::from)?
                    .raw_map(raw.maps().index_axis(Axis(0), i))
                    .attributor(&*ready.attributor)
                    .present(&*ready.present);
                if single {
                    case = case
                        .attribution(&attribution)
                        .map_err(elucid::Error::from)?;
                }
                let row = Row {
                    values: measure(self.metrics, &case, &ready.entry.name, image.item)?,
                    seconds,
                };
                let number = image.item.number;
                if self.extremes[method].add(number, &row, &self.directions) {
                    let photo = Picture::from_image(image.photo.picture().clone())?;
                    let picture = examples::draw(&photo, map, &image.boxes)?;
                    examples::save(&self.folders[method], number, &picture)?;
                }
                rows.push(row);
            }
        }
        Ok(rows)
    }

    /// The rows of what knows nothing.
    fn baselines(&self, image: &Loaded<'_>) -> Result<Vec<Row>, CliError> {
        let model = &self.session.model;
        let [height, width] = model.input_spec().size();
        // Every image has its own, wherever its shard and its batch begin.
        let seed = self.args.seed.wrapping_add(image.item.number as u64);
        let maps = [
            baseline::centre(height, width),
            baseline::random(height, width, seed),
        ];
        let class = image.explained(self.args.target);
        let rows = maps.iter().zip(BASELINES).map(|(map, name)| {
            let case = Case::new(model, &image.photo, class, map.view())
                .and_then(|case| case.boxes(&image.boxes))
                .map_err(elucid::Error::from)?;
            Ok(Row {
                values: measure(self.metrics, &case, name, image.item)?,
                seconds: 0.0,
            })
        });
        rows.collect()
    }
}

/// What each metric says, where it is applicable.
fn measure(
    metrics: &[Box<dyn Metric>],
    case: &Case<'_>,
    method: &str,
    item: &Item,
) -> Result<Vec<Option<f64>>, CliError> {
    let values = metrics.iter().map(|metric| match metric.measure(case) {
        Ok(outcome) => Ok(outcome.value()),
        Err(error) => Err(CliError::Failure(format!(
            "{} of {method} failed on {}: {error}",
            metric.name(),
            item.file
        ))),
    });
    values.collect()
}

/// The first of several maps; nothing where there is none.
fn first(maps: &Saliency) -> Array2<f32> {
    match maps.maps().is_empty() {
        true => Array2::zeros((0, 0)),
        false => maps.maps().index_axis(Axis(0), 0).to_owned(),
    }
}

/// A time for people.
fn duration(seconds: f64) -> String {
    let minutes = (seconds / 60.0).ceil() as u64;
    match minutes {
        0..=1 => format!("{} s", seconds.ceil() as u64),
        2..=119 => format!("{minutes} min"),
        _ => format!("{} h {} min", minutes / 60, minutes % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::duration;

    #[test]
    fn times_are_readable() {
        assert_eq!(duration(12.3), "13 s");
        assert_eq!(duration(600.0), "10 min");
        assert_eq!(duration(90_000.0), "25 h 0 min");
    }
}
