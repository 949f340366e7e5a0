//! Operators that move, view or pick numbers.

use super::{
    Kernel, Known, LONGEST_LIST, Node, Refused, Resolved, axis_of, check_host_size, check_size,
    sizes,
};
use crate::error::few;
use crate::host::{ElementType, HostTensor, MAX_ELEMENTS, Range, broadcast, element_count};
use crate::op::PadKind;

impl Node<'_> {
    pub(super) fn concat(&self, axis: i64) -> Result<Resolved, Refused> {
        let first = &self.input(0)?.shape;
        let axis = axis_of(axis, first.len())?;
        let mut shape = first.clone();
        for i in 1..self.inputs.len() {
            let other = &self.input(i)?.shape;
            let fits = other.len() == shape.len()
                && (0..shape.len()).all(|d| d == axis || other[d] == shape[d]);
            if !fits {
                let (first, other) = (few(first), few(other));
                return Err(format!("{other} cannot follow {first} along axis {axis}").into());
            }
            shape[axis] = shape[axis]
                .checked_add(other[axis])
                .ok_or("the sizes overflow")?;
        }
        if let Some(parts) = self.all_host() {
            check_host_size(&shape)?;
            return Ok(Self::known(HostTensor::concat(&parts, axis)?));
        }
        for i in 0..self.inputs.len() {
            self.floats(i)?;
        }
        Ok(Self::one(Kernel::Concat { axis }, shape))
    }

    pub(super) fn split(&self, axis: i64, stated: Option<&[i64]>) -> Result<Resolved, Refused> {
        let x = self.input(0)?;
        let axis = axis_of(axis, x.shape.len())?;
        let total = x.shape[axis];
        let from_input = match self.optional(1) {
            Some(_) => Some(self.ints(1, "the split")?),
            None => None,
        };
        let parts = match stated.map(<[_]>::to_vec).or(from_input) {
            Some(parts) => sizes(&parts)?,
            None => {
                let part = total.div_ceil(self.outputs);
                (0..self.outputs)
                    .map(|i| part.min(total.saturating_sub(i * part)))
                    .collect()
            }
        };
        let sum = parts.iter().try_fold(0_usize, |s, &p| s.checked_add(p));
        if sum != Some(total) || parts.len() != self.outputs || parts.contains(&0) {
            return Err(format!(
                "{} does not split {total} into {} outputs",
                few(&parts),
                self.outputs
            )
            .into());
        }
        let mut start = 0;
        let mut known = Vec::new();
        for &len in &parts {
            let mut ranges: Vec<_> = x.shape.iter().map(|&d| Range::whole(d)).collect();
            ranges[axis] = Range {
                start,
                step: 1,
                len,
            };
            let mut shape = x.shape.clone();
            shape[axis] = len;
            known.push(match &x.host {
                Some(host) => Known::host(host.slice(&ranges)),
                None => Known::activation(shape),
            });
            start += len;
        }
        if x.host.is_some() {
            return Ok((Kernel::Host, known));
        }
        self.floats(0)?;
        Ok((Kernel::Split { axis, sizes: parts }, known))
    }

    /// The input with another shape of the same size.
    pub(super) fn view(&self, shape: Vec<usize>) -> Result<Resolved, Refused> {
        let x = self.input(0)?;
        if element_count(&x.shape) != element_count(&shape) {
            let (from, to) = (few(&x.shape), few(&shape));
            return Err(format!("cannot view {from} as {to}").into());
        }
        match &x.host {
            Some(host) => Ok(Self::known(host.reshape(&shape)?)),
            None => {
                self.floats(0)?;
                Ok(Self::one(Kernel::Reshape, shape))
            }
        }
    }

    pub(super) fn reshape(
        &self,
        stated: Option<&[i64]>,
        allow_zero: bool,
    ) -> Result<Resolved, Refused> {
        let x = self.input(0)?;
        let mut target = match stated {
            Some(shape) => shape.to_vec(),
            None => self.list(1, "the shape")?,
        };
        let stated = target.clone();
        // Files made for one batch size write it into their reshapes.
        if let (Some(written), Some(actual)) = (self.batch.stated, self.batch.actual)
            && written != actual
            && x.host.is_none()
            && x.shape.first() == Some(&actual)
            && target.first() == Some(&(written as i64))
        {
            target[0] = actual as i64;
        }
        let fail = || format!("cannot view {} as {}", few(&x.shape), few(&stated));
        let mut shape = Vec::with_capacity(target.len());
        let mut free = None;
        for (i, &d) in target.iter().enumerate() {
            shape.push(match d {
                0 if !allow_zero => *x.shape.get(i).ok_or_else(fail)?,
                -1 if free.is_none() => {
                    free = Some(i);
                    1
                }
                d => usize::try_from(d).map_err(|_| fail())?,
            });
        }
        if let Some(i) = free {
            check_size(&shape, MAX_ELEMENTS)?;
            let rest = element_count(&shape).unwrap_or(0);
            let all = element_count(&x.shape).unwrap_or(0);
            if rest == 0 || !all.is_multiple_of(rest) {
                return Err(fail().into());
            }
            shape[i] = all / rest;
        }
        self.view(shape)
    }

    pub(super) fn transpose(&self, permutation: Option<&[i64]>) -> Result<Resolved, Refused> {
        let x = self.input(0)?;
        let rank = x.shape.len();
        let axes = match permutation {
            None => (0..rank).rev().collect(),
            Some(stated) => {
                let axes: Vec<usize> = stated
                    .iter()
                    .map(|&a| axis_of(a, rank))
                    .collect::<Result<_, _>>()?;
                let mut sorted = axes.clone();
                sorted.sort_unstable();
                if sorted != (0..rank).collect::<Vec<_>>() {
                    return Err(format!("{stated:?} does not permute {rank} axes").into());
                }
                axes
            }
        };
        let shape = axes.iter().map(|&a| x.shape[a]).collect();
        match &x.host {
            Some(host) => Ok(Self::known(host.permute(&axes))),
            // burn's tensors of rank 0 and 1 are the same.
            None if rank < 2 => Ok(Self::one(Kernel::Identity, shape)),
            None => Ok(Self::one(Kernel::Permute(axes), shape)),
        }
    }

    pub(super) fn squeeze(&self, stated: Option<&[i64]>) -> Result<Resolved, Refused> {
        let shape = &self.input(0)?.shape;
        let from_input = self.optional_list(1, "axes")?;
        let drop: Vec<usize> = match stated.map(<[_]>::to_vec).or(from_input) {
            None => (0..shape.len()).filter(|&i| shape[i] == 1).collect(),
            Some(axes) => axes
                .iter()
                .map(|&a| axis_of(a, shape.len()))
                .collect::<Result<_, _>>()?,
        };
        if let Some(&axis) = drop.iter().find(|&&a| shape[a] != 1) {
            return Err(format!("axis {axis} of {shape:?} is not 1").into());
        }
        let kept = (0..shape.len())
            .filter(|i| !drop.contains(i))
            .map(|i| shape[i])
            .collect();
        self.view(kept)
    }

    pub(super) fn unsqueeze(&self, stated: Option<&[i64]>) -> Result<Resolved, Refused> {
        let shape = &self.input(0)?.shape;
        let axes = match stated {
            Some(axes) => axes.to_vec(),
            None => self.list(1, "axes")?,
        };
        let rank = shape.len() + axes.len();
        if rank > LONGEST_LIST {
            return Err(format!("{} axes are too many", axes.len()).into());
        }
        let mut added: Vec<usize> = axes
            .iter()
            .map(|&a| axis_of(a, rank))
            .collect::<Result<_, _>>()?;
        added.sort_unstable();
        added.dedup();
        if added.len() != axes.len() {
            return Err(format!("axes {} repeat", few(&axes)).into());
        }
        let mut view = shape.clone();
        for axis in added {
            view.insert(axis, 1);
        }
        self.view(view)
    }

    pub(super) fn pad(
        &self,
        mode: PadKind,
        stated: Option<&[i64]>,
        value: f32,
    ) -> Result<Resolved, Refused> {
        let shape = self.floats(0)?.shape.clone();
        let pads = match stated {
            Some(pads) => pads.to_vec(),
            None => self.list(1, "pads")?,
        };
        let value = match self.optional(2) {
            None => value,
            Some(known) => match &known.host {
                Some(host) => host.scalar_float()?,
                None => return Err("the padding's value depends on the image".into()),
            },
        };
        let axes: Vec<usize> = match self.optional_list(3, "axes")? {
            None => (0..shape.len()).collect(),
            Some(axes) => axes
                .iter()
                .map(|&a| axis_of(a, shape.len()))
                .collect::<Result<_, _>>()?,
        };
        if pads.len() != 2 * axes.len() {
            return Err(format!("{} pads for {} axes", pads.len(), axes.len()).into());
        }
        let pads = sizes(&pads).map_err(|_| "negative pads are not supported")?;
        let mut pairs = vec![(0, 0); shape.len()];
        for (i, &axis) in axes.iter().enumerate() {
            pairs[axis] = (pads[i], pads[i + axes.len()]);
        }
        let mut out = Vec::new();
        for (&d, &(before, after)) in shape.iter().zip(&pairs) {
            let widest = before.max(after);
            let too_wide = match mode {
                PadKind::Constant => false,
                PadKind::Reflect => widest > 0 && widest >= d,
                PadKind::Edge => widest > 0 && d == 0,
            };
            if too_wide {
                return Err(format!("{mode:?} padding by {widest} of a dimension of {d}").into());
            }
            let sum = d.checked_add(before).and_then(|s| s.checked_add(after));
            out.push(sum.ok_or("the padded size overflows")?);
        }
        Ok(Self::one(
            Kernel::Pad {
                pads: pairs,
                mode,
                value,
            },
            out,
        ))
    }

    pub(super) fn slice(
        &self,
        starts: &[i64],
        ends: &[i64],
        axes: Option<&[i64]>,
        steps: Option<&[i64]>,
    ) -> Result<Resolved, Refused> {
        let x = self.input(0)?;
        let rank = x.shape.len();
        let default: Vec<i64> = (0..starts.len() as i64).collect();
        let axes = axes.unwrap_or(&default);
        let ones = vec![1; starts.len()];
        let steps = steps.unwrap_or(&ones);
        if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] {
            return Err("starts, ends, axes and steps differ in length".into());
        }
        let mut ranges: Vec<_> = x.shape.iter().map(|&d| Range::whole(d)).collect();
        for i in 0..starts.len() {
            let axis = axis_of(axes[i], rank)?;
            ranges[axis] = Range::resolve(x.shape[axis], starts[i], ends[i], steps[i])?;
        }
        if let Some(host) = &x.host {
            return Ok(Self::known(host.slice(&ranges)));
        }
        let shape: Vec<usize> = ranges.iter().map(|r| r.len).collect();
        if shape.contains(&0) {
            return Err(format!("nothing of {:?} is left", x.shape).into());
        }
        Ok(Self::one(Kernel::Slice(ranges), shape))
    }

    pub(super) fn gather(&self, axis: i64) -> Result<Resolved, Refused> {
        let x = self.input(0)?;
        let axis = axis_of(axis, x.shape.len())?;
        let shape = self.input(1)?.shape.clone();
        let dim = x.shape[axis];
        let indices: Vec<usize> = self
            .ints(1, "the indices")?
            .iter()
            .map(|&i| {
                let wrapped = if i < 0 {
                    i.saturating_add(dim as i64)
                } else {
                    i
                };
                usize::try_from(wrapped)
                    .ok()
                    .filter(|&i| i < dim)
                    .ok_or_else(|| format!("index {i} is outside a dimension of {dim}"))
            })
            .collect::<Result<_, _>>()?;
        let mut out = x.shape.clone();
        out.splice(axis..=axis, shape.iter().copied());
        match &x.host {
            Some(host) => {
                check_host_size(&out)?;
                Ok(Self::known(host.gather(axis, &indices, &shape)?))
            }
            None if indices.is_empty() => Err("no index is given".into()),
            None => Ok(Self::one(Kernel::Gather { axis, indices }, out)),
        }
    }

    pub(super) fn flatten(&self, axis: i64) -> Result<Resolved, Refused> {
        let shape = &self.input(0)?.shape;
        let rank = shape.len();
        // Behind the last dimension is allowed, too.
        let cut = match usize::try_from(axis) {
            Ok(cut) if cut == rank => cut,
            _ => axis_of(axis, rank)?,
        };
        let (outer, inner) = shape.split_at(cut);
        self.view(vec![outer.iter().product(), inner.iter().product()])
    }

    pub(super) fn identity(&self, dropout: bool) -> Result<Resolved, Refused> {
        if dropout
            && let Some(training) = self.optional(2).and_then(|k| k.host.as_ref())
            && training.floats().iter().any(|&v| v != 0.0)
        {
            return Err("training_mode is on; export for inference".into());
        }
        let x = self.input(0)?.clone();
        let kernel = match x.host {
            Some(_) => Kernel::Host,
            None => Kernel::Identity,
        };
        Ok((kernel, vec![x]))
    }

    pub(super) fn cast(&self, to: ElementType) -> Result<Resolved, Refused> {
        let x = self.input(0)?;
        match &x.host {
            Some(host) => Ok(Self::known(host.cast(to))),
            None if x.kind == to => Ok(Self::one(Kernel::Identity, x.shape.clone())),
            None => Err(format!("casting activations to {to:?} is not supported").into()),
        }
    }

    pub(super) fn choose(&self) -> Result<Resolved, Refused> {
        match self.all_host().as_deref() {
            Some(&[condition, yes, no]) => {
                let shape = broadcast(condition.shape(), yes.shape())
                    .and_then(|s| broadcast(&s, no.shape()))
                    .ok_or("its inputs do not broadcast")?;
                check_host_size(&shape)?;
                Ok(Self::known(condition.choose(yes, no, &shape)?))
            }
            Some(_) => Err("it needs three inputs".into()),
            None => Err("only constants are supported".into()),
        }
    }

    pub(super) fn expand(&self) -> Result<Resolved, Refused> {
        let x = self.input(0)?;
        let target = sizes(&self.list(1, "the shape")?)?;
        let shape = broadcast(&x.shape, &target)
            .ok_or_else(|| format!("{} does not expand to {}", few(&x.shape), few(&target)))?;
        match &x.host {
            Some(host) => {
                check_host_size(&shape)?;
                Ok(Self::known(host.expand(&shape)?))
            }
            None => {
                self.floats(0)?;
                Ok(Self::one(Kernel::Expand, shape))
            }
        }
    }
}
