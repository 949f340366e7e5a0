//! An operator of one's own: a network that uses one that ONNX does not have, opened and explained.
//!
//! `README.md` says what to expect.

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;

use common::Arguments;
use elucid::graph::{
    Attributes, Entry, Kernel, Known, Operands, Operator, Reach, Refused, Registry, Resolved,
    Slots, Windows,
};
use elucid::onnx::Importer;
use elucid::prelude::*;
use elucid::rules::Algebra;
use ndarray::Axis;

// ANCHOR: operator
/// `cap * tanh(x / cap)`: numbers kept below a cap, smoothly.
#[derive(Debug, Clone, Copy)]
struct Softcap {
    cap: f32,
}

impl Softcap {
    /// How a node of a file is read.
    fn read(attributes: &Attributes) -> Result<Arc<dyn Operator>, String> {
        let cap = attributes.float("cap").filter(|cap| *cap > 0.0);
        let cap = cap.ok_or("attribute cap must be a number above 0")?;
        Ok(Arc::new(Self { cap }))
    }
}

impl Operator for Softcap {
    fn kind(&self) -> OpKind {
        OpKind::new("com.acme.Softcap")
    }

    /// Relevance passes activations unchanged, DeepLIFT takes their rise, and so on.
    fn algebra(&self, _constant: &[bool]) -> Algebra {
        Algebra::Activation
    }

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        Ok(Resolved::one(*self, inputs.floats(0)?.shape.clone()))
    }
}

impl Kernel for Softcap {
    fn run(&self, mut inputs: Slots, _outputs: &[Known]) -> Vec<Activation> {
        let cap = self.cap;
        vec![inputs.take(0).map(|x| (x / cap).tanh() * cap)]
    }

    fn windows(&self, reach: &Reach<'_>) -> Option<Windows> {
        reach.element_wise()
    }
}
// ANCHOR_END: operator

fn explain() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::read("own_operator", "class=0")?;

    // ANCHOR: open
    // The operators of the library and one more. A network of a custom domain opens like any other.
    let registry = Registry::standard().with(Entry::of("com.acme", "Softcap", Softcap::read));
    let importer = Importer::new().operators(registry);
    let graph = importer.import(&include_bytes!("colours.onnx")[..])?;
    let spec = InputSpec::new([224, 224])?.with_normalisation(1.0 / 255.0, [0.0; 3], [1.0; 3])?;
    let model = Model::from_graph(graph, &elucid::device::auto().device, Some(spec))?;
    // ANCHOR_END: open

    let class: usize = arguments.get("class").parse()?;
    let photo = model.prepare(&arguments.picture(photographs::coffee())?)?;
    let seen = Picture::from_image(photo.picture().clone())?;
    println!("red, green, blue: {}", model.classify(&photo)?.logits());

    // Whatever asks for its algebra covers the operator, whatever differentiates it does so.
    let methods: [Box<dyn Attributor>; 4] = [
        Box::new(Lrp::epsilon()),
        Box::new(DeepLift::at_input()),
        Box::new(IntegratedGradients::adaptive(0.01)),
        Box::new(GradCam::at("capped")),
    ];
    let mut section = GallerySection::new("How red it is")
        .figure(Figure::new(&seen, "the photograph").caption("the photograph"));
    for method in methods {
        let target = Target::class(class);
        let found = method.attribute(&model, &photo, target)?;
        println!("{found}");
        let map = found.map()?.upsampled();
        let overlay = common::over(&seen, map.maps().index_axis(Axis(0), 0))?;
        section = section.figure(Figure::new(&overlay, method.name()).caption(method.name()));
    }
    let text = "A network with an operator that ONNX does not have, explained.";
    arguments.save_section("An operator of one's own", text, section)
}

fn main() -> ExitCode {
    common::exit(explain())
}
