//! How much memory a network may take.
//!
//! A few bytes of a file can ask for any number of them. So everything whose size a file decides is
//! counted before it is made.

use std::cell::Cell;
use std::fmt;
use std::str::FromStr;

use crate::element::ElementType;
use crate::error::GraphError;
use crate::host::{MAX_ELEMENTS, element_count};
use crate::operator::Refused;

/// A bound on the memory that opening and running a network takes.
///
/// Counted together are what decoding the file takes, the constants, what is computed from them ahead
/// or follows from shapes alone, and what one pass on one image holds at its fullest with the working
/// space of its operators; where gradients flow or a pass is recorded, all that it computes. A pass on
/// several images may take as many times that much. Not counted are the bytes of the file itself, the
/// copies of the constants on the device, and what the tensor library keeps for itself.
///
/// ```
/// use elucid_graph::{GraphBuilder, Limits, Registry};
///
/// let large = Limits::default().with_memory(8_000_000_000);
/// let builder = GraphBuilder::new().limits(large);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    memory: u64,
}

impl Limits {
    /// The memory that a network may take unless something else is said: 2 GB.
    pub const MEMORY: u64 = 2_000_000_000;

    /// With another number of bytes.
    #[must_use]
    pub fn with_memory(self, bytes: u64) -> Self {
        Self { memory: bytes }
    }

    /// The number of bytes.
    pub fn memory(self) -> u64 {
        self.memory
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: Self::MEMORY,
        }
    }
}

/// A number of bytes, as it is written: `2 GB`, `1.5GiB`, `300 MB`, `4096`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

/// Units that are read, the decimal ones of which are written.
const UNITS: [(&str, u64); 9] = [
    ("tib", 1 << 40),
    ("gib", 1 << 30),
    ("mib", 1 << 20),
    ("kib", 1 << 10),
    ("tb", 1_000_000_000_000),
    ("gb", 1_000_000_000),
    ("mb", 1_000_000),
    ("kb", 1_000),
    ("b", 1),
];

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || {
            format!(
                "\"{text}\" is no amount of memory: expected a number with a unit, such as 2GB, \
                 1.5GiB or 300MB"
            )
        };
        let lower = text.trim().to_ascii_lowercase();
        let unit = UNITS.iter().find(|(unit, _)| lower.ends_with(unit));
        let (number, size) = match unit {
            Some((unit, size)) => (&lower[..lower.len() - unit.len()], *size),
            None => (lower.as_str(), 1),
        };
        let number: f64 = number.trim().parse().map_err(|_| expected())?;
        let bytes = number * size as f64;
        match bytes >= 1.0 && bytes < u64::MAX as f64 {
            true => Ok(Self(bytes as u64)),
            false => Err(expected()),
        }
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = UNITS.iter().filter(|(unit, _)| !unit.contains('i'));
        let fits = |(_, size): &&(&str, u64)| self.0 >= *size;
        match units.clone().find(fits) {
            Some((unit, size)) if *size > 1 => {
                // Rounded up, so that what is too much is never written as the limit itself.
                let hundredths = (u128::from(self.0) * 100).div_ceil(u128::from(*size));
                let (whole, rest) = (hundredths / 100, hundredths % 100);
                let unit = unit.to_ascii_uppercase();
                match rest {
                    0 => write!(f, "{whole} {unit}"),
                    _ => write!(f, "{whole}.{rest:02} {unit}"),
                }
            }
            _ => write!(f, "{} bytes", self.0),
        }
    }
}

/// Bytes that `count` elements of a type take on the host: integers eight each, whatever their type.
pub fn host_bytes(kind: ElementType, count: usize) -> u64 {
    let width = match kind {
        ElementType::Bool => 1,
        _ if kind.is_int() => WIDEST,
        _ => SINGLE,
    };
    (count as u64).saturating_mul(width)
}

/// Bytes of a number on a device.
const SINGLE: u64 = 4;

/// Bytes of the widest element on the host.
const WIDEST: u64 = 8;

/// Bytes that a tensor of this shape takes on a device.
pub(crate) fn device_bytes(shape: &[usize]) -> u64 {
    bytes_of(shape, SINGLE)
}

/// Bytes that a value on the host takes, whatever its type.
pub(crate) fn widest_bytes(shape: &[usize]) -> u64 {
    bytes_of(shape, WIDEST)
}

fn bytes_of(shape: &[usize], width: u64) -> u64 {
    if shape.contains(&0) {
        // Other dimensions may still be beyond what can be multiplied.
        return element_count(shape).map_or(u64::MAX, |_| 0);
    }
    shape
        .iter()
        .fold(width, |bytes, &d| bytes.saturating_mul(d as u64))
}

/// More than the limit, with the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.words())]
pub struct Excess {
    /// Bytes that it would take.
    pub needed: u64,
    /// Bytes that are taken already.
    pub held: u64,
    /// The limit.
    pub limit: u64,
}

impl Excess {
    /// The error that says what would take so much.
    pub fn of(self, what: impl Into<String>) -> GraphError {
        GraphError::TooLarge {
            what: what.into(),
            needed: self.needed,
            held: self.held,
            limit: self.limit,
        }
    }

    fn words(&self) -> String {
        let beside = match self.held {
            0 => String::new(),
            held => format!(" beside the {} that are taken", Bytes(held)),
        };
        format!(
            "{}{beside}, more than the limit of {}; Limits::with_memory raises it",
            Bytes(self.needed),
            Bytes(self.limit)
        )
    }
}

/// What is taken of the memory that is allowed, counted before it is taken.
///
/// Whoever makes a graph from something that is not trusted counts what that asks for here, constants
/// included, and hands it to [`GraphBuilder::build_within`](crate::GraphBuilder::build_within).
///
/// ```
/// use elucid_graph::{Ledger, Limits};
///
/// let mut ledger = Ledger::new(Limits::default().with_memory(1000));
/// ledger.hold(900)?;
/// assert_eq!(ledger.check(200).unwrap_err().held, 900);
/// # Ok::<(), elucid_graph::Excess>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Ledger {
    limit: u64,
    held: u64,
}

impl Ledger {
    /// Nothing is taken yet.
    pub fn new(limits: Limits) -> Self {
        Self::holding(limits, 0)
    }

    /// So many bytes are taken already.
    pub(crate) fn holding(limits: Limits, held: u64) -> Self {
        Self {
            limit: limits.memory,
            held,
        }
    }

    /// What is allowed in all.
    pub fn limits(&self) -> Limits {
        Limits { memory: self.limit }
    }

    /// With as much for each of several images.
    pub(crate) fn for_each(self, images: usize) -> Self {
        Self {
            limit: self.limit.saturating_mul(images as u64),
            ..self
        }
    }

    /// Bytes that are taken.
    pub fn held(&self) -> u64 {
        self.held
    }

    /// Whether so many bytes more are allowed.
    ///
    /// # Errors
    ///
    /// [`Excess`] with the numbers when they are not.
    pub fn check(&self, needed: u64) -> Result<(), Excess> {
        let all = self.held.saturating_add(needed);
        if all <= self.limit {
            return Ok(());
        }
        Err(Excess {
            needed,
            held: self.held,
            limit: self.limit,
        })
    }

    /// Takes so many bytes, if that is allowed.
    ///
    /// # Errors
    ///
    /// As [`Ledger::check`]; nothing is taken then.
    pub fn hold(&mut self, needed: u64) -> Result<(), Excess> {
        self.check(needed)?;
        self.held += needed;
        Ok(())
    }

    /// Gives back what is no longer needed.
    pub fn release(&mut self, bytes: u64) {
        self.held = self.held.saturating_sub(bytes);
    }
}

thread_local! {
    /// The ledger of the node that is resolved on this thread.
    static CURRENT: Cell<Option<Ledger>> = const { Cell::new(None) };

    /// Bytes that were asked for since the present operator began to resolve.
    static ASKED: Cell<u64> = const { Cell::new(0) };
}

/// Holds a ledger for the operator that is resolved, with the bodies in it: those count on in the ledger
/// of the outermost.
#[derive(Debug)]
pub(crate) struct Scope {
    is_outermost: bool,
}

impl Scope {
    pub fn enter(ledger: Ledger) -> Self {
        let is_outermost = CURRENT.get().is_none();
        if is_outermost {
            CURRENT.set(Some(ledger));
        }
        Self { is_outermost }
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        if self.is_outermost {
            CURRENT.set(None);
        }
    }
}

fn current() -> Ledger {
    CURRENT
        .get()
        .unwrap_or_else(|| Ledger::new(Limits::default()))
}

/// What comes out, with the bytes of all tensors on a device that were checked on the way.
pub(crate) fn asked<T>(resolve: impl FnOnce() -> T) -> (T, u64) {
    let around = ASKED.replace(0);
    let made = resolve();
    (made, ASKED.replace(around))
}

/// Refuses a tensor on a device that takes more memory than is allowed while the present node is
/// resolved.
pub(crate) fn check_device(shape: &[usize]) -> Result<(), Refused> {
    allow_device(shape)?;
    ASKED.set(ASKED.get().saturating_add(device_bytes(shape)));
    Ok(())
}

/// The same for a tensor that is no working space: an operator's input or output.
pub(crate) fn allow_device(shape: &[usize]) -> Result<(), Refused> {
    check(shape, device_bytes(shape))
}

/// The same for a value on the host, whatever its type.
pub(crate) fn check_host(shape: &[usize]) -> Result<(), Refused> {
    check(shape, widest_bytes(shape))
}

fn check(shape: &[usize], needed: u64) -> Result<(), Refused> {
    let too_large = |excess| Refused::TooLarge {
        shape: shape.to_vec(),
        excess,
    };
    current().check(needed).map_err(too_large)?;
    match element_count(shape) {
        Some(_) => Ok(()),
        // However much memory is allowed.
        None => Err(Refused::TooLarge {
            shape: shape.to_vec(),
            excess: Excess {
                needed,
                held: 0,
                limit: MAX_ELEMENTS as u64 * SINGLE,
            },
        }),
    }
}

/// Takes bytes that stay taken until the outermost node is resolved.
pub(crate) fn spend(needed: u64) -> Result<(), Refused> {
    let Some(mut ledger) = CURRENT.get() else {
        return Ok(());
    };
    let too_large = |excess| Refused::TooLarge {
        shape: Vec::new(),
        excess,
    };
    ledger.hold(needed).map_err(too_large)?;
    CURRENT.set(Some(ledger));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_and_written() {
        for (text, bytes) in [
            ("2GB", 2_000_000_000),
            ("1.5 GiB", 1_610_612_736),
            ("300mb", 300_000_000),
            ("4096", 4096),
            ("12 B", 12),
        ] {
            assert_eq!(text.parse(), Ok(Bytes(bytes)), "{text}");
        }
        for text in ["", "GB", "-1GB", "0", "nan", "inf", "1e30 TB", "two GB"] {
            assert!(text.parse::<Bytes>().is_err(), "{text}");
        }
        assert_eq!(Bytes(2_000_000_000).to_string(), "2 GB");
        assert_eq!(Bytes(2_000_000_001).to_string(), "2.01 GB");
        assert_eq!(Bytes(999).to_string(), "999 bytes");
        assert_eq!(Bytes(1_500).to_string(), "1.50 KB");
    }

    #[test]
    fn sizes_do_not_overflow() {
        assert_eq!(device_bytes(&[usize::MAX, 3]), u64::MAX);
        assert_eq!(device_bytes(&[0, 3]), 0);
        assert_eq!(device_bytes(&[0, usize::MAX]), u64::MAX);
        assert_eq!(device_bytes(&[]), 4);
    }

    #[test]
    fn a_ledger_refuses_what_it_does_not_hold() {
        let mut ledger = Ledger::holding(Limits::default().with_memory(100), 10);
        assert_eq!(ledger.hold(60), Ok(()));
        let excess = Excess {
            needed: 31,
            held: 70,
            limit: 100,
        };
        assert_eq!(ledger.hold(31), Err(excess));
        ledger.release(60);
        assert_eq!(ledger.hold(90), Ok(()));
        assert_eq!(ledger.hold(u64::MAX).unwrap_err().held, 100);
    }
}
