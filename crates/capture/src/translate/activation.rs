//! Activations that burn has as one operation.

use burn::backend::ir::ActivationOperationIr as Ir;

use super::{Refused, Translator, decimal, int, scalar};

impl Translator<'_> {
    pub(super) fn activation(&mut self, operation: &Ir) -> Result<(), Refused> {
        match operation {
            Ir::Relu(r) => self.unary("Relu", &r.input, &r.out),
            Ir::Gelu(r) => self.unary("Gelu", &r.input, &r.out),
            Ir::Sigmoid(r) => self.unary("Sigmoid", &r.input, &r.out),
            Ir::PRelu(r) => self.binary("PRelu", r),
            Ir::LeakyRelu(r) => {
                let x = self.read(&r.lhs)?;
                let slope = decimal(scalar(&r.rhs));
                self.simple("LeakyRelu", &[x], &r.out, vec![("alpha", slope)])
            }
            Ir::HardSigmoid(r) => {
                let x = self.read(&r.tensor)?;
                let slope = ("alpha", decimal(scalar(&r.alpha)));
                let offset = ("beta", decimal(scalar(&r.beta)));
                self.simple("HardSigmoid", &[x], &r.out, vec![slope, offset])
            }
            // log sigmoid(x) = -softplus(-x), which overflows nowhere.
            Ir::LogSigmoid(r) => {
                let x = self.read(&r.input)?;
                let minus = self.of("Neg", x);
                let softplus = self.of("Softplus", minus);
                self.simple("Neg", &[softplus], &r.out, Vec::new())
            }
            Ir::Softmax(r) => {
                let x = self.read(&r.input)?;
                self.simple("Softmax", &[x], &r.out, vec![("axis", int(r.axis))])
            }
            Ir::LogSoftmax(r) => {
                let x = self.read(&r.input)?;
                self.simple("LogSoftmax", &[x], &r.out, vec![("axis", int(r.axis))])
            }
            Ir::Softmin(r) => {
                let x = self.read(&r.input)?;
                let minus = self.of("Neg", x);
                self.simple("Softmax", &[minus], &r.out, vec![("axis", int(r.axis))])
            }
            Ir::ReluBackward(_)
            | Ir::GeluBackward(_)
            | Ir::SigmoidBackward(_)
            | Ir::LogSigmoidBackward(_) => Err(super::BACKWARD.to_owned()),
        }
    }
}
