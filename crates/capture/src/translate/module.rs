//! Operations with windows and weights.

use burn::backend::ir::{
    AttentionOpIr, GridSample2dOpIr, GridSamplePaddingModeIr, InterpolateModeIr, InterpolateOpIr,
    ModuleOperationIr as Ir, TensorIr, Unfold4dOpIr,
};
use elucid_graph::{Attribute, ElementType, HostTensor};

use super::{Refused, Translator, decimal, dims, flag, int, ints, scalar, text};
use crate::program::{Id, Size};

type Named = Vec<(&'static str, Attribute)>;

/// A transposed convolution: its options are of another type for each number of axes.
macro_rules! transposed {
    ($translator:ident, $r:ident) => {{
        let o = &$r.options;
        let pads = o.padding.map(|p| (p, p));
        let mut attributes = window(&$r.weight, &o.stride, &o.dilation, &pads, o.groups);
        attributes.push(("output_padding", ints(&o.padding_out)));
        let (bias, out) = ($r.bias.as_ref(), &$r.out);
        $translator.weighted("ConvTranspose", &$r.x, &$r.weight, bias, out, attributes)
    }};
}

impl Translator<'_> {
    pub(super) fn module(&mut self, operation: &Ir) -> Result<(), Refused> {
        match operation {
            Ir::BatchNorm(r) => {
                let inputs = [
                    self.read(&r.x)?,
                    self.read(&r.gamma)?,
                    self.read(&r.beta)?,
                    self.read(&r.mean)?,
                    self.read(&r.variance)?,
                ];
                let epsilon = ("epsilon", decimal(scalar(&r.epsilon)));
                self.simple("BatchNormalization", &inputs, &r.out, vec![epsilon])
            }
            Ir::LayerNorm(r) => {
                let mut inputs = vec![self.read(&r.input)?, self.read(&r.gamma)?];
                if let Some(beta) = &r.beta {
                    inputs.push(self.read(beta)?);
                }
                let epsilon = ("epsilon", decimal(scalar(&r.epsilon)));
                let axis = ("axis", Attribute::Int(-1));
                self.simple("LayerNormalization", &inputs, &r.out, vec![axis, epsilon])
            }
            Ir::Embedding(r) => {
                let inputs = [self.read(&r.weights)?, self.read(&r.indices)?];
                self.simple("Gather", &inputs, &r.out, vec![("axis", int(0))])
            }
            Ir::Linear(r) => {
                let inputs = [self.read(&r.x)?, self.read(&r.weight)?];
                let Some(bias) = &r.bias else {
                    return self.simple("MatMul", &inputs, &r.out, Vec::new());
                };
                let bias = self.read(bias)?;
                let sizes = self.sizes_of(r.out.id);
                let product = self.piece("MatMul", &inputs, sizes, ElementType::F32, Vec::new());
                self.simple("Add", &[product, bias], &r.out, Vec::new())
            }
            Ir::Conv1d(r) => {
                let o = &r.options;
                let window = window(&r.weight, &o.stride, &o.dilation, &o.padding, o.groups);
                self.weighted("Conv", &r.x, &r.weight, r.bias.as_ref(), &r.out, window)
            }
            Ir::Conv2d(r) => {
                let o = &r.options;
                let window = window(&r.weight, &o.stride, &o.dilation, &o.padding, o.groups);
                self.weighted("Conv", &r.x, &r.weight, r.bias.as_ref(), &r.out, window)
            }
            Ir::Conv3d(r) => {
                let o = &r.options;
                let pads = o.padding.map(|p| (p, p));
                let window = window(&r.weight, &o.stride, &o.dilation, &pads, o.groups);
                self.weighted("Conv", &r.x, &r.weight, r.bias.as_ref(), &r.out, window)
            }
            Ir::ConvTranspose1d(r) => transposed!(self, r),
            Ir::ConvTranspose2d(r) => transposed!(self, r),
            Ir::ConvTranspose3d(r) => transposed!(self, r),
            Ir::DeformableConv2d(r) => {
                let o = &r.options;
                let pads = o.padding.map(|p| (p, p));
                let mut window = window(&r.weight, &o.stride, &o.dilation, &pads, o.weight_groups);
                window.push(("offset_group", int(o.offset_groups)));
                let mut inputs = vec![
                    Some(self.read(&r.x)?),
                    Some(self.read(&r.weight)?),
                    Some(self.read(&r.offset)?),
                ];
                for optional in [&r.bias, &r.mask] {
                    let read = optional.as_ref().map(|x| self.read(x)).transpose()?;
                    inputs.push(read);
                }
                let out = self.made(&r.out)?;
                self.line("DeformConv", inputs, vec![out], window);
                Ok(())
            }
            Ir::MaxPool1d(r) => {
                let window = pool([r.kernel_size], [r.stride], [r.padding], r.ceil_mode);
                self.max_pool(&r.x, window, [r.dilation], &r.out)
            }
            Ir::MaxPool2d(r) => {
                let window = pool(r.kernel_size, r.stride, r.padding, r.ceil_mode);
                self.max_pool(&r.x, window, r.dilation, &r.out)
            }
            Ir::MaxPool1dWithIndices(r) => {
                self.indices(&r.out_indices)?;
                let window = pool([r.kernel_size], [r.stride], [r.padding], r.ceil_mode);
                self.max_pool(&r.x, window, [r.dilation], &r.out)
            }
            Ir::MaxPool2dWithIndices(r) => {
                self.indices(&r.out_indices)?;
                let window = pool(r.kernel_size, r.stride, r.padding, r.ceil_mode);
                self.max_pool(&r.x, window, r.dilation, &r.out)
            }
            Ir::AvgPool1d(r) => {
                let mut window = pool([r.kernel_size], [r.stride], [r.padding], r.ceil_mode);
                window.push(("count_include_pad", flag(r.count_include_pad)));
                let x = self.read(&r.x)?;
                self.simple("AveragePool", &[x], &r.out, window)
            }
            Ir::AvgPool2d(r) => {
                let mut window = pool(r.kernel_size, r.stride, r.padding, r.ceil_mode);
                window.push(("count_include_pad", flag(r.count_include_pad)));
                let x = self.read(&r.x)?;
                self.simple("AveragePool", &[x], &r.out, window)
            }
            Ir::AdaptiveAvgPool1d(r) => self.adaptive(&r.x, &[r.output_size], &r.out),
            Ir::AdaptiveAvgPool2d(r) => self.adaptive(&r.x, &r.output_size, &r.out),
            Ir::AdaptiveAvgPool3d(r) => self.adaptive(&r.x, &r.output_size, &r.out),
            Ir::Interpolate(r) => self.interpolate(r),
            Ir::Attention(r) => self.attention(r),
            Ir::Unfold4d(r) => self.columns(r),
            Ir::CtcLoss(_) => Err("it is a loss".to_owned()),
            _ => Err(super::BACKWARD.to_owned()),
        }
    }

    fn weighted(
        &mut self,
        operator: &'static str,
        x: &TensorIr,
        weight: &TensorIr,
        bias: Option<&TensorIr>,
        out: &TensorIr,
        window: Named,
    ) -> Result<(), Refused> {
        let mut inputs = vec![self.read(x)?, self.read(weight)?];
        if let Some(bias) = bias {
            inputs.push(self.read(bias)?);
        }
        self.simple(operator, &inputs, out, window)
    }

    fn max_pool<const N: usize>(
        &mut self,
        x: &TensorIr,
        mut window: Named,
        dilation: [usize; N],
        out: &TensorIr,
    ) -> Result<(), Refused> {
        window.push(("dilations", ints(&dilation)));
        let x = self.read(x)?;
        self.simple("MaxPool", &[x], out, window)
    }

    /// Where a pool found its maxima is of no use but to undo it.
    fn indices(&mut self, out: &TensorIr) -> Result<(), Refused> {
        let operations = &self.recording.operations;
        let is_read = operations
            .iter()
            .any(|op| op.inputs().any(|x| x.id == out.id));
        match is_read || self.recording.outputs.contains(&out.id) {
            true => Err("the places of its maxima are read".to_owned()),
            false => Ok(()),
        }
    }

    /// Averages over windows that need not be of one size: a product with a constant along each axis where
    /// they are not.
    fn adaptive(&mut self, x: &TensorIr, to: &[usize], out: &TensorIr) -> Result<(), Refused> {
        let from = &dims(x)[2..];
        let x = self.read(x)?;
        if to.iter().all(|&size| size == 1) {
            return self.simple("GlobalAveragePool", &[x], out, Vec::new());
        }
        if from
            .iter()
            .zip(to)
            .all(|(from, to)| from.is_multiple_of(*to))
        {
            let size: Vec<usize> = from.iter().zip(to).map(|(from, to)| from / to).collect();
            let window = vec![("kernel_shape", ints(&size)), ("strides", ints(&size))];
            return self.simple("AveragePool", &[x], out, window);
        }
        let rank = from.len() + 2;
        let mut x = x;
        for (i, (&from, &to)) in from.iter().zip(to).enumerate() {
            if from == to {
                continue;
            }
            let (axis, last) = (i + 2, rank - 1);
            let mut order: Vec<usize> = (0..rank).collect();
            order.swap(axis, last);
            if axis != last {
                x = self.permuted(x, &order);
            }
            let mut sizes = self.program.sizes(x).to_vec();
            sizes[last] = Size::Fixed(to);
            let weights = self.program.numbers(averages(from, to)?);
            x = self.piece("MatMul", &[x, weights], sizes, ElementType::F32, Vec::new());
            if axis != last {
                x = self.permuted(x, &order);
            }
        }
        self.alias(out, x);
        Ok(())
    }

    fn interpolate(&mut self, r: &InterpolateOpIr) -> Result<(), Refused> {
        let x = self.read(&r.x)?;
        let mode = match r.options.mode {
            InterpolateModeIr::Nearest | InterpolateModeIr::NearestExact => "nearest",
            InterpolateModeIr::Bilinear => "linear",
            InterpolateModeIr::Bicubic => "cubic",
            InterpolateModeIr::Lanczos3 => {
                return Err("Lanczos's filter has no counterpart".to_owned());
            }
        };
        let is_exact = matches!(r.options.mode, InterpolateModeIr::NearestExact);
        let position = match (mode, r.options.align_corners) {
            ("nearest", _) if !is_exact => "asymmetric",
            ("nearest", _) => "half_pixel",
            (_, true) => "align_corners",
            (_, false) => "half_pixel",
        };
        let mut attributes = vec![
            ("mode", text(mode)),
            ("coordinate_transformation_mode", text(position)),
            ("axes", ints(&[2, 3])),
        ];
        if mode == "nearest" {
            let rounded = if is_exact {
                "round_prefer_ceil"
            } else {
                "floor"
            };
            attributes.push(("nearest_mode", text(rounded)));
        }
        if mode == "cubic" {
            attributes.push(("cubic_coeff_a", decimal(-0.75)));
        }
        let sizes = self.list(r.output_size.map(|size| size as i64));
        let out = self.made(&r.out)?;
        self.line(
            "Resize",
            vec![Some(x), None, None, Some(sizes)],
            vec![out],
            attributes,
        );
        Ok(())
    }

    fn grid_sample_mode(r: &GridSample2dOpIr) -> Result<Named, Refused> {
        let mode = match r.options.mode {
            InterpolateModeIr::Nearest => "nearest",
            InterpolateModeIr::Bilinear => "linear",
            _ => return Err("this way of interpolating has no counterpart".to_owned()),
        };
        let padding = match r.options.padding_mode {
            GridSamplePaddingModeIr::Zeros => "zeros",
            GridSamplePaddingModeIr::Border => "border",
            GridSamplePaddingModeIr::Reflection => "reflection",
        };
        Ok(vec![
            ("mode", text(mode)),
            ("padding_mode", text(padding)),
            ("align_corners", flag(r.options.align_corners)),
        ])
    }

    pub(super) fn grid_sample(&mut self, r: &GridSample2dOpIr) -> Result<(), Refused> {
        let attributes = Self::grid_sample_mode(r)?;
        let inputs = [self.read(&r.tensor)?, self.read(&r.grid)?];
        self.simple("GridSample", &inputs, &r.out, attributes)
    }

    /// `softmax(scale q kᵀ + masks) v`, written out, as rules for attention want it.
    fn attention(&mut self, r: &AttentionOpIr) -> Result<(), Refused> {
        let (q, k, v) = (
            self.read(&r.query)?,
            self.read(&r.key)?,
            self.read(&r.value)?,
        );
        let (tall, wide) = (dims(&r.query), dims(&r.key));
        let scale = match &r.options.scale {
            Some(scale) => scalar(scale),
            None => 1.0 / (tall[3] as f64).sqrt(),
        };
        let k = self.permuted(k, &[0, 1, 3, 2]);
        let mut sizes = self.program.sizes(q).to_vec();
        sizes[3] = Size::Fixed(wide[2]);
        let mut scores = self.piece(
            "MatMul",
            &[q, k],
            sizes.clone(),
            ElementType::F32,
            Vec::new(),
        );
        let factor = self.float(scale);
        scores = self.with("Mul", scores, factor);
        if let Some(cap) = &r.options.softcap {
            let cap = self.float(scalar(cap));
            let share = self.with("Div", scores, cap);
            let bent = self.of("Tanh", share);
            scores = self.with("Mul", bent, cap);
        }
        if let Some(bias) = &r.attn_bias {
            let bias = self.read(bias)?;
            scores = self.with("Add", scores, bias);
        }
        let never = f64::from(f32::NEG_INFINITY);
        if r.options.is_causal {
            let [tall, wide] = [tall[2], wide[2]];
            // The last query sees all keys.
            let later = |place: usize| place % wide > place / wide + wide.saturating_sub(tall);
            let mask = HostTensor::of_bools(&[tall, wide], (0..tall * wide).map(later).collect())?;
            let mask = self.program.numbers(mask);
            scores = self.masked(mask, never, scores, &sizes);
        }
        if let Some(mask) = &r.mask {
            let mask = self.read(mask)?;
            scores = self.masked(mask, never, scores, &sizes);
        }
        let attributes = vec![("axis", int(3))];
        let shares = self.piece("Softmax", &[scores], sizes, ElementType::F32, attributes);
        self.simple("MatMul", &[shares, v], &r.out, Vec::new())
    }

    fn masked(&mut self, mask: Id, with: f64, x: Id, sizes: &[Size]) -> Id {
        let value = self.float(with);
        self.piece(
            "Where",
            &[mask, value, x],
            sizes.to_vec(),
            ElementType::F32,
            Vec::new(),
        )
    }

    /// Windows as columns, `[N, C k k, L]`: a convolution whose weights pick one number each.
    fn columns(&mut self, r: &Unfold4dOpIr) -> Result<(), Refused> {
        let x = self.read(&r.x)?;
        let shape = dims(&r.x);
        let [height, width] = r.kernel_size;
        let (channels, count) = (shape[1], height * width);
        let mut weights = vec![0.0; channels * count * count];
        for place in 0..channels * count {
            weights[place * count + place % count] = 1.0;
        }
        let weight = HostTensor::of_floats(
            ElementType::F32,
            &[channels * count, 1, height, width],
            weights,
        )?;
        let weight = self.program.numbers(weight);
        let o = &r.options;
        let reach = |i: usize| {
            let extent = o.dilation[i] * (r.kernel_size[i] - 1) + 1;
            (shape[i + 2] + 2 * o.padding[i]).saturating_sub(extent) / o.stride[i] + 1
        };
        let sizes = vec![
            self.program.sizes(x)[0],
            Size::Fixed(channels * count),
            Size::Fixed(reach(0)),
            Size::Fixed(reach(1)),
        ];
        let [top, left] = o.padding;
        let attributes = vec![
            ("kernel_shape", ints(&r.kernel_size)),
            ("strides", ints(&o.stride)),
            ("dilations", ints(&o.dilation)),
            ("pads", ints(&[top, left, top, left])),
            ("group", int(channels)),
        ];
        let picked = self.piece("Conv", &[x, weight], sizes, ElementType::F32, attributes);
        let sizes = self.sizes_of(r.out.id);
        let shape = match sizes[0] {
            Size::Images(_) => self.list([0, sizes[1].of_one() as i64, sizes[2].of_one() as i64]),
            Size::Fixed(_) => self.size_list(&sizes),
        };
        self.simple("Reshape", &[picked, shape], &r.out, Vec::new())
    }
}

/// Attributes of an operator with weights.
fn window(
    weight: &TensorIr,
    stride: &[usize],
    dilation: &[usize],
    padding: &[(usize, usize)],
    groups: usize,
) -> Named {
    let before = padding.iter().map(|(before, _)| before);
    let after = padding.iter().map(|(_, after)| after);
    vec![
        ("kernel_shape", ints(&dims(weight)[2..])),
        ("strides", ints(stride)),
        ("dilations", ints(dilation)),
        ("pads", ints(before.chain(after))),
        ("group", int(groups)),
    ]
}

/// Attributes of a pool.
fn pool<const N: usize>(
    kernel: [usize; N],
    stride: [usize; N],
    padding: [usize; N],
    ceil_mode: bool,
) -> Named {
    vec![
        ("kernel_shape", ints(&kernel)),
        ("strides", ints(&stride)),
        ("pads", ints(padding.iter().chain(&padding))),
        ("ceil_mode", flag(ceil_mode)),
    ]
}

/// The matrix `[from, to]` that averages the windows of an adaptive pool: from `floor(i from / to)` up to
/// `ceil((i + 1) from / to)`.
fn averages(from: usize, to: usize) -> Result<HostTensor, String> {
    let mut weights = vec![0.0; from * to];
    for i in 0..to {
        let window = i * from / to..((i + 1) * from).div_ceil(to);
        let share = 1.0 / window.len() as f32;
        for place in window {
            weights[place * to + i] = share;
        }
    }
    HostTensor::of_floats(ElementType::F32, &[from, to], weights)
}
