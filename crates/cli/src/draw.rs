//! Pictures of a map.

use elucid::Error;
use elucid::prelude::*;
use ndarray::{ArrayView2, ArrayView3};

/// How strongly a map covers the photograph.
const OPACITY: f32 = 0.6;

/// Where the colours end: a single outlier among a hundred cells does not leave the rest dark.
const PERCENTILE: f32 = 99.0;

/// Negative numbers below this share of the largest are rounding, not evidence.
const ROUNDING: f32 = 1e-6;

/// How the maps of one method are coloured.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    pub colors: ColorMap,
    normalisation: Normalisation,
}

impl Style {
    /// Diverging when any of the maps `[N, H, W]` goes below zero, sequential otherwise.
    pub fn of(maps: ArrayView3<'_, f32>) -> Self {
        let (low, largest) = maps.iter().fold((0.0_f32, 0.0_f32), |(low, largest), &v| {
            (low.min(v), largest.max(v.abs()))
        });
        match low < -ROUNDING * largest {
            true => Self {
                colors: ColorMap::Glow,
                normalisation: Normalisation::PercentileAbs(PERCENTILE),
            },
            false => Self {
                colors: ColorMap::Inferno,
                normalisation: Normalisation::Percentile(PERCENTILE),
            },
        }
    }

    /// Whether it tells negative numbers from zero.
    pub fn is_signed(self) -> bool {
        self.colors == ColorMap::Glow
    }

    /// Whether the map shows nothing at all.
    pub fn is_blank(self, map: ArrayView2<'_, f32>) -> bool {
        match self.is_signed() {
            true => map.iter().all(|&v| v == 0.0),
            false => map.iter().all(|&v| v <= 0.0),
        }
    }

    /// The map alone, and over the photograph.
    pub fn draw(self, photo: &Picture, map: ArrayView2<'_, f32>) -> Result<[Picture; 2], Error> {
        let heatmap = Picture::heat_map(map, self.colors, self.normalisation)?;
        let overlay = photo.overlay(&heatmap, OPACITY, Interpolation::Nearest)?;
        Ok([heatmap, overlay])
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, Array3, Axis, array};

    use super::*;

    fn drawn(map: Array2<f32>) -> (Style, Picture) {
        let style = Style::of(map.view().insert_axis(Axis(0)));
        let photo = Picture::from_rgb(Array3::zeros((1, 3, 3)).view()).unwrap();
        let [heatmap, _] = style.draw(&photo, map.view()).unwrap();
        (style, heatmap)
    }

    #[test]
    fn zero_is_the_centre_of_signed_maps_and_the_end_of_others() {
        let (style, picture) = drawn(array![[-1.0, 0.0, 3.0]]);
        assert!(style.is_signed());
        assert_eq!(picture.pixel(0, 1), ColorMap::Glow.map(0.5));
        let (style, picture) = drawn(array![[1.0, 0.0, 3.0]]);
        assert!(!style.is_signed());
        assert_eq!(picture.pixel(0, 1), ColorMap::Inferno.map(0.0));
        assert_eq!(picture.pixel(0, 2), ColorMap::Inferno.map(1.0));
        let (style, _) = drawn(array![[-1e-8, 0.0, 3.0]]);
        assert!(!style.is_signed(), "rounding is no evidence");
    }

    #[test]
    fn blank_maps_are_drawn_blank() {
        let (style, picture) = drawn(array![[0.0, 0.0, 0.0]]);
        assert!(style.is_blank(array![[0.0, 0.0, 0.0]].view()));
        for x in 0..3 {
            assert_eq!(picture.pixel(0, x), ColorMap::Inferno.map(0.0));
        }
        let signed = Style::of(array![[[-1.0, 2.0]]].view());
        assert!(!signed.is_blank(array![[-1.0, -1.0]].view()));
        assert!(signed.is_blank(array![[0.0, 0.0]].view()));
    }
}
