//! Arithmetic, functions and reductions.

use burn::backend::ir::{FloatOperationIr, NumericOperationIr as Ir, TensorIr};
use burn::tensor::DType;
use elucid_graph::ElementType;

use super::{CHANCE, Refused, Translator, flag, int, scalar};
use crate::program::{Id, Size};

impl Translator<'_> {
    pub(super) fn numeric(&mut self, dtype: DType, operation: &Ir) -> Result<(), Refused> {
        match operation {
            Ir::Add(r) => self.binary("Add", r),
            Ir::Sub(r) => self.binary("Sub", r),
            Ir::Mul(r) => self.binary("Mul", r),
            Ir::Div(r) => self.binary("Div", r),
            Ir::AddScalar(r) => self.with_number("Add", r),
            Ir::SubScalar(r) => self.with_number("Sub", r),
            Ir::MulScalar(r) => self.with_number("Mul", r),
            Ir::DivScalar(r) => self.with_number("Div", r),
            Ir::Rem(r) => {
                let (x, y) = (self.read(&r.lhs)?, self.read(&r.rhs)?);
                self.remainder(x, y, dtype, &r.out)
            }
            Ir::RemScalar(r) => {
                let x = self.read(&r.lhs)?;
                let y = self.number(&r.rhs, r.lhs.dtype);
                self.remainder(x, y, dtype, &r.out)
            }
            Ir::Abs(r) => self.unary("Abs", &r.input, &r.out),
            Ir::Neg(r) => self.unary("Neg", &r.input, &r.out),
            Ir::Sign(r) => self.unary("Sign", &r.input, &r.out),
            Ir::Full(r) => self.filled(&r.out, scalar(&r.value)),
            Ir::Mean(r) => self.whole("ReduceMean", &r.input, &r.out),
            Ir::Sum(r) => self.whole("ReduceSum", &r.input, &r.out),
            Ir::Prod(r) => self.whole("ReduceProd", &r.input, &r.out),
            Ir::Max(r) => self.whole("ReduceMax", &r.input, &r.out),
            Ir::Min(r) => self.whole("ReduceMin", &r.input, &r.out),
            Ir::MeanDim(r) => self.along("ReduceMean", &r.input, &[r.axis], &r.out),
            Ir::SumDim(r) => self.along("ReduceSum", &r.input, &[r.axis], &r.out),
            Ir::SumDims(r) => self.along("ReduceSum", &r.input, &r.axes, &r.out),
            Ir::ProdDim(r) => self.along("ReduceProd", &r.input, &[r.axis], &r.out),
            Ir::MaxDim(r) => self.along("ReduceMax", &r.input, &[r.axis], &r.out),
            Ir::MinDim(r) => self.along("ReduceMin", &r.input, &[r.axis], &r.out),
            Ir::MaxAbs(r) => {
                let x = self.read(&r.input)?;
                let x = self.of("Abs", x);
                self.reduce("ReduceMax", x, None, &r.out)
            }
            Ir::MaxAbsDim(r) => {
                let x = self.read(&r.input)?;
                let x = self.of("Abs", x);
                self.reduce("ReduceMax", x, Some(&[r.axis]), &r.out)
            }
            Ir::ArgMax(r) => self.place("ArgMax", &r.input, r.axis, &r.out),
            Ir::ArgMin(r) => self.place("ArgMin", &r.input, r.axis, &r.out),
            Ir::MaxDimWithIndices(r) => {
                self.along("ReduceMax", &r.tensor, &[r.dim], &r.out)?;
                self.place("ArgMax", &r.tensor, r.dim, &r.out_indices)
            }
            Ir::MinDimWithIndices(r) => {
                self.along("ReduceMin", &r.tensor, &[r.dim], &r.out)?;
                self.place("ArgMin", &r.tensor, r.dim, &r.out_indices)
            }
            Ir::TopK(r) => {
                let axis = Order::first(r.axis, true);
                self.ordered(&r.input, &axis, Some(&r.out), None)
            }
            Ir::ArgTopK(r) => {
                let axis = Order::first(r.axis, true);
                self.ordered(&r.input, &axis, None, Some(&r.out))
            }
            Ir::TopKWithIndices(r) => {
                let axis = Order::first(r.dim, true);
                self.ordered(&r.tensor, &axis, Some(&r.out), Some(&r.out_indices))
            }
            Ir::Sort(r) => {
                let axis = Order::first(r.dim, r.descending);
                self.ordered(&r.input, &axis, Some(&r.out), None)
            }
            Ir::ArgSort(r) => {
                let axis = Order::first(r.dim, r.descending);
                self.ordered(&r.input, &axis, None, Some(&r.out))
            }
            Ir::SortWithIndices(r) => {
                let axis = Order::first(r.dim, r.descending);
                self.ordered(&r.input, &axis, Some(&r.out), Some(&r.out_indices))
            }
            Ir::Greater(r) => self.binary("Greater", r),
            Ir::GreaterEqual(r) => self.binary("GreaterOrEqual", r),
            Ir::Lower(r) => self.binary("Less", r),
            Ir::LowerEqual(r) => self.binary("LessOrEqual", r),
            Ir::GreaterElem(r) => self.with_number("Greater", r),
            Ir::GreaterEqualElem(r) => self.with_number("GreaterOrEqual", r),
            Ir::LowerElem(r) => self.with_number("Less", r),
            Ir::LowerEqualElem(r) => self.with_number("LessOrEqual", r),
            Ir::Clamp(r) => {
                let x = self.read(&r.tensor)?;
                let low = self.number(&r.min, r.tensor.dtype);
                let high = self.number(&r.max, r.tensor.dtype);
                self.simple("Clip", &[x, low, high], &r.out, Vec::new())
            }
            Ir::ClampMin(r) => self.with_number("Max", r),
            Ir::ClampMax(r) => self.with_number("Min", r),
            Ir::Powi(r) => self.binary("Pow", r),
            Ir::PowiScalar(r) => self.with_number("Pow", r),
            Ir::CumSum(r) => {
                let x = self.read(&r.input)?;
                let axis = self.int(r.axis as i64);
                self.simple("CumSum", &[x, axis], &r.out, Vec::new())
            }
            Ir::Pad(r) => self.pad(r),
            Ir::IntRandom(_) => Err(CHANCE.to_owned()),
            Ir::CumProd(_) | Ir::CumMin(_) | Ir::CumMax(_) => Err(String::new()),
        }
    }

    pub(super) fn function(&mut self, operation: &FloatOperationIr) -> Result<(), Refused> {
        use FloatOperationIr as Ir;
        let (name, r) = match operation {
            Ir::Exp(r) => ("Exp", r),
            Ir::Log(r) => ("Log", r),
            Ir::Erf(r) => ("Erf", r),
            Ir::Sqrt(r) => ("Sqrt", r),
            Ir::Cos(r) => ("Cos", r),
            Ir::Cosh(r) => ("Cosh", r),
            Ir::Sin(r) => ("Sin", r),
            Ir::Sinh(r) => ("Sinh", r),
            Ir::Tan(r) => ("Tan", r),
            Ir::Tanh(r) => ("Tanh", r),
            Ir::ArcCos(r) => ("Acos", r),
            Ir::ArcCosh(r) => ("Acosh", r),
            Ir::ArcSin(r) => ("Asin", r),
            Ir::ArcSinh(r) => ("Asinh", r),
            Ir::ArcTan(r) => ("Atan", r),
            Ir::ArcTanh(r) => ("Atanh", r),
            Ir::Round(r) => ("Round", r),
            Ir::Floor(r) => ("Floor", r),
            Ir::Ceil(r) => ("Ceil", r),
            Ir::Recip(r) => ("Reciprocal", r),
            Ir::IsNan(r) => ("IsNaN", r),
            Ir::IsInf(r) => ("IsInf", r),
            Ir::Log1p(r) => {
                let x = self.read(&r.input)?;
                let one = self.float(1.0);
                let sum = self.with("Add", x, one);
                return self.simple("Log", &[sum], &r.out, Vec::new());
            }
            Ir::Trunc(r) => {
                let x = self.read(&r.input)?;
                let size = self.of("Abs", x);
                let size = self.of("Floor", size);
                let sign = self.of("Sign", x);
                return self.simple("Mul", &[sign, size], &r.out, Vec::new());
            }
            Ir::IntoInt(r) => return self.cast(&r.input, &r.out),
            Ir::Powf(r) => return self.binary("Pow", r),
            Ir::PowfScalar(r) => return self.with_number("Pow", r),
            Ir::Matmul(r) => {
                let inputs = [self.read(&r.lhs)?, self.read(&r.rhs)?];
                return self.simple("MatMul", &inputs, &r.out, Vec::new());
            }
            Ir::Hypot(r) => {
                let (x, y) = (self.read(&r.lhs)?, self.read(&r.rhs)?);
                let (x, y) = (self.with("Mul", x, x), self.with("Mul", y, y));
                let sizes = self.sizes_of(r.out.id);
                let sum = self.piece("Add", &[x, y], sizes, ElementType::F32, Vec::new());
                return self.simple("Sqrt", &[sum], &r.out, Vec::new());
            }
            Ir::GridSample2d(r) => return self.grid_sample(r),
            Ir::Random(_) => return Err(CHANCE.to_owned()),
            Ir::Quantize(_) | Ir::Dequantize(_) => {
                return Err(
                    "quantized tensors have no counterpart: call `dequantize` on the module's \
                            weights first"
                        .to_owned(),
                );
            }
            Ir::Cross(_) | Ir::ArcTan2(_) => return Err(String::new()),
        };
        self.unary(name, &r.input, &r.out)
    }

    /// With the divisor's sign.
    fn remainder(&mut self, x: Id, y: Id, dtype: DType, out: &TensorIr) -> Result<(), Refused> {
        if !dtype.is_float() {
            return self.simple("Mod", &[x, y], out, Vec::new());
        }
        let sizes = self.sizes_of(out.id);
        let mut piece = |operator, x, y| {
            self.piece(
                operator,
                &[x, y],
                sizes.clone(),
                ElementType::F32,
                Vec::new(),
            )
        };
        let quotient = piece("Div", x, y);
        let whole = self.of("Floor", quotient);
        let whole = self.piece("Mul", &[whole, y], sizes, ElementType::F32, Vec::new());
        self.simple("Sub", &[x, whole], out, Vec::new())
    }

    fn whole(
        &mut self,
        operator: &'static str,
        input: &TensorIr,
        out: &TensorIr,
    ) -> Result<(), Refused> {
        let x = self.read(input)?;
        self.reduce(operator, x, None, out)
    }

    fn along(
        &mut self,
        operator: &'static str,
        input: &TensorIr,
        axes: &[usize],
        out: &TensorIr,
    ) -> Result<(), Refused> {
        let x = self.read(input)?;
        self.reduce(operator, x, Some(axes), out)
    }

    /// Where along an axis the largest or smallest number is.
    fn place(
        &mut self,
        operator: &'static str,
        input: &TensorIr,
        axis: usize,
        out: &TensorIr,
    ) -> Result<(), Refused> {
        let x = self.read(input)?;
        let keeps = flag(out.shape.num_dims() == input.shape.num_dims());
        self.simple(
            operator,
            &[x],
            out,
            vec![("axis", int(axis)), ("keepdims", keeps)],
        )
    }

    fn ordered(
        &mut self,
        input: &TensorIr,
        order: &Order,
        values: Option<&TensorIr>,
        places: Option<&TensorIr>,
    ) -> Result<(), Refused> {
        let x = self.read(input)?;
        let Some(made) = values.or(places) else {
            return Ok(());
        };
        let sizes = self.sizes_of(made.id);
        let Some(&Size::Fixed(count)) = sizes.get(order.axis) else {
            return Err("it sorts the batch".to_owned());
        };
        let count = self.list([count as i64]);
        let kind = self.program.value(x).kind;
        let mut out = |tensor: Option<&TensorIr>, kind| match tensor {
            Some(tensor) => self.made(tensor),
            None => Ok(self.program.add(sizes.clone(), kind)),
        };
        let outputs = vec![out(values, kind)?, out(places, ElementType::I64)?];
        let attributes = vec![
            ("axis", int(order.axis)),
            ("largest", flag(order.descending)),
            ("sorted", flag(true)),
        ];
        self.line("TopK", vec![Some(x), Some(count)], outputs, attributes);
        Ok(())
    }
}

/// In which order numbers are put along an axis.
struct Order {
    axis: usize,
    descending: bool,
}

impl Order {
    fn first(axis: usize, descending: bool) -> Self {
        Self { axis, descending }
    }
}
