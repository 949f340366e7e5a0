//! A metric of one's own: measured beside those of the library, by name.
//!
//! `README.md` says what to expect.

use std::error::Error;
use std::process::ExitCode;

use common::Arguments;
use elucid::metrics::similarity::spearman;
use elucid::metrics::{
    Case, Direction, Metric, MetricError, MetricInfo, MetricOptions, Metrics, Needs, Outcome,
};
use elucid::prelude::*;
use ndarray::{Axis, s};

// ANCHOR: metric
/// Spearman's rank correlation of the map of an image and that of its mirror image, mirrored back: a
/// network that sees the same in both should be explained alike.
#[derive(Debug, Clone, Copy)]
struct MirrorConsistency;

impl Metric for MirrorConsistency {
    fn name(&self) -> &str {
        MIRROR_CONSISTENCY.name
    }

    fn direction(&self) -> Direction {
        MIRROR_CONSISTENCY.direction
    }

    fn needs(&self) -> Needs {
        MIRROR_CONSISTENCY.needs
    }

    fn measure(&self, case: &Case<'_>) -> Result<Outcome, MetricError> {
        let method = match case.method() {
            Ok(method) => method,
            Err(reason) => return Ok(Outcome::NotApplicable(reason)),
        };
        let map = |image| -> Result<_, MetricError> {
            let found = method.attribute(case.network(), &image, case.target())?;
            Ok(found
                .map()?
                .upsampled()
                .maps()
                .index_axis(Axis(0), 0)
                .to_owned())
        };
        let there = map(case.image())?;
        let mirrored = map(case.image().flip([3]))?;
        let back = mirrored.slice(s![.., ..;-1]);
        Ok(Outcome::Value(spearman(there.view(), back)?))
    }
}

const MIRROR_CONSISTENCY: MetricInfo = MetricInfo::new(
    "mirror-consistency",
    "Consistency under mirroring",
    Direction::Larger,
    "this example",
    |_| Ok(Box::new(MirrorConsistency)),
)
.needs(Needs {
    attributor: true,
    ..Needs::MAP
});
// ANCHOR_END: metric

fn explain() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::read("own_metric", "metrics=mirror-consistency,sparseness")?;
    let model = Model::embedded(&elucid::device::auto().device)?;
    let photo = model.prepare(&arguments.picture(photographs::dog_and_cat())?)?;
    let seen = Picture::from_image(photo.picture().clone())?;
    let class = model.classify(&photo)?.top(1)[0].index;

    // ANCHOR: table
    let metrics = Metrics::standard().with(MIRROR_CONSISTENCY);
    // ANCHOR_END: table
    let methods: [Box<dyn Attributor>; 4] = [
        Box::new(Gradient::at_input()),
        Box::new(IntegratedGradients::new()),
        Box::new(GradCam::at_features()),
        Box::new(Occlusion::new()),
    ];
    let mut section = GallerySection::new(model.label(class))
        .figure(Figure::new(&seen, "the photograph").caption("the photograph"));
    for method in &methods {
        let found = method.attribute(&model, &photo, Target::class(class))?;
        let maps = found.map()?.upsampled();
        let map = maps.maps().index_axis(Axis(0), 0);
        let overlay = common::over(&seen, map)?;
        let mut figure = Figure::new(&overlay, method.name()).caption(method.name());
        // ANCHOR: measure
        let case = Case::new(&model, &photo, class, map)?.attributor(method);
        for name in arguments.list("metrics") {
            let outcome = metrics
                .metric(name, &MetricOptions::new())?
                .measure(&case)?;
            println!("{}: {name} {outcome}", method.name());
            figure = figure.number(metrics.find(name)?.title, outcome.to_string());
        }
        // ANCHOR_END: measure
        section = section.figure(figure);
    }
    arguments.save(
        &Gallery::new("A metric of one's own")
            .text(
                "Some methods under a metric that the library does not know, and one that it does.",
            )
            .section(section),
    )
}

fn main() -> ExitCode {
    common::exit(explain())
}
