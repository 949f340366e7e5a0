//! A recorded pass as lines: the graph's operators on numbered values.

use std::collections::{HashMap, HashSet};

use elucid_graph::{Attribute, ElementType, HostTensor};

use crate::error::CaptureError;

/// A value of a [`Program`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Id(usize);

/// A size, as it depends on the number of images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Size {
    Fixed(usize),
    /// So many for each image.
    Images(usize),
}

impl Size {
    /// For one image: what does not follow the batch is as it is.
    pub fn of_one(self) -> usize {
        match self {
            Self::Fixed(size) | Self::Images(size) => size,
        }
    }
}

/// A value that the images do not change.
#[derive(Debug, Clone)]
pub(crate) enum Constant {
    /// A parameter of the module, by its path.
    Parameter(String),
    Numbers(HostTensor),
    /// A list of sizes, some of which follow the batch.
    Sizes(Vec<Size>),
}

/// What is known of a value.
#[derive(Debug, Clone)]
pub(crate) struct Value {
    pub sizes: Vec<Size>,
    pub kind: ElementType,
    pub constant: Option<Constant>,
    /// What the forward pass itself calls it.
    pub mark: Option<String>,
}

/// One operator.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    /// ONNX's name of it.
    pub operator: &'static str,
    pub inputs: Vec<Option<Id>>,
    pub outputs: Vec<Id>,
    pub attributes: Vec<(&'static str, Attribute)>,
}

impl Line {
    /// An input that is there.
    pub fn input(&self, place: usize) -> Option<Id> {
        self.inputs.get(place).copied().flatten()
    }

    /// Its inputs, those left out aside.
    pub fn read(&self) -> impl Iterator<Item = Id> {
        self.inputs.iter().copied().flatten()
    }

    pub fn int(&self, name: &str) -> Option<i64> {
        let found = self.attributes.iter().find(|(n, _)| *n == name);
        match found {
            Some((_, Attribute::Int(value))) => Some(*value),
            _ => None,
        }
    }

    pub fn ints(&self, name: &str) -> Option<&[i64]> {
        let found = self.attributes.iter().find(|(n, _)| *n == name);
        match found {
            Some((_, Attribute::Ints(values))) => Some(values),
            _ => None,
        }
    }

    pub fn float(&self, name: &str) -> Option<f32> {
        let found = self.attributes.iter().find(|(n, _)| *n == name);
        match found {
            Some((_, Attribute::Float(value))) => Some(*value),
            _ => None,
        }
    }
}

/// An input of a program.
#[derive(Debug, Clone)]
pub(crate) struct Input {
    pub name: String,
    pub value: Id,
}

/// A recorded pass.
#[derive(Debug, Clone, Default)]
pub(crate) struct Program {
    pub values: Vec<Value>,
    pub lines: Vec<Line>,
    /// The images first.
    pub inputs: Vec<Input>,
    pub outputs: Vec<Id>,
}

impl Program {
    pub fn value(&self, id: Id) -> &Value {
        &self.values[id.0]
    }

    pub fn value_mut(&mut self, id: Id) -> &mut Value {
        &mut self.values[id.0]
    }

    pub fn sizes(&self, id: Id) -> &[Size] {
        &self.value(id).sizes
    }

    pub fn rank(&self, id: Id) -> usize {
        self.value(id).sizes.len()
    }

    pub fn add(&mut self, sizes: Vec<Size>, kind: ElementType) -> Id {
        self.values.push(Value {
            sizes,
            kind,
            constant: None,
            mark: None,
        });
        Id(self.values.len() - 1)
    }

    pub fn add_constant(&mut self, constant: Constant, sizes: Vec<Size>, kind: ElementType) -> Id {
        let id = self.add(sizes, kind);
        self.values[id.0].constant = Some(constant);
        id
    }

    /// A constant of these numbers.
    pub fn numbers(&mut self, value: HostTensor) -> Id {
        let sizes = value.shape().iter().map(|&s| Size::Fixed(s)).collect();
        let kind = value.element_type();
        self.add_constant(Constant::Numbers(value), sizes, kind)
    }

    /// The numbers of a constant that is no parameter.
    pub fn known(&self, id: Id) -> Option<&HostTensor> {
        match &self.value(id).constant {
            Some(Constant::Numbers(value)) => Some(value),
            _ => None,
        }
    }

    /// A constant that is one number.
    pub fn scalar(&self, id: Id) -> Option<f64> {
        match self.known(id)?.floats().as_slice() {
            &[one] => Some(one.into()),
            _ => None,
        }
    }

    /// Whether nothing but constants leads to a value: for each value, in the program's order.
    pub fn fixed(&self) -> HashSet<Id> {
        let constants = (0..self.values.len()).map(Id);
        let mut fixed: HashSet<Id> = constants
            .filter(|id| self.value(*id).constant.is_some())
            .collect();
        for line in &self.lines {
            if line.read().all(|id| fixed.contains(&id)) {
                fixed.extend(&line.outputs);
            }
        }
        fixed
    }

    /// The line that makes each value.
    pub fn makers(&self) -> HashMap<Id, usize> {
        let lines = self.lines.iter().enumerate();
        lines
            .flat_map(|(i, line)| line.outputs.iter().map(move |&id| (id, i)))
            .collect()
    }

    /// The lines that read each value.
    pub fn readers(&self) -> HashMap<Id, Vec<usize>> {
        let mut readers: HashMap<Id, Vec<usize>> = HashMap::new();
        for (i, line) in self.lines.iter().enumerate() {
            for id in line.read() {
                readers.entry(id).or_default().push(i);
            }
        }
        readers
    }

    /// Whether a value may not disappear: the pass returns or names it.
    pub fn is_kept(&self, id: Id) -> bool {
        self.value(id).mark.is_some() || self.outputs.contains(&id)
    }

    /// The paths of the parameters that lines read.
    pub fn parameters(&self) -> HashSet<&str> {
        let read = self
            .lines
            .iter()
            .flat_map(Line::read)
            .chain(self.outputs.iter().copied());
        read.filter_map(|id| match &self.value(id).constant {
            Some(Constant::Parameter(path)) => Some(path.as_str()),
            _ => None,
        })
        .collect()
    }

    /// Refuses a pass whose outputs do not follow from its images.
    pub fn check_inputs(&self) -> Result<(), CaptureError> {
        let image = self.inputs.first().map(|input| input.value);
        let mut follows: HashSet<Id> = image.into_iter().collect();
        for line in &self.lines {
            if line.read().any(|id| follows.contains(&id)) {
                follows.extend(&line.outputs);
            }
        }
        match self.outputs.iter().any(|id| follows.contains(id)) {
            true => Ok(()),
            false => Err(CaptureError::Inputs {
                reason: "nothing that the forward pass returns follows from the images".to_owned(),
            }),
        }
    }

    /// Leaves out the lines that lead to no output.
    pub fn prune(&mut self) {
        let mut needed: HashSet<Id> = self.outputs.iter().copied().collect();
        let mut keep = vec![false; self.lines.len()];
        for (i, line) in self.lines.iter().enumerate().rev() {
            if line.outputs.iter().any(|id| needed.contains(id)) {
                keep[i] = true;
                needed.extend(line.read());
            }
        }
        let mut keep = keep.into_iter();
        self.lines.retain(|_| keep.next().unwrap_or(false));
    }

    /// Reads `new` wherever `old` is read.
    pub fn replace(&mut self, old: Id, new: Id) {
        for line in &mut self.lines {
            for input in &mut line.inputs {
                if *input == Some(old) {
                    *input = Some(new);
                }
            }
        }
    }
}
