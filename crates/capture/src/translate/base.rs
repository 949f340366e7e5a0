//! Operations that move numbers, compare them and choose among them.

use burn::backend::ir::{BaseOperationIr as Ir, SliceAssignOpIr, SliceOpIr, TensorIr, UnfoldOpIr};
use burn::tensor::IndexingUpdateOp;
use elucid_graph::{ElementType, HostTensor};

use super::{Refused, Translator, dims, flag, int, ints, text};
use crate::program::{Id, Size};

impl Translator<'_> {
    pub(super) fn base(&mut self, operation: &Ir) -> Result<(), Refused> {
        match operation {
            Ir::Reshape(r) => self.reshape(&r.input, &r.out),
            Ir::Expand(r) => {
                let x = self.read(&r.input)?;
                let sizes = self.sizes_of(r.out.id);
                let shape = self.size_list(&sizes);
                self.simple("Expand", &[x, shape], &r.out, Vec::new())
            }
            Ir::SwapDims(r) => {
                let x = self.read(&r.input)?;
                let mut order: Vec<usize> = (0..r.input.shape.num_dims()).collect();
                order.swap(r.dim1, r.dim2);
                self.simple("Transpose", &[x], &r.out, vec![("perm", ints(&order))])
            }
            Ir::Permute(r) => {
                let x = self.read(&r.input)?;
                self.simple("Transpose", &[x], &r.out, vec![("perm", ints(&r.axes))])
            }
            Ir::Flip(r) => {
                let x = self.read(&r.input)?;
                let axes = || r.axes.iter().map(|&axis| axis as i64);
                let starts = self.list(axes().map(|_| -1));
                let ends = self.list(axes().map(|_| i64::MIN));
                let steps = self.list(axes().map(|_| -1));
                let axes = self.list(axes());
                self.simple("Slice", &[x, starts, ends, axes, steps], &r.out, Vec::new())
            }
            Ir::Unfold(r) => self.windows(r),
            Ir::Slice(r) => self.slice(r),
            Ir::SliceAssign(r) => self.slice_assign(r),
            Ir::Select(r) => {
                let inputs = [self.read(&r.tensor)?, self.read(&r.indices)?];
                self.simple("Gather", &inputs, &r.out, vec![("axis", int(r.dim))])
            }
            Ir::Gather(r) => {
                let inputs = [self.read(&r.tensor)?, self.read(&r.indices)?];
                self.simple(
                    "GatherElements",
                    &inputs,
                    &r.out,
                    vec![("axis", int(r.dim))],
                )
            }
            Ir::GatherNd(r) => {
                let inputs = [self.read(&r.data)?, self.read(&r.indices)?];
                self.simple("GatherND", &inputs, &r.out, Vec::new())
            }
            Ir::Scatter(r) => {
                let inputs = [
                    self.read(&r.tensor)?,
                    self.read(&r.indices)?,
                    self.read(&r.value)?,
                ];
                let reduction = ("reduction", text(update(&r.update)?));
                let axis = ("axis", int(r.dim));
                self.simple("ScatterElements", &inputs, &r.out, vec![axis, reduction])
            }
            Ir::ScatterNd(r) => {
                let inputs = [
                    self.read(&r.data)?,
                    self.read(&r.indices)?,
                    self.read(&r.values)?,
                ];
                let reduction = ("reduction", text(update(&r.reduction)?));
                self.simple("ScatterND", &inputs, &r.out, vec![reduction])
            }
            Ir::SelectAssign(r) => {
                // A row of indices for each number of the value.
                let (x, value) = (self.read(&r.tensor)?, self.read(&r.value)?);
                let indices = self.read(&r.indices)?;
                let mut sizes = vec![Size::Fixed(1); r.value.shape.num_dims()];
                sizes[r.dim] = Size::Fixed(dims(&r.indices).iter().product());
                let indices = self.reshaped(indices, sizes);
                let whole = self.sizes_of(r.value.id);
                let shape = self.size_list(&whole);
                let indices = self.piece(
                    "Expand",
                    &[indices, shape],
                    whole,
                    ElementType::I64,
                    Vec::new(),
                );
                let reduction = ("reduction", text(update(&r.update)?));
                let attributes = vec![("axis", int(r.dim)), reduction];
                self.simple("ScatterElements", &[x, indices, value], &r.out, attributes)
            }
            Ir::MaskWhere(r) => {
                let inputs = [
                    self.read(&r.mask)?,
                    self.read(&r.value)?,
                    self.read(&r.tensor)?,
                ];
                self.simple("Where", &inputs, &r.out, Vec::new())
            }
            Ir::MaskFill(r) => {
                let (mask, x) = (self.read(&r.mask)?, self.read(&r.tensor)?);
                let value = self.number(&r.value, r.tensor.dtype);
                self.simple("Where", &[mask, value, x], &r.out, Vec::new())
            }
            Ir::Equal(r) => self.binary("Equal", r),
            Ir::EqualElem(r) => self.with_number("Equal", r),
            Ir::NotEqual(r) => {
                let inputs = [self.read(&r.lhs)?, self.read(&r.rhs)?];
                self.unequal(inputs, &r.out)
            }
            Ir::NotEqualElem(r) => {
                let x = self.read(&r.lhs)?;
                let number = self.number(&r.rhs, r.lhs.dtype);
                self.unequal([x, number], &r.out)
            }
            Ir::RepeatDim(r) => {
                let x = self.read(&r.tensor)?;
                let (from, to) = (self.program.sizes(x).to_vec(), self.sizes_of(r.out.id));
                if from.get(r.dim) == Some(&Size::Fixed(1)) {
                    let shape = self.size_list(&to);
                    return self.simple("Expand", &[x, shape], &r.out, Vec::new());
                }
                if from
                    .iter()
                    .zip(&to)
                    .any(|(a, b)| matches!((a, b), (Size::Fixed(_), Size::Images(_))))
                {
                    return Err("how often it repeats follows the number of images".to_owned());
                }
                let mut times = vec![1; from.len()];
                times[r.dim] = r.times as i64;
                let times = self.list(times);
                self.simple("Tile", &[x, times], &r.out, Vec::new())
            }
            Ir::Cat(r) => {
                let inputs: Vec<Id> = r
                    .tensors
                    .iter()
                    .map(|x| self.read(x))
                    .collect::<Result<_, _>>()?;
                if let &[only] = inputs.as_slice() {
                    self.alias(&r.out, only);
                    return Ok(());
                }
                self.simple("Concat", &inputs, &r.out, vec![("axis", int(r.dim))])
            }
            Ir::Cast(r) => self.cast(&r.input, &r.out),
            // What has not been written to yet is as good as any number.
            Ir::Zeros(r) | Ir::Empty(r) => self.filled(&r.out, 0.0),
            Ir::Ones(r) => self.filled(&r.out, 1.0),
            Ir::All(r) => self.truth("ReduceMin", &r.input, None, &r.out),
            Ir::Any(r) => self.truth("ReduceMax", &r.input, None, &r.out),
            Ir::AllDim(r) => self.truth("ReduceMin", &r.input, Some(r.axis), &r.out),
            Ir::AnyDim(r) => self.truth("ReduceMax", &r.input, Some(r.axis), &r.out),
        }
    }

    fn reshape(&mut self, input: &TensorIr, out: &TensorIr) -> Result<(), Refused> {
        let x = self.read(input)?;
        let sizes = self.sizes_of(out.id);
        let varying = sizes.iter().filter(|size| matches!(size, Size::Images(_)));
        let shape = match varying.count() {
            // One size follows from the others.
            1 => {
                let sizes = sizes.iter().map(|size| match size {
                    Size::Fixed(size) => *size as i64,
                    Size::Images(_) => -1,
                });
                self.list(sizes)
            }
            _ => self.size_list(&sizes),
        };
        self.simple("Reshape", &[x, shape], out, Vec::new())
    }

    fn unequal(&mut self, [a, b]: [Id; 2], out: &TensorIr) -> Result<(), Refused> {
        let sizes = self.sizes_of(out.id);
        let equal = self.piece("Equal", &[a, b], sizes, ElementType::Bool, Vec::new());
        self.simple("Not", &[equal], out, Vec::new())
    }

    /// A tensor of one number.
    pub(super) fn filled(&mut self, out: &TensorIr, value: f64) -> Result<(), Refused> {
        let kind = super::kind_of(out.dtype)?;
        let one = match kind {
            ElementType::Bool => HostTensor::of_bools(&[1], vec![value != 0.0])?,
            ElementType::I64 => HostTensor::of_ints(kind, &[1], vec![value as i64])?,
            _ => HostTensor::of_floats(kind, &[1], vec![value as f32])?,
        };
        let sizes = self.sizes_of(out.id);
        let shape = self.size_list(&sizes);
        let one = self.program.numbers(one);
        self.simple("Expand", &[one, shape], out, Vec::new())
    }

    fn truth(
        &mut self,
        operator: &'static str,
        input: &TensorIr,
        axis: Option<usize>,
        out: &TensorIr,
    ) -> Result<(), Refused> {
        let x = self.read(input)?;
        let number = match self.program.value(x).kind {
            ElementType::Bool => self.cast_to(x, ElementType::I64),
            // Whatever is not zero is true.
            _ => {
                let truth = self.cast_to(x, ElementType::Bool);
                self.cast_to(truth, ElementType::I64)
            }
        };
        let sizes = self.sizes_of(out.id);
        let all: Vec<i64> = (0..input.shape.num_dims() as i64).collect();
        let keeps = axis.is_some() && out.shape.num_dims() == all.len();
        let axes = axis.map_or(all, |axis| vec![axis as i64]);
        let axes = self.list(axes);
        let made = self.piece(
            operator,
            &[number, axes],
            if axis.is_some() {
                sizes.clone()
            } else {
                Vec::new()
            },
            ElementType::I64,
            vec![("keepdims", flag(keeps))],
        );
        let made = match axis {
            Some(_) => made,
            None => self.reshaped(made, sizes),
        };
        let truth = self.cast_to(made, ElementType::Bool);
        self.alias(out, truth);
        Ok(())
    }

    fn slice(&mut self, r: &SliceOpIr) -> Result<(), Refused> {
        let x = self.read(&r.tensor)?;
        let shape = dims(&r.tensor);
        let sizes = self.program.sizes(x).to_vec();
        let (mut starts, mut ends, mut axes, mut steps) = (vec![], vec![], vec![], vec![]);
        for (axis, range) in r.ranges.iter().enumerate() {
            let whole = shape.get(axis).copied().unwrap_or_default() as isize;
            let end = range.end.unwrap_or(whole);
            if range.start == 0 && range.step == 1 && end == whole {
                continue;
            }
            if matches!(sizes.get(axis), Some(Size::Images(_))) {
                return Err("it takes a part of the batch".to_owned());
            }
            let [first, behind] = bounds(range.start, end, range.step, whole);
            axes.push(axis as i64);
            starts.push(first);
            ends.push(behind);
            steps.push(range.step as i64);
        }
        if axes.is_empty() {
            self.alias(&r.out, x);
            return Ok(());
        }
        let [starts, ends, axes, steps] = [starts, ends, axes, steps].map(|list| self.list(list));
        self.simple("Slice", &[x, starts, ends, axes, steps], &r.out, Vec::new())
    }

    /// A part of a tensor replaced: the part padded to the whole, where a mask says so.
    fn slice_assign(&mut self, r: &SliceAssignOpIr) -> Result<(), Refused> {
        let (x, value) = (self.read(&r.tensor)?, self.read(&r.value)?);
        let sizes = self.program.sizes(x).to_vec();
        let shape = dims(&r.tensor);
        let mut pads = [vec![0; shape.len()], vec![0; shape.len()]];
        let mut mask_shape = vec![1; shape.len()];
        let mut inside = vec![0..1; shape.len()];
        for (axis, range) in r.ranges.iter().enumerate() {
            let whole = shape[axis];
            let wrap = |place: isize| {
                if place < 0 {
                    place + whole as isize
                } else {
                    place
                }
            };
            let start = wrap(range.start);
            let end = range.end.map_or(whole as isize, wrap);
            if start == 0 && end == whole as isize && range.step == 1 {
                continue;
            }
            if range.step != 1 {
                return Err("it writes in steps".to_owned());
            }
            if matches!(sizes[axis], Size::Images(_)) {
                return Err("it writes to a part of the batch".to_owned());
            }
            let (start, end) = (start.max(0) as usize, end.clamp(0, whole as isize) as usize);
            pads[0][axis] = start as i64;
            pads[1][axis] = (whole - end) as i64;
            mask_shape[axis] = whole;
            inside[axis] = start..end;
        }
        if mask_shape.iter().all(|&size| size == 1) {
            self.alias(&r.out, value);
            return Ok(());
        }
        let count: usize = mask_shape.iter().product();
        let is_inside = |mut place: usize| {
            let mut within = true;
            for axis in (0..mask_shape.len()).rev() {
                within &= inside[axis].contains(&(place % mask_shape[axis]));
                place /= mask_shape[axis];
            }
            within
        };
        let mask = HostTensor::of_bools(&mask_shape, (0..count).map(is_inside).collect())?;
        let mask = self.program.numbers(mask);
        let pads = self.list(pads.concat());
        let kind = self.program.value(x).kind;
        let zero = match kind {
            ElementType::Bool => self
                .program
                .numbers(HostTensor::of_bools(&[], vec![false])?),
            ElementType::I64 => self.int(0),
            _ => self.float(0.0),
        };
        let padded = self.piece("Pad", &[value, pads, zero], sizes, kind, Vec::new());
        self.simple("Where", &[mask, padded, x], &r.out, Vec::new())
    }

    /// Overlapping windows along an axis, which go to a new last one.
    fn windows(&mut self, r: &UnfoldOpIr) -> Result<(), Refused> {
        let x = self.read(&r.input)?;
        let sizes = self.program.sizes(x).to_vec();
        let Some(&Size::Fixed(whole)) = sizes.get(r.dim) else {
            return Err("it takes windows of the batch".to_owned());
        };
        let count = (whole.saturating_sub(r.size)) / r.step.max(1) + 1;
        let places = (0..count).flat_map(|i| (0..r.size).map(move |j| (i * r.step + j) as i64));
        let indices = HostTensor::of_ints(ElementType::I64, &[count, r.size], places.collect())?;
        let indices = self.program.numbers(indices);
        // The window lies behind its place; it goes to the end.
        let mut gathered = sizes;
        gathered[r.dim] = Size::Fixed(count);
        gathered.insert(r.dim + 1, Size::Fixed(r.size));
        let rank = gathered.len();
        let kind = self.program.value(x).kind;
        let attributes = vec![("axis", int(r.dim))];
        let windows = self.piece("Gather", &[x, indices], gathered, kind, attributes);
        let mut order: Vec<usize> = (0..rank).filter(|&axis| axis != r.dim + 1).collect();
        order.push(r.dim + 1);
        self.simple(
            "Transpose",
            &[windows],
            &r.out,
            vec![("perm", ints(&order))],
        )
    }

    /// Padding, with whatever burn pads.
    pub(super) fn pad(&mut self, r: &burn::backend::ir::PadOpIr) -> Result<(), Refused> {
        use burn::backend::ir::PadModeIr;
        let x = self.read(&r.input)?;
        let sizes = self.program.sizes(x).to_vec();
        for ((before, after), size) in r.padding.iter().zip(&sizes) {
            if *before + *after > 0 && matches!(size, Size::Images(_)) {
                return Err("it pads the batch".to_owned());
            }
        }
        let before = r.padding.iter().map(|(before, _)| *before as i64);
        let after = r.padding.iter().map(|(_, after)| *after as i64);
        let pads = self.list(before.chain(after));
        let mut inputs = vec![x, pads];
        let mode = match &r.mode {
            PadModeIr::Constant(value) => {
                inputs.push(self.number(value, r.input.dtype));
                "constant"
            }
            PadModeIr::Reflect => "reflect",
            PadModeIr::Edge => "edge",
        };
        self.simple("Pad", &inputs, &r.out, vec![("mode", text(mode))])
    }
}

/// Where a slice begins and ends in ONNX's terms, from burn's, which names a range and then goes through
/// it backwards where the step is negative.
fn bounds(start: isize, end: isize, step: isize, whole: isize) -> [i64; 2] {
    let wrap = |place: isize| if place < 0 { place + whole } else { place };
    let (start, end) = (wrap(start).clamp(0, whole), wrap(end).clamp(0, whole));
    match step < 0 {
        false => [start as i64, end as i64],
        // Before the first is behind the last, in the order in which a negative step goes.
        true if start == 0 => [end as i64 - 1, i64::MIN],
        true => [end as i64 - 1, start as i64 - 1],
    }
}

/// What a scatter does with what is there.
fn update(update: &IndexingUpdateOp) -> Result<&'static str, Refused> {
    match update {
        IndexingUpdateOp::Assign => Ok("none"),
        IndexingUpdateOp::Add => Ok("add"),
        IndexingUpdateOp::Mul => Ok("mul"),
        IndexingUpdateOp::Min => Ok("min"),
        IndexingUpdateOp::Max => Ok("max"),
    }
}
