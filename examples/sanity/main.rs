//! Sanity checks for saliency maps: what becomes of a map when the network forgets what it learned.
//!
//! The weights of a network are drawn anew, block by block from the scores down, as in *Sanity checks
//! for saliency maps* (Adebayo et al., 2018). `README.md` says what to expect.

use std::error::Error;
use std::process::ExitCode;

use common::Arguments;
use common::cascade::{Row, blocks, cascade, methods, to_csv};
use elucid::prelude::*;
use elucid::render::{ContactSheet, resample};
use ndarray::Axis;

/// Side of one map in the figure.
const SIDE: usize = 224;

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
    let title = format!("Cascading randomisation of {}", model.name());
    let figure = figure(&title, &rows, &blocks, &columns)?;
    let folder = arguments.new_folder()?;
    let path = folder.join("sanity.png");
    figure.save(&path)?;
    std::fs::write(folder.join("sanity.csv"), to_csv(&rows, &model))?;
    println!("open {}", path.display());
    Ok(())
}

/// Each map above its method, down to where the network is random, and how much of the first map is left.
fn figure(
    title: &str,
    rows: &[Row],
    blocks: &[String],
    columns: &[usize],
) -> Result<Picture, Box<dyn Error>> {
    let mut sheet = ContactSheet::new(title);
    for row in rows {
        for &column in columns {
            let map = row.maps[column].maps().index_axis(Axis(0), 0);
            let map = resample(map, SIDE, SIDE, Interpolation::Bilinear)?;
            // Few pixels are far brighter than the rest: the brightest half per cent are white.
            let range = Normalisation::Percentile(99.5);
            let picture = Picture::heat_map(map.view(), ColorMap::Inferno, range)?;
            let words = match column {
                0 => [row.method.clone(), "trained".to_owned(), String::new()],
                _ => [
                    row.method.clone(),
                    format!("random to {}", blocks[column - 1]),
                    format!("rank correlation {:.2}", row.spearman[column]),
                ],
            };
            sheet = sheet.picture(picture, words);
        }
    }
    Ok(sheet.draw(columns.len())?)
}

fn main() -> ExitCode {
    common::exit(run())
}
