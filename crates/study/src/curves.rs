//! The curves of a study, kept beside its numbers, and their means.
//!
//! Some metrics sum up a curve: insertion is an area, ROAD a mean ([`Metric::curve_axes`]). A study that keeps its curves
//! ([`Begin::save_curves`](crate::Begin::save_curves)) has a folder `curves`, and in it one for each method or baseline, with a file
//! of JSON lines for each cell:
//!
//! ```text
//! curves/grad-cam/0000016-0000023-0123456789abcdef.jsonl
//! ```
//!
//! of the cell's first and last image and the first sixteen digits of the file's SHA-256. A line is one curve of one image:
//!
//! ```text
//! {"image":16,"metric":"insertion","curve":"curve","x":[0.0,0.0044642857],"y":[0.001,0.0013]}
//! ```
//!
//! `image` is its number in the data, `curve` what the metric calls it (`most` and `least` of ROAD), `x` the shares and `y` the scores
//! of [`Curve`], rounded to single precision. `pandas.read_json(file, lines=True)` and `jq` read them. As with
//! [`maps`](crate::maps), the file is there, whole and synced, before the [`journal`](crate::journal) names it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use elucid_metrics::{Curve, CurveAxes, Metric, csv};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::content;
use crate::error::StudyError;
use crate::files;
use crate::found::Found;
use crate::maps::folder;
use crate::origins::Origins;

/// The folder of the curves.
pub const CURVES: &str = "curves";

/// The means of the curves, for programs.
pub const MEAN_CURVES: &str = "curves.csv";

/// Ending of a file of curves.
const ENDING: &str = "jsonl";

/// At how many places means are taken of curves that have points at different ones.
const PLACES: usize = 101;

/// A curve of an image under a method: one line of a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeptCurve {
    /// The image's number in the data.
    pub image: usize,
    /// As the settings call it.
    pub metric: String,
    /// What the metric calls it.
    pub curve: String,
    /// [`Curve::fractions`].
    pub x: Vec<f32>,
    /// [`Curve::scores`], as many.
    pub y: Vec<f32>,
}

impl KeptCurve {
    /// Of a metric's curve; `None` for one that is not as many finite scores as finite shares.
    pub(crate) fn new(image: usize, metric: &str, name: &str, curve: &Curve) -> Option<Self> {
        let single = |values: &[f64]| values.iter().map(|&value| value as f32).collect();
        let kept = Self {
            image,
            metric: metric.to_owned(),
            curve: name.to_owned(),
            x: single(&curve.fractions),
            y: single(&curve.scores),
        };
        kept.is_whole().then_some(kept)
    }

    fn is_whole(&self) -> bool {
        let is_finite = |values: &[f32]| values.iter().all(|value| value.is_finite());
        self.x.len() == self.y.len() && is_finite(&self.x) && is_finite(&self.y)
    }

    /// Straight lines between the points, where several lie above each other from the last; `None` outside.
    fn at(&self, place: f32) -> Option<f64> {
        let next = self.x.partition_point(|x| *x <= place);
        let before = next.checked_sub(1)?;
        let (x, y) = (f64::from(self.x[before]), f64::from(self.y[before]));
        match self.x.get(next) {
            None => (self.x[before] == place).then_some(y),
            Some(&after) => {
                let part = (f64::from(place) - x) / (f64::from(after) - x);
                Some(y + part * (f64::from(self.y[next]) - y))
            }
        }
    }
}

/// Writes the curves of a cell, and gives the file's name within the folder `curves`. `images` are the first and the last of the
/// cell.
pub(crate) fn write(
    study: &Path,
    method: &str,
    images: [usize; 2],
    curves: &[KeptCurve],
) -> Result<String, StudyError> {
    let mut text = String::new();
    for curve in curves {
        let line = serde_json::to_string(curve)
            .map_err(|error| StudyError::Data(format!("a curve cannot be written: {error}")))?;
        text.push_str(&line);
        text.push('\n');
    }
    let folder = folder(method);
    let within = study.join(CURVES).join(&folder);
    let name = content::write(&within, images, ENDING, text.as_bytes())?;
    Ok(format!("{folder}/{name}"))
}

/// Reads a file of curves, named as the journal names it.
///
/// # Errors
///
/// [`StudyError::File`], [`StudyError::Altered`] for a file that is not the one that was written, and [`StudyError::Curve`] for one
/// that holds no curves.
pub fn read(study: &Path, name: &str) -> Result<Vec<KeptCurve>, StudyError> {
    let path = study.join(CURVES).join(name);
    let bytes = content::read(&path)?;
    let wrong = |reason: String| StudyError::Curve {
        file: path.clone(),
        reason,
    };
    let text = str::from_utf8(&bytes).map_err(|error| wrong(error.to_string()))?;
    let lines = text.lines().map(|line| {
        let curve: KeptCurve =
            serde_json::from_str(line).map_err(|error| wrong(error.to_string()))?;
        match curve.is_whole() {
            true => Ok(curve),
            false => Err(wrong("a curve has points that are no points".to_owned())),
        }
    });
    lines.collect()
}

/// The files of curves that lie in a method's folder, by the names that a journal has for them.
///
/// # Errors
///
/// [`StudyError::File`].
pub fn list(study: &Path, method: &str) -> Result<BTreeSet<String>, StudyError> {
    let name = folder(method);
    let entries = files::with_ending(&study.join(CURVES).join(&name), ENDING)?.into_iter();
    let names = entries.map(|entry| format!("{name}/{}", entry.file_name().to_string_lossy()));
    Ok(names.collect())
}

/// The mean of a curve over images.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MeanPoint {
    /// The share.
    pub x: f64,
    /// The mean score.
    pub mean: f64,
    /// The interval of the mean, at this place by itself: 95 % by Student's t. `None` of one image.
    pub interval: Option<[f64; 2]>,
}

/// The mean curve of a method.
#[derive(Debug, Clone, PartialEq)]
pub struct MeanCurve {
    /// The method or baseline.
    pub method: String,
    /// How many images it is of.
    pub images: usize,
    /// From left to right.
    pub points: Vec<MeanPoint>,
}

/// The mean curves of a metric, one for each method that has any.
#[derive(Debug, Clone, PartialEq)]
pub struct MeanCurves {
    /// As the settings call it.
    pub metric: String,
    /// What the metric calls the curve; `curve` where it has one only.
    pub curve: String,
    /// What the axes say.
    pub axes: CurveAxes,
    /// In order of the study's methods and baselines.
    pub methods: Vec<MeanCurve>,
}

impl MeanCurves {
    /// Of all curves that a study kept, metric by metric; `metrics` are those of `found`, in their order.
    ///
    /// Where the points of all images lie at the same shares, means are taken there, else at 101 places between which all
    /// curves are known, on straight lines between their points. What could not be read is left out; `complain` hears of it.
    pub fn of(
        origins: &Origins,
        found: &Found,
        metrics: &[Box<dyn Metric>],
        mut complain: impl FnMut(&StudyError),
    ) -> Vec<Self> {
        let axes: Vec<Option<CurveAxes>> = metrics.iter().map(|m| m.curve_axes()).collect();
        let rows: Vec<Summed> = (0..found.rows().len())
            .into_par_iter()
            .map(|row| Summed::of(origins, found, row))
            .collect();
        let mut all = Vec::new();
        for (metric, axes) in axes.iter().enumerate() {
            let (Some(axes), Some(metric)) = (axes, found.metrics().get(metric)) else {
                continue;
            };
            let of_metric = |summed: &Summed| -> Vec<String> {
                let names = summed.curves.keys().filter(|(of, _)| of == metric);
                names.map(|(_, curve)| curve.clone()).collect()
            };
            let names: BTreeSet<String> = rows.iter().flat_map(of_metric).collect();
            for curve in names {
                let key = (metric.clone(), curve);
                let methods = rows
                    .iter()
                    .zip(found.rows())
                    .filter_map(|(summed, method)| {
                        let sums = summed.curves.get(&key)?;
                        Some(MeanCurve {
                            method: method.clone(),
                            images: sums.images,
                            points: sums.points()?,
                        })
                    });
                all.push(Self {
                    methods: methods.collect(),
                    metric: key.0,
                    curve: key.1,
                    axes: *axes,
                });
            }
        }
        let lost = rows.into_iter().flat_map(|summed| summed.lost);
        lost.for_each(|error| complain(&error));
        all.retain(|curves| !curves.methods.is_empty());
        all
    }

    /// Of all of them a table with a line for each point: `metric,curve,method,images,x,mean,low,high`.
    pub fn to_csv(all: &[Self]) -> String {
        let heads = [
            "metric", "curve", "method", "images", "x", "mean", "low", "high",
        ];
        let mut text = csv::line(heads);
        for curves in all {
            for method in &curves.methods {
                for point in &method.points {
                    let ends = point.interval.map(|ends| ends.map(|end| end.to_string()));
                    let [low, high] = ends.unwrap_or_default();
                    text += &csv::line([
                        curves.metric.clone(),
                        curves.curve.clone(),
                        method.method.clone(),
                        method.images.to_string(),
                        point.x.to_string(),
                        point.mean.to_string(),
                        low,
                        high,
                    ]);
                }
            }
        }
        text
    }
}

/// The curves of one method, added up by metric and name.
struct Summed {
    curves: BTreeMap<(String, String), Sums>,
    lost: Vec<StudyError>,
}

impl Summed {
    /// Reads every file twice: the first time tells where the points lie.
    fn of(origins: &Origins, found: &Found, row: usize) -> Self {
        let mut summed = Self {
            curves: BTreeMap::new(),
            lost: Vec::new(),
        };
        let mut lost = Vec::new();
        each(origins, found, row, &mut lost, |curve| {
            let key = (curve.metric.clone(), curve.curve.clone());
            let grid = summed.curves.entry(key).or_default();
            grid.widen(curve);
        });
        summed.curves.values_mut().for_each(Sums::settle);
        // What is lost the second time was lost the first time.
        each(origins, found, row, &mut Vec::new(), |curve| {
            let key = (curve.metric.clone(), curve.curve.clone());
            if let Some(sums) = summed.curves.get_mut(&key) {
                sums.add(curve);
            }
        });
        Self { lost, ..summed }
    }
}

/// Hands out the curves of a row, file by file.
fn each(
    origins: &Origins,
    found: &Found,
    row: usize,
    lost: &mut Vec<StudyError>,
    mut take: impl FnMut(&KeptCurve),
) {
    let mut files: BTreeSet<(&Path, &str)> = BTreeSet::new();
    for (at, planned) in found.planned().iter().enumerate() {
        let Some(folder) = origins.folder(planned.number) else {
            continue;
        };
        let metrics = 0..found.metrics().len();
        let names = metrics.filter_map(|metric| found.curve_file(at, row, metric));
        files.extend(names.map(|name| (folder, name)));
    }
    for (folder, file) in files {
        match read(folder, file) {
            Err(error) => lost.push(error),
            Ok(curves) => {
                for curve in &curves {
                    let metrics = found.metrics().iter();
                    let metric = metrics.clone().position(|known| *known == curve.metric);
                    let at = found.image_of(curve.image);
                    // Of a value that was measured again the last file counts.
                    let is_it = at.zip(metric).is_some_and(|(at, metric)| {
                        found.curve_file(at, row, metric) == Some(file)
                    });
                    if is_it && !curve.x.is_empty() {
                        take(curve);
                    }
                }
            }
        }
    }
}

/// Curves of one name, added up.
#[derive(Debug, Default)]
struct Sums {
    images: usize,
    /// Where the points of the first curve lie, later where means are taken.
    shares: Vec<f32>,
    /// Whether the points of all curves lie there.
    is_common: bool,
    /// Between which all curves are known.
    ends: [f32; 2],
    /// At each place: the mean so far, and the sum of squares around it.
    sums: Vec<[f64; 2]>,
}

impl Sums {
    fn widen(&mut self, curve: &KeptCurve) {
        let (Some(&first), Some(&last)) = (curve.x.first(), curve.x.last()) else {
            return;
        };
        if self.shares.is_empty() {
            self.shares = curve.x.clone();
            self.is_common = true;
            self.ends = [first, last];
            return;
        }
        self.is_common &= self.shares == curve.x;
        self.ends = [self.ends[0].max(first), self.ends[1].min(last)];
    }

    /// When all curves are known, and before the first is added.
    fn settle(&mut self) {
        let [low, high] = self.ends;
        if !self.is_common {
            let places = (0..PLACES).map(|i| match i {
                // Rounding must not lead beyond the last point.
                i if i + 1 == PLACES => high,
                i => low + (high - low) * i as f32 / (PLACES - 1) as f32,
            });
            self.shares = places.filter(|_| low < high).collect();
        }
        self.sums = vec![[0.0; 2]; self.shares.len()];
    }

    fn add(&mut self, curve: &KeptCurve) {
        self.images += 1;
        let count = self.images as f64;
        for (i, (place, [mean, squares])) in self.shares.iter().zip(&mut self.sums).enumerate() {
            let value = match self.is_common {
                true => Some(f64::from(curve.y[i])),
                false => curve.at(*place),
            };
            // Every place lies between the ends of every curve.
            let value = value.unwrap_or(*mean);
            let before = value - *mean;
            *mean += before / count;
            *squares += before * (value - *mean);
        }
    }

    fn points(&self) -> Option<Vec<MeanPoint>> {
        let count = self.images as f64;
        let points = self.shares.iter().zip(&self.sums);
        let points: Vec<MeanPoint> = points
            .map(|(&x, &[mean, squares])| {
                let half = (self.images > 1).then(|| {
                    let error = (squares.max(0.0) / (count - 1.0) / count).sqrt();
                    student(self.images - 1) * error
                });
                MeanPoint {
                    x: f64::from(x),
                    mean,
                    interval: half.map(|half| [mean - half, mean + half]),
                }
            })
            .collect();
        (!points.is_empty()).then_some(points)
    }
}

/// Within how many standard errors of the true mean a mean lies with a chance of 95 %, by degrees of freedom: the 0.975 quantile of
/// Student's t. Abramowitz and Stegun 26.7.5, right to 0.2 % from three on.
fn student(freedom: usize) -> f64 {
    match freedom {
        0 | 1 => 12.706_204_736,
        2 => 4.302_652_730,
        freedom => {
            let z = 1.959_963_984_540_054_f64;
            let (n, p) = (freedom as f64, |power| z.powi(power));
            z + (p(3) + z) / (4.0 * n)
                + (5.0 * p(5) + 16.0 * p(3) + 3.0 * z) / (96.0 * n.powi(2))
                + (3.0 * p(7) + 19.0 * p(5) + 17.0 * p(3) - 15.0 * z) / (384.0 * n.powi(3))
                + (79.0 * p(9) + 776.0 * p(7) + 1482.0 * p(5) - 1920.0 * p(3) - 945.0 * z)
                    / (92160.0 * n.powi(4))
        }
    }
}

#[cfg(test)]
mod tests;
