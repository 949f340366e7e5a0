//! The table: means over the images, and how sure they are.

use elucid_metrics::{Bootstrap, Direction, Estimate, Metric, Metrics, csv};
use rayon::prelude::*;
use serde::Serialize;

use crate::entries::metric_of;
use crate::error::StudyError;
use crate::found::{Found, Place, State};
use crate::settings::Settings;

/// The table for programs.
pub const SUMMARY: &str = "summary.csv";
/// The table in Markdown.
pub const TABLE: &str = "summary.md";

/// The metric that the field sums up over classes.
const OVER_CLASSES: &str = "pointing";

/// What a mean is taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Over {
    /// Every class counts alike.
    Classes,
    /// Every image counts alike.
    Images,
}

impl Over {
    fn name(self) -> &'static str {
        match self {
            Self::Classes => "classes",
            Self::Images => "images",
        }
    }
}

/// One metric under one mean.
#[derive(Debug, Clone)]
struct Column {
    metric: usize,
    name: String,
    title: String,
    over: Over,
    direction: Direction,
}

impl Column {
    /// For people: the mean is said where there are two, and which end is the good one.
    fn head(&self, name: &str, columns: &[Column]) -> String {
        let arrow = match self.direction {
            Direction::Larger => '\u{2191}',
            Direction::Smaller => '\u{2193}',
        };
        match columns.iter().filter(|c| c.metric == self.metric).count() {
            1 => format!("{name} {arrow}"),
            _ => format!("{name}, {} {arrow}", self.over.name()),
        }
    }
}

/// One number of the table.
#[derive(Debug, Clone, Serialize)]
pub struct Cell {
    method: String,
    metric: String,
    over: Over,
    direction: &'static str,
    /// Absent where the metric was not applicable to any image.
    mean: Option<f64>,
    low: Option<f64>,
    high: Option<f64>,
    /// How many images the mean rests on.
    images: usize,
    /// On how many the metric was not applicable.
    not_applicable: usize,
    /// On how many the method or the metric ended with an error.
    failed: usize,
}

/// How often the network is right.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Accuracy {
    /// The share.
    pub top1: f64,
    /// On how many images its best guess was the label.
    pub correct: usize,
    /// Of how many.
    pub images: usize,
}

/// What attributing took, for one method.
#[derive(Debug, Clone, Serialize)]
pub struct Time {
    /// The method.
    pub method: String,
    /// Of images that did not fail.
    pub seconds_per_image: f64,
}

/// The table and what stands beside it.
#[derive(Debug)]
pub struct Summary {
    columns: Vec<Column>,
    methods: Vec<String>,
    /// Row by row.
    pub cells: Vec<Cell>,
    /// How often the network is right.
    pub accuracy: Accuracy,
    /// What attributing took.
    pub times: Vec<Time>,
}

impl Summary {
    /// Of what was found; `metrics` are those of the settings, of which `known` knows the titles.
    ///
    /// # Errors
    ///
    /// [`StudyError::Metric`] from the bootstrap.
    pub fn new(
        settings: &Settings,
        (known, metrics): (&Metrics, &[Box<dyn Metric>]),
        found: &Found,
    ) -> Result<Self, StudyError> {
        let columns = columns(settings, known, metrics);
        let bootstrap = Bootstrap::new().seed(settings.seed);
        let images: Vec<usize> = found.seen().map(|(image, ..)| image).collect();
        let places = (0..found.rows().len() * columns.len())
            .map(|at| (at / columns.len(), &columns[at % columns.len()]));
        let places: Vec<(usize, &Column)> = places.collect();
        // A thousand means of all images for each: the longest part of a sum.
        let cells = (places.par_iter())
            .map(|(row, column)| cell(found, &images, *row, column, bootstrap))
            .collect::<Result<Vec<Cell>, StudyError>>()?;
        let correct = found.seen();
        let correct =
            correct.filter(|(image, predicted, _)| found.planned()[*image].class == *predicted);
        let correct = correct.count();
        let methods = settings.methods.iter().enumerate();
        let times = methods.map(|(row, method)| Time {
            method: method.name.clone(),
            seconds_per_image: found.seconds_per_image(row).unwrap_or_default(),
        });
        Ok(Self {
            columns,
            methods: found.rows().to_vec(),
            cells,
            accuracy: Accuracy {
                top1: correct as f64 / images.len().max(1) as f64,
                correct,
                images: images.len(),
            },
            times: times.collect(),
        })
    }

    /// Names of the columns that people see.
    pub fn heads(&self) -> Vec<String> {
        let mut heads: Vec<String> = (self.columns.iter())
            .map(|column| column.head(&column.name, &self.columns))
            .collect();
        heads.push("s per image".to_owned());
        heads
    }

    /// Names of the rows, and what people see in them.
    pub fn rows(&self) -> Vec<(String, Vec<String>)> {
        let rows = self.methods.iter().enumerate().map(|(row, method)| {
            let width = self.columns.len();
            let cells = &self.cells[row * width..(row + 1) * width];
            let mut texts: Vec<String> = cells.iter().map(|cell| self.text(cell)).collect();
            // Maps that were there took no time that could be told.
            let time = self.times.get(row).map(|time| time.seconds_per_image);
            let time = time.filter(|&seconds| seconds > 0.0);
            texts.push(time.map_or(String::new(), |seconds| format!("{seconds:.3}")));
            (method.clone(), texts)
        });
        rows.collect()
    }

    /// The mean with its interval, and the number of images where it is not all of them.
    fn text(&self, cell: &Cell) -> String {
        let (Some(mean), Some(low), Some(high)) = (cell.mean, cell.low, cell.high) else {
            return match (cell.failed, cell.not_applicable) {
                // Nobody asked, or it is yet to be measured.
                (0, 0) => String::new(),
                (0, _) => "not applicable".to_owned(),
                _ => "failed".to_owned(),
            };
        };
        let digits = |v: f64| match v.abs() {
            v if v >= 1000.0 || (v > 0.0 && v < 1e-3) => format!("{v:.2e}"),
            _ => format!("{v:.3}"),
        };
        let mut text = format!("{} ({} to {})", digits(mean), digits(low), digits(high));
        if cell.images != self.accuracy.images {
            text.push_str(&format!(", n = {}", cell.images));
        }
        if cell.failed > 0 {
            text.push_str(&format!(", {} failed", cell.failed));
        }
        text
    }

    /// What the columns are, for people: those that differ in options alone together.
    pub fn legend(&self) -> Vec<String> {
        let mut groups: Vec<Vec<&Column>> = Vec::new();
        for column in &self.columns {
            let is_like = |other: &Column| {
                let [a, b] = [column, other];
                metric_of(&a.name) == metric_of(&b.name)
                    && (a.over, a.direction) == (b.over, b.direction)
            };
            match groups.iter_mut().find(|group| is_like(group[0])) {
                Some(group) => group.push(column),
                None => groups.push(vec![column]),
            }
        }
        let lines = groups.into_iter().map(|group| {
            let first = group[0];
            let mean = match first.over {
                Over::Classes => "mean over classes of the mean over each class's images",
                Over::Images => "mean over images",
            };
            let head = match group.len() {
                1 => first.head(&first.name, &self.columns),
                count => {
                    let head = first.head(metric_of(&first.name), &self.columns);
                    format!("{head} ({count} columns)")
                }
            };
            format!("{head}: {}, {mean}; {}", first.title, first.direction)
        });
        lines.collect()
    }

    /// The file for programs: one line for each number.
    pub fn to_csv(&self) -> String {
        let number = |number: Option<f64>| number.map_or(String::new(), |v| v.to_string());
        let lines = self.cells.iter().map(|cell| {
            csv::line([
                cell.method.clone(),
                cell.metric.clone(),
                cell.over.name().to_owned(),
                cell.direction.to_owned(),
                number(cell.mean),
                number(cell.low),
                number(cell.high),
                cell.images.to_string(),
                cell.not_applicable.to_string(),
                cell.failed.to_string(),
            ])
        });
        let head = csv::line([
            "method",
            "metric",
            "over",
            "better",
            "mean",
            "low",
            "high",
            "images",
            "not_applicable",
            "failed",
        ]);
        head + &lines.collect::<String>()
    }

    /// The table in Markdown, under `facts`.
    pub fn to_markdown(&self, facts: &[(String, String)]) -> String {
        let row = |cells: &[String]| {
            let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
            format!("| {} |\n", cells.join(" | "))
        };
        let heads = [vec!["method".to_owned()], self.heads()].concat();
        let mut text = "# Evaluation\n\n".to_owned();
        for (name, value) in facts {
            text.push_str(&format!("- {name}: {value}\n"));
        }
        text.push('\n');
        text.push_str(&row(&heads));
        text.push_str(&row(&vec!["---".to_owned(); heads.len()]));
        for (name, cells) in self.rows() {
            text.push_str(&row(&[vec![name], cells].concat()));
        }
        text.push('\n');
        text.push_str(INTERVALS);
        text.push('\n');
        for line in self.legend() {
            text.push_str(&format!("- {line}\n"));
        }
        text
    }
}

/// One metric of one method: `images` are those that were seen.
fn cell(
    found: &Found,
    images: &[usize],
    row: usize,
    column: &Column,
    bootstrap: Bootstrap,
) -> Result<Cell, StudyError> {
    let (mut values, mut not_applicable, mut failed) = (Vec::new(), 0, 0);
    for &image in images {
        let place = Place {
            image,
            row,
            metric: column.metric,
        };
        match found.state(place) {
            State::Number(value) => values.push((found.planned()[image].class, value)),
            State::NotApplicable => not_applicable += 1,
            State::Failed => failed += 1,
            State::Missing => {}
        }
    }
    let estimate: Option<Estimate> = match column.over {
        Over::Classes => bootstrap.class_mean(&values),
        Over::Images => bootstrap.mean(&values.iter().map(|v| v.1).collect::<Vec<_>>()),
    }?;
    Ok(Cell {
        method: found.rows()[row].clone(),
        metric: column.name.clone(),
        over: column.over,
        direction: match column.direction {
            Direction::Larger => "larger",
            Direction::Smaller => "smaller",
        },
        mean: estimate.map(|e| e.mean),
        low: estimate.map(|e| e.low),
        high: estimate.map(|e| e.high),
        images: values.len(),
        not_applicable,
        failed,
    })
}

/// What the brackets hold.
pub const INTERVALS: &str = "In brackets: the interval that holds 95 % of the means of 1000 \
    resamples of the images (bootstrap). *centre* and *random* are maps that know nothing of the \
    image.\n";

fn columns(settings: &Settings, known: &Metrics, metrics: &[Box<dyn Metric>]) -> Vec<Column> {
    let mut columns = Vec::new();
    for (i, (name, metric)) in settings.metrics.iter().zip(metrics).enumerate() {
        let title = known
            .find(metric.name())
            .map_or(metric.name(), |info| info.title);
        let overs: &[Over] = match metric.name() {
            OVER_CLASSES => &[Over::Classes, Over::Images],
            _ => &[Over::Images],
        };
        columns.extend(overs.iter().map(|&over| Column {
            metric: i,
            name: name.clone(),
            title: title.to_owned(),
            over,
            direction: metric.direction(),
        }));
    }
    columns
}
