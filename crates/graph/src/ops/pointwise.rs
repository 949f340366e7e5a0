//! Functions of one number, and of pairs of numbers.

use std::sync::Arc;

use burn::tensor::Tensor;
use elucid_rules::{Algebra, OpKind, Pointwise, pointwise};

use crate::activation::{Activation, IntoView};
use crate::attributes::Attributes;
use crate::host::{ElementType, HostTensor, broadcast};
use crate::operator::{
    Apart, Kernel, Known, Operands, Operator, Refused, Resolved, Slots, aligned, axis_of,
    check_host_size, do_not_broadcast, facts,
};
use crate::receptive::{Reach, Windows};

/// A function of each number by itself, with up to two parameters.
#[derive(Debug, Clone, Copy)]
pub(super) struct Function {
    pub kind: OpKind,
    pub algebra: Algebra,
    pub parameters: [f32; 2],
    /// On the host.
    pub number: fn(f32, [f32; 2]) -> f32,
    /// On the host, for those that integers have, too.
    pub integer: Option<fn(i64) -> i64>,
    /// On a tensor of any rank.
    pub tensor: fn(Tensor<1>, [f32; 2]) -> Tensor<1>,
    /// The same as one sweep, where there is one.
    pub sweep: Option<fn([f32; 2]) -> Pointwise>,
}

impl Function {
    pub fn new(
        kind: &'static str,
        algebra: Algebra,
        number: fn(f32, [f32; 2]) -> f32,
        tensor: fn(Tensor<1>, [f32; 2]) -> Tensor<1>,
    ) -> Self {
        Self {
            kind: OpKind::new(kind),
            algebra,
            parameters: [0.0; 2],
            number,
            integer: None,
            tensor,
            sweep: None,
        }
    }

    pub fn parameters(mut self, first: f32, second: f32) -> Self {
        self.parameters = [first, second];
        self
    }

    pub fn sweep(mut self, sweep: fn([f32; 2]) -> Pointwise) -> Self {
        self.sweep = Some(sweep);
        self
    }

    pub fn integer(mut self, integer: fn(i64) -> i64) -> Self {
        self.integer = Some(integer);
        self
    }

    pub fn read(self) -> Result<Arc<dyn Operator>, String> {
        Ok(Arc::new(self))
    }
}

impl Operator for Function {
    facts!(kind: .kind, algebra: .algebra, apart: Rows);

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let x = inputs.input(0)?;
        let fits = x.kind.is_float() || (x.kind.is_int() && self.integer.is_some());
        if !fits {
            return Err(format!("input 0 holds {}, expected floats", x.kind).into());
        }
        match (&x.host, self.integer) {
            (Some(host), Some(integer)) if x.kind.is_int() => {
                Ok(Resolved::known(host.map_ints(integer)?))
            }
            (Some(host), _) => {
                let made = host.map_floats(|v| (self.number)(v, self.parameters))?;
                Ok(Resolved::known(made))
            }
            (None, _) => Ok(Resolved::typed(*self, x.shape.clone(), x.kind)),
        }
    }
}

impl Kernel for Function {
    fn run(&self, mut inputs: Slots, _outputs: &[Known]) -> Vec<Activation> {
        let x = inputs.take(0).untyped();
        let tensor = |x| (self.tensor)(x, self.parameters);
        let y = match self.sweep {
            Some(sweep) => pointwise(x, sweep(self.parameters), tensor),
            None => tensor(x),
        };
        vec![y.into()]
    }

    fn windows(&self, reach: &Reach<'_>) -> Option<Windows> {
        reach.element_wise()
    }

    fn bends(&self) -> Option<Pointwise> {
        self.sweep.map(|sweep| sweep(self.parameters))
    }
}

/// A function of pairs of numbers of two tensors that broadcast.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pairwise {
    pub kind: OpKind,
    /// Where the second operand is aligned, before opset 7.
    pub axis: Option<i64>,
    /// By which inputs are constants.
    pub algebra: fn(&[bool]) -> Algebra,
    /// On the host: both tensors, the second viewed so that it broadcasts, and the shape.
    pub host: fn(&HostTensor, &HostTensor, &[usize]) -> Result<HostTensor, String>,
    /// On tensors of any rank that broadcast.
    pub tensor: fn(Tensor<1>, Tensor<1>) -> Tensor<1>,
    /// Of the result, if it is not that of the first operand.
    pub result: Option<ElementType>,
}

impl Pairwise {
    pub fn new(
        a: &Attributes,
        kind: &'static str,
        algebra: fn(&[bool]) -> Algebra,
        host: fn(&HostTensor, &HostTensor, &[usize]) -> Result<HostTensor, String>,
        tensor: fn(Tensor<1>, Tensor<1>) -> Tensor<1>,
    ) -> Self {
        Self {
            kind: OpKind::new(kind),
            axis: legacy_axis(a),
            algebra,
            host,
            tensor,
            result: None,
        }
    }

    /// Of a result of another type than the operands'.
    pub fn giving(mut self, result: ElementType) -> Self {
        self.result = Some(result);
        self
    }

    pub fn read(self) -> Result<Arc<dyn Operator>, String> {
        Ok(Arc::new(self))
    }
}

/// Before opset 7 the second operand was aligned explicitly, and only if asked for.
pub(super) fn legacy_axis(a: &Attributes) -> Option<i64> {
    match a.opset() < 7 && a.flag("broadcast") {
        true => a.int("axis"),
        false => None,
    }
}

/// Two operands and what they broadcast to.
pub(super) struct Pair<'a> {
    pub a: &'a Known,
    pub b: &'a Known,
    pub b_view: Vec<usize>,
    pub shape: Vec<usize>,
}

impl<'a> Pair<'a> {
    /// The first two inputs, the second aligned at `axis` of the first where that is stated.
    pub fn of(inputs: &Operands<'a>, axis: Option<i64>) -> Result<Self, Refused> {
        let (a, b) = (inputs.input(0)?, inputs.input(1)?);
        let mut b_view = b.shape.clone();
        if let Some(axis) = axis {
            let axis = axis_of(axis, a.shape.len())?;
            let behind = (a.shape.len() - axis)
                .checked_sub(b.shape.len())
                .ok_or_else(|| {
                    format!(
                        "{:?} does not fit {:?} from axis {axis} on",
                        b.shape, a.shape
                    )
                })?;
            b_view.extend(vec![1; behind]);
        }
        let shape =
            broadcast(&a.shape, &b_view).ok_or_else(|| do_not_broadcast(&a.shape, &b.shape))?;
        Ok(Self {
            a,
            b,
            b_view,
            shape,
        })
    }

    /// Both operands' values, if both are known.
    pub fn hosts(&self) -> Result<Option<(&'a HostTensor, HostTensor)>, Refused> {
        match (&self.a.host, &self.b.host) {
            (Some(a), Some(b)) => {
                check_host_size(&self.shape)?;
                Ok(Some((a, b.reshape(&self.b_view)?)))
            }
            _ => Ok(None),
        }
    }

    /// How an operator on two operands that broadcast keeps images apart.
    pub fn apart(axis: Option<i64>) -> Apart {
        match axis {
            None => Apart::Stacks,
            Some(_) => Apart::No,
        }
    }

    /// The views in which both have the rank of the result.
    pub fn views(&self) -> [Vec<usize>; 2] {
        let rank = self.shape.len();
        [aligned(&self.a.shape, rank), aligned(&self.b_view, rank)]
    }
}

impl Operator for Pairwise {
    facts!(kind: .kind);

    fn algebra(&self, constant: &[bool]) -> Algebra {
        (self.algebra)(constant)
    }

    fn apart(&self, _inputs: &Operands<'_>) -> Apart {
        Pair::apart(self.axis)
    }

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let pair = Pair::of(inputs, self.axis)?;
        if pair.a.kind != pair.b.kind {
            let (a, b) = (pair.a.kind, pair.b.kind);
            return Err(format!("cannot combine {a} with {b}").into());
        }
        if pair.a.kind.is_int() {
            // Exact on the host.
            inputs.value(0, "integers to be computed with")?;
            inputs.value(1, "integers to be computed with")?;
        }
        if let Some((a, b)) = pair.hosts()? {
            return Ok(Resolved::known((self.host)(a, &b, &pair.shape)?));
        }
        let [a, b] = pair.views();
        let kernel = PairwiseKernel {
            a,
            b,
            tensor: self.tensor,
        };
        let kind = self.result.unwrap_or(pair.a.kind);
        Ok(Resolved::typed(kernel, pair.shape, kind))
    }
}

/// Operands viewed with shapes that broadcast.
#[derive(Debug)]
pub(super) struct PairwiseKernel {
    pub a: Vec<usize>,
    pub b: Vec<usize>,
    pub tensor: fn(Tensor<1>, Tensor<1>) -> Tensor<1>,
}

impl Kernel for PairwiseKernel {
    fn run(&self, mut inputs: Slots, _outputs: &[Known]) -> Vec<Activation> {
        let a = inputs.take(0).into_view(&self.a).untyped();
        let b = inputs.take(1).into_view(&self.b).untyped();
        vec![(self.tensor)(a, b).into()]
    }

    fn windows(&self, reach: &Reach<'_>) -> Option<Windows> {
        reach.broadcast()
    }
}

/// For an operator whose value is a decision.
pub(super) fn decides(_constant: &[bool]) -> Algebra {
    Algebra::Decision
}
