//! A method of one's own: beside those of the library, in the same gallery, under the same metrics.
//!
//! `README.md` says what to expect.

use std::error::Error;
use std::process::ExitCode;

use common::Arguments;
use elucid::attribution::{
    AttributionError, Configurable, Context, Method, MethodOptions, Methods, Place, Setup, options,
    stated,
};
use elucid::metrics::{Case, MetricOptions, metric};
use elucid::prelude::*;
use ndarray::Axis;

// ANCHOR: method
/// The mean of the gradient at an image and at its mirror image, mirrored back: what depends on which way
/// the picture faces cancels.
#[derive(Debug, Clone)]
struct Mirrored {
    setup: Setup,
    times_input: bool,
}

options!(Mirrored {
    {
        /// Multiplies the gradient by the image.
        times_input: bool as "times-input", "whether gradients are multiplied by the image", "true or false"
    }
});

impl Attributor for Mirrored {
    stated!(MIRRORED);

    fn explain(&self, context: &Context<'_>) -> Result<Attribution, AttributionError> {
        let (values, scores) = context.each_batch(|rows, at| {
            let found = context.gradients(rows, at.clone())?;
            let image = at.tensor::<4>()?;
            let mirrored = context.gradients(rows, image.clone().flip([3]).into())?;
            let back = mirrored.gradient.tensor::<4>()?.flip([3]);
            let mean = (found.gradient.tensor::<4>()? + back) / 2.0;
            let values = if self.times_input { mean * image } else { mean };
            Ok((values.into(), found.scores))
        })?;
        let evaluations = vec![2; context.count()];
        Ok(Attribution::of(self, context, values, scores)?.with_evaluations(evaluations))
    }
}

const MIRRORED: Method = Method::new(
    "mirrored-gradient",
    "Gradient at both mirror images",
    "this example",
    |options| {
        options.apply(Mirrored {
            setup: options.setup(),
            times_input: false,
        })
    },
)
.takes_rules()
.options(Mirrored::OPTIONS);
// ANCHOR_END: method

fn explain() -> Result<(), Box<dyn Error>> {
    let defaults = "methods=gradient,mirrored-gradient,smooth-grad,grad-cam";
    let arguments = Arguments::read("own_method", defaults)?;
    let model = Model::embedded(&elucid::device::auto().device)?;
    let photo = model.prepare(&arguments.picture(photographs::dog_and_cat())?)?;
    let seen = Picture::from_image(photo.picture().clone())?;
    let class = model.classify(&photo)?.top(1)[0].index;

    // ANCHOR: use
    // From here on nobody knows which of the methods the library brought along.
    let methods = Methods::standard().with(MIRRORED);
    let mut section = GallerySection::new(model.label(class))
        .figure(Figure::new(&seen, "the photograph").caption("the photograph"));
    for name in arguments.list("methods") {
        let method = methods.find(name)?;
        let attributor = method.build(&MethodOptions::new())?;
        let found = attributor.attribute(&model, &photo, Target::class(class))?;
        println!("{found}");
        println!("  options: {}", found.configuration());
        let map = match method.place {
            Place::SpatialLayer => found.saliency(Reduce::Positive)?.upsampled(),
            _ => found.map()?.torchray(0.02),
        };
        let map = map.maps().index_axis(Axis(0), 0);
        let overlay = common::over(&seen, map)?;
        let mut figure = Figure::new(&overlay, method.title).caption(method.title);
        let case = Case::new(&model, &photo, class, map)?.attributor(&attributor);
        for measure in ["deletion", "sensitivity-max:samples=3"] {
            let measure = metric(measure, &MetricOptions::new())?;
            let outcome = measure.measure(&case)?;
            println!("  {}: {outcome}", measure.name());
            figure = figure.number(measure.name(), outcome.to_string());
        }
        section = section.figure(figure);
    }
    // ANCHOR_END: use
    let text = "A method that the library does not know, beside some that it does.";
    arguments.save_section("A method of one's own", text, section)
}

fn main() -> ExitCode {
    common::exit(explain())
}
