//! The files of a run: arrays, pictures, the page.

use elucid::Error;
use elucid::prelude::*;
use elucid::render::orange_blue;
use ndarray::{Array2, ArrayView2, ArrayView3, Axis};

use super::compute::{Hint, Results, Work};
use super::{PAGE, page};
use crate::error::CliError;
use crate::output::Files;
use crate::pictures::enlarged;

/// How strongly a map covers the photograph.
const OPACITY: f32 = 0.6;

/// Every file but the report.
pub fn of(work: &Work<'_>, results: &Results) -> Result<Files, CliError> {
    let mut files = Files::default();
    files.add(
        PAGE,
        page::of(work, results)
            .render()
            .map_err(Error::from)?
            .into_bytes(),
    );

    let photo = enlarged(&results.seen.photo)?;
    files.add("photograph.png", photo.to_png_bytes()?);
    let slugs = slugs(&results.hints);
    for view in &results.views {
        // With one set of rules there is nothing to tell apart.
        let suffix = match results.views.len() {
            1 => String::new(),
            _ => format!("_{}", view.rules.name()),
        };
        files.add_npy(format!("spatial{suffix}.npy"), view.maps.maps())?;
        let Some(hints) = &view.hints else {
            continue;
        };
        for (side, maps) in [("from", &hints.from), ("to", &hints.to)] {
            let hint = two_classes(&photo, maps.view())?;
            files.add(format!("hints_{side}{suffix}.png"), hint.to_png_bytes()?);
            for (slug, map) in slugs.iter().zip(maps.outer_iter()) {
                let name = format!("class_{slug}_{side}{suffix}");
                files.add_npy(format!("{name}.npy"), &map)?;
                files.add(
                    format!("{name}.png"),
                    one_class(&photo, map)?.to_png_bytes()?,
                );
            }
        }
    }
    Ok(files)
}

/// The hints of one class in orange, or of two in orange and blue, as on the page.
fn two_classes(photo: &Picture, maps: ArrayView3<'_, f32>) -> Result<Picture, Error> {
    let first = maps.index_axis(Axis(0), 0);
    let none = Array2::zeros(first.dim());
    let second = match maps.len_of(Axis(0)) {
        1 => none.view(),
        _ => maps.index_axis(Axis(0), 1),
    };
    let colours = Picture::from_unit_rgb(orange_blue(first, second)?.view())?;
    Ok(photo.overlay(&colours, OPACITY, Interpolation::Nearest)?)
}

/// The signed hints of one class: green speaks for it, pink against it.
fn one_class(photo: &Picture, map: ArrayView2<'_, f32>) -> Result<Picture, Error> {
    let (colours, scale) = (ColorMap::Glow, Normalisation::MaxAbs);
    Ok(photo.overlay_map(map, colours, scale, OPACITY, Interpolation::Nearest)?)
}

/// The targets' names as parts of file names, no two the same.
fn slugs(hints: &[Hint]) -> Vec<String> {
    unlike(hints.iter().map(|hint| (hint.label.as_str(), hint.number)))
}

/// Slugs of names, with their numbers where two would be the same or nothing is left of one.
fn unlike<'n>(names: impl Iterator<Item = (&'n str, usize)>) -> Vec<String> {
    let names: Vec<(String, usize)> = names.map(|(name, number)| (slug(name), number)).collect();
    let count = |name: &String| names.iter().filter(|(other, _)| other == name).count();
    let numbered = |(name, number): &(String, usize)| match count(name) {
        _ if name.is_empty() => number.to_string(),
        1 => name.clone(),
        _ => format!("{name}_{number}"),
    };
    names.iter().map(numbered).collect()
}

/// Letters and digits, with one underscore for whatever lies between.
fn slug(label: &str) -> String {
    let words = label
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty());
    words
        .map(str::to_ascii_lowercase)
        .collect::<Vec<_>>()
        .join("_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn class_names_become_file_names() {
        assert_eq!(slug("Egyptian cat"), "egyptian_cat");
        assert_eq!(slug("jack-o'-lantern"), "jack_o_lantern");
        assert_eq!(slug("../../etc"), "etc");
        let slugs = |names: [(&'static str, usize); 2]| unlike(names.into_iter());
        assert_eq!(
            slugs([("crane", 134), ("crane", 517)]),
            ["crane_134", "crane_517"]
        );
        assert_eq!(slugs([("a", 0), ("b", 1)]), ["a", "b"]);
        assert_eq!(slugs([("猫", 0), ("犬", 1)]), ["0", "1"]);
    }
}
