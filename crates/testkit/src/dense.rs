use elucid_graph::{ElementType, Graph, GraphBuilder, HostTensor};

/// The smallest network of pictures: all numbers of `x`, of this shape, times `weight`, which is
/// `[numbers, classes]`, are `z`.
pub fn dense(shape: [usize; 4], weight: Vec<f32>) -> Graph {
    let numbers: usize = shape.iter().product();
    let weight_shape = [numbers, weight.len() / numbers];
    let weight = HostTensor::of_floats(ElementType::F32, &weight_shape, weight).unwrap();
    let mut builder = GraphBuilder::new();
    let made = builder
        .input("x", ElementType::F32, &shape.map(Some))
        .and_then(|builder| builder.constant("w", weight))
        .and_then(|builder| builder.node("Flatten", "", &["x"], &["row"]))
        .and_then(|builder| builder.node("MatMul", "", &["row", "w"], &["z"]));
    made.unwrap().output("z");
    builder.build().unwrap()
}
