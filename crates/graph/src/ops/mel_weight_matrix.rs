//! `MelWeightMatrix`: triangles on the mel scale that sum the bins of a spectrum.

use std::sync::Arc;

use crate::attributes::MAX_WINDOW;
use crate::host::{ElementType, HostTensor};
use crate::operator::{Operands, Operator, Refused, Resolved, check_host_size, facts};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[Entry::onnx("MelWeightMatrix", 17, |a| {
    let result = a.element_type("output_datatype")?;
    Ok(Arc::new(MelWeightMatrix(
        result.unwrap_or(ElementType::F32),
    )))
})];

/// Of this type.
#[derive(Debug)]
struct MelWeightMatrix(ElementType);

impl Operator for MelWeightMatrix {
    facts!(kind: "MelWeightMatrix", algebra: Other);

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let size = |slot, what: &'static str| {
            let stated = inputs.value(slot, what)?.scalar_int()?;
            let size = usize::try_from(stated)
                .ok()
                .filter(|s| (1..=MAX_WINDOW).contains(s));
            size.ok_or_else(|| Refused::from(format!("{what}: {stated} is no size")))
        };
        let bands = size(0, "the number of bands")?;
        let length = size(1, "the length of the transform")?;
        let rate = size(2, "the sample rate")?;
        let edge = |slot| {
            let stated = inputs
                .value(slot, "the edges of the spectrum")?
                .scalar_float()?;
            Ok::<_, Refused>(f64::from(stated))
        };
        let (low, high) = (edge(3)?, edge(4)?);
        let mel = |hertz: f64| 2595.0 * (1.0 + hertz / 700.0).log10();
        let hertz = |mel: f64| 700.0 * (10_f64.powf(mel / 2595.0) - 1.0);
        let rows = length / 2 + 1;
        check_host_size(&[rows, bands])?;
        let step = (mel(high) - mel(low)) / (bands + 2) as f64;
        let mut edges = Vec::with_capacity(bands + 2);
        for i in 0..bands + 2 {
            let at = hertz(i as f64 * step + mel(low));
            let bin = ((length + 1) as f64 * at / rate as f64).floor();
            // Where the spectrum ends, the last triangle may still come down.
            if !(0.0..=rows as f64).contains(&bin) {
                return Err(
                    format!("edges from {low} to {high} are outside of the spectrum").into(),
                );
            }
            edges.push(bin as usize);
        }
        let mut weights = vec![0.0; rows * bands];
        for (band, edges) in edges.windows(3).enumerate() {
            let &[left, centre, right] = edges else {
                continue;
            };
            let mut set = |row: usize, weight: f64| {
                if let Some(found) = weights.get_mut(row * bands + band) {
                    *found = weight as f32;
                }
            };
            if left >= centre {
                set(centre, 1.0);
            } else {
                for row in left..=centre {
                    set(row, (row - left) as f64 / (centre - left) as f64);
                }
            }
            for row in centre..right {
                set(row, (right - row) as f64 / (right - centre) as f64);
            }
        }
        Ok(Resolved::known(HostTensor::of_numbers(
            self.0,
            &[rows, bands],
            weights,
        )?))
    }
}
