//! What arms of several files share.

use burn::backend::ir::{BinaryOpIr, ScalarOpIr, TensorIr};
use elucid_graph::{Attribute, ElementType};

use super::{Refused, Translator, flag, ints, kind_of};
use crate::program::{Id, Size};

impl Translator<'_> {
    pub(super) fn unary(
        &mut self,
        operator: &'static str,
        input: &TensorIr,
        out: &TensorIr,
    ) -> Result<(), Refused> {
        let x = self.read(input)?;
        self.simple(operator, &[x], out, Vec::new())
    }

    pub(super) fn binary(&mut self, operator: &'static str, r: &BinaryOpIr) -> Result<(), Refused> {
        let inputs = [self.read(&r.lhs)?, self.read(&r.rhs)?];
        self.simple(operator, &inputs, &r.out, Vec::new())
    }

    /// An operator whose second operand is one number.
    pub(super) fn with_number(
        &mut self,
        operator: &'static str,
        r: &ScalarOpIr,
    ) -> Result<(), Refused> {
        let x = self.read(&r.lhs)?;
        let number = self.number(&r.rhs, r.lhs.dtype);
        self.simple(operator, &[x, number], &r.out, Vec::new())
    }

    /// To another element type; among floating-point numbers, which are all computed in one precision,
    /// nothing happens.
    pub(super) fn cast(&mut self, input: &TensorIr, out: &TensorIr) -> Result<(), Refused> {
        let x = self.read(input)?;
        let to = kind_of(out.dtype)?;
        if to == self.program.value(x).kind {
            self.alias(out, x);
            return Ok(());
        }
        self.simple("Cast", &[x], out, vec![("to", code(to))])
    }

    /// To another element type, on the way.
    pub(super) fn cast_to(&mut self, x: Id, to: ElementType) -> Id {
        let sizes = self.program.sizes(x).to_vec();
        self.piece("Cast", &[x], sizes, to, vec![("to", code(to))])
    }

    /// In another shape, on the way.
    pub(super) fn reshaped(&mut self, x: Id, sizes: Vec<Size>) -> Id {
        let kind = self.program.value(x).kind;
        let shape = self.size_list(&sizes);
        self.piece("Reshape", &[x, shape], sizes, kind, Vec::new())
    }

    /// With the axes in another order, on the way.
    pub(super) fn permuted(&mut self, x: Id, order: &[usize]) -> Id {
        let from = self.program.sizes(x);
        let sizes = order.iter().map(|&axis| from[axis]).collect();
        let kind = self.program.value(x).kind;
        self.piece("Transpose", &[x], sizes, kind, vec![("perm", ints(order))])
    }

    /// Over axes, the sizes of which become 1 or fall away.
    pub(super) fn reduce(
        &mut self,
        operator: &'static str,
        x: Id,
        axes: Option<&[usize]>,
        out: &TensorIr,
    ) -> Result<(), Refused> {
        let all: Vec<usize> = (0..self.program.rank(x)).collect();
        let is_whole = axes.is_none();
        let keeps = !is_whole && out.shape.num_dims() == all.len();
        let axes = self.list(axes.unwrap_or(&all).iter().map(|&axis| axis as i64));
        if !is_whole {
            return self.simple(operator, &[x, axes], out, vec![("keepdims", flag(keeps))]);
        }
        // burn has one number as a list of one.
        let kind = self.program.value(x).kind;
        let one = self.piece(
            operator,
            &[x, axes],
            Vec::new(),
            kind,
            vec![("keepdims", flag(false))],
        );
        let shape = self.list([1]);
        self.simple("Reshape", &[one, shape], out, Vec::new())
    }
}

/// ONNX's number of an element type.
fn code(kind: ElementType) -> Attribute {
    Attribute::Int(match kind {
        ElementType::I64 => 7,
        ElementType::Bool => 9,
        _ => 1,
    })
}
