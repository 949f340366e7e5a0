//! What is written when all images are measured.

use std::path::PathBuf;

use elucid::metrics::{Direction, Metric};
use elucid::prelude::*;
use elucid::render::LinePlot;
use elucid::study::results::{Failure, Remark};
use elucid::study::{
    Accuracy, Cell, Extremes, Found, INTERVALS, Image, Place, Settings, State, Summary, Time,
    metric_of,
};
use elucid::vision::input::open_image;
use serde::Serialize;

use super::curves;
use crate::error::CliError;
use crate::known;
use crate::report::Step;

/// The page.
pub const PAGE: &str = "index.html";

const LEDE: &str = "How well each method's maps do on labelled images, beside two maps that know \
    nothing: one that falls off from the middle, and one of random numbers.";

const DRAWN: &str = "In the pictures, frames are the labelled boxes, outlines the labelled masks, the cross is where the map is largest. The \
    colours of each picture end at the 99th percentile of its own map, so pictures compare places, \
    not amounts.";

const FIRST: &str = "Under them, of metrics that differ in options alone, stands the first; results.csv has the others.";

/// All that is known in the end.
pub struct Outcome<'a> {
    pub settings: &'a Settings,
    pub found: &'a Found,
    pub summary: Summary,
    /// Of each method, the numbers of the images that are shown.
    chosen: Vec<[Vec<usize>; 2]>,
    /// The best and the worst images of each method.
    pub extremes: Vec<Extremes>,
}

/// How many images or values the report lists of a kind; files with a line for each list all of them.
const LISTED: usize = 100;

#[derive(Debug, Serialize)]
pub struct Report<'a> {
    command: &'static str,
    device: Option<&'a str>,
    settings: &'a Settings,
    batch_size: Option<usize>,
    remarks: &'a [String],
    images: Counts,
    accuracy: Accuracy,
    /// The first of them, as of the next two.
    skipped: Vec<Remark>,
    notes: Vec<Remark>,
    failures: Vec<Failure>,
    /// How many there are in all.
    values_failed: usize,
    /// On what was measured, where that was more than one device, precision or build.
    mixed: Vec<String>,
    summary: &'a [Cell],
    times: &'a [Time],
    /// Of this run; an evaluation that was resumed took longer in all.
    seconds: Vec<Step>,
    files: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Counts {
    planned: usize,
    measured: usize,
    skipped: usize,
    /// Of which something is odd.
    noted: usize,
    /// Neither measured nor skipped, where that was allowed.
    missing: usize,
}

impl<'a> Outcome<'a> {
    pub fn new(
        settings: &'a Settings,
        metrics: &[Box<dyn Metric>],
        found: &'a Found,
    ) -> Result<Self, CliError> {
        let summary = Summary::new(settings, (known::metrics(), metrics), found)?;
        let directions: Vec<Direction> = metrics.iter().map(|m| m.direction()).collect();
        let [height, width] = [settings.input.height, settings.input.width];
        // Three bytes a pixel, in base64, and half of the page for good measure.
        let room = Gallery::MAX_BYTES / (8 * height * width).max(1);
        let most = room / (2 * settings.methods.len().max(1));
        let extremes: Vec<Extremes> = (0..settings.methods.len())
            .map(|row| Extremes::of(found, row, &directions))
            .collect();
        let chosen = extremes.iter();
        let chosen = chosen.map(|extremes| extremes.chosen(found.seen().count(), most));
        Ok(Self {
            chosen: chosen.collect(),
            extremes,
            settings,
            found,
            summary,
        })
    }

    /// What identifies the evaluation, for people.
    fn facts(&self) -> Vec<(String, String)> {
        let (settings, accuracy) = (self.settings, &self.summary.accuracy);
        let mut facts = vec![
            ("Model", settings.model.name.clone()),
            (
                "Images",
                match self.found.skipped().count() {
                    0 => accuracy.images.to_string(),
                    skipped => format!("{}, and {skipped} skipped", accuracy.images),
                },
            ),
            ("Top-1 accuracy", format!("{:.1} %", 100.0 * accuracy.top1)),
            ("Explained", format!("the {}", settings.target)),
            ("Seed", settings.seed.to_string()),
        ];
        if settings.shard.count > 1 {
            facts.push(("Shard", settings.shard.to_string()));
        }
        let [done, all] = self.found.cells();
        if done < all {
            facts.push(("Not all", format!("{done} of {all} cells are measured")));
        }
        if !self.found.failures().is_empty() {
            let failures = self.found.failures().len();
            facts.push((
                "Failed",
                format!("{failures} values, which failures.csv lists"),
            ));
        }
        if let Some(mixed) = self.found.mixed() {
            facts.push((
                "Mixed",
                format!("numbers may differ between {}", mixed.join(", and ")),
            ));
        }
        let facts = facts.into_iter();
        facts
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }

    pub fn markdown(&self) -> String {
        self.summary.to_markdown(&self.facts())
    }

    pub fn csv(&self) -> String {
        self.summary.to_csv()
    }

    /// `files` are the names of the other files.
    pub fn report(
        &'a self,
        command: &'static str,
        device: Option<&'a str>,
        batch_size: Option<usize>,
        seconds: Vec<Step>,
        files: Vec<String>,
    ) -> Report<'a> {
        let found = self.found;
        let (planned, skipped) = (found.images_asked(), found.skipped().count());
        let idle = found.planned().len() - planned;
        let measured = found.images_done() - skipped - idle;
        Report {
            command,
            device,
            settings: self.settings,
            batch_size,
            remarks: &self.settings.remarks,
            images: Counts {
                planned,
                measured,
                skipped,
                noted: found.notes().count(),
                missing: planned - measured - skipped,
            },
            accuracy: self.summary.accuracy,
            skipped: Remark::each(found.skipped()).take(LISTED).collect(),
            notes: Remark::each(found.notes()).take(LISTED).collect(),
            failures: Failure::each(found).take(LISTED).collect(),
            values_failed: found.failures().len(),
            mixed: found.mixed().unwrap_or_default(),
            summary: &self.summary.cells,
            times: &self.summary.times,
            seconds,
            files,
        }
    }

    /// The page, with the plots of curves; `picture` says where the picture of a method's image lies.
    pub fn page(
        &self,
        plots: Vec<(String, LinePlot)>,
        picture: impl Fn(usize, usize) -> Option<PathBuf>,
    ) -> Result<Vec<u8>, CliError> {
        let mut text = format!("{LEDE} {DRAWN}");
        if self.shown().count() < self.settings.metrics.len() {
            text = format!("{text} {FIRST}");
        }
        let mut page = Gallery::new("Evaluation").text(text);
        for (name, value) in self.facts() {
            page = page.fact(name, value);
        }
        page = page.remarks(&self.settings.remarks);
        let legend = self.summary.legend().join(". ");
        let intervals = INTERVALS.replace('*', "");
        let mut table = GallerySection::new("Means")
            .text(format!("{legend}. {intervals}"))
            .heads(self.summary.heads());
        for (name, cells) in self.summary.rows() {
            table = table.numbers(name, cells);
        }
        page = page.section(table);
        if !plots.is_empty() {
            let section = GallerySection::new("Curves").text(curves::TEXT);
            let plots = plots.into_iter().map(|(_, plot)| plot);
            page = page.section(plots.fold(section, GallerySection::plot));
        }
        for (row, method) in self.settings.methods.iter().enumerate() {
            let [best, worst] = &self.chosen[row];
            if best.is_empty() {
                continue;
            }
            let text = match method.layer.as_str() {
                "" => format!("{}.", method.title),
                layer => format!("{} at {layer}.", method.title),
            };
            let mut section = GallerySection::new(&method.name).text(text);
            // The rows of a table have the same length.
            let rows = [("Best", best), ("Worst", worst)];
            let width = best.len().max(worst.len());
            for (name, numbers) in rows.into_iter().filter(|(_, numbers)| !numbers.is_empty()) {
                let figures = numbers
                    .iter()
                    .map(|&number| self.figure(row, number, &picture));
                let missing = width - numbers.len();
                let missing = (0..missing).map(|_| Figure::absent("no other image"));
                section = section.row(name, figures.chain(missing));
            }
            page = page.section(section);
        }
        Ok(page.render()?.into_bytes())
    }

    /// The metrics whose numbers stand under pictures: of those that differ in options alone the first.
    fn shown(&self) -> impl Iterator<Item = (usize, &str)> {
        let names = &self.settings.metrics;
        let each = names.iter().map(String::as_str).enumerate();
        each.filter(|&(at, name)| {
            let mut before = names[..at].iter();
            before.all(|other| metric_of(other) != metric_of(name))
        })
    }

    fn figure(
        &self,
        row: usize,
        number: usize,
        picture: impl Fn(usize, usize) -> Option<PathBuf>,
    ) -> Figure {
        let method = &self.settings.methods[row];
        let at = self.found.image_of(number);
        let planned = at.map(|at| &self.found.planned()[at]);
        let file = planned.map_or("an image", |planned| planned.file.as_str());
        let drawn = picture(row, number).and_then(|path| {
            let image = open_image(path).ok()?.to_rgb8();
            Picture::from_image(image).ok()
        });
        let mut figure = match drawn {
            Some(drawn) => Figure::new(
                &drawn,
                format!("{} of {file}, over the photograph", method.title),
            ),
            None => Figure::absent("The picture is no longer there."),
        };
        let short = file.rsplit('/').next().unwrap_or(file);
        figure = figure.detail(short);
        let Some((at, planned)) = at.zip(planned) else {
            return figure;
        };
        let label = |class: usize| self.settings.label(class);
        if let Some(Image::Seen { predicted, .. }) = self.found.image(at) {
            figure = figure.caption(match *predicted == planned.class {
                true => label(planned.class),
                false => format!("{}, taken for {}", label(planned.class), label(*predicted)),
            });
        }
        for (metric, name) in self.shown() {
            let place = Place {
                image: at,
                row,
                metric,
            };
            let value = match self.found.state(place) {
                State::Number(number) => format!("{number:.3}"),
                State::NotApplicable => "not applicable".to_owned(),
                State::Failed => "failed".to_owned(),
                State::Missing => "not measured".to_owned(),
            };
            figure = figure.number(name, value);
        }
        figure
    }
}
