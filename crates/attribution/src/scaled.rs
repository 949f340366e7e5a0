//! Lengths in pixels that were written for photographs, on smaller pictures.
//!
//! Windows, blurs and steps of 5 to 50 pixels suit the 224 pixels of the networks that methods were
//! published for. On a picture whose shorter side has fewer than [`USUAL`] pixels, those that nobody has
//! given shrink in proportion: a window that covers a whole picture points nowhere.

use crate::error::AttributionError;
use crate::methods::MethodOptions;

/// The shorter side from which on lengths are as published, in pixels.
pub(crate) const USUAL: f32 = 128.0;

/// By how much a length shrinks on pictures of `[height, width]`.
fn shrink([height, width]: [usize; 2]) -> f32 {
    (height.min(width) as f32 / USUAL).min(1.0)
}

/// A length of `pixels` on pictures of that size.
pub(crate) fn length(pixels: f32, size: [usize; 2]) -> f32 {
    pixels * shrink(size)
}

/// The same in whole pixels, 1 at least.
pub(crate) fn whole(pixels: usize, size: [usize; 2]) -> usize {
    match shrink(size) < 1.0 {
        true => (length(pixels as f32, size).round() as usize).max(1),
        false => pixels,
    }
}

/// Which of a method's lengths were given, by the names of their options.
#[derive(Debug, Clone, Default)]
pub(crate) struct Given(Vec<&'static str>);

impl Given {
    pub fn add(&mut self, option: &'static str) {
        self.0.push(option);
    }

    /// Those of these options that are among what was given as text.
    pub fn read(
        &mut self,
        options: &MethodOptions,
        names: &[&'static str],
    ) -> Result<(), AttributionError> {
        for name in names {
            if options.get::<String>(name, "a value")?.is_some() {
                self.add(name);
            }
        }
        Ok(())
    }

    pub fn has(&self, option: &str) -> bool {
        self.0.contains(&option)
    }

    /// Shrinks a length that was not given.
    pub fn fit(&self, option: &str, pixels: &mut f32, size: [usize; 2]) {
        if !self.has(option) {
            *pixels = length(*pixels, size);
        }
    }

    /// Shrinks a length in whole pixels that was not given.
    pub fn fit_whole(&self, option: &str, pixels: &mut usize, size: [usize; 2]) {
        if !self.has(option) {
            *pixels = whole(*pixels, size);
        }
    }
}

/// Options that shrink, and whether they are whole numbers.
const SCALED: &[(&str, &str, bool)] = &[
    ("occlusion", "window", true),
    ("blur-ig", "max-sigma", false),
    ("extremal-perturbation", "step", true),
    ("extremal-perturbation", "sigma", false),
    ("meaningful-perturbation", "mask-scale", true),
    ("meaningful-perturbation", "mask-blur", false),
    ("meaningful-perturbation", "offsets", true),
];

/// What an option of a method is on pictures of `[height, width]` where it is not given.
pub(crate) fn default_at(method: &str, option: &str, default: &str, size: [usize; 2]) -> String {
    let found = SCALED.iter().find(|(m, o, _)| (*m, *o) == (method, option));
    match (found, default.parse::<f32>()) {
        (Some((_, _, true)), Ok(pixels)) => whole(pixels as usize, size).to_string(),
        (Some(_), Ok(pixels)) => length(pixels, size).to_string(),
        (None, Ok(cells)) if (method, option) == ("rise", "cells") => {
            (cells as usize).min(size[0].min(size[1])).to_string()
        }
        _ if (method, option) == ("meaningful-perturbation", "disc") => {
            let parts = default.split(',').enumerate();
            let shrunk = parts.map(|(i, part)| match part.parse::<f32>() {
                Ok(pixels) if i < 2 => length(pixels, size).to_string(),
                _ => part.to_owned(),
            });
            shrunk.collect::<Vec<_>>().join(",")
        }
        _ => default.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_shrink_with_small_pictures_and_only_there() {
        assert_eq!(whole(32, [224, 224]), 32);
        assert_eq!(whole(32, [128, 300]), 32);
        assert_eq!(whole(32, [32, 300]), 8);
        assert_eq!(whole(7, [4, 4]), 1);
        assert_eq!(length(21.0, [64, 64]), 10.5);
        let at = |option, default| default_at("meaningful-perturbation", option, default, [64, 64]);
        assert_eq!(at("disc", "5,10,0.01"), "2.5,5,0.01");
        assert_eq!(at("offsets", "4"), "2");
        assert_eq!(at("l1", "0.0001"), "0.0001");
    }
}
