//! Sanity checks for saliency maps: what becomes of a map when the network forgets what it learned.
//!
//! The weights of a network are drawn anew, block by block from the scores down, as in *Sanity checks
//! for saliency maps* (Adebayo et al., 2018). `README.md` says what to expect.

use std::error::Error;
use std::process::ExitCode;

use common::Arguments;
use common::cascade::{Row, blocks, cascade, methods, to_csv};
use elucid::prelude::*;
use elucid::render::resample;
use ndarray::Axis;

/// Side of one map in the figure, and the distance to the next.
const SIDE: usize = 112;
const GAP: usize = 4;

fn run() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::read("sanity", "model")?;
    let device = elucid::device::auto();
    let model = Model::find(arguments.get("model"), &device.device, None)?;
    let photo = model.prepare(&arguments.picture(photographs::chelsea())?)?;

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
    let folder = arguments.new_folder()?;
    let path = folder.join("sanity.png");
    figure.save(&path)?;
    std::fs::write(folder.join("sanity.csv"), to_csv(&rows, &model))?;
    println!("open {}", path.display());
    Ok(())
}

fn figure(rows: &[Row], columns: &[usize]) -> Result<Picture, Box<dyn Error>> {
    let mut bands = Vec::new();
    for row in rows {
        let mut cells = Vec::new();
        for &column in columns {
            let map = row.maps[column].maps().index_axis(Axis(0), 0);
            let map = resample(map, SIDE, SIDE, Interpolation::Bilinear)?;
            // Few pixels are far brighter than the rest: the brightest half per cent are white.
            let range = Normalisation::Percentile(99.5);
            cells.push(Picture::heat_map(map.view(), ColorMap::Inferno, range)?);
        }
        bands.push(Picture::beside(&cells, GAP)?);
    }
    Ok(Picture::below(&bands, GAP)?)
}

fn main() -> ExitCode {
    common::exit(run())
}
