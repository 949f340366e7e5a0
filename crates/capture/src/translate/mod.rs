//! From burn's operations to the graph's operators, one by one.

mod activation;
mod base;
mod module;
mod numeric;
mod pieces;

use std::collections::HashMap;

use burn::backend::capture::TensorId;
use burn::backend::ir::{BoolOperationIr, IntOperationIr, OperationIr, ScalarIr, TensorIr};
use burn::tensor::DType;
use elucid_graph::{Attribute, ElementType, HostTensor};

use crate::align::{Sizes, name};
use crate::error::{CaptureError, Obstacle};
use crate::host::{host, kind_of};
use crate::program::{Constant, Id, Input, Line, Program, Size};
use crate::record::{Recording, module_of};

/// Why an operation has no counterpart; empty where there is none and nothing more is to be said.
type Refused = String;

/// What an operation that depends on chance is told.
const CHANCE: &str = "it draws random numbers, and an explanation is about one network: switch it off for \
                      inference, or give it its numbers as an input";

/// What a gradient is told.
const BACKWARD: &str = "it is part of a gradient: differentiate the captured network instead";

/// Writes a recording as a program.
///
/// # Errors
///
/// [`CaptureError::Unsupported`] with all operations that have no counterpart.
pub(crate) fn translate(recording: &Recording, sizes: &Sizes) -> Result<Program, CaptureError> {
    let mut translator = Translator {
        recording,
        sizes,
        program: Program::default(),
        ids: HashMap::new(),
    };
    translator.inputs();
    let mut missing: Vec<Obstacle> = Vec::new();
    let mut after = String::new();
    for operation in &recording.operations {
        let read = operation.inputs().find_map(|x| recording.paths.get(&x.id));
        if let Some(path) = read {
            after = module_of(path).to_owned();
        }
        if let Err(reason) = translator.operation(operation) {
            let obstacle = Obstacle {
                operation: name(operation),
                after: after.clone(),
                reason,
            };
            if !missing.contains(&obstacle) {
                missing.push(obstacle);
            }
            // What follows is translated all the same, so that everything is told at once.
            for made in operation.outputs() {
                translator.made(made).ok();
            }
        }
    }
    if !missing.is_empty() {
        return Err(CaptureError::Unsupported(missing));
    }
    translator.finish()
}

struct Translator<'r> {
    recording: &'r Recording,
    sizes: &'r Sizes,
    program: Program,
    ids: HashMap<TensorId, Id>,
}

impl Translator<'_> {
    fn inputs(&mut self) {
        let image = [("input", self.recording.image, false)];
        let beside = &self.recording.beside;
        let beside = beside
            .iter()
            .map(|(name, given)| (name.as_str(), given.id, given.is_int));
        for (name, id, is_int) in image.into_iter().chain(beside) {
            let kind = match is_int {
                true => ElementType::I64,
                false => ElementType::F32,
            };
            let sizes = self.sizes_of(id);
            let value = self.program.add(sizes, kind);
            self.ids.insert(id, value);
            let name = name.to_owned();
            self.program.inputs.push(Input { name, value });
        }
    }

    fn finish(mut self) -> Result<Program, CaptureError> {
        for &output in &self.recording.outputs {
            let id = self
                .value(output)
                .map_err(|reason| CaptureError::Inputs { reason })?;
            self.program.outputs.push(id);
        }
        for (id, mark) in &self.recording.marks {
            if let Some(&id) = self.ids.get(id) {
                self.mark(id, mark);
            }
        }
        Ok(self.program)
    }

    /// Gives a value a name: what has one already, and inputs, through a step that does nothing.
    fn mark(&mut self, id: Id, name: &str) {
        let program = &mut self.program;
        if program.value(id).constant.is_some() {
            return;
        }
        let maker = program
            .lines
            .iter()
            .position(|line| line.outputs.contains(&id));
        if maker.is_some() && program.value(id).mark.is_none() {
            program.value_mut(id).mark = Some(name.to_owned());
            return;
        }
        let (sizes, kind) = (program.sizes(id).to_vec(), program.value(id).kind);
        let again = program.add(sizes, kind);
        program.replace(id, again);
        for output in &mut program.outputs {
            if *output == id {
                *output = again;
            }
        }
        program.value_mut(again).mark = Some(name.to_owned());
        let line = Line {
            operator: "Identity",
            inputs: vec![Some(id)],
            outputs: vec![again],
            attributes: Vec::new(),
        };
        program.lines.insert(maker.map_or(0, |line| line + 1), line);
        // A third name goes behind the second.
        for value in self.ids.values_mut() {
            if *value == id {
                *value = again;
            }
        }
    }

    fn sizes_of(&self, id: TensorId) -> Vec<Size> {
        self.sizes.get(&id).cloned().unwrap_or_default()
    }

    /// A value that an operation reads.
    fn read(&mut self, tensor: &TensorIr) -> Result<Id, Refused> {
        self.value(tensor.id)
    }

    fn value(&mut self, tensor: TensorId) -> Result<Id, Refused> {
        if let Some(&id) = self.ids.get(&tensor) {
            return Ok(id);
        }
        let Some(data) = self.recording.values.get(&tensor) else {
            return Err("it reads a value that nothing makes".to_owned());
        };
        let kind = kind_of(data.dtype())?;
        let constant = match self.recording.paths.get(&tensor) {
            Some(path) => Constant::Parameter(path.clone()),
            None => Constant::Numbers(host(data)?),
        };
        let sizes = data.shape().iter().map(|&size| Size::Fixed(size)).collect();
        let id = self.program.add_constant(constant, sizes, kind);
        self.ids.insert(tensor, id);
        Ok(id)
    }

    /// A value that an operation makes.
    fn made(&mut self, tensor: &TensorIr) -> Result<Id, Refused> {
        let kind = kind_of(tensor.dtype)?;
        let sizes = self.sizes_of(tensor.id);
        let id = self.program.add(sizes, kind);
        self.ids.insert(tensor.id, id);
        Ok(id)
    }

    /// One operator.
    fn line(
        &mut self,
        operator: &'static str,
        inputs: Vec<Option<Id>>,
        outputs: Vec<Id>,
        attributes: Vec<(&'static str, Attribute)>,
    ) {
        self.program.lines.push(Line {
            operator,
            inputs,
            outputs,
            attributes,
        });
    }

    /// One operator that makes what `out` is.
    fn simple(
        &mut self,
        operator: &'static str,
        inputs: &[Id],
        out: &TensorIr,
        attributes: Vec<(&'static str, Attribute)>,
    ) -> Result<(), Refused> {
        let out = self.made(out)?;
        let inputs = inputs.iter().copied().map(Some).collect();
        self.line(operator, inputs, vec![out], attributes);
        Ok(())
    }

    /// The same of a value on the way, of these sizes.
    fn piece(
        &mut self,
        operator: &'static str,
        inputs: &[Id],
        sizes: Vec<Size>,
        kind: ElementType,
        attributes: Vec<(&'static str, Attribute)>,
    ) -> Id {
        let out = self.program.add(sizes, kind);
        let inputs = inputs.iter().copied().map(Some).collect();
        self.line(operator, inputs, vec![out], attributes);
        out
    }

    /// A function of one value, on the way.
    fn of(&mut self, operator: &'static str, x: Id) -> Id {
        let (sizes, kind) = (self.program.sizes(x).to_vec(), self.program.value(x).kind);
        self.piece(operator, &[x], sizes, kind, Vec::new())
    }

    /// An operator of two values with the sizes and the type of the first, on the way.
    fn with(&mut self, operator: &'static str, x: Id, y: Id) -> Id {
        let (sizes, kind) = (self.program.sizes(x).to_vec(), self.program.value(x).kind);
        self.piece(operator, &[x, y], sizes, kind, Vec::new())
    }

    /// What an operation makes is a value that there is.
    fn alias(&mut self, out: &TensorIr, id: Id) {
        self.ids.insert(out.id, id);
    }

    fn float(&mut self, value: f64) -> Id {
        self.program.numbers(HostTensor::float(value as f32))
    }

    fn int(&mut self, value: i64) -> Id {
        self.program.numbers(HostTensor::int(value))
    }

    fn list(&mut self, values: impl IntoIterator<Item = i64>) -> Id {
        self.program
            .numbers(HostTensor::from_ints(values.into_iter().collect()))
    }

    /// A list of sizes, some of which may follow the batch.
    fn size_list(&mut self, sizes: &[Size]) -> Id {
        let fixed: Option<Vec<i64>> = sizes
            .iter()
            .map(|size| match size {
                Size::Fixed(size) => Some(*size as i64),
                Size::Images(_) => None,
            })
            .collect();
        match fixed {
            Some(fixed) => self.list(fixed),
            None => {
                let shape = vec![Size::Fixed(sizes.len())];
                let sizes = Constant::Sizes(sizes.to_vec());
                self.program.add_constant(sizes, shape, ElementType::I64)
            }
        }
    }

    /// A number as an operand beside values of a type.
    fn number(&mut self, value: &ScalarIr, dtype: DType) -> Id {
        match value {
            _ if dtype.is_float() => self.float(scalar(value)),
            ScalarIr::Float(value) => self.int(*value as i64),
            ScalarIr::Int(value) => self.int(*value),
            ScalarIr::UInt(value) => self.int(*value as i64),
            ScalarIr::Bool(value) => {
                let value = HostTensor::of_bools(&[], vec![*value]);
                match value {
                    Ok(value) => self.program.numbers(value),
                    Err(_) => self.int(0),
                }
            }
        }
    }

    fn operation(&mut self, operation: &OperationIr) -> Result<(), Refused> {
        match operation {
            OperationIr::Init(_) | OperationIr::Drop(_) => Ok(()),
            OperationIr::Activation(operation) => self.activation(operation),
            OperationIr::Module(operation) => self.module(operation),
            OperationIr::BaseFloat(base) | OperationIr::BaseInt(base) | OperationIr::BaseBool(base) => {
                self.base(base)
            }
            OperationIr::NumericFloat(dtype, numeric) | OperationIr::NumericInt(dtype, numeric) => {
                self.numeric(*dtype, numeric)
            }
            OperationIr::Float(_, float) => self.function(float),
            OperationIr::Bool(operation) => self.boolean(operation),
            OperationIr::Int(operation) => self.integer(operation),
            OperationIr::Custom(_) => Err("another crate's operation, which is a name here and no \
                                           computation: let its backend extension list `Capture` with \
                                           what it computes in burn's own operations"
                .to_owned()),
            OperationIr::Distributed(_) => Err("it is about several devices".to_owned()),
        }
    }

    fn boolean(&mut self, operation: &BoolOperationIr) -> Result<(), Refused> {
        use BoolOperationIr as Ir;
        match operation {
            Ir::IntoFloat(cast) | Ir::IntoInt(cast) => self.cast(&cast.input, &cast.out),
            Ir::Not(r) => self.unary("Not", &r.input, &r.out),
            Ir::And(r) => self.binary("And", r),
            Ir::Or(r) => self.binary("Or", r),
            Ir::Xor(r) => self.binary("Xor", r),
        }
    }

    fn integer(&mut self, operation: &IntOperationIr) -> Result<(), Refused> {
        use IntOperationIr as Ir;
        match operation {
            Ir::IntoFloat(cast) => self.cast(&cast.input, &cast.out),
            Ir::BitwiseAnd(r) => self.binary("BitwiseAnd", r),
            Ir::BitwiseOr(r) => self.binary("BitwiseOr", r),
            Ir::BitwiseXor(r) => self.binary("BitwiseXor", r),
            Ir::BitwiseNot(r) => self.unary("BitwiseNot", &r.input, &r.out),
            Ir::BitwiseAndScalar(r) => self.with_number("BitwiseAnd", r),
            Ir::BitwiseOrScalar(r) => self.with_number("BitwiseOr", r),
            Ir::BitwiseXorScalar(r) => self.with_number("BitwiseXor", r),
            Ir::Matmul(r) => {
                let inputs = [self.read(&r.lhs)?, self.read(&r.rhs)?];
                self.simple("MatMul", &inputs, &r.out, Vec::new())
            }
            Ir::BitwiseLeftShift(_)
            | Ir::BitwiseLeftShiftScalar(_)
            | Ir::BitwiseRightShift(_)
            | Ir::BitwiseRightShiftScalar(_) => Err(String::new()),
        }
    }
}

/// A scalar as a number.
fn scalar(value: &ScalarIr) -> f64 {
    match *value {
        ScalarIr::Float(value) => value,
        ScalarIr::Int(value) => value as f64,
        ScalarIr::UInt(value) => value as f64,
        ScalarIr::Bool(value) => f64::from(u8::from(value)),
    }
}

/// A list of sizes as an attribute.
fn ints<'a>(values: impl IntoIterator<Item = &'a usize>) -> Attribute {
    Attribute::Ints(values.into_iter().map(|&value| value as i64).collect())
}

fn int(value: usize) -> Attribute {
    Attribute::Int(value as i64)
}

fn flag(value: bool) -> Attribute {
    Attribute::Int(value.into())
}

fn decimal(value: f64) -> Attribute {
    Attribute::Float(value as f32)
}

fn text(value: &str) -> Attribute {
    Attribute::Text(value.to_owned())
}

fn dims(tensor: &TensorIr) -> Vec<usize> {
    tensor.shape.iter().copied().collect()
}
