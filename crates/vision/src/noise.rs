//! Pictures of noise, for whoever wants a network to run and has no photograph.

use burn::tensor::{Tensor, TensorData};
use elucid_graph::{Excess, GraphError, INPUT};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg32;

use crate::error::ModelError;
use crate::input::InputSpec;
use crate::model::Model;

impl Model {
    /// Pictures of noise, `[count, C, H, W]`, of a height and width or of the model's: between the lowest and
    /// the highest value of each channel where these are known, else between -1 and 1. The same every time.
    ///
    /// # Errors
    ///
    /// [`ModelError::Input`] for a size that no picture has; [`GraphError::Shape`] for none of them;
    /// [`GraphError::TooLarge`] when they take more memory than the graph's [`Limits`](elucid_graph::Limits).
    pub fn noise(&self, count: usize, size: Option<[usize; 2]>) -> Result<Tensor<4>, ModelError> {
        let &[_, channels, height, width] = self.layer(INPUT)?.shape() else {
            return Err(GraphError::Shape {
                what: "the input".to_owned(),
                expected: "[N, C, H, W]".to_owned(),
                got: self.layer(INPUT)?.shape().to_vec(),
            }
            .into());
        };
        let [height, width] = match size {
            Some(size) => {
                // Bounds the size, as any input is.
                InputSpec::new(size)?;
                size
            }
            None => [height, width],
        };
        if count == 0 {
            return Err(GraphError::Shape {
                what: "a batch of pictures".to_owned(),
                expected: "one picture or more".to_owned(),
                got: vec![0],
            }
            .into());
        }
        let range = |channel: usize| {
            let of = |side: &Vec<f32>| side.get(channel).copied();
            let known = self.range().and_then(|[low, high]| of(low).zip(of(high)));
            known.unwrap_or((-1.0, 1.0))
        };
        let plane = height * width;
        let shape = [count, channels, height, width];
        let numbers = shape.iter().map(|&size| size as u64);
        let needed = numbers.fold(size_of::<f32>() as u64, u64::saturating_mul);
        let limit = self.graph().limits().memory();
        if needed > limit {
            let excess = Excess {
                needed,
                held: 0,
                limit,
            };
            return Err(excess.of(format!("{count} pictures of noise")).into());
        }
        let mut random = Pcg32::seed_from_u64(0);
        let mut values = Vec::with_capacity(count * channels * plane);
        for _ in 0..count {
            for channel in 0..channels {
                let (low, high) = range(channel);
                values.extend((0..plane).map(|_| low + (high - low) * random.random::<f32>()));
            }
        }
        let data = TensorData::new(values, shape);
        Ok(Tensor::from_data(data, self.device()))
    }
}
