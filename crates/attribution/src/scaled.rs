//! Lengths in pixels that were written for photographs, on smaller pictures.
//!
//! Windows, blurs and steps of 5 to 50 pixels suit the 224 pixels of the networks that methods were
//! published for. On a picture whose shorter side has fewer than [`USUAL`] pixels, those that nobody has
//! given shrink in proportion: a window that covers a whole picture points nowhere.

use crate::options::Setting;

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

/// A length in pixels, of `f32` or `usize`, that shrinks on small pictures unless it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scaled<T> {
    pixels: T,
    given: bool,
}

/// A number of pixels.
pub trait Length: Copy {
    /// What it becomes on pictures of `[height, width]`.
    #[must_use]
    fn shrunk(self, size: [usize; 2]) -> Self;
}

impl Length for f32 {
    fn shrunk(self, size: [usize; 2]) -> Self {
        length(self, size)
    }
}

impl Length for usize {
    fn shrunk(self, size: [usize; 2]) -> Self {
        whole(self, size)
    }
}

/// Several lengths.
impl<const N: usize> Length for [f32; N] {
    fn shrunk(self, size: [usize; 2]) -> Self {
        self.map(|pixels| pixels.shrunk(size))
    }
}

impl<T: Length> Scaled<T> {
    /// So many pixels on pictures of 128 and more, fewer on smaller ones.
    pub const fn usual(pixels: T) -> Self {
        Self {
            pixels,
            given: false,
        }
    }

    /// So many pixels on any picture.
    pub const fn given(pixels: T) -> Self {
        Self {
            pixels,
            given: true,
        }
    }

    /// How many there are on pictures of `[height, width]`.
    pub fn at(self, size: [usize; 2]) -> T {
        match self.given {
            true => self.pixels,
            false => self.pixels.shrunk(size),
        }
    }
}

impl<T: Length> From<T> for Scaled<T> {
    fn from(pixels: T) -> Self {
        Self::given(pixels)
    }
}

impl<T: Length + Setting<Value = T>> Setting for Scaled<T> {
    type Value = T;

    fn read(text: &str) -> Option<Self> {
        T::read(text).map(Self::given)
    }

    fn text(&self, size: [usize; 2]) -> Option<String> {
        self.at(size).text(size)
    }

    fn value(&self) -> Option<&T> {
        Some(&self.pixels)
    }
}

/// A number of cells along the shorter side of a picture, as many as fit unless it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fitting {
    count: usize,
    given: bool,
}

impl Fitting {
    /// So many, or as many as there are pixels along the shorter side if those are fewer.
    pub const fn usual(count: usize) -> Self {
        Self {
            count,
            given: false,
        }
    }

    /// How many there are on pictures of `[height, width]`.
    pub fn at(self, [height, width]: [usize; 2]) -> usize {
        match self.given {
            true => self.count,
            false => self.count.min(height.min(width)),
        }
    }
}

impl From<usize> for Fitting {
    fn from(count: usize) -> Self {
        Self { count, given: true }
    }
}

impl Setting for Fitting {
    type Value = usize;

    fn read(text: &str) -> Option<Self> {
        usize::read(text).map(Self::from)
    }

    fn text(&self, size: [usize; 2]) -> Option<String> {
        self.at(size).text(size)
    }

    fn value(&self) -> Option<&usize> {
        Some(&self.count)
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
        assert_eq!(Scaled::usual([5.0, 10.0]).at([64, 64]), [2.5, 5.0]);
        assert_eq!(Scaled::usual(4_usize).text([64, 64]).as_deref(), Some("2"));
        assert_eq!(Scaled::given(4_usize).at([64, 64]), 4);
        assert_eq!(Scaled::<f32>::read("5").unwrap().at([8, 8]), 5.0);
        assert_eq!(Fitting::usual(7).at([9, 5]), 5);
        assert_eq!(Fitting::read("7").unwrap().at([9, 5]), 7);
    }
}
