//! `HannWindow`, `HammingWindow` and `BlackmanWindow`: sums of cosines over a period.

use std::f64::consts::TAU;
use std::sync::Arc;

use elucid_rules::{OpKind};

use crate::attributes::Attributes;
use crate::host::{ElementType, HostTensor};
use crate::operator::{facts, Operands, Operator, Refused, Resolved, check_host_size};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[
    Entry::onnx("HannWindow", 17, |a| read(a, "HannWindow", [0.5, 0.5, 0.0])),
    Entry::onnx("HammingWindow", 17, |a| {
        read(a, "HammingWindow", [25.0 / 46.0, 21.0 / 46.0, 0.0])
    }),
    Entry::onnx("BlackmanWindow", 17, |a| {
        read(a, "BlackmanWindow", [0.42, 0.5, 0.08])
    }),
];

fn read(a: &Attributes, kind: &'static str, terms: [f64; 3]) -> Result<Arc<dyn Operator>, String> {
    Ok(Arc::new(Window {
        kind: OpKind::new(kind),
        terms,
        periodic: a.int_or("periodic", 1) != 0,
        result: a
            .element_type("output_datatype")?
            .unwrap_or(ElementType::F32),
    }))
}

/// `a - b cos(x) + c cos(2 x)`.
#[derive(Debug)]
struct Window {
    kind: OpKind,
    terms: [f64; 3],
    /// Whether the period ends behind the last number, not at it.
    periodic: bool,
    result: ElementType,
}

impl Operator for Window {
    facts!(kind: .kind, algebra: Other);

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let stated = inputs.value(0, "the size")?.scalar_int()?;
        let size = usize::try_from(stated).map_err(|_| format!("a window of {stated} numbers"))?;
        check_host_size(&[size])?;
        // A window of one number holds the 1 that lies in the middle of others.
        let period = if self.periodic {
            size
        } else {
            size.saturating_sub(1)
        };
        let [a, b, c] = self.terms;
        let number = |i: usize| match period {
            0 => 1.0,
            _ => {
                let x = TAU * i as f64 / period as f64;
                (a - b * x.cos() + c * (2.0 * x).cos()) as f32
            }
        };
        let made = (0..size).map(number).collect();
        Ok(Resolved::known(HostTensor::of_numbers(
            self.result,
            &[size],
            made,
        )?))
    }
}
