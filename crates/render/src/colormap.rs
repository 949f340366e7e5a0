//! Colour maps, and the two-class picture of the Lucid notebooks.

use std::fmt;
use std::str::FromStr;

use ndarray::{Array3, ArrayView2};

use crate::RenderError;
use crate::normalise::check_map;

/// A colour map from the interval 0 to 1 to sRGB.
///
/// Viridis, inferno, magma, plasma and cividis are perceptually uniform; turbo is not, but shows
/// fine detail; `RdBu` (ColorBrewer) and `Glow` are diverging: they belong with
/// [`Normalisation::MaxAbs`](crate::Normalisation::MaxAbs), which puts zero in their centre.
/// All except gray and `Glow` come from the crate [`colorous`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ColorMap {
    /// Dark violet, green, yellow.
    #[default]
    Viridis,
    /// Black, violet, orange, pale yellow.
    Inferno,
    /// Black, violet, pink, cream.
    Magma,
    /// Dark blue, grey, yellow; made for readers who see red and green alike.
    Cividis,
    /// Blue, magenta, yellow.
    Plasma,
    /// A rainbow with even lightness steps.
    Turbo,
    /// Black to white, linear in sRGB.
    Gray,
    /// Diverging: red, near-white, blue.
    RdBu,
    /// Diverging with a dark centre: pink, black, green.
    ///
    /// For signed maps that lie over a photograph: cells near zero only dim it, and strong cells of
    /// either sign glow. Lightness in [Oklab](https://bottosson.github.io/posts/oklab/) grows
    /// linearly with the distance from the centre, by the same amount on both sides. The hues stay
    /// clear of [`orange_blue`], which colours classes.
    Glow,
}

impl ColorMap {
    /// All colour maps.
    pub const ALL: [ColorMap; 9] = [
        ColorMap::Viridis,
        ColorMap::Inferno,
        ColorMap::Magma,
        ColorMap::Cividis,
        ColorMap::Plasma,
        ColorMap::Turbo,
        ColorMap::Gray,
        ColorMap::RdBu,
        ColorMap::Glow,
    ];

    /// The colour of values that are not a number: a mid grey.
    pub const MISSING: [u8; 3] = [128, 128, 128];

    /// The name that [`FromStr`] reads.
    pub fn name(self) -> &'static str {
        match self {
            ColorMap::Viridis => "viridis",
            ColorMap::Inferno => "inferno",
            ColorMap::Magma => "magma",
            ColorMap::Cividis => "cividis",
            ColorMap::Plasma => "plasma",
            ColorMap::Turbo => "turbo",
            ColorMap::Gray => "gray",
            ColorMap::RdBu => "rdbu",
            ColorMap::Glow => "glow",
        }
    }

    /// Whether it has a centre that belongs to zero, and two sides.
    pub fn is_diverging(self) -> bool {
        matches!(self, ColorMap::RdBu | ColorMap::Glow)
    }

    /// The sRGB colour at `t`. Values outside 0 to 1 take the nearest end, NaN takes
    /// [`ColorMap::MISSING`].
    pub fn map(&self, t: f32) -> [u8; 3] {
        if t.is_nan() {
            return Self::MISSING;
        }
        let t = f64::from(t.clamp(0.0, 1.0));
        let gradient = match self {
            ColorMap::Viridis => colorous::VIRIDIS,
            ColorMap::Inferno => colorous::INFERNO,
            ColorMap::Magma => colorous::MAGMA,
            ColorMap::Cividis => colorous::CIVIDIS,
            ColorMap::Plasma => colorous::PLASMA,
            ColorMap::Turbo => colorous::TURBO,
            ColorMap::RdBu => colorous::RED_BLUE,
            ColorMap::Gray => return [(t * 255.0).round() as u8; 3],
            ColorMap::Glow => return glow(2.0 * t - 1.0),
        };
        gradient.eval_continuous(t).into_array()
    }
}

impl fmt::Display for ColorMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for ColorMap {
    type Err = RenderError;

    /// Reads a name in any case; `grey` is accepted for `gray`.
    ///
    /// # Errors
    ///
    /// [`RenderError::UnknownColorMap`] with the nearest name and all names.
    fn from_str(name: &str) -> Result<Self, RenderError> {
        let wanted = name.trim().to_lowercase().replace("grey", "gray");
        if let Some(found) = Self::ALL.into_iter().find(|map| map.name() == wanted) {
            return Ok(found);
        }
        let nearest = Self::ALL
            .map(ColorMap::name)
            .into_iter()
            .min_by_key(|known| strsim::damerau_levenshtein(known, &wanted))
            .unwrap_or_default();
        Err(RenderError::UnknownColorMap {
            name: name.to_owned(),
            nearest,
            known: Self::ALL.map(ColorMap::name).join(", "),
        })
    }
}

/// The `Glow` colour at a signed position in -1 to 1.
fn glow(v: f64) -> [u8; 3] {
    let strength = v.abs();
    let lightness = 0.14 + 0.79 * strength;
    let arc = |height: f64, reach: f64| height * (std::f64::consts::PI * reach * strength).sin();
    // Teal to yellow-green, and violet to pale pink, as colourful as sRGB allows without an edge.
    let (chroma, hue) = if v >= 0.0 {
        (arc(0.15, 0.6), 175.0 - 65.0 * strength)
    } else {
        (arc(0.19, 0.93), 315.0 + 35.0 * strength)
    };
    oklch(lightness, chroma, hue).map(|linear| {
        let linear = linear.clamp(0.0, 1.0);
        let encoded = if linear <= 0.003_130_8 {
            12.92 * linear
        } else {
            1.055 * linear.powf(1.0 / 2.4) - 0.055
        };
        (255.0 * encoded).round() as u8
    })
}

/// Linear sRGB of an Oklab colour given as lightness, chroma and hue in degrees.
fn oklch(lightness: f64, chroma: f64, hue: f64) -> [f64; 3] {
    let (sin, cos) = hue.to_radians().sin_cos();
    let (a, b) = (chroma * cos, chroma * sin);
    let l = (lightness + 0.396_337_777_4 * a + 0.215_803_757_3 * b).powi(3);
    let m = (lightness - 0.105_561_345_8 * a - 0.063_854_172_8 * b).powi(3);
    let s = (lightness - 0.089_484_177_5 * a - 1.291_485_548_0 * b).powi(3);
    [
        4.076_741_662_1 * l - 3.307_711_591_3 * m + 0.230_969_929_2 * s,
        -1.268_438_004_6 * l + 2.609_757_401_1 * m - 0.341_319_396_5 * s,
        -0.004_196_086_3 * l - 0.703_418_614_7 * m + 1.707_614_701_0 * s,
    ]
}

/// Two maps `[H, W]` in one picture `[H, W, 3]`, RGB in 0 to 1: `a` orange, `b` blue.
///
/// With `a` and `b` clipped at zero from below and `x = [a, (a + b) / 2, b]`, the result is
/// `x / (0.01 + max(x) / 1.5) + 0.3`, clipped to 0 to 1: a dark grey where neither counts, and a
/// light grey where both do. This is `orange_blue(a, b, clip=True)` of Lucid's spatial attribution
/// notebook. The 0.01 is in the unit of the maps, so maps far below it come out grey.
///
/// # Errors
///
/// [`RenderError::Shape`] when the maps differ in shape, [`RenderError::Empty`] when they have no
/// cells, [`RenderError::NotFinite`] for a NaN or an infinity.
pub fn orange_blue(a: ArrayView2<f32>, b: ArrayView2<f32>) -> Result<Array3<f32>, RenderError> {
    check_map("the orange map", a)?;
    if a.dim() != b.dim() {
        return Err(RenderError::Shape {
            what: "the blue map".to_owned(),
            expected: a.shape().to_vec(),
            got: b.shape().to_vec(),
        });
    }
    check_map("the blue map", b)?;
    let (height, width) = a.dim();
    let channel = |y: usize, x: usize, channel: usize| {
        let (a, b) = (f64::from(a[[y, x]].max(0.0)), f64::from(b[[y, x]].max(0.0)));
        [a, (a + b) / 2.0, b][channel]
    };
    let stacked = ndarray::Array3::from_shape_fn((height, width, 3), |(y, x, c)| channel(y, x, c));
    let largest = stacked.iter().copied().fold(0.0, f64::max);
    Ok(stacked.mapv(|v| (v / (1e-2 + largest / 1.5) + 0.3).clamp(0.0, 1.0) as f32))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array2, array};

    #[test]
    fn ends_of_published_maps() {
        assert_eq!(ColorMap::Viridis.map(0.0), [68, 1, 84]);
        assert_eq!(ColorMap::Viridis.map(1.0), [253, 231, 37]);
        assert_eq!(ColorMap::Inferno.map(0.0), [0, 0, 4]);
        assert_eq!(ColorMap::Gray.map(0.5), [128, 128, 128]);
        let [r, _, b] = ColorMap::RdBu.map(0.0);
        assert!(r > b, "red is the low end");
    }

    #[test]
    fn every_map_is_total() {
        for map in ColorMap::ALL {
            assert_eq!(map.map(f32::NAN), ColorMap::MISSING);
            assert_eq!(map.map(-7.0), map.map(0.0));
            assert_eq!(map.map(f32::INFINITY), map.map(1.0));
            assert_eq!(map.map(f32::NEG_INFINITY), map.map(0.0));
        }
    }

    #[test]
    fn names_are_read_back() {
        for map in ColorMap::ALL {
            assert_eq!(map.to_string().parse::<ColorMap>().unwrap(), map);
        }
        assert_eq!(" Grey".parse::<ColorMap>().unwrap(), ColorMap::Gray);
        let message = "virdis".parse::<ColorMap>().unwrap_err().to_string();
        assert!(message.contains("did you mean \"viridis\""), "{message}");
        assert!(message.contains("cividis, plasma"), "{message}");
    }

    #[test]
    fn glow_is_dark_in_the_middle_and_brightens_evenly() {
        let luminance = |[r, g, b]: [u8; 3]| {
            0.2126 * f64::from(r) + 0.7152 * f64::from(g) + 0.0722 * f64::from(b)
        };
        assert!(luminance(ColorMap::Glow.map(0.5)) < 12.0);
        for i in 0..128 {
            let (near, far) = (i as f32 / 256.0, (i + 1) as f32 / 256.0);
            for sign in [-1.0, 1.0] {
                let near = luminance(ColorMap::Glow.map(0.5 + sign * near));
                let far = luminance(ColorMap::Glow.map(0.5 + sign * far));
                assert!(far >= near - 1.0, "at {i}: {near} then {far}");
            }
        }
        let [r, g, _] = ColorMap::Glow.map(0.8);
        assert!(g > r, "positive is green");
        let [r, g, _] = ColorMap::Glow.map(0.2);
        assert!(r > g, "negative is pink");
    }

    #[test]
    fn orange_blue_by_hand() {
        // The largest stacked value is 1.5, so the divisor is 1.01.
        let a = array![[1.5, -4.0], [0.75, 0.0]];
        let b = array![[0.0, 0.0], [0.75, 0.303]];
        let out = orange_blue(a.view(), b.view()).unwrap();
        let expected = [
            [1.0, 0.75 / 1.01 + 0.3, 0.3],
            [0.3, 0.3, 0.3],
            [0.75 / 1.01 + 0.3, 0.75 / 1.01 + 0.3, 0.75 / 1.01 + 0.3],
            [0.3, 0.15 + 0.3, 0.3 + 0.3],
        ];
        for (got, expected) in out.iter().zip(expected.iter().flatten()) {
            let expected: f32 = f32::min(*expected, 1.0);
            assert!((got - expected).abs() < 1e-6, "{got} {expected}");
        }
    }

    #[test]
    fn orange_blue_refuses_what_it_cannot_show() {
        let zeros = Array2::<f32>::zeros((2, 3));
        let out = orange_blue(zeros.view(), zeros.view()).unwrap();
        assert!(out.iter().all(|v| *v == 0.3));
        let other = Array2::<f32>::zeros((3, 2));
        let error = orange_blue(zeros.view(), other.view()).unwrap_err();
        assert!(matches!(error, RenderError::Shape { .. }));
        let nan = Array2::from_elem((2, 3), f32::NAN);
        assert!(orange_blue(zeros.view(), nan.view()).is_err());
        let empty = Array2::<f32>::zeros((0, 3));
        assert!(orange_blue(empty.view(), empty.view()).is_err());
    }
}
