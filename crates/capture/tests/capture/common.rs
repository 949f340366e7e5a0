//! What the tests of this crate share.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use elucid_capture::Captured;
use elucid_graph::{BoundGraph, Graph};
use elucid_testkit::{device, numbers, tensor};

/// How far a captured network may be from burn's own, relative to the largest number.
pub const NEAR: f32 = 1e-5;

/// A module without parameters.
#[derive(Module, Debug, Default)]
pub struct Nothing {}

/// Images without a pattern.
pub fn images(count: usize, [channels, height, width]: [usize; 3]) -> Tensor<4> {
    let shape = [count, channels, height, width];
    let values = numbers(shape.iter().product(), 7 + count as u32);
    tensor(values.into_iter().map(|v| 2.0 * v).collect(), shape)
}

pub fn flat<const D: usize>(x: Tensor<D>) -> Tensor<2> {
    let images = x.dims()[0];
    x.reshape([images as i32, -1])
}

pub fn bound(graph: Graph, size: [usize; 2], device: &Device) -> BoundGraph {
    let input = graph.inputs()[0].value;
    let bound = BoundGraph::new(graph, device);
    bound
        .with_pictures(input, size)
        .expect("a network of pictures")
}

/// The largest difference, relative to the largest number or to one.
pub fn difference(got: &[f32], want: &[f32]) -> f32 {
    assert_eq!(got.len(), want.len(), "as many numbers");
    let mut worst: f32 = 0.0;
    let mut largest: f32 = 1.0;
    for (g, w) in got.iter().zip(want) {
        worst = worst.max(if g == w { 0.0 } else { (g - w).abs() });
        worst = if g.is_nan() != w.is_nan() {
            f32::INFINITY
        } else {
            worst
        };
        largest = largest.max(w.abs());
    }
    worst / largest
}

/// Captures a pass, and compares it with burn's own at one image and at three. In words, what is wrong;
/// else the operators that it became, those of constants aside.
pub fn compare<M: Module>(
    module: &M,
    image: [usize; 3],
    forward: impl Fn(&M, Tensor<4>) -> Tensor<2>,
) -> Result<Vec<String>, String> {
    let captured = Captured::of(module, image, &forward).map_err(|e| e.to_string())?;
    if let Some(reason) = captured.one_by_one() {
        return Err(format!("one image at a time: {reason}"));
    }
    let graph = captured.graph().map_err(|e| e.to_string())?;
    let operators = graph
        .nodes()
        .iter()
        .map(|n| n.op.kind().to_string())
        .collect();
    let bound = bound(graph, [image[1], image[2]], &device());
    for count in [1, 3] {
        let x = images(count, image);
        let name = bound.graph().name(bound.graph().outputs()[0]).to_owned();
        let values = bound
            .pass()
            .input(&x)
            .fetch([&name])
            .map_err(|e| e.to_string())?;
        let got = values
            .get(&name)
            .and_then(|v| v.to_array())
            .map_err(|e| e.to_string())?;
        let got: Vec<f32> = got.into_iter().collect();
        let want: Vec<f32> = forward(module, x).into_data().iter::<f32>().collect();
        let far = difference(&got, &want);
        if far > NEAR {
            return Err(format!("{far:e} from burn's own at {count} images"));
        }
    }
    Ok(operators)
}

/// Collects what is wrong in a table of cases.
#[derive(Default)]
pub struct Table {
    wrong: Vec<String>,
    count: usize,
}

impl Table {
    pub fn case(&mut self, name: &str, result: Result<Vec<String>, String>) {
        self.count += 1;
        if let Err(reason) = result {
            self.wrong.push(format!("{name}: {reason}"));
        }
    }

    pub fn finish(self) {
        assert!(self.count > 0, "no case");
        assert!(
            self.wrong.is_empty(),
            "{} of {} cases:\n{}",
            self.wrong.len(),
            self.count,
            self.wrong.join("\n")
        );
    }
}
