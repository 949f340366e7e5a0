//! Pictures of noise, for whoever wants a network to run and has no photograph.

use burn::tensor::{Tensor, TensorData};
use elucid_graph::{GraphError, INPUT};

use crate::error::ModelError;
use crate::input::InputSpec;
use crate::model::Model;

impl Model {
    /// Pictures of noise, `[count, C, H, W]`, of a height and width or of the model's: between the lowest and
    /// the highest value of each channel where these are known, else between -1 and 1. The same every time.
    ///
    /// # Errors
    ///
    /// [`ModelError::Input`] for a size that no picture has; [`GraphError::Shape`] for none of them.
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
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut values = Vec::with_capacity(count * channels * plane);
        for _ in 0..count {
            for channel in 0..channels {
                let (low, high) = range(channel);
                values.extend((0..plane).map(|_| low + (high - low) * unit(&mut state)));
            }
        }
        let data = TensorData::new(values, [count, channels, height, width]);
        Ok(Tensor::from_data(data, self.device()))
    }
}

/// The next number from 0 to 1, by Marsaglia's xorshift (*Xorshift RNGs*, 2003).
fn unit(state: &mut u64) -> f32 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    (*state >> 40) as f32 / (1_u64 << 24) as f32
}
