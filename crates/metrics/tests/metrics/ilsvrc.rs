//! Metrics of GoogLeNet on photographs with boxes: methods that see the object beat those that do
//! not.

use std::path::Path;

use crate::common::{assets, device, value};
use elucid_attribution::{Attribution, Attributor, ExcitationBackprop, GradCam, Gradient, Target};
use elucid_metrics::{Case, ClassMean, Localisation, MassAccuracy, Metric, Pointing, baseline};
use elucid_vision::Model;
use elucid_vision::input::Resize;
use ndarray::Array2;

const IMAGES: usize = 32;

struct Labelled {
    file: String,
    class: usize,
    boxes: Vec<[f32; 4]>,
}

/// Photographs of which boxes cover less than a quarter, the first ones of the list.
fn difficult(folder: &Path, size: [usize; 2]) -> Vec<Labelled> {
    let images = std::fs::read_to_string(folder.join("images.csv")).unwrap();
    let boxes = std::fs::read_to_string(folder.join("boxes.csv")).unwrap();
    let mut found: Vec<Labelled> = Vec::new();
    for line in boxes.lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        let numbers: Vec<f32> = cells[1..].iter().map(|c| c.parse().unwrap()).collect();
        let [width, height, class, x0, y0, x1, y1] = numbers[..] else {
            panic!("{line}")
        };
        // The middle of the picture is what the network sees.
        let (dx, dy) = (
            (width - size[1] as f32) / 2.0,
            (height - size[0] as f32) / 2.0,
        );
        let seen = [x0 - dx, y0 - dy, x1 - dx, y1 - dy];
        match found.last_mut().filter(|last| last.file == cells[0]) {
            Some(last) => last.boxes.push(seen),
            None => found.push(Labelled {
                file: cells[0].to_owned(),
                class: class as usize,
                boxes: vec![seen],
            }),
        }
    }
    let cover = |file: &str| {
        let row = images.lines().find(|line| line.starts_with(file)).unwrap();
        // Names of classes may hold commas; what follows them is counted from the end.
        let cells: Vec<&str> = row.split(',').collect();
        cells[cells.len() - 7].parse::<f32>().unwrap()
    };
    found.retain(|image| cover(&image.file) < 0.25);
    found.truncate(IMAGES);
    found
}

fn map_of(attribution: &Attribution, i: usize, smoothing: f32) -> Array2<f32> {
    let maps = attribution.map().unwrap().torchray(smoothing);
    maps.maps().index_axis(ndarray::Axis(0), i).to_owned()
}

#[test]
fn methods_beat_the_centre() {
    let Some(assets) = assets() else { return };
    let folder = assets.join("data/ilsvrc_val_boxes");
    if !folder.is_dir() {
        eprintln!("SKIPPED: no {}", folder.display());
        return;
    }
    let started = std::time::Instant::now();
    let path = assets.join("models/googlenet.onnx");
    let model = Model::open(&path, &device()).unwrap();
    // The pictures are stretched squares, and hardly larger than the input.
    let spec = model
        .input_spec()
        .clone()
        .with_resize(Resize::Squash)
        .unwrap();
    let model = Model::open_with(&path, &device(), spec).unwrap();
    let size = model.input_spec().size();
    let methods: Vec<(&str, f32, Box<dyn Attributor>)> = vec![
        ("gradient", 0.02, Box::new(Gradient::at_input())),
        ("grad-cam", 0.0, Box::new(GradCam::at_features())),
        (
            "excitation",
            0.0,
            Box::new(ExcitationBackprop::at("inception_4d")),
        ),
    ];
    let metrics: Vec<Box<dyn Metric>> = vec![
        Box::new(Pointing::torchray()),
        Box::new(Pointing::exact()),
        Box::new(MassAccuracy),
        Box::new(Localisation::mean(1.5).iou()),
    ];
    let rows = ["gradient", "grad-cam", "excitation", "centre", "random"];
    let mut table = vec![vec![ClassMean::new(); metrics.len()]; rows.len()];
    for (number, image) in difficult(&folder, size).into_iter().enumerate() {
        let picture = image::open(folder.join(&image.file)).unwrap();
        let photo = model.prepare(&picture).unwrap();
        let mut maps: Vec<Array2<f32>> = methods
            .iter()
            .map(|(_, smoothing, method)| {
                let target = Target::class(image.class);
                let found = method.attribute(&model, &photo, target).unwrap();
                map_of(&found, 0, *smoothing)
            })
            .collect();
        maps.push(baseline::centre(size[0], size[1]));
        maps.push(baseline::random(size[0], size[1], number as u64));
        for (map, row) in maps.iter().zip(&mut table) {
            let case = Case::new(&model, &photo, image.class, map.view())
                .unwrap()
                .boxes(&image.boxes)
                .unwrap();
            for (metric, mean) in metrics.iter().zip(row) {
                mean.add(image.class, value(metric.measure(&case).unwrap()));
            }
        }
    }
    println!(
        "{IMAGES} images in {:.1?}: pointing, exact, mass, IoU",
        started.elapsed()
    );
    let means: Vec<Vec<f64>> = table
        .iter()
        .map(|row| row.iter().map(|mean| mean.mean().unwrap()).collect())
        .collect();
    for (name, row) in rows.iter().zip(&means) {
        let cells: Vec<String> = row.iter().map(|v| format!("{v:.3}")).collect();
        println!("{name:>10}: {}", cells.join("  "));
    }
    let [gradient, grad_cam, excitation, centre, random] = &means[..] else {
        panic!()
    };
    for method in [grad_cam, excitation] {
        assert!(method[0] > centre[0].max(random[0]) + 0.1, "pointing");
        assert!(method[1] > centre[1].max(random[1]), "without tolerance");
        assert!(method[2] > centre[2].max(random[2]), "mass");
        // A box in the middle fits many objects: the centre is no bad guess of it.
        assert!(method[3] > random[3], "overlap");
    }
    assert!(gradient[0] > random[0] && gradient[2] > random[2]);
}
