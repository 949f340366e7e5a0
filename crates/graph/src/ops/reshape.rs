//! Other views of the same numbers: `Reshape`, `Flatten`, `Squeeze`, `Unsqueeze`.

use std::sync::Arc;

use elucid_rules::OpKind;

use crate::activation::{Activation, IntoView};
use crate::host::element_count;
use crate::message::few;
use crate::operator::{
    Kernel, Known, LONGEST_LIST, Operands, Operator, Refused, Resolved, Slots, axes_of, axis_of, check_size,
    facts,
};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[
    Entry::onnx("Reshape", 1, |a| {
        let shape = (a.opset() < 5).then(|| a.ints("shape").unwrap_or_default());
        let allow_zero = a.flag("allowzero");
        Ok(Arc::new(View::Reshape { shape, allow_zero }))
    }),
    Entry::onnx("Flatten", 1, |a| {
        let axis = a.int_or("axis", 1);
        Ok(Arc::new(View::Flatten { axis }))
    }),
    Entry::onnx("Squeeze", 1, |a| {
        let axes = a.ints("axes");
        Ok(Arc::new(View::Squeeze { axes }))
    }),
    Entry::onnx("Unsqueeze", 1, |a| {
        let axes = a.ints("axes");
        if axes.is_none() && a.opset() < 13 {
            return Err("attribute axes is missing".to_owned());
        }
        Ok(Arc::new(View::Unsqueeze { axes }))
    }),
];

/// Where a parameter moved from an attribute to an input between opsets, the field is `Some` for the
/// attribute and `None` for the input.
#[derive(Debug)]
enum View {
    Reshape {
        shape: Option<Vec<i64>>,
        allow_zero: bool,
    },
    Flatten {
        axis: i64,
    },
    Squeeze {
        axes: Option<Vec<i64>>,
    },
    Unsqueeze {
        axes: Option<Vec<i64>>,
    },
}

impl Operator for View {
    facts!(algebra: Moves, apart: Shape);

    fn kind(&self) -> OpKind {
        match self {
            Self::Reshape { .. } => OpKind::Reshape,
            Self::Flatten { .. } => OpKind::Flatten,
            Self::Squeeze { .. } => OpKind::Squeeze,
            Self::Unsqueeze { .. } => OpKind::Unsqueeze,
        }
    }

    fn axis(&self) -> Option<i64> {
        match self {
            Self::Unsqueeze { axes: Some(axes) } if axes.len() == 1 => axes.first().copied(),
            _ => None,
        }
    }

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let shape = match self {
            Self::Reshape { shape, allow_zero } => reshaped(inputs, shape.as_deref(), *allow_zero)?,
            Self::Flatten { axis } => flattened(inputs, *axis)?,
            Self::Squeeze { axes } => squeezed(inputs, axes.as_deref())?,
            Self::Unsqueeze { axes } => unsqueezed(inputs, axes.as_deref())?,
        };
        viewed(inputs, shape)
    }
}

/// The first input with another shape of the same size.
pub(super) fn viewed(inputs: &Operands<'_>, shape: Vec<usize>) -> Result<Resolved, Refused> {
    let x = inputs.input(0)?;
    if element_count(&x.shape) != element_count(&shape) {
        let (from, to) = (few(&x.shape), few(&shape));
        return Err(format!("cannot view {from} as {to}").into());
    }
    match &x.host {
        Some(host) => Ok(Resolved::known(host.reshape(&shape)?)),
        None => Ok(Resolved::typed(ToShape, shape, x.kind)),
    }
}

fn reshaped(
    inputs: &Operands<'_>,
    stated: Option<&[i64]>,
    allow_zero: bool,
) -> Result<Vec<usize>, Refused> {
    let x = inputs.input(0)?;
    let mut target = match stated {
        Some(shape) => shape.to_vec(),
        None => inputs.list(1, "the shape")?,
    };
    let stated = target.clone();
    // Files made for one batch size write it into their reshapes.
    if let (Some(written), Some(actual)) = (inputs.batch().stated, inputs.batch().actual)
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
        check_size(&shape)?;
        let rest = element_count(&shape).unwrap_or(0);
        let all = element_count(&x.shape).unwrap_or(0);
        if rest == 0 || !all.is_multiple_of(rest) {
            return Err(fail().into());
        }
        shape[i] = all / rest;
    }
    Ok(shape)
}

fn flattened(inputs: &Operands<'_>, axis: i64) -> Result<Vec<usize>, Refused> {
    let shape = &inputs.input(0)?.shape;
    let rank = shape.len();
    // Behind the last dimension is allowed, too.
    let cut = match usize::try_from(axis) {
        Ok(cut) if cut == rank => cut,
        _ => axis_of(axis, rank)?,
    };
    let (outer, inner) = shape.split_at(cut);
    Ok(vec![outer.iter().product(), inner.iter().product()])
}

fn squeezed(inputs: &Operands<'_>, stated: Option<&[i64]>) -> Result<Vec<usize>, Refused> {
    let shape = &inputs.input(0)?.shape;
    let from_input = inputs.optional_list(1, "the axes")?;
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
    Ok((0..shape.len())
        .filter(|i| !drop.contains(i))
        .map(|i| shape[i])
        .collect())
}

fn unsqueezed(inputs: &Operands<'_>, stated: Option<&[i64]>) -> Result<Vec<usize>, Refused> {
    let shape = &inputs.input(0)?.shape;
    let axes = match stated {
        Some(axes) => axes.to_vec(),
        None => inputs.list(1, "the axes")?,
    };
    let rank = shape.len() + axes.len();
    if rank > LONGEST_LIST {
        return Err(format!("{} axes are too many", axes.len()).into());
    }
    let added = axes_of(&axes, rank)?;
    if added.len() != axes.len() {
        return Err(format!("axes {} repeat", few(&axes)).into());
    }
    let mut view = shape.clone();
    for axis in added {
        view.insert(axis, 1);
    }
    Ok(view)
}

/// To the output's shape.
#[derive(Debug)]
struct ToShape;

impl Kernel for ToShape {
    fn run(&self, mut inputs: Slots, outputs: &[Known]) -> Vec<Activation> {
        vec![inputs.take(0).into_view(&outputs[0].shape)]
    }
}
