//! What a `.npy` file says of its numbers.

use ndarray::{ArrayD, IxDyn, ShapeBuilder};

const MAGIC: &[u8] = b"\x93NUMPY";

/// The longest text of a header. NumPy refuses longer ones than a hundredth of this.
pub(super) const MAX_HEADER: usize = 1 << 20;

/// What stands in front of the numbers.
#[derive(Clone)]
pub(super) struct Header {
    descriptor: String,
    /// Bytes of a number.
    pub width: usize,
    pub shape: Vec<usize>,
    /// Whether the first index runs fastest.
    pub fortran: bool,
    /// Where the numbers begin.
    pub start: usize,
}

impl Header {
    /// Where the numbers begin, from the first bytes of a file: 12 of them are enough.
    pub fn start(bytes: &[u8]) -> Result<usize, String> {
        let rest = bytes.strip_prefix(MAGIC);
        let rest = rest.ok_or("it is no .npy file and no .npz archive")?;
        let cut = || "it is cut short".to_owned();
        let (length, at) = match rest.first() {
            Some(1) => {
                let two = rest.get(2..4).ok_or_else(cut)?;
                (usize::from(u16::from_le_bytes([two[0], two[1]])), 4)
            }
            Some(2 | 3) => {
                let four = rest.get(2..6).ok_or_else(cut)?;
                let length = u32::from_le_bytes([four[0], four[1], four[2], four[3]]);
                (length as usize, 6)
            }
            _ => return Err("its version of the format is not known".to_owned()),
        };
        match length {
            0..=MAX_HEADER => Ok(MAGIC.len() + at + length),
            _ => Err(format!("its header has {length} bytes")),
        }
    }

    /// Reads it from the beginning of a file.
    pub fn of(bytes: &[u8]) -> Result<Self, String> {
        let start = Self::start(bytes)?;
        let text = bytes.get(MAGIC.len()..start);
        let text = String::from_utf8_lossy(text.ok_or("it is cut short")?).into_owned();
        let descriptor =
            quoted_after(&text, "descr").ok_or("its header names no type of numbers")?;
        let shape = shape_in(&text).ok_or("its header names no shape")?;
        let fortran = after(&text, "fortran_order").is_some_and(|t| t.starts_with("True"));
        let (width, _) = numbers(&descriptor).ok_or_else(|| {
            format!("it holds \"{descriptor}\"; integers, floating point and booleans can be read")
        })?;
        Ok(Self {
            descriptor,
            width,
            shape,
            fortran,
            start,
        })
    }

    /// Refuses numbers of another length than the shape asks for.
    pub fn check(&self, bytes: u64) -> Result<(), String> {
        let count = self
            .shape
            .iter()
            .try_fold(self.width, |a, b| a.checked_mul(*b));
        match count.is_some_and(|count| count as u64 == bytes) {
            true => Ok(()),
            false => Err(format!(
                "shape {:?} of \"{}\" does not fit the {bytes} bytes that follow",
                self.shape, self.descriptor
            )),
        }
    }

    /// The whole array, from the bytes of its numbers.
    pub fn array(&self, data: &[u8]) -> Result<ArrayD<f64>, String> {
        self.check(data.len() as u64)?;
        let shape = IxDyn(&self.shape).set_f(self.fortran);
        ArrayD::from_shape_vec(shape, self.numbers(data)).map_err(|e| e.to_string())
    }

    /// The numbers themselves, as they lie.
    pub fn numbers(&self, data: &[u8]) -> Vec<f64> {
        match numbers(&self.descriptor) {
            Some((width, number)) => data.chunks_exact(width).map(number).collect(),
            None => Vec::new(),
        }
    }
}

/// Bytes of a number, and the number.
type Numbers = (usize, Box<dyn Fn(&[u8]) -> f64>);

fn numbers(descriptor: &str) -> Option<Numbers> {
    let (order, kind) = descriptor.split_at_checked(1)?;
    let (order, kind) = match order {
        "<" | ">" | "|" | "=" => (order, kind),
        _ => ("<", descriptor),
    };
    let big = order == ">";
    // The bytes of a number, the least first.
    let little = move |bytes: &[u8]| {
        let mut all = [0; 8];
        all[..bytes.len()].copy_from_slice(bytes);
        if big {
            all[..bytes.len()].reverse();
        }
        u64::from_le_bytes(all)
    };
    Some(match kind {
        "f8" => (8, Box::new(move |b| f64::from_bits(little(b)))),
        "f4" => (
            4,
            Box::new(move |b| f32::from_bits(little(b) as u32).into()),
        ),
        "f2" => (2, Box::new(move |b| half_float(little(b) as u16))),
        "u1" | "b1" => (1, Box::new(move |b| little(b) as f64)),
        "u2" => (2, Box::new(move |b| little(b) as f64)),
        "u4" => (4, Box::new(move |b| little(b) as f64)),
        "u8" => (8, Box::new(move |b| little(b) as f64)),
        "i1" => (1, Box::new(move |b| (little(b) as i8).into())),
        "i2" => (2, Box::new(move |b| (little(b) as i16).into())),
        "i4" => (4, Box::new(move |b| (little(b) as i32).into())),
        "i8" => (8, Box::new(move |b| little(b) as i64 as f64)),
        _ => return None,
    })
}

/// A number of half precision from its bits.
fn half_float(bits: u16) -> f64 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 1023));
    sign * match exponent {
        0 => fraction * 2_f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1.0 + fraction / 1024.0) * 2_f64.powi(exponent - 15),
    }
}

/// What follows `'key':` in a header.
fn after<'h>(header: &'h str, key: &str) -> Option<&'h str> {
    let (_, rest) = header.split_once(&format!("'{key}'"))?;
    Some(rest.trim_start().strip_prefix(':')?.trim_start())
}

fn quoted_after(header: &str, key: &str) -> Option<String> {
    let rest = after(header, key)?.strip_prefix('\'')?;
    Some(rest.split_once('\'')?.0.to_owned())
}

fn shape_in(header: &str) -> Option<Vec<usize>> {
    let rest = after(header, "shape")?.strip_prefix('(')?;
    let (list, _) = rest.split_once(')')?;
    let parts = list.split(',').map(str::trim).filter(|p| !p.is_empty());
    parts
        .map(|p| p.trim_end_matches('L').parse().ok())
        .collect()
}
