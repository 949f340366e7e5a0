//! How a map of any method is coloured.

use ndarray::{ArrayView2, ArrayView3};

use crate::{ColorMap, Interpolation, Normalisation, Picture, RenderError};

/// How strongly a map covers the photograph.
const OPACITY: f32 = 0.6;

/// With zero in the centre.
const CENTRED: Normalisation = Normalisation::PercentileAbs(Normalisation::PERCENTILE);

/// Negative numbers below this share of the largest are rounding, not evidence.
const ROUNDING: f32 = 1e-6;

/// Maps whose smallest value is above this share of the largest are drawn from their smallest value
/// on: RISE's hover far above zero, and would be one bright field.
const HOVERING: f32 = 0.25;

/// Colours and scale that suit a map, chosen by its values.
///
/// | values | colours | scale |
/// | --- | --- | --- |
/// | some below zero | [`ColorMap::Glow`], zero in its centre | [`Normalisation::PercentileAbs`] of 99 |
/// | from zero on | [`ColorMap::Inferno`] | [`Normalisation::Percentile`] of 99 |
/// | all above a quarter of the largest | [`ColorMap::Inferno`] | [`Normalisation::MinMax`] |
///
/// Where one of both is chosen the other follows it: colours with two sides have zero in their centre, and a scale has such colours
/// where it has zero in its centre.
#[derive(Debug, Clone, Copy)]
#[must_use]
pub struct MapStyle {
    values: Values,
    /// As far as they were chosen.
    colors: Option<ColorMap>,
    normalisation: Option<Normalisation>,
    opacity: f32,
}

/// Where the values of the maps lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Values {
    /// Some below zero.
    Signed,
    /// From zero on.
    Positive,
    /// Not the same everywhere, and all far above zero.
    Hovering,
}

impl Values {
    fn colors(self) -> ColorMap {
        match self {
            Self::Signed => ColorMap::Glow,
            Self::Positive | Self::Hovering => ColorMap::Inferno,
        }
    }

    fn normalisation(self) -> Normalisation {
        match self {
            Self::Signed => CENTRED,
            // A single outlier among a hundred cells does not leave the rest dark.
            Self::Positive => Normalisation::Percentile(Normalisation::PERCENTILE),
            Self::Hovering => Normalisation::MinMax,
        }
    }
}

impl MapStyle {
    /// The style that suits all of the maps `[N, H, W]`: diverging when any of them goes below zero.
    pub fn of(maps: ArrayView3<'_, f32>) -> Self {
        let low = maps.iter().copied().fold(f32::INFINITY, f32::min);
        let largest = maps.iter().fold(0.0_f32, |largest, v| largest.max(v.abs()));
        let values = if low < -ROUNDING * largest {
            Values::Signed
        } else if low > HOVERING * largest && maps.iter().any(|&v| v != low) {
            Values::Hovering
        } else {
            Values::Positive
        };
        Self {
            values,
            colors: None,
            normalisation: None,
            opacity: OPACITY,
        }
    }

    /// In other colours. Where these diverge, zero is their centre, whatever the values are, unless a scale is chosen.
    pub fn with_colors(self, colors: ColorMap) -> Self {
        Self {
            colors: Some(colors),
            ..self
        }
    }

    /// On another scale, in the colours that suit it, unless others are chosen.
    pub fn with_normalisation(self, normalisation: Normalisation) -> Self {
        Self {
            normalisation: Some(normalisation),
            ..self
        }
    }

    /// Covering so much of the photograph, from 0 to 1; 0.6 unless it is said.
    pub fn with_opacity(self, opacity: f32) -> Self {
        Self { opacity, ..self }
    }

    /// How much of the photograph it covers.
    pub fn opacity(self) -> f32 {
        self.opacity
    }

    /// The colour map.
    pub fn colors(self) -> ColorMap {
        self.colors.unwrap_or(match self.normalisation {
            None => self.values.colors(),
            Some(scale) if scale.is_symmetrical() => ColorMap::Glow,
            Some(_) => ColorMap::Inferno,
        })
    }

    /// The scale.
    pub fn normalisation(self) -> Normalisation {
        self.normalisation.unwrap_or(match self.colors {
            Some(colors) if colors.is_diverging() => CENTRED,
            _ => self.values.normalisation(),
        })
    }

    /// Whether it tells negative numbers from zero.
    pub fn is_signed(self) -> bool {
        self.values == Values::Signed && self.floor().is_none_or(|floor| floor < 0.0)
    }

    /// Whether the map `[H, W]` shows nothing at all.
    pub fn is_blank(self, map: ArrayView2<'_, f32>) -> bool {
        self.why_blank(map).is_some()
    }

    /// Why the map `[H, W]` shows nothing at all, in words; `None` where it shows something.
    pub fn why_blank(self, map: ArrayView2<'_, f32>) -> Option<String> {
        let floor = self.floor().map_or(0.0, |floor| floor.max(0.0));
        let is_blank = match self.is_signed() {
            true => map.iter().all(|&v| v == 0.0),
            false => map.iter().all(|&v| v <= floor),
        };
        let why = match (self.is_signed(), floor > 0.0) {
            (true, _) => "no evidence, for or against".to_owned(),
            (false, true) => format!("nothing is above {floor}, where the colours begin"),
            (false, false) => "no positive evidence".to_owned(),
        };
        is_blank.then_some(why)
    }

    /// The value from which on downwards nothing is told apart, where the scale has one for all maps.
    fn floor(self) -> Option<f32> {
        match self.normalisation() {
            Normalisation::Positive | Normalisation::Percentile(_) => Some(0.0),
            Normalisation::Range { low, .. } => Some(low),
            Normalisation::MinMax | Normalisation::MaxAbs | Normalisation::PercentileAbs(_) => None,
        }
    }

    /// The map `[H, W]` alone, and over the photograph, brought to its size by `interpolation`.
    ///
    /// # Errors
    ///
    /// As [`Picture::heat_map`] and [`Picture::overlay`].
    pub fn draw(
        self,
        photo: &Picture,
        map: ArrayView2<'_, f32>,
        interpolation: Interpolation,
    ) -> Result<[Picture; 2], RenderError> {
        let heatmap = Picture::heat_map(map, self.colors(), self.normalisation())?;
        let overlay = photo.overlay(&heatmap, self.opacity, interpolation)?;
        Ok([heatmap, overlay])
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, Array3, Axis, array};

    use super::*;

    fn drawn(map: Array2<f32>) -> (MapStyle, Picture) {
        let style = MapStyle::of(map.view().insert_axis(Axis(0)));
        let photo = Picture::from_rgb(Array3::zeros((1, 3, 3)).view()).unwrap();
        let [heatmap, _] = style
            .draw(&photo, map.view(), Interpolation::Nearest)
            .unwrap();
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
        let signed = MapStyle::of(array![[[-1.0, 2.0]]].view());
        assert!(!signed.is_blank(array![[-1.0, -1.0]].view()));
        assert!(signed.is_blank(array![[0.0, 0.0]].view()));
    }

    #[test]
    fn colours_and_opacity_can_be_chosen() {
        let map = array![[0.0, 1.0, 4.0]];
        let style = MapStyle::of(map.view().insert_axis(Axis(0)));
        let photo = Picture::from_rgb(Array3::from_elem((1, 3, 3), 100).view()).unwrap();
        let draw = |style: MapStyle| {
            style
                .draw(&photo, map.view(), Interpolation::Nearest)
                .unwrap()
        };
        let [gray, over] = draw(style.with_colors(ColorMap::Gray).with_opacity(0.25));
        assert_eq!(gray.pixel(0, 2), [255; 3]);
        assert_eq!(over.pixel(0, 2), [139; 3]);
        assert_eq!(over.pixel(0, 0), [75; 3]);
        // Zero is in the centre of colours that have one.
        let [diverging, _] = draw(style.with_colors(ColorMap::RdBu));
        assert_eq!(diverging.pixel(0, 0), ColorMap::RdBu.map(0.5));
        assert!(!style.with_colors(ColorMap::RdBu).is_signed());
        let refused = style.with_opacity(1.5);
        refused
            .draw(&photo, map.view(), Interpolation::Nearest)
            .unwrap_err();
    }

    #[test]
    fn a_scale_that_is_chosen_brings_its_colours() {
        let (signed, _) = drawn(array![[-1.0, 0.0, 3.0]]);
        let (positive, _) = drawn(array![[0.0, 1.0, 4.0]]);
        let of = |style: MapStyle, text: &str| {
            let style = style.with_normalisation(text.parse().unwrap());
            (style.colors(), style.is_signed())
        };
        assert_eq!(of(signed, "positive"), (ColorMap::Inferno, false));
        assert_eq!(of(signed, "range:0,2"), (ColorMap::Inferno, false));
        assert_eq!(of(signed, "min-max"), (ColorMap::Inferno, true));
        assert_eq!(of(signed, "range:-1,1"), (ColorMap::Glow, true));
        assert_eq!(of(positive, "max-abs"), (ColorMap::Glow, false));
        // Both chosen, in either order, are as they are.
        let scale = Normalisation::MinMax;
        for both in [
            signed.with_normalisation(scale).with_colors(ColorMap::RdBu),
            signed.with_colors(ColorMap::RdBu).with_normalisation(scale),
        ] {
            assert_eq!(
                (both.colors(), both.normalisation()),
                (ColorMap::RdBu, scale)
            );
        }
        // Blank is what the scale makes so.
        let blank = |style: MapStyle, text: &str, map: Array2<f32>| {
            let style = style.with_normalisation(text.parse().unwrap());
            style.why_blank(map.view())
        };
        let nothing = |words: &str| Some(words.to_owned());
        assert_eq!(
            blank(signed, "positive", array![[-1.0, 0.0]]),
            nothing("no positive evidence")
        );
        assert_eq!(blank(signed, "min-max", array![[-1.0, 0.0]]), None);
        assert_eq!(
            blank(signed, "min-max", array![[0.0, 0.0]]),
            nothing("no evidence, for or against")
        );
        assert_eq!(
            blank(positive, "range:5,6", array![[0.0, 1.0, 4.0]]),
            nothing("nothing is above 5, where the colours begin")
        );
        assert_eq!(blank(positive, "range:3,6", array![[0.0, 1.0, 4.0]]), None);
        assert_eq!(blank(signed, "range:-3,6", array![[-1.0, 0.0]]), None);
    }

    #[test]
    fn maps_far_above_zero_begin_at_their_smallest_value() {
        let (style, picture) = drawn(array![[0.6, 0.7, 0.8]]);
        assert!(!style.is_signed());
        assert_eq!(picture.pixel(0, 0), ColorMap::Inferno.map(0.0));
        assert_eq!(picture.pixel(0, 2), ColorMap::Inferno.map(1.0));
        let (_, constant) = drawn(array![[0.6, 0.6, 0.6]]);
        assert_eq!(constant.pixel(0, 0), ColorMap::Inferno.map(1.0));
    }
}
