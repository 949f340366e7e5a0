//! Channels of a layer into a few groups.

use std::sync::Arc;

use ndarray::{Array2, Array4, ArrayView2, ArrayView4, CowArray, Ix2};

use crate::error::FactorError;
use crate::nmf::{Nmf, check_shape};
use crate::reducer::{Reducer, Reduction, Summary};
use crate::scalar::Scalar;

/// Where the channels are in an array of activations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Layout {
    /// `[N, C, H, W]`, as this workspace's models give them.
    #[default]
    Nchw,
    /// `[N, H, W, C]`, as Lucid has them.
    Nhwc,
}

impl Layout {
    /// The positions as rows, images and rows of an image first: `[N * H * W, C]`.
    fn rows<'a, T: Scalar>(self, x: ArrayView4<'a, T>) -> CowArray<'a, T, Ix2> {
        let x = match self {
            Layout::Nchw => x.permuted_axes([0, 2, 3, 1]),
            Layout::Nhwc => x,
        };
        let (n, h, w, c) = x.dim();
        match x.into_shape_with_order((n * h * w, c)) {
            Ok(rows) => CowArray::from(rows),
            Err(_) => {
                let mut values = x.iter().copied();
                let next = || values.next().unwrap_or_else(T::zero);
                CowArray::from(Array2::from_shape_simple_fn((n * h * w, c), next))
            }
        }
    }

    /// Rows back to positions; `[n, h, w]` are those of the activations.
    fn positions<T: Scalar>(self, rows: &Array2<T>, [n, h, w]: [usize; 3]) -> Array4<T> {
        let at = |n, y, x| (n * h + y) * w + x;
        match self {
            Layout::Nchw => Array4::from_shape_fn((n, rows.ncols(), h, w), |(n, c, y, x)| {
                rows[[at(n, y, x), c]]
            }),
            Layout::Nhwc => Array4::from_shape_fn((n, h, w, rows.ncols()), |(n, y, x, c)| {
                rows[[at(n, y, x), c]]
            }),
        }
    }

    /// `[N, H, W]`
    fn sides<T>(self, x: &ArrayView4<'_, T>) -> [usize; 3] {
        let (a, b, c, d) = x.dim();
        match self {
            Layout::Nchw => [a, c, d],
            Layout::Nhwc => [a, b, c],
        }
    }
}

/// Finds groups of channels: every position of every image is a row, every channel a column, and a
/// [`Reducer`] describes each position by a few numbers instead of all its channels.
///
/// With the default [`Nmf`] it is the `ChannelReducer` of Lucid's neuron groups (Olah et al., *The
/// building blocks of interpretability*, Distill, 2018). In the layout `[N, C, H, W]`, the default,
/// the factors are `[N, components, H, W]`; in `[N, H, W, C]` they are `[N, H, W, components]`.
///
/// ```
/// use elucid_factor::{ChannelReducer, Layout, Pca};
/// use ndarray::Array4;
///
/// # fn main() -> Result<(), elucid_factor::FactorError> {
/// let activations = Array4::from_shape_fn((1, 32, 7, 7), |(_, c, y, x)| ((c + 3 * y * x) % 5) as f32);
/// let (factors, groups) = ChannelReducer::nmf(3).fit_transform(activations.view())?;
/// assert_eq!(factors.dim(), (1, 3, 7, 7));
/// assert_eq!(groups.directions().dim(), (3, 32));
/// let reconstructed = groups.inverse(factors.view())?;
/// assert_eq!(reconstructed.dim(), activations.dim());
///
/// let by_pca = ChannelReducer::new(Pca::new(2)).layout(Layout::Nhwc);
/// # let _ = by_pca.fit(activations.permuted_axes([0, 2, 3, 1]).view())?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct ChannelReducer<T> {
    reducer: Arc<dyn Reducer<T>>,
    layout: Layout,
}

/// Groups of channels that a [`ChannelReducer`] found.
#[derive(Clone, Debug)]
pub struct ChannelGroups<T> {
    reduction: Arc<dyn Reduction<T>>,
    layout: Layout,
}

impl<T: Scalar> ChannelReducer<T> {
    /// With any method.
    pub fn new(reducer: impl Reducer<T> + 'static) -> Self {
        Self::from_box(Box::new(reducer))
    }

    /// With a method that was chosen while the program runs, as by
    /// [`Method::reducer`](crate::Method::reducer).
    pub fn from_box(reducer: Box<dyn Reducer<T>>) -> Self {
        Self {
            reducer: Arc::from(reducer),
            layout: Layout::default(),
        }
    }

    /// With [`Nmf`] and its defaults, as Lucid.
    pub fn nmf(components: usize) -> Self {
        Self::new(Nmf::new(components))
    }

    /// Where the channels are.
    pub fn layout(mut self, layout: Layout) -> Self {
        self.layout = layout;
        self
    }

    /// Finds groups in `activations`.
    ///
    /// # Errors
    ///
    /// When the method cannot take them, see [`Reducer::fit_transform`].
    pub fn fit(&self, activations: ArrayView4<'_, T>) -> Result<ChannelGroups<T>, FactorError> {
        let reduction = self.reducer.fit(self.layout.rows(activations).view())?;
        Ok(self.groups(reduction))
    }

    /// Finds groups in `activations`, and gives its factors: the same array with as many channels as
    /// there are components.
    ///
    /// # Errors
    ///
    /// As [`ChannelReducer::fit`].
    pub fn fit_transform(
        &self,
        activations: ArrayView4<'_, T>,
    ) -> Result<(Array4<T>, ChannelGroups<T>), FactorError> {
        let sides = self.layout.sides(&activations);
        let rows = self.layout.rows(activations);
        let (coordinates, reduction) = self.reducer.fit_transform(rows.view())?;
        let factors = self.layout.positions(&coordinates, sides);
        Ok((factors, self.groups(reduction)))
    }

    fn groups(&self, reduction: Box<dyn Reduction<T>>) -> ChannelGroups<T> {
        ChannelGroups {
            reduction: Arc::from(reduction),
            layout: self.layout,
        }
    }
}

impl<T: Scalar> ChannelGroups<T> {
    /// What each group is made of, `[components, C]`.
    pub fn directions(&self) -> ArrayView2<'_, T> {
        self.reduction.directions()
    }

    /// How the fit went, and what it left out.
    pub fn summary(&self) -> Summary {
        self.reduction.summary()
    }

    /// The reduction behind, on rows.
    pub fn reduction(&self) -> &dyn Reduction<T> {
        &*self.reduction
    }

    /// Factors of other activations of the same layer.
    ///
    /// # Errors
    ///
    /// When the number of channels differs, or the method cannot take them.
    pub fn transform(&self, activations: ArrayView4<'_, T>) -> Result<Array4<T>, FactorError> {
        let sides = self.layout.sides(&activations);
        let rows = self.layout.rows(activations);
        let expected = [rows.nrows(), self.directions().ncols()];
        check_shape("the activations' rows", rows.shape(), &expected)?;
        let coordinates = self.reduction.transform(rows.view())?;
        Ok(self.layout.positions(&coordinates, sides))
    }

    /// Activations from factors, as far as the groups carry.
    ///
    /// # Errors
    ///
    /// When there is not one factor per group.
    pub fn inverse(&self, factors: ArrayView4<'_, T>) -> Result<Array4<T>, FactorError> {
        let sides = self.layout.sides(&factors);
        let rows = self.layout.rows(factors);
        Ok(self
            .layout
            .positions(&self.reduction.inverse(rows.view())?, sides))
    }
}
