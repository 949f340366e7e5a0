//! The figure of a run: photographs and maps in rows and columns, for papers and slides.

use elucid::Error;
use elucid::render::{Plate, PlateCell};

use super::compute::{Results, Work};
use super::run::Run;

/// With names as text.
pub const DRAWING: &str = "figure.svg";
/// In pixels, for slides.
const PICTURE: &str = "figure.png";
/// For papers.
const DOCUMENT: &str = "figure.pdf";

/// The files, by name.
pub fn of(work: &Work<'_>, results: &Results) -> Result<[(&'static str, Vec<u8>); 3], Error> {
    let names = work.runs.iter().map(name);
    let mut plate = Plate::new(std::iter::once("Photograph".to_owned()).chain(names));
    for (i, photo) in work.photos.iter().enumerate() {
        let mut cells = vec![PlateCell::new(photo.marked(&photo.picture)?)];
        for run in 0..work.runs.len() {
            let mut shown = results.shown.iter();
            let shown = shown.find(|shown| shown.run == run && shown.photo == i);
            let drawn = shown.and_then(|shown| Some((shown.overlay.clone()?, shown.bar?)));
            cells.push(match drawn {
                Some((overlay, (colors, range))) => PlateCell::new(overlay).bar(colors, range),
                None => PlateCell::absent(),
            });
        }
        plate = plate.row(format!("{}: {}", photo.name, photo.target.name), cells);
    }
    Ok([
        (DRAWING, plate.svg()?.into_bytes()),
        (PICTURE, plate.picture()?.to_png_bytes()?),
        (DOCUMENT, plate.pdf()?),
    ])
}

/// The method, and the layer where one was asked for.
fn name(run: &Run) -> String {
    let title = run.method.title;
    match (&run.layer, &run.fused[..]) {
        (None, []) => title.to_owned(),
        _ => format!("{title}, {}", run.place()),
    }
}
