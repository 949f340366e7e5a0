//! What the page of attention is made of: blocks, and what methods say.

use ndarray::{Array2, Array3, Axis};

use crate::RenderError;
use crate::normalise::check_finite;
use crate::page::expect_shape;

/// The attention weights of one block.
#[derive(Clone, Debug)]
pub struct AttentionView {
    pub(super) name: String,
    pub(super) number: Option<usize>,
    /// `[heads, T, T]`, of one head after [`AttentionView::mean_of_heads`].
    pub(super) weights: Array3<f32>,
    heads: usize,
}

impl AttentionView {
    /// A block's weights `[heads, T, T]`: how much token `i` (row) attends to token `j` (column). The
    /// tokens that are no patches come first, then the patches row by row.
    pub fn new(name: impl Into<String>, weights: Array3<f32>) -> Self {
        AttentionView {
            name: name.into(),
            number: None,
            heads: weights.dim().0,
            weights,
        }
    }

    /// Its number in the network, from 0; by default its place on the page.
    pub fn number(mut self, number: usize) -> Self {
        self.number = Some(number);
        self
    }

    /// The same with the mean over heads only, as the page says.
    pub fn mean_of_heads(mut self) -> Self {
        if let Some(mean) = self.weights.mean_axis(Axis(0)) {
            self.weights = mean.insert_axis(Axis(0));
        }
        self
    }

    /// How many heads the block has.
    pub fn heads(&self) -> usize {
        self.heads
    }

    pub(super) fn is_averaged(&self) -> bool {
        self.weights.dim().0 < self.heads
    }

    pub(super) fn check(&self, tokens: usize) -> Result<(), RenderError> {
        let what = format!("the attention of {:?}", self.name);
        if self.weights.is_empty() {
            return Err(RenderError::Empty {
                what,
                shape: self.weights.shape().to_vec(),
            });
        }
        let expected = [self.weights.dim().0, tokens, tokens];
        expect_shape(&what, &expected, self.weights.shape())?;
        check_finite(&what, self.weights.view().into_dyn())?;
        match self.weights.iter().find(|weight| **weight < 0.0) {
            None => Ok(()),
            Some(weight) => Err(RenderError::Parameter {
                parameter: "an attention weight",
                value: format!("{weight} in {:?}", self.name),
                expected: "a number from 0 on",
            }),
        }
    }
}

/// What a method says of the tokens.
#[derive(Clone, Debug)]
pub(super) enum Shown {
    /// `[K, T, T]`: one row for each token.
    Rows(Array3<f32>),
    /// `[K, h, w]`: the same whichever token is chosen.
    Map(Array3<f32>),
}

/// What a method finds, to be shown beside the attention of single blocks.
#[derive(Clone, Debug)]
pub struct AttentionMethod {
    pub(super) name: String,
    pub(super) description: Option<String>,
    pub(super) by_class: bool,
    pub(super) shown: Shown,
}

impl AttentionMethod {
    fn new(name: impl Into<String>, by_class: bool, shown: Shown) -> Self {
        AttentionMethod {
            name: name.into(),
            description: None,
            by_class,
            shown,
        }
    }

    /// What each token takes from each other one through all blocks, whatever the class: `[T, T]`,
    /// as [`AttentionView::new`] orders tokens. The page shows the row of the chosen token, scaled
    /// without the token's own place: there these methods hold the identity that residual
    /// connections add, beside which nothing else would be seen.
    pub fn rows(name: impl Into<String>, rows: Array2<f32>) -> Self {
        Self::new(name, false, Shown::Rows(rows.insert_axis(Axis(0))))
    }

    /// The same for each class: `[K, T, T]`.
    pub fn rows_by_class(name: impl Into<String>, rows: Array3<f32>) -> Self {
        Self::new(name, true, Shown::Rows(rows))
    }

    /// What each patch is worth for each class, signed, in the unit of the score: `[K, h, w]`.
    pub fn maps_by_class(name: impl Into<String>, maps: Array3<f32>) -> Self {
        Self::new(name, true, Shown::Map(maps))
    }

    /// A sentence below the name.
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }

    pub(super) fn values(&self) -> &Array3<f32> {
        match &self.shown {
            Shown::Rows(values) | Shown::Map(values) => values,
        }
    }

    pub(super) fn check(
        &self,
        tokens: usize,
        grid: [usize; 2],
        classes: usize,
    ) -> Result<(), RenderError> {
        let what = format!("the values of {:?}", self.name);
        let count = if self.by_class { classes } else { 1 };
        let [rows, columns] = match self.shown {
            Shown::Rows(_) => [tokens; 2],
            Shown::Map(_) => grid,
        };
        expect_shape(&what, &[count, rows, columns], self.values().shape())?;
        if count == 0 {
            return Err(RenderError::Empty {
                what,
                shape: self.values().shape().to_vec(),
            });
        }
        check_finite(&what, self.values().view().into_dyn())
    }
}
