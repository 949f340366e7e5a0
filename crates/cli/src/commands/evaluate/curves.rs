//! The mean curves of an evaluation, drawn.

use elucid::render::{LinePlot, Series};
use elucid::study::{BASELINES, Found, MEAN_CURVES, MeanCurves, Origins, Settings, maps};

use super::tables::metrics;
use crate::error::CliError;

/// What the plots are, for people.
pub const TEXT: &str = "The mean over the images at each place, with the interval that holds the true mean there with a chance of \
    95 % (Student's t), each place by itself. In grey the two maps that know nothing.";

/// The mean curves of a study that kept any.
pub struct Curves {
    means: Vec<MeanCurves>,
    /// What could not be read.
    pub lost: Vec<String>,
}

impl Curves {
    /// Of the folders that measured the images.
    pub fn of(origins: &Origins, settings: &Settings, found: &Found) -> Result<Self, CliError> {
        let mut lost = Vec::new();
        let metrics = metrics(settings)?;
        let means = MeanCurves::of(origins, found, &metrics, |error| {
            lost.push(format!("curves are left out: {error}"));
        });
        Ok(Self { means, lost })
    }

    /// A plot of each, with the name of its files without their ending.
    pub fn plots(&self) -> Vec<(String, LinePlot)> {
        let plots = self.means.iter().map(|curves| (name(curves), plot(curves)));
        plots.collect()
    }

    /// The table and the plots, each as SVG, PNG and PDF; nothing where there are no curves.
    pub fn files(&self) -> Result<Vec<(String, Vec<u8>)>, CliError> {
        if self.means.is_empty() {
            return Ok(Vec::new());
        }
        let table = MeanCurves::to_csv(&self.means).into_bytes();
        let mut files = vec![(MEAN_CURVES.to_owned(), table)];
        for (name, plot) in self.plots() {
            let pixels = plot.picture()?.to_png_bytes()?;
            for (ending, bytes) in [
                ("svg", plot.svg()?.into_bytes()),
                ("png", pixels),
                ("pdf", plot.pdf()?),
            ] {
                files.push((format!("{name}.{ending}"), bytes));
            }
        }
        Ok(files)
    }
}

/// Of a metric's only curve that of the metric, else with that of the curve.
fn name(curves: &MeanCurves) -> String {
    let metric = maps::folder(&curves.metric);
    match curves.curve.as_str() {
        "curve" => format!("curves-{metric}"),
        curve => format!("curves-{metric}-{}", maps::folder(curve)),
    }
}

fn plot(curves: &MeanCurves) -> LinePlot {
    let counts: Vec<usize> = curves.methods.iter().map(|method| method.images).collect();
    let of_all = match &counts[..] {
        [first, rest @ ..] if rest.iter().all(|count| count == first) => Some(*first),
        _ => None,
    };
    let mut title = match curves.curve.as_str() {
        "curve" => curves.metric.clone(),
        curve => format!("{}, {curve}", curves.metric),
    };
    if let Some(images) = of_all {
        title += &format!(", mean of {}", images_of(images));
    }
    let plot = LinePlot::new(&title, curves.axes.horizontal, curves.axes.vertical);
    curves.methods.iter().fold(plot, |plot, method| {
        let name = match of_all {
            Some(_) => method.method.clone(),
            None => format!("{} ({})", method.method, images_of(method.images)),
        };
        let points = method.points.iter().map(|point| (point.x, point.mean));
        let band = method.points.iter().filter_map(|point| {
            let [low, high] = point.interval?;
            Some((point.x, low, high))
        });
        let series = Series::new(name, points).band(band);
        plot.series(match BASELINES.contains(&method.method.as_str()) {
            true => series.quiet(),
            false => series,
        })
    })
}

fn images_of(count: usize) -> String {
    match count {
        1 => "1 image".to_owned(),
        count => format!("{count} images"),
    }
}
