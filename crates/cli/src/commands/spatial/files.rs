//! The files of a run: arrays, pictures, the page.

use std::path::Path;

use elucid::Error;
use elucid::prelude::*;
use elucid::render::orange_blue;
use elucid::vision::Guess;
use ndarray::{Array2, ArrayView2, ArrayView3, Axis};

use super::compute::Results;
use super::{PAGE, page};
use crate::error::CliError;
use crate::output::Files;
use crate::pictures::enlarged;

/// How strongly a map covers the photograph.
const OPACITY: f32 = 0.6;

/// Every file but the report.
pub fn of(results: &Results, model: &Model, image: &Path) -> Result<Files, CliError> {
    let mut files = Files::default();
    files.add(
        PAGE,
        page::of(results, model, image)
            .render()
            .map_err(Error::from)?
            .into_bytes(),
    );

    let photo = enlarged(&results.photo)?;
    files.add("photograph.png", photo.to_png_bytes()?);
    let slugs = slugs(&results.classes);
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

/// The classes' names as parts of file names, no two the same.
fn slugs(classes: &[Guess]) -> Vec<String> {
    let names: Vec<String> = classes.iter().map(|class| slug(&class.label)).collect();
    let count = |name: &String| names.iter().filter(|other| *other == name).count();
    let numbered = |(name, class): (&String, &Guess)| match count(name) {
        _ if name.is_empty() => class.index.to_string(),
        1 => name.clone(),
        _ => format!("{name}_{}", class.index),
    };
    names.iter().zip(classes).map(numbered).collect()
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

    fn guess(index: usize, label: &str) -> Guess {
        Guess {
            index,
            label: label.to_owned(),
            probability: Some(0.5),
            logit: 0.0,
        }
    }

    #[test]
    fn class_names_become_file_names() {
        assert_eq!(slug("Egyptian cat"), "egyptian_cat");
        assert_eq!(slug("jack-o'-lantern"), "jack_o_lantern");
        assert_eq!(slug("../../etc"), "etc");
        assert_eq!(
            slugs(&[guess(134, "crane"), guess(517, "crane")]),
            ["crane_134", "crane_517"]
        );
        assert_eq!(slugs(&[guess(0, "a"), guess(1, "b")]), ["a", "b"]);
        assert_eq!(slugs(&[guess(0, "猫"), guess(1, "犬")]), ["0", "1"]);
    }
}
