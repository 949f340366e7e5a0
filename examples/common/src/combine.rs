//! One map of several: the product of powers of them.
//!
//! What several methods agree on is large in the product, and what one of them alone points at is not. Each factor is the positive part
//! of a map over its largest value, plus a floor, so that where one map is zero the others still order the pixels:
//!
//! `exp(sum_k w_k ln(max(m_k, 0) / max(m_k) + 0.001))`

use std::error::Error;
use std::path::Path;

use elucid::attribution::Saliency;
use elucid::study::{self, Found, maps};
use ndarray::{Array2, Axis, Zip};

/// Added to each factor.
const FLOOR: f32 = 1e-3;

/// A method of a study and its exponent.
type Factor = (String, f32);

/// Reads `lrp:smooth=0.02^2*deep-lift:smooth=0.02`: factors with stars between them, each a method as its study calls it, and
/// its exponent, 1 if none is given.
fn factors(text: &str) -> Result<Vec<Factor>, Box<dyn Error>> {
    let factor = |text: &str| -> Result<Factor, Box<dyn Error>> {
        let Some((method, exponent)) = text.rsplit_once('^') else {
            return Ok((text.trim().to_owned(), 1.0));
        };
        let number = exponent.trim().parse::<f32>().ok();
        let number = number.filter(|number| number.is_finite());
        let number = number.ok_or_else(|| format!("\"{exponent}\" is no exponent"))?;
        Ok((method.trim().to_owned(), number))
    };
    text.split('*').map(factor).collect()
}

/// The product of powers of maps of the same size.
fn product<'m>(maps: impl IntoIterator<Item = (&'m Array2<f32>, f32)>) -> Option<Array2<f32>> {
    let mut sum: Option<Array2<f32>> = None;
    for (map, exponent) in maps {
        let largest = map.iter().copied().fold(0.0, f32::max);
        let scale = if largest > 0.0 { 1.0 / largest } else { 0.0 };
        let sum = sum.get_or_insert_with(|| Array2::zeros(map.dim()));
        Zip::from(sum)
            .and(map)
            .for_each(|sum, value| *sum += exponent * (value.max(0.0) * scale + FLOOR).ln());
    }
    sum.map(|sum| sum.exp())
}

/// Writes the product for each image of a study that kept the maps of all its factors, as `.npy` that
/// `elucid evaluate --maps` reads, into a folder. How many there are.
pub fn write(folder: &str, formula: &str, out: &Path) -> Result<usize, Box<dyn Error>> {
    let folder = Path::new(folder);
    let (settings, found) = study::read(folder)?;
    let size = [settings.input.height, settings.input.width];
    let factors = factors(formula)?;
    let rows: Vec<usize> = (factors.iter())
        .map(|(method, _)| row_of(&found, method))
        .collect::<Result<_, _>>()?;
    let mut written = 0;
    for (image, ..) in found.seen() {
        let planned = &found.planned()[image];
        let mut large = Vec::new();
        for &row in &rows {
            let Some(file) = found.map_file(image, row) else {
                break;
            };
            let Some(map) = maps::read(folder, file)?.remove(&planned.number) else {
                break;
            };
            let map = Saliency::new(map.insert_axis(Axis(0)), size).upsampled();
            large.push(map.maps().index_axis(Axis(0), 0).to_owned());
        }
        if large.len() < rows.len() {
            continue;
        }
        let exponents = factors.iter().map(|(_, exponent)| *exponent);
        if let Some(map) = product(large.iter().zip(exponents)) {
            let stem = Path::new(&planned.file).file_stem().unwrap_or_default();
            let mut labels = found.planned().iter();
            let label = match labels.any(|p| p.file == planned.file && p.class != planned.class) {
                true => format!(".{}", planned.class),
                false => String::new(),
            };
            let name = format!("{}{label}.npy", stem.to_string_lossy());
            ndarray_npy::write_npy(out.join(name), &map)?;
            written += 1;
        }
    }
    match written {
        0 => Err(format!(
            "{} keeps no maps of all of {formula}: measure it with --save-maps",
            folder.display()
        )
        .into()),
        written => Ok(written),
    }
}

fn row_of(found: &Found, method: &str) -> Result<usize, Box<dyn Error>> {
    let place = found.rows().iter().position(|row| row == method);
    let known = found.rows().join(", ");
    Ok(place.ok_or_else(|| format!("the study has no method {method}, but {known}"))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_are_read() {
        let read = |text| factors(text).unwrap();
        assert_eq!(
            read("lrp:smooth=0.02^2 * deep-lift"),
            [
                ("lrp:smooth=0.02".to_owned(), 2.0),
                ("deep-lift".to_owned(), 1.0)
            ]
        );
        assert!(factors("lrp^x").is_err());
        assert!(factors("lrp^inf").is_err());
    }

    #[test]
    fn products_are_as_by_hand() {
        let a = ndarray::array![[2.0_f32, -1.0], [1.0, 0.0]];
        let b = ndarray::array![[0.0_f32, 0.0], [0.0, 4.0]];
        let map = product([(&a, 2.0), (&b, 1.0)]).unwrap();
        let by_hand = [
            1.001_f32.powi(2) * 0.001,
            0.001_f32.powi(2) * 0.001,
            0.501_f32.powi(2) * 0.001,
            0.001_f32.powi(2) * 1.001,
        ];
        for (value, hand) in map.iter().zip(by_hand) {
            assert!((value / hand - 1.0).abs() < 1e-4, "{value} {hand}");
        }
        // A map of nothing orders nothing.
        let map = product([(&a, 1.0), (&Array2::zeros((2, 2)), 1.0)]).unwrap();
        assert!(map[[0, 0]] > map[[1, 0]] && map[[1, 0]] > map[[0, 1]]);
    }
}
