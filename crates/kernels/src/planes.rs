/// Numbers `[N, C, H, W]` in row-major order.
#[derive(Debug, Clone, Copy)]
pub struct Planes<'a> {
    values: &'a [f32],
    dims: [usize; 4],
}

impl<'a> Planes<'a> {
    /// `values` of the shape `dims`.
    ///
    /// # Panics
    ///
    /// When there are not as many.
    pub fn new(values: &'a [f32], dims: [usize; 4]) -> Self {
        let len = dims.iter().product();
        assert_eq!(values.len(), len, "as many numbers as {dims:?} holds");
        Self { values, dims }
    }

    /// The numbers.
    pub fn values(&self) -> &'a [f32] {
        self.values
    }

    /// `[N, C, H, W]`.
    pub fn dims(&self) -> [usize; 4] {
        self.dims
    }

    /// How many planes: `N * C`.
    pub fn count(&self) -> usize {
        self.dims[0] * self.dims[1]
    }
}
