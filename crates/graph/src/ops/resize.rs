//! `Resize` and `Upsample`: an image in another size.
//!
//! Each axis is resampled by itself: output `i` is at the coordinate of the input that
//! `coordinate_transformation_mode` says, and a weighted sum of the positions around it. What lies outside
//! is the outermost position. Sums of two positions or more are in `f32`, coordinates and weights in `f64`.

mod resample;

use std::sync::Arc;

use elucid_rules::{Algebra, OpKind};

use self::resample::{Along, Resample, on_host};
use crate::attributes::Attributes;
use crate::host::HostTensor;
use crate::operator::{
    Apart, Operands, Operator, Refused, Resolved, axes_or_all, check_host_size, check_size, facts,
    sizes,
};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[
    Entry::onnx("Upsample", 1, |a| {
        let scale = |name| {
            a.float(name)
                .ok_or_else(|| format!("attribute {name} is missing"))
        };
        let scales = vec![1.0, 1.0, scale("height_scale")?, scale("width_scale")?];
        old(a, "Upsample", Scales::Stated(scales))
    }),
    Entry::onnx("Upsample", 7, |a| {
        let scales = a.floats("scales").ok_or("attribute scales is missing")?;
        old(a, "Upsample", Scales::Stated(scales))
    }),
    Entry::onnx("Upsample", 9, |a| old(a, "Upsample", Scales::Input(1))),
    Entry::onnx("Resize", 10, |a| old(a, "Resize", Scales::Input(1))),
    Entry::onnx("Resize", 11, read),
];

/// As long as there were no other coordinates.
fn old(a: &Attributes, kind: &'static str, scales: Scales) -> Result<Arc<dyn Operator>, String> {
    let mode = match a.text_or("mode", "nearest") {
        "nearest" => Mode::Nearest(Rounding::ByScale),
        "linear" | "bilinear" => Mode::Linear,
        other => return Err(format!("mode is \"{other}\", expected nearest or linear")),
    };
    Ok(Arc::new(Resize {
        kind: OpKind::new(kind),
        mode,
        coordinates: Coordinates::Asymmetric,
        antialias: false,
        exclude_outside: false,
        extrapolation: 0.0,
        axes: None,
        policy: Policy::Stretch,
        scales,
    }))
}

fn read(a: &Attributes) -> Result<Arc<dyn Operator>, String> {
    let mode = match a.text_or("mode", "nearest") {
        "nearest" => Mode::Nearest(match a.text_or("nearest_mode", "round_prefer_floor") {
            "round_prefer_floor" => Rounding::PreferFloor,
            "round_prefer_ceil" => Rounding::PreferCeil,
            "floor" => Rounding::Floor,
            "ceil" => Rounding::Ceil,
            other => return Err(format!("nearest_mode \"{other}\" is not known")),
        }),
        "linear" => Mode::Linear,
        "cubic" => Mode::Cubic(f64::from(a.float_or("cubic_coeff_a", -0.75))),
        other => {
            return Err(format!(
                "mode is \"{other}\", expected nearest, linear or cubic"
            ));
        }
    };
    let coordinates = match a.text_or("coordinate_transformation_mode", "half_pixel") {
        "half_pixel" => Coordinates::HalfPixel,
        "half_pixel_symmetric" => Coordinates::HalfPixelSymmetric,
        "pytorch_half_pixel" => Coordinates::PytorchHalfPixel,
        "align_corners" => Coordinates::AlignCorners,
        "asymmetric" => Coordinates::Asymmetric,
        "tf_half_pixel_for_nn" => Coordinates::TfHalfPixelForNn,
        "tf_crop_and_resize" => Coordinates::TfCropAndResize,
        other => {
            return Err(format!(
                "coordinate_transformation_mode \"{other}\" is not known"
            ));
        }
    };
    let policy = match a.text_or("keep_aspect_ratio_policy", "stretch") {
        "stretch" => Policy::Stretch,
        "not_larger" => Policy::NotLarger,
        "not_smaller" => Policy::NotSmaller,
        other => return Err(format!("keep_aspect_ratio_policy \"{other}\" is not known")),
    };
    let antialias = a.flag("antialias");
    if antialias && matches!(mode, Mode::Nearest(_)) {
        return Err("antialias does not go with the nearest position".to_owned());
    }
    Ok(Arc::new(Resize {
        kind: OpKind::new("Resize"),
        mode,
        coordinates,
        antialias,
        exclude_outside: a.flag("exclude_outside"),
        extrapolation: a.float_or("extrapolation_value", 0.0),
        axes: a.ints("axes"),
        policy,
        scales: Scales::InputOrSizes,
    }))
}

/// Where the scales come from.
#[derive(Debug)]
enum Scales {
    Stated(Vec<f32>),
    Input(usize),
    /// Inputs 1 to 3: the region of interest, the scales, the sizes.
    InputOrSizes,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Mode {
    Nearest(Rounding),
    Linear,
    /// Keys' cubic convolution with this parameter.
    Cubic(f64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rounding {
    PreferFloor,
    PreferCeil,
    Floor,
    Ceil,
    /// Up where the image gets smaller, else down.
    ByScale,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coordinates {
    HalfPixel,
    HalfPixelSymmetric,
    PytorchHalfPixel,
    AlignCorners,
    Asymmetric,
    TfHalfPixelForNn,
    TfCropAndResize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Policy {
    Stretch,
    NotLarger,
    NotSmaller,
}

#[derive(Debug)]
struct Resize {
    kind: OpKind,
    mode: Mode,
    coordinates: Coordinates,
    antialias: bool,
    exclude_outside: bool,
    extrapolation: f32,
    axes: Option<Vec<i64>>,
    policy: Policy,
    scales: Scales,
}

/// One axis to resample.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    from: usize,
    to: usize,
    scale: f64,
    /// Whether the scale was stated, in single precision, and does not follow from sizes.
    is_stated: bool,
    /// Start and end of the region of interest, as parts of the axis.
    region: (f64, f64),
}

impl Operator for Resize {
    facts!(kind: .kind);

    fn algebra(&self, _constant: &[bool]) -> Algebra {
        let extrapolates = self.coordinates == Coordinates::TfCropAndResize;
        match self.mode {
            // A value from outside is a constant that is added.
            _ if extrapolates && self.extrapolation != 0.0 => Algebra::Other,
            Mode::Nearest(_) if !extrapolates => Algebra::Moves,
            _ => Algebra::Linear,
        }
    }

    fn apart(&self, inputs: &Operands<'_>) -> Apart {
        // Whatever the file has written in for the batch, rows that stay are resized each by itself.
        match self.stretches(inputs).ok().as_deref() {
            Some([rows, ..]) if self.keeps(rows) => Apart::Shape,
            _ => Apart::No,
        }
    }

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let x = inputs.input(0)?;
        let stretches = self.stretches(inputs)?;
        let shape: Vec<usize> = stretches.iter().map(|s| s.to).collect();
        check_size(&shape)?;
        if shape.contains(&0) {
            if x.host.is_none() {
                let from = &x.shape;
                return Err(format!("resizing {from:?} to {shape:?} leaves nothing").into());
            }
            return Ok(Resolved::known(HostTensor::of_numbers(
                x.kind,
                &shape,
                Vec::new(),
            )?));
        }
        if x.shape.contains(&0) {
            return Err(format!("an input of shape {:?} has nothing to resize", x.shape).into());
        }
        let mut along = Vec::new();
        for (axis, &stretch) in stretches.iter().enumerate() {
            if self.keeps(&stretch) {
                continue;
            }
            along.push(self.along(axis, stretch)?);
        }
        // What gets smaller first leaves less to do for the others.
        along.sort_by(|a, b| {
            let ratio = |a: &Along| a.taps.len() as f64 / a.from as f64;
            ratio(a).total_cmp(&ratio(b))
        });
        let mut between = x.shape.clone();
        for a in &along {
            between[a.axis] = a.taps.len();
            check_size(&between)?;
        }
        if !x.kind.is_float() {
            check_host_size(&shape)?;
            let host = inputs.value(0, "what is resized")?;
            return Ok(Resolved::known(on_host(host, &along, self.extrapolation)?));
        }
        let kernel = Resample::new(&along, self.extrapolation)?;
        Ok(Resolved::typed(kernel, shape, x.kind))
    }
}

impl Resize {
    fn stretches(&self, inputs: &Operands<'_>) -> Result<Vec<Stretch>, Refused> {
        let shape = &inputs.input(0)?.shape;
        let rank = shape.len();
        let axes = axes_or_all(self.axes.as_deref(), rank)?;
        // In older versions an input that is not used is empty.
        let filled = |slot: usize| inputs.optional(slot).is_some_and(|k| !k.shape.contains(&0));
        let mut stretches: Vec<Stretch> = shape
            .iter()
            .map(|&d| Stretch {
                from: d,
                to: d,
                scale: 1.0,
                is_stated: false,
                region: (0.0, 1.0),
            })
            .collect();
        let count = |what: &str, got: usize, expected: usize| match got == expected {
            true => Ok(()),
            false => Err(Refused::from(format!(
                "{what}: {got} numbers, expected {expected} for an input of shape {shape:?}"
            ))),
        };
        let from_sizes = matches!(self.scales, Scales::InputOrSizes) && filled(3);
        if from_sizes {
            let stated = sizes(&inputs.list(3, "the sizes")?)?;
            count("the sizes", stated.len(), axes.len())?;
            let ratios =
                axes.iter()
                    .zip(&stated)
                    .map(|(&axis, &size)| match stretches[axis].from {
                        0 => Err("an empty axis has no scale".to_owned()),
                        from => Ok(size as f64 / from as f64),
                    });
            let ratios = ratios.collect::<Result<Vec<f64>, _>>()?;
            let common = match self.policy {
                Policy::Stretch => None,
                Policy::NotLarger => ratios.iter().copied().reduce(f64::min),
                Policy::NotSmaller => ratios.iter().copied().reduce(f64::max),
            };
            for ((&axis, &size), &ratio) in axes.iter().zip(&stated).zip(&ratios) {
                let s = &mut stretches[axis];
                (s.scale, s.to) = match common {
                    None => (ratio, size),
                    Some(scale) => (scale, (scale * s.from as f64 + 0.5) as usize),
                };
            }
        } else {
            let stated = match &self.scales {
                Scales::Stated(scales) => scales.clone(),
                Scales::Input(slot) => self.floats(inputs, *slot, "the scales")?,
                Scales::InputOrSizes if filled(2) => self.floats(inputs, 2, "the scales")?,
                Scales::InputOrSizes => return Err("neither scales nor sizes are given".into()),
            };
            count("the scales", stated.len(), axes.len())?;
            for (&axis, &scale) in axes.iter().zip(&stated) {
                if !(scale.is_finite() && scale > 0.0) {
                    return Err(format!("a scale of {scale}").into());
                }
                let s = &mut stretches[axis];
                (s.scale, s.to) = (f64::from(scale), (scale * s.from as f32) as usize);
                s.is_stated = true;
            }
        }
        if self.coordinates == Coordinates::TfCropAndResize {
            let region = self.floats(inputs, 1, "the region of interest")?;
            count("the region of interest", region.len(), 2 * axes.len())?;
            for (i, &axis) in axes.iter().enumerate() {
                let (start, end) = (region[i], region[i + axes.len()]);
                if !(start.is_finite() && end.is_finite()) {
                    return Err(format!("a region from {start} to {end}").into());
                }
                stretches[axis].region = (f64::from(start), f64::from(end));
            }
        }
        Ok(stretches)
    }

    fn floats(
        &self,
        inputs: &Operands<'_>,
        slot: usize,
        what: &'static str,
    ) -> Result<Vec<f32>, Refused> {
        let host = inputs.value(slot, what)?;
        match host.element_type().is_float() && host.len() <= 2 * crate::operator::LONGEST_LIST {
            true => Ok(host.floats()),
            false => Err(format!("{what}: expected a short list of floats").into()),
        }
    }

    /// Whether an axis stays as it is.
    fn keeps(&self, stretch: &Stretch) -> bool {
        let crops = self.coordinates == Coordinates::TfCropAndResize;
        let is_whole = !crops || stretch.region == (0.0, 1.0);
        stretch.from == stretch.to && stretch.scale == 1.0 && is_whole
    }

    /// Where output `i` is in the input; `None` outside a region of interest.
    fn coordinate(&self, s: Stretch, i: usize) -> Option<f64> {
        // Where the nearest position counts, 3 / 0.6 has to be 5, as it is in the precision in which 0.6
        // was stated.
        let round = |v: f64| match self.mode {
            Mode::Nearest(_) if s.is_stated => f64::from(v as f32),
            _ => v,
        };
        let (from, i, scale) = (s.from as f64, i as f64, round(s.scale));
        // Scales may lead to a size that is not whole.
        let to = round(scale * from);
        let is_one = (to - 1.0).abs() < 1e-6;
        let half_pixel = round(round((i + 0.5) / scale) - 0.5);
        Some(match self.coordinates {
            Coordinates::HalfPixel => half_pixel,
            Coordinates::HalfPixelSymmetric => {
                round(round(from / 2.0 * (1.0 - s.to as f64 / to)) + half_pixel)
            }
            Coordinates::PytorchHalfPixel if is_one => 0.0,
            Coordinates::PytorchHalfPixel => half_pixel,
            Coordinates::AlignCorners if is_one => 0.0,
            Coordinates::AlignCorners => round(i * (from - 1.0) / (to - 1.0)),
            Coordinates::Asymmetric => round(i / scale),
            Coordinates::TfHalfPixelForNn => round((i + 0.5) / scale),
            Coordinates::TfCropAndResize => {
                let (start, end) = s.region;
                let part = match is_one {
                    true => 0.5,
                    false => i / (to - 1.0),
                };
                let at = start * (from - 1.0) + part * (end - start) * (from - 1.0);
                return (0.0..=from - 1.0).contains(&at).then_some(at);
            }
        })
    }

    /// What each output of an axis is made of.
    fn along(&self, axis: usize, s: Stretch) -> Result<Along, Refused> {
        let last = s.from - 1;
        let inside = |at: f64| at.clamp(0.0, last as f64) as usize;
        // A list for each position.
        check_host_size(&[s.to, 6])?;
        let taps = (0..s.to).map(|i| {
            let Some(at) = self.coordinate(s, i) else {
                return Ok(Vec::new());
            };
            if let Mode::Nearest(rounding) = self.mode {
                return Ok(vec![(inside(rounding.of(at, s.scale)), 1.0)]);
            }
            // The neighbours of a whole number are at and before it.
            let first = at.ceil() - 1.0;
            let t = at - first;
            let shrink = match self.antialias {
                true => s.scale.min(1.0),
                false => 1.0,
            };
            let radius = match self.mode {
                Mode::Cubic(_) => 2.0,
                _ => 1.0,
            };
            let start = (-radius / shrink).floor() + 1.0;
            let count = 2.0 - 2.0 * start;
            check_host_size(&[s.to, 2, count as usize])?;
            let mut taps: Vec<(usize, f64)> = Vec::with_capacity(count as usize);
            let mut total = 0.0;
            for k in 0..count as usize {
                let offset = start + k as f64;
                let place = first + offset;
                let distance = ((offset - t) * shrink).abs();
                let mut weight = match self.mode {
                    Mode::Cubic(a) => keys(distance, a),
                    _ => (1.0 - distance).max(0.0),
                };
                if self.exclude_outside && !(0.0..=last as f64).contains(&place) {
                    weight = 0.0;
                }
                total += weight;
                match taps.last_mut() {
                    Some((at, sum)) if *at == inside(place) => *sum += weight,
                    _ => taps.push((inside(place), weight)),
                }
            }
            if self.exclude_outside || self.antialias {
                if total == 0.0 {
                    return Err(Refused::from("neighbours without a weight"));
                }
                taps.iter_mut().for_each(|(_, weight)| *weight /= total);
            }
            taps.retain(|(_, weight)| *weight != 0.0);
            Ok(taps)
        });
        let taps = taps.collect::<Result<_, _>>()?;
        Ok(Along {
            axis,
            from: s.from,
            taps,
            outside: (0..s.to).map(|i| self.coordinate(s, i).is_none()).collect(),
        })
    }
}

impl Rounding {
    fn of(self, at: f64, scale: f64) -> f64 {
        match self {
            Self::PreferFloor => (at - 0.5).ceil(),
            Self::PreferCeil => (at + 0.5).floor(),
            Self::Ceil => at.ceil(),
            Self::ByScale if scale < 1.0 => at.ceil(),
            Self::Floor | Self::ByScale => at.floor(),
        }
    }
}

/// Keys' kernel with the parameter `a` at a distance.
fn keys(x: f64, a: f64) -> f64 {
    if x <= 1.0 {
        ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a
    } else {
        0.0
    }
}
