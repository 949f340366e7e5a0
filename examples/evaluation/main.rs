//! Evaluation: which explanation is better, and how sure is that?
//!
//! Without arguments a few methods explain committed photographs and are measured by what the
//! library offers: the same loop fits any images with boxes. With `--results` the tables of
//! `docs/evaluation.md` are made from what `elucid evaluate` measured on a thousand images. With
//! `--combine` the maps that it kept are made into one by a formula, to be measured in turn.
//! `README.md` says what to expect.

use std::error::Error;
use std::process::ExitCode;

use elucid::attribution::{Method, MethodOptions, Place};
use elucid::metrics::{Bootstrap, Case, Direction, Metric, MetricOptions, baseline, metric};
use elucid::prelude::*;
use image::DynamicImage;
use ndarray::{Array2, Axis};

use common::{Arguments, combine, study};

/// Twelve ways to explain, and the smoothing that TorchRay gives to maps of pixels.
const METHODS: &str = "gradient,guided-backprop,smooth-grad,integrated-gradients,deep-lift,lrp,\
                       grad-cam,layer-cam,excitation-backprop,occlusion,rise,kernel-shap";
const SMOOTH: f32 = 0.02;

const METRICS: [&str; 5] = [
    "pointing:0",
    "mass-accuracy",
    "rank-accuracy",
    "insertion-fast:steps=16",
    "deletion-fast:steps=16",
];

/// A photograph, the class that is explained, and where its object lies in the photograph.
struct Labelled {
    title: &'static str,
    picture: DynamicImage,
    class: usize,
    /// `[xmin, ymin, xmax, ymax]` in pixels of the photograph.
    object: [f32; 4],
}

/// A photograph by its title and file, what networks call its object, and the object's box.
type Known = (
    &'static str,
    &'static [u8],
    &'static [&'static str],
    [f32; 4],
);

/// The committed photographs of whatever the network has a class for, with boxes drawn by eye. The
/// first is half a dog and half a cat: a map that says the same of both classes misses one of them.
fn photographs_with_boxes(model: &Model) -> Result<Vec<Labelled>, Box<dyn Error>> {
    let (dog, cat) = (&["dog", "German shepherd"], &["cat", "Egyptian cat"]);
    let both = photographs::dog_and_cat();
    let known: [Known; 6] = [
        ("dog, and cat", both, dog, [0.0, 0.0, 160.0, 320.0]),
        ("cat, and dog", both, cat, [160.0, 0.0, 320.0, 320.0]),
        ("dog", photographs::dog(), dog, [38.0, 26.0, 905.0, 735.0]),
        (
            "cat",
            photographs::chelsea(),
            cat,
            [20.0, 0.0, 400.0, 300.0],
        ),
        (
            "panda",
            photographs::panda(),
            &["giant panda"],
            [210.0, 50.0, 850.0, 590.0],
        ),
        (
            "coffee",
            photographs::coffee(),
            &["espresso"],
            [175.0, 15.0, 430.0, 310.0],
        ),
    ];
    let mut found = Vec::new();
    for (title, bytes, names, object) in known {
        if let Some(class) = names.iter().find_map(|name| model.class(name).ok()) {
            found.push(Labelled {
                title,
                picture: elucid::vision::input::decode_image(bytes)?,
                class,
                object,
            });
        }
    }
    match found.is_empty() {
        true => Err("the network has a class for none of the photographs".into()),
        false => Ok(found),
    }
}

/// One method on one photograph.
struct Explained {
    map: Array2<f32>,
    /// One number for each metric; `None` where it is not applicable.
    values: Vec<Option<f64>>,
}

fn measure_photographs(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let device = elucid::device::auto();
    let name = arguments.get("model");
    // The whole photograph is squashed into the input, so that boxes only need scaling.
    let spec = Model::find(name, &device.device, None)?
        .input_spec()
        .clone();
    let spec = spec.with_resize(Resize::Squash)?;
    let [height, width] = spec.size();
    let model = Model::find(name, &device.device, Some(spec))?;
    let metrics = METRICS
        .iter()
        .map(|name| metric(name, &MetricOptions::new()))
        .collect::<Result<Vec<_>, _>>()?;
    let methods = arguments
        .list("methods")
        .into_iter()
        .map(Method::find)
        .collect::<Result<Vec<_>, _>>()?;

    let images = photographs_with_boxes(&model)?;
    let mut rows: Vec<(String, Vec<Explained>)> = Vec::new();
    for method in &methods {
        rows.push((method.title.to_owned(), Vec::new()));
    }
    for name in ["centre", "random"] {
        rows.push((name.to_owned(), Vec::new()));
    }
    for (number, image) in images.iter().enumerate() {
        let photo = model.prepare(&image.picture)?;
        let class = image.class;
        let [x0, y0, x1, y1] = image.object;
        let along_x = width as f32 / image.picture.width() as f32;
        let along_y = height as f32 / image.picture.height() as f32;
        let object = [x0 * along_x, y0 * along_y, x1 * along_x, y1 * along_y];
        let mut maps = Vec::new();
        for method in &methods {
            let attributor = method.build(&quick(method))?;
            let attribution = attributor.attribute(&model, &photo, Target::class(class))?;
            maps.push(map_of(method, &attribution)?);
        }
        maps.push(baseline::centre(height, width));
        maps.push(baseline::random(height, width, number as u64));
        for (map, (_, row)) in maps.into_iter().zip(&mut rows) {
            let case = Case::new(&model, &photo, class, map.view())?.boxes(&[object])?;
            let values = metrics
                .iter()
                .map(|metric| metric.measure(&case).map(|outcome| outcome.value()))
                .collect::<Result<_, _>>()?;
            row.push(Explained { map, values });
        }
        println!("measured {} methods on: {}", methods.len(), image.title);
    }

    let heads: Vec<String> = METRICS
        .iter()
        .zip(&metrics)
        .map(|(name, metric)| match metric.direction() {
            Direction::Larger => format!("{name} ↑"),
            Direction::Smaller => format!("{name} ↓"),
        })
        .collect();
    let mut table = GallerySection::new("Means over the photographs")
        .text("Arrows say whether larger or smaller is better. A few photographs are far too few to rank methods: the intervals say how little is known.")
        .heads(&heads);
    println!("\n{:<28} {}", "method", heads.join("  "));
    for (title, row) in &rows {
        let mut cells = Vec::new();
        for column in 0..metrics.len() {
            let values: Vec<f64> = row.iter().filter_map(|e| e.values[column]).collect();
            cells.push(match Bootstrap::new().mean(&values)? {
                Some(e) => format!("{:.2} ({:.2} to {:.2})", e.mean, e.low, e.high),
                None => "not applicable".to_owned(),
            });
        }
        println!("{title:<28} {}", cells.join("  "));
        table = table.numbers(title, cells);
    }

    let mut drawn = GallerySection::new("The maps").columns(
        images
            .iter()
            .map(|image| format!("{}: {}", image.title, model.label(image.class))),
    );
    for (title, row) in &rows {
        let mut figures = Vec::new();
        for (image, explained) in images.iter().zip(row) {
            let seen = Picture::from_image(model.prepare(&image.picture)?.picture().clone())?;
            let map = explained.map.view();
            let over = common::over(&seen, map)?;
            let mut figure = Figure::new(&over, format!("{title} on {}", image.title));
            for (name, value) in METRICS.iter().zip(&explained.values) {
                let text = value.map_or("not applicable".to_owned(), |v| format!("{v:.2}"));
                figure = figure.number(*name, text);
            }
            figures.push(figure);
        }
        drawn = drawn.row(title.clone(), figures);
    }
    arguments.save(
        &Gallery::new("Which explanation is better?")
            .text("A few methods on committed photographs, measured by where their maps lie and by what happens to the class when pixels are shown or hidden in their order.")
            .fact("Model", model.name())
            .section(table)
            .section(drawn),
    )
}

/// A method's usual options, but for fewer samples where there are many.
fn quick(method: &Method) -> MethodOptions {
    let few: &[(&str, &str)] = match method.takes("segments") {
        true => &[("segments", "grid:7"), ("samples", "200")],
        false => &[("samples", "20"), ("masks", "400"), ("iterations", "100")],
    };
    few.iter()
        .filter(|(option, _)| method.takes(option))
        .fold(MethodOptions::new(), |options, (name, value)| {
            options.set(name, value)
        })
}

/// The method's map at the size of the image: maps of features by their positive part, maps of
/// pixels smoothed a little, both as TorchRay has them.
fn map_of(method: &Method, attribution: &Attribution) -> Result<Array2<f32>, Box<dyn Error>> {
    let maps = match method.place {
        Place::SpatialLayer => attribution.saliency(Reduce::Positive)?.upsampled(),
        Place::Tokens => attribution.map()?.upsampled(),
        Place::Input | Place::AnyLayer => attribution.map()?.torchray(SMOOTH),
    };
    Ok(maps.maps().index_axis(Axis(0), 0).to_owned())
}

fn run() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::read(
        "evaluation",
        &format!("model methods={METHODS} results data combine formula"),
    )?;
    match (
        arguments.list("results").as_slice(),
        arguments.get("combine"),
    ) {
        ([], "") => measure_photographs(&arguments),
        (_, folder) if !folder.is_empty() => {
            let out = arguments.new_folder()?;
            let count = combine::write(folder, arguments.get("formula"), &out)?;
            println!("{count} maps in {}", out.display());
            Ok(())
        }
        (folders, _) => {
            print!("{}", study::tables(folders, arguments.get("data"))?);
            Ok(())
        }
    }
}

fn main() -> ExitCode {
    common::exit(run())
}
