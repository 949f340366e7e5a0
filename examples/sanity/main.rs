//! Sanity checks for saliency maps: what becomes of a map when the network forgets what it learned.
//!
//! The weights of a network are drawn anew, block by block from the scores down, as in *Sanity checks
//! for saliency maps* (Adebayo et al., 2018). `README.md` says what to expect.

mod cascade;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use cascade::{Row, blocks, cascade, methods, to_csv};
use elucid::graph::input::decode_image;
use elucid::prelude::*;
use elucid::render::resample;
use ndarray::{Array3, Axis};

/// Side of one map in the figure, and the distance to the next.
const SIDE: usize = 112;
const GAP: usize = 4;

fn run() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let model = arguments.next().unwrap_or("squeezenet1_1".to_owned());
    let folder = PathBuf::from(
        arguments
            .next()
            .unwrap_or("elucid-output/sanity".to_owned()),
    );

    let device = elucid::device::auto();
    let model = Model::find(&model, &device.device, None)?;
    let photo = model.prepare(&decode_image(photographs::chelsea())?)?;

    // Each method explains the class that the trained network sees, first in that network, then in
    // one whose last block is random, and so on down to the first.
    let blocks = blocks(&model);
    let rows = cascade(&methods(), &model, &photo, blocks.len(), 0)?;

    // How much of the first map is left in each of the others, 1 being all of it.
    println!("rank correlation with the trained network's map");
    println!("{:<16} {}", "random down to", blocks.join(" "));
    for row in &rows {
        let numbers = row.spearman[1..].iter().zip(&blocks);
        let numbers: Vec<String> = numbers
            .map(|(value, block)| format!("{value:>width$.2}", width = block.len()))
            .collect();
        println!("{:<16} {}", row.method, numbers.join(" "));
    }

    // One row for each method; columns: trained, the last block random, every second one from there.
    let columns: Vec<usize> = std::iter::once(0)
        .chain((1..=blocks.len()).step_by(2))
        .collect();
    let figure = figure(&rows, &columns)?;
    std::fs::create_dir_all(&folder)?;
    let path = folder.join("sanity.png");
    figure.save(&path)?;
    std::fs::write(folder.join("sanity.csv"), to_csv(&rows, &model))?;
    println!("open {}", path.display());
    Ok(())
}

fn figure(rows: &[Row], columns: &[usize]) -> Result<Picture, Box<dyn Error>> {
    let mut bands: Vec<Array3<u8>> = Vec::new();
    for row in rows {
        let mut cells = Vec::new();
        for &column in columns {
            let map = row.maps[column].maps().index_axis(Axis(0), 0);
            let map = resample(map, SIDE, SIDE, Interpolation::Bilinear)?;
            // Few pixels are far brighter than the rest: the brightest half per cent are white.
            let mut values: Vec<f32> = map.iter().copied().collect();
            values.sort_by(f32::total_cmp);
            let high = values[values.len() * 199 / 200].max(f32::MIN_POSITIVE);
            let range = Normalisation::Range { low: 0.0, high };
            cells.push(Picture::heat_map(map.view(), ColorMap::Inferno, range)?);
        }
        let band = Picture::beside(&cells, GAP)?.to_rgb();
        if !bands.is_empty() {
            bands.push(Array3::from_elem((GAP, band.dim().1, 3), 255));
        }
        bands.push(band);
    }
    let bands: Vec<_> = bands.iter().map(Array3::view).collect();
    Ok(Picture::from_rgb(
        ndarray::concatenate(Axis(0), &bands)?.view(),
    )?)
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
