//! From a program to a graph.

use std::collections::{BTreeMap, HashMap, HashSet};

use elucid_graph::{GraphBuilder, GraphError, HostTensor};

use crate::names::Names;
use crate::program::{Constant, Id, Program, Size};

/// A program, its names, and what its parameters hold.
pub(crate) fn write(
    program: &Program,
    names: &Names,
    parameters: &BTreeMap<String, HostTensor>,
    is_open: bool,
) -> Result<GraphBuilder, GraphError> {
    let mut writer = Writer {
        program,
        names,
        parameters,
        builder: GraphBuilder::new(),
        constants: HashMap::new(),
        written: HashSet::new(),
        images: None,
    };
    for input in &program.inputs {
        let value = program.value(input.value);
        let mut shape: Vec<Option<usize>> = value.sizes.iter().map(|s| Some(s.of_one())).collect();
        if is_open && let Some(first) = shape.first_mut() {
            *first = None;
        }
        writer.builder.input(&input.name, value.kind, &shape)?;
    }
    for (line, module) in program.lines.iter().zip(&names.modules) {
        let mut inputs = Vec::with_capacity(line.inputs.len());
        for input in &line.inputs {
            inputs.push(match input {
                Some(id) => writer.value(*id)?,
                None => String::new(),
            });
        }
        let outputs: Vec<String> = line.outputs.iter().map(|id| writer.name(*id)).collect();
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let outputs: Vec<&str> = outputs.iter().map(String::as_str).collect();
        let name = outputs.first().copied().unwrap_or_default();
        let attributes = line.attributes.clone();
        writer.builder.module(module);
        writer
            .builder
            .node_with(line.operator, name, &inputs, &outputs, |with| {
                let attributes = attributes.into_iter();
                attributes.fold(with, |with, (name, value)| with.with(name, value))
            })?;
    }
    writer.builder.module("");
    for (place, output) in program.outputs.iter().enumerate() {
        let name = writer.value(*output)?;
        let is_again = program.outputs[..place].contains(output);
        // An output is made by a node: what is given, or returned before, is handed on by one.
        if is_again || !writer.is_made(*output) {
            let again = format!("output_{place}");
            writer
                .builder
                .node("Identity", &again, &[&name], &[&again])?;
            writer.builder.output(&again);
        } else {
            writer.builder.output(&name);
        }
    }
    Ok(writer.builder)
}

struct Writer<'p> {
    program: &'p Program,
    names: &'p Names,
    parameters: &'p BTreeMap<String, HostTensor>,
    builder: GraphBuilder,
    constants: HashMap<Id, String>,
    written: HashSet<String>,
    /// The list that holds the number of images.
    images: Option<String>,
}

impl Writer<'_> {
    fn is_made(&self, id: Id) -> bool {
        self.program
            .lines
            .iter()
            .any(|line| line.outputs.contains(&id))
    }

    fn name(&self, id: Id) -> String {
        self.names.values.get(&id).cloned().unwrap_or_default()
    }

    /// The name of a value that is read; of a constant, with the constant in the graph.
    fn value(&mut self, id: Id) -> Result<String, GraphError> {
        if let Some(name) = self.constants.get(&id) {
            return Ok(name.clone());
        }
        let Some(constant) = &self.program.value(id).constant else {
            return Ok(self.name(id));
        };
        let name = match constant {
            Constant::Parameter(path) => {
                let name = path.clone();
                if self.written.insert(name.clone()) {
                    let Some(value) = self.parameters.get(path) else {
                        return Err(GraphError::Malformed {
                            reason: format!("parameter \"{path}\" has no value"),
                        });
                    };
                    self.builder.constant(&name, value.clone())?;
                }
                name
            }
            Constant::Numbers(value) => {
                let name = self.fresh();
                self.builder.constant(&name, value.clone())?;
                name
            }
            Constant::Sizes(sizes) => self.sizes(sizes)?,
        };
        self.constants.insert(id, name.clone());
        Ok(name)
    }

    fn fresh(&self) -> String {
        format!("#constant_{}", self.constants.len())
    }

    /// A list of sizes, put together while the network runs.
    fn sizes(&mut self, sizes: &[Size]) -> Result<String, GraphError> {
        let images = self.images()?;
        let base = self.fresh();
        let mut parts = Vec::new();
        for (place, size) in sizes.iter().enumerate() {
            let part = format!("{base}/{place}");
            match size {
                Size::Fixed(size) => {
                    let value = HostTensor::from_ints(vec![*size as i64]);
                    self.builder.constant(&part, value)?;
                }
                Size::Images(times) => {
                    let factor = format!("{part}/times");
                    let value = HostTensor::from_ints(vec![*times as i64]);
                    self.builder.constant(&factor, value)?;
                    self.builder
                        .node("Mul", &part, &[&images, &factor], &[&part])?;
                }
            }
            parts.push(part);
        }
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let axis = |with: elucid_graph::Attributes| with.with("axis", 0);
        self.builder
            .node_with("Concat", &base, &parts, &[&base], axis)?;
        Ok(base)
    }

    fn images(&mut self) -> Result<String, GraphError> {
        if let Some(images) = &self.images {
            return Ok(images.clone());
        }
        let name = "#images".to_owned();
        let input = self
            .program
            .inputs
            .first()
            .map_or("", |input| input.name.as_str());
        let first = |with: elucid_graph::Attributes| with.with("start", 0).with("end", 1);
        self.builder
            .node_with("Shape", &name, &[input], &[&name], first)?;
        self.images = Some(name.clone());
        Ok(name)
    }
}
