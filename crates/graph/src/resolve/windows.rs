//! Operators that slide a window over an image.

use elucid_rules::{Conv2d, Pool2d};

use super::{Kernel, Node, Refused, Resolved, check_size};
use crate::host::{ElementType, MAX_ELEMENTS};
use crate::op::{Padding, Window};

impl Node<'_> {
    pub(super) fn conv(&self, window: &Window, groups: usize) -> Result<Resolved, Refused> {
        let [n, c, h, w] = self.image()?;
        let weight = &self.floats(1)?.shape;
        let [out, per_group, kh, kw] = <[usize; 4]>::try_from(weight.as_slice())
            .ok()
            .filter(|s| s.iter().all(|&d| d > 0))
            .ok_or_else(|| {
                format!("weights have shape {weight:?}, expected [O, C/groups, H, W]")
            })?;
        if per_group.checked_mul(groups) != Some(c) || out % groups != 0 {
            return Err(format!(
                "weights {weight:?} in {groups} groups do not fit an input of {c} channels"
            )
            .into());
        }
        if let Some(stated) = window.kernel
            && stated != [kh, kw]
        {
            return Err(
                format!("kernel_shape {stated:?} differs from the weights' {weight:?}").into(),
            );
        }
        if let Some(bias) = self.optional(2)
            && (bias.shape != [out] || bias.kind != ElementType::F32)
        {
            return Err(format!("bias has shape {:?}, expected [{out}]", bias.shape).into());
        }
        let pads = pads(window, [kh, kw], [h, w])?;
        let size = |i: usize, input: usize, kernel: usize| {
            let reach = (kernel - 1)
                .checked_mul(window.dilation[i])?
                .checked_add(1)?;
            let span = (input + pads[i] + pads[i + 2]).checked_sub(reach)?;
            Some(span / window.stride[i] + 1)
        };
        let (Some(oh), Some(ow)) = (size(0, h, kh), size(1, w, kw)) else {
            return Err(format!(
                "a kernel of {kh}x{kw} (dilation {:?}) does not fit an input of {h}x{w} padded by \
                 {pads:?}",
                window.dilation
            )
            .into());
        };
        // burn's convolution pads explicitly where the sides differ, and convolutions gather what
        // some windows read.
        check_size(
            &[n, c, h + pads[0] + pads[2], w + pads[1] + pads[3]],
            MAX_ELEMENTS,
        )?;
        check_size(
            &[per_group, kh, kw, (oh * ow).min(ow.max(GATHERED))],
            MAX_ELEMENTS,
        )?;
        let kernel = Kernel::Conv {
            conv: Conv2d {
                stride: window.stride,
                pads,
                dilation: window.dilation,
                groups,
            },
            kernel: [kh, kw],
        };
        Ok(Self::one(kernel, vec![n, out, oh, ow]))
    }

    pub(super) fn max_pool(&self, window: &Window) -> Result<Resolved, Refused> {
        let (pool, shape) = self.pool(window)?;
        Ok(Self::one(Kernel::MaxPool(pool), shape))
    }

    pub(super) fn average_pool(
        &self,
        window: &Window,
        count_include_pad: bool,
    ) -> Result<Resolved, Refused> {
        let (pool, shape) = self.pool(window)?;
        let kernel = Kernel::AveragePool {
            pool,
            count_include_pad,
        };
        Ok(Self::one(kernel, shape))
    }

    fn pool(&self, window: &Window) -> Result<(Pool2d, Vec<usize>), Refused> {
        let [n, c, h, w] = self.image()?;
        let kernel = window.kernel.ok_or("the window has no size")?;
        let pool = Pool2d {
            kernel,
            stride: window.stride,
            pads: pads(window, kernel, [h, w])?,
            dilation: window.dilation,
            ceil_mode: window.ceil_mode && matches!(window.padding, Padding::Explicit(_)),
        };
        let [oh, ow] = pool.output_size([h, w]).map_err(|e| e.to_string())?;
        Ok((pool, vec![n, c, oh, ow]))
    }
}

/// How many windows a convolution gathers at a time, at most, unless a row of its output has more.
const GATHERED: usize = 512;

/// The border `[top, left, bottom, right]`.
fn pads(window: &Window, kernel: [usize; 2], input: [usize; 2]) -> Result<[usize; 4], String> {
    let mut pads = [0; 4];
    for i in 0..2 {
        let reach = (kernel[i] - 1)
            .checked_mul(window.dilation[i])
            .and_then(|r| r.checked_add(1))
            .ok_or("the window overflows")?;
        let needed = || {
            let positions = input[i].div_ceil(window.stride[i]);
            ((positions - 1) * window.stride[i] + reach).saturating_sub(input[i])
        };
        (pads[i], pads[i + 2]) = match window.padding {
            Padding::Explicit(p) => (p[i], p[i + 2]),
            Padding::SameUpper => (needed() / 2, needed() - needed() / 2),
            Padding::SameLower => (needed() - needed() / 2, needed() / 2),
        };
    }
    Ok(pads)
}
