//! Choices, read from a string of bytes.

/// Choices, read from bytes; 0 behind their end.
pub struct Choices<'b> {
    bytes: &'b [u8],
}

impl<'b> Choices<'b> {
    pub fn new(bytes: &'b [u8]) -> Self {
        Self { bytes }
    }

    pub(super) fn byte(&mut self) -> u8 {
        self.bytes.split_off_first().copied().unwrap_or(0)
    }

    pub(super) fn below(&mut self, n: usize) -> usize {
        let wide = usize::from(self.byte());
        match n {
            0..=256 => wide % n.max(1),
            _ => (wide << 8 | usize::from(self.byte())) % n,
        }
    }

    pub(super) fn one_in(&mut self, n: usize) -> bool {
        // What comes of no bytes is plain.
        self.below(n) == n - 1
    }

    pub(super) fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// Mostly small, now and then as large as it gets.
    pub(super) fn int(&mut self) -> i64 {
        match self.byte() {
            250.. => self.of(&[i64::MIN, i64::MAX, -1 << 40, 1 << 40, 1 << 31, 1 << 20]),
            other => i64::from(other % 12) - 3,
        }
    }

    pub(super) fn float(&mut self) -> f32 {
        match self.byte() {
            250.. => self.of(&[f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, 1e-40]),
            other => f32::from(other) / 32.0 - 3.0,
        }
    }
}
