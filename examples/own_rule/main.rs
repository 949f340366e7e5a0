//! A rule of one's own: rectifiers that hand back another gradient than their own.
//!
//! `README.md` says what to expect.

use std::error::Error;
use std::process::ExitCode;

use burn::tensor::Tensor;
use burn::tensor::activation::relu;
use common::Arguments;
use elucid::prelude::*;
use ndarray::Axis;

// ANCHOR: rule
/// A ReLU that lets a share of the gradient through where it is closed, as if it were leaky.
#[derive(Debug, Clone, Copy)]
struct LeakyGradient {
    leak: f32,
}

impl GradRule for LeakyGradient {
    fn name(&self) -> String {
        format!("leaky gradient {}", self.leak)
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        relu(x)
    }

    fn backward(&self, x: Tensor<4>, _y: Tensor<4>, gradient: Tensor<4>) -> Tensor<4> {
        let open = x.greater_scalar(0.0).float();
        gradient * (open * (1.0 - self.leak) + self.leak)
    }
}
// ANCHOR_END: rule

fn explain() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::read("own_rule", "leak=0.1")?;
    let model = Model::embedded(&elucid::device::auto().device)?;
    let photo = model.prepare(&arguments.picture(photographs::dog_and_cat())?)?;
    let seen = Picture::from_image(photo.picture().clone())?;
    let class = model.classify(&photo)?.top(1)[0].index;

    // ANCHOR: use
    // Rules belong to one pass: the model is what it was, and other rules stand beside this one.
    let leak = arguments.get("leak").parse()?;
    let rules = [
        Rules::new(),
        Rules::new().on(OpKind::Relu, LeakyGradient { leak }),
        Rules::new()
            .on(OpKind::Relu, LeakyGradient { leak })
            .on(OpKind::MaxPool, SmoothMaxPool::blurred()),
        Rules::preset("guided")?,
    ];
    // ANCHOR_END: use
    let mut section = GallerySection::new(model.label(class))
        .figure(Figure::new(&seen, "the photograph").caption("the photograph"));
    for rules in &rules {
        let method = Gradient::at_input().rules(rules);
        let found = method.attribute(&model, &photo, Target::class(class))?;
        println!("{found}");
        let map = found.map()?.torchray(0.02);
        let overlay = common::over(&seen, map.maps().index_axis(Axis(0), 0))?;
        let mut figure = Figure::new(&overlay, rules.name()).caption(rules.name());
        for used in found.rule_uses() {
            figure = figure.number(&used.rule, format!("at {} operators", used.operators));
        }
        section = section.figure(figure);
    }
    let text = "The gradient at the photograph, through rectifiers that hand back other gradients.";
    arguments.save_section("A rule of one's own", text, section)
}

fn main() -> ExitCode {
    common::exit(explain())
}
