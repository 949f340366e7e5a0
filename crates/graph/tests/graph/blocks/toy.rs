//! Graphs of a few operators, and what is found in them.

use elucid_graph::{
    Attributes, Block, Blocks, ElementType, Graph, GraphBuilder, HostTensor, Layout, ValueId,
};

/// A graph in the making.
pub struct Toy(pub GraphBuilder);

impl Toy {
    /// With an input `x`.
    pub fn new(shape: &[usize]) -> Self {
        let mut builder = GraphBuilder::new();
        let shape: Vec<Option<usize>> = shape.iter().map(|&size| Some(size)).collect();
        builder.input("x", ElementType::F32, &shape).unwrap();
        Self(builder)
    }

    /// At another version of the operator set.
    pub fn at(opset: i64, shape: &[usize]) -> Self {
        let mut toy = Self(GraphBuilder::with(&Default::default(), opset));
        let shape: Vec<Option<usize>> = shape.iter().map(|&size| Some(size)).collect();
        toy.0.input("x", ElementType::F32, &shape).unwrap();
        toy
    }

    pub fn number(mut self, name: &str, value: f32) -> Self {
        self.0.constant(name, HostTensor::float(value)).unwrap();
        self
    }

    pub fn half(mut self, name: &str, value: f32) -> Self {
        let host = HostTensor::float(value).cast(ElementType::F16);
        self.0.constant(name, host).unwrap();
        self
    }

    pub fn ints(mut self, name: &str, values: &[i64]) -> Self {
        self.0
            .constant(name, HostTensor::from_ints(values.to_vec()))
            .unwrap();
        self
    }

    /// Numbers that differ.
    pub fn weight(mut self, name: &str, shape: &[usize]) -> Self {
        let count: usize = shape.iter().product();
        let values = (0..count).map(|i| 0.5 + 0.1 * (i % 7) as f32).collect();
        let host = HostTensor::of_floats(ElementType::F32, shape, values).unwrap();
        self.0.constant(name, host).unwrap();
        self
    }

    pub fn all(mut self, name: &str, shape: &[usize], value: f32) -> Self {
        let values = vec![value; shape.iter().product()];
        let host = HostTensor::of_floats(ElementType::F32, shape, values).unwrap();
        self.0.constant(name, host).unwrap();
        self
    }

    pub fn node(self, kind: &str, inputs: &[&str], output: &str) -> Self {
        self.with(kind, inputs, output, |a| a)
    }

    pub fn with(
        mut self,
        kind: &str,
        inputs: &[&str],
        output: &str,
        attributes: impl FnOnce(Attributes) -> Attributes,
    ) -> Self {
        self.0
            .node_with(kind, output, inputs, &[output], attributes)
            .unwrap();
        self
    }

    pub fn build(mut self, outputs: &[&str]) -> Found {
        for output in outputs {
            self.0.output(output);
        }
        let graph = self.0.build().unwrap();
        let blocks = graph.blocks(&[]).unwrap();
        Found { graph, blocks }
    }
}

pub struct Found {
    pub graph: Graph,
    pub blocks: Blocks,
}

impl Found {
    pub fn value(&self, name: &str) -> ValueId {
        self.graph.value(name).unwrap()
    }

    pub fn names(&self) -> Vec<&'static str> {
        self.blocks.iter().map(Block::name).collect()
    }

    /// The only block.
    #[track_caller]
    pub fn only(&self) -> &Block {
        assert_eq!(self.blocks.len(), 1, "{:?}", self.names());
        self.blocks.iter().next().unwrap()
    }

    #[track_caller]
    pub fn none(&self) {
        assert!(self.blocks.is_empty(), "{:?}", self.names());
    }

    #[track_caller]
    pub fn layout(&self, name: &str) -> Layout {
        self.blocks.layout(self.value(name))
    }
}
