//! What an objective sees of one step.

use burn::tensor::Tensor;
use elucid_graph::Activation;

use crate::error::VisError;
use crate::subject::Subject;

/// The pictures of one step and what the network makes of them; differentiable.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'s> {
    subject: &'s Subject,
    pictures: &'s Tensor<4>,
    activations: &'s [(String, Activation)],
    item: Option<usize>,
}

impl<'s> Seen<'s> {
    /// `pictures` `[N, 3, H, W]` and the activations that they cause, by the names that terms list.
    pub fn new(
        subject: &'s Subject,
        pictures: &'s Tensor<4>,
        activations: &'s [(String, Activation)],
    ) -> Self {
        Self {
            subject,
            pictures,
            activations,
            item: None,
        }
    }

    /// The network.
    pub fn subject(&self) -> &'s Subject {
        self.subject
    }

    /// How many images there are.
    pub fn images(&self) -> usize {
        match self.item {
            Some(_) => 1,
            None => self.pictures.dims()[0],
        }
    }

    /// Only image `item`.
    ///
    /// # Errors
    ///
    /// [`VisError::Item`] when there are not that many.
    pub fn item(&self, item: usize) -> Result<Self, VisError> {
        let images = self.images();
        if item >= images {
            return Err(VisError::Item { item, images });
        }
        Ok(Self {
            item: Some(self.item.unwrap_or(item)),
            ..*self
        })
    }

    /// The pictures `[N, 3, H, W]`, red, green and blue in 0 to 1, before any transform.
    pub fn pictures(&self) -> Tensor<4> {
        self.of_item(self.pictures.clone())
    }

    /// The value of a layer, `[N, C, H, W]`, whichever order the network has its axes in; layers
    /// without positions have one.
    ///
    /// # Errors
    ///
    /// [`VisError::Unlisted`] when the term does not list the layer, [`VisError::NoChannels`] when it
    /// has no channels.
    pub fn layer(&self, name: &str) -> Result<Tensor<4>, VisError> {
        let known = self.activations.iter().find(|(layer, _)| layer == name);
        let (_, activation) = known.ok_or_else(|| VisError::Unlisted {
            layer: name.to_owned(),
        })?;
        Ok(self.of_item(self.subject.map_of(name, activation)?))
    }

    fn of_item(&self, values: Tensor<4>) -> Tensor<4> {
        match self.item {
            Some(item) if values.dims()[0] > 1 => values.narrow(0, item, 1),
            _ => values,
        }
    }
}

/// The values `[N, C, h, w]` of a block of positions that begins at `from`.
pub(crate) fn block(
    values: Tensor<4>,
    layer: &str,
    from: [usize; 2],
    size: [usize; 2],
) -> Result<Tensor<4>, VisError> {
    let [_, _, h, w] = values.dims();
    let fits = |from: usize, size: usize, side: usize| {
        from.checked_add(size).is_some_and(|end| end <= side)
    };
    if !fits(from[0], size[0], h) || !fits(from[1], size[1], w) {
        let what = match size {
            [1, 1] => format!("position {from:?}"),
            _ => format!("a block of {} x {}", size[0], size[1]),
        };
        return Err(VisError::Position {
            layer: layer.to_owned(),
            what,
            size: [h, w],
        });
    }
    if size == [h, w] {
        return Ok(values);
    }
    Ok(values
        .narrow(2, from[0], size[0])
        .narrow(3, from[1], size[1]))
}

/// The position in the middle: `[H / 2, W / 2]`, rounded down.
pub(crate) fn centre(values: &Tensor<4>) -> [usize; 2] {
    let [_, _, h, w] = values.dims();
    [h / 2, w / 2]
}
