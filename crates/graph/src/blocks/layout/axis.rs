//! One axis as a product of parts of named dimensions, and what operators make of it.

/// What an index counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Row,
    Column,
    Channel,
    Image,
}

/// A part of a dimension: of `total` steps those of `stride`, `size` of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    pub role: Role,
    pub total: usize,
    pub stride: usize,
    pub size: usize,
}

impl Part {
    pub fn is_whole(&self, role: Role) -> bool {
        self.role == role && self.size == self.total
    }
}

/// An axis: parts in row-major order, behind a prefix of other things. What has size 1 has no parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Axis {
    pub prefix: usize,
    pub parts: Vec<Part>,
}

impl Axis {
    pub fn of(role: Role, size: usize) -> Self {
        let whole = Part {
            role,
            total: size,
            stride: 1,
            size,
        };
        Self::joined(vec![whole])
    }

    /// An axis of these parts; what is split and follows one another is one part again.
    pub fn joined(parts: Vec<Part>) -> Self {
        let mut joined: Vec<Part> = Vec::new();
        for part in parts.into_iter().filter(|part| part.size > 1) {
            match joined.last_mut() {
                Some(last)
                    if (last.role, last.total) == (part.role, part.total)
                        && last.stride == part.stride * part.size =>
                {
                    last.stride = part.stride;
                    last.size *= part.size;
                }
                _ => joined.push(part),
            }
        }
        Self {
            prefix: 0,
            parts: joined,
        }
    }

    pub fn is_whole(&self, role: Role) -> bool {
        match self.parts.as_slice() {
            [part] => self.prefix == 0 && part.is_whole(role),
            _ => false,
        }
    }

    /// Whether it counts channels, all or a part that lies together.
    pub fn is_channels(&self) -> bool {
        match self.parts.as_slice() {
            [part] => self.prefix == 0 && part.role == Role::Channel && part.stride == 1,
            _ => false,
        }
    }

    /// Whether it counts positions along one direction, or is the only one.
    pub fn is_line(&self, role: Role) -> bool {
        self.parts.is_empty() || self.is_whole(role)
    }

    /// Height and width, where it counts the positions of a map row by row.
    pub fn grid(&self) -> Option<[usize; 2]> {
        match self.parts.as_slice() {
            [rows, columns] if rows.is_whole(Role::Row) && columns.is_whole(Role::Column) => {
                Some([rows.size, columns.size])
            }
            _ => None,
        }
    }
}

/// The axes of a value; `None` for one that is not known.
pub(super) type Traced = Vec<Option<Axis>>;

pub(super) fn size(axis: &Axis) -> usize {
    axis.prefix + axis.parts.iter().map(|part| part.size).product::<usize>()
}

/// The axis behind a product with weights: channels make channels.
pub(super) fn remade(axis: Option<&Axis>, size: usize) -> Option<Axis> {
    let axis = axis?;
    let counts_channels = axis.parts.iter().all(|part| part.role == Role::Channel);
    (axis.prefix == 0 && counts_channels).then(|| Axis::of(Role::Channel, size))
}

/// Axes of which the size changed: a coarser or finer map, padded, pooled.
pub(super) fn resized(traced: &Traced, before: &[usize], after: &[usize]) -> Traced {
    if traced.len() != after.len() {
        return vec![None; after.len()];
    }
    let axes = traced.iter().zip(before).zip(after);
    axes.map(|((axis, before), &after)| {
        let axis = axis.as_ref()?;
        if *before == after {
            return Some(axis.clone());
        }
        if after == 1 {
            return Some(Axis::joined(Vec::new()));
        }
        let role = [Role::Row, Role::Column, Role::Channel]
            .into_iter()
            .find(|&r| axis.is_whole(r));
        Some(Axis::of(role?, after))
    })
    .collect()
}

/// The same numbers in the same order, in another shape.
pub(super) fn reshaped(traced: &Traced, before: &[usize], after: &[usize]) -> Option<Traced> {
    let mut from = traced.iter().zip(before);
    let mut made: Traced = Vec::new();
    let mut rest: Vec<Part> = Vec::new();
    if after.contains(&0) {
        return None;
    }
    for &wanted in after {
        if wanted == 1 {
            made.push(Some(Axis::joined(Vec::new())));
            continue;
        }
        let mut parts = Vec::new();
        let mut left = wanted;
        while left > 1 {
            if let Some(part) = rest.pop() {
                let (taken, inner) = split(part, left)?;
                left /= taken.size;
                parts.push(taken);
                rest.extend(inner);
                continue;
            }
            match from.next()? {
                (Some(axis), _) if axis.prefix == 0 => {
                    rest = axis.parts.iter().rev().copied().collect();
                }
                // What cannot be split is kept where it stays as it is.
                (axis, &size) if size == wanted && parts.is_empty() => {
                    made.push(axis.clone());
                    break;
                }
                (None, 1) => {}
                _ => return None,
            }
        }
        if left == 1 {
            made.push(Some(Axis::joined(parts)));
        }
    }
    Some(made)
}

/// The outer part of `size` steps, or all of it where it has not so many, and what is left.
pub(super) fn split(part: Part, size: usize) -> Option<(Part, Option<Part>)> {
    if size.is_multiple_of(part.size) {
        return Some((part, None));
    }
    if !part.size.is_multiple_of(size) {
        return None;
    }
    let inner = part.size / size;
    let outer = Part {
        stride: part.stride * inner,
        size,
        ..part
    };
    Some((
        outer,
        Some(Part {
            size: inner,
            ..part
        }),
    ))
}

/// What an axis is of which these places were picked.
pub(super) fn chosen(axis: &Axis, before: usize, places: &[usize]) -> Option<Axis> {
    let first = *places.first()?;
    if places.len() == before && places.iter().copied().eq(0..before) {
        return Some(axis.clone());
    }
    if axis.is_channels() {
        return Some(Axis::of(Role::Channel, places.len()));
    }
    let ends = places.iter().copied().eq(first..before);
    if ends && first <= axis.prefix && axis.grid().is_some() {
        return Some(Axis {
            prefix: axis.prefix - first,
            parts: axis.parts.clone(),
        });
    }
    let step = places.get(1)?.checked_sub(first).filter(|&step| step > 1)?;
    // Every second row or column is a coarser map.
    let even = (first..before).step_by(step).eq(places.iter().copied());
    let role = [Role::Row, Role::Column]
        .into_iter()
        .find(|&role| axis.is_whole(role))?;
    (even && first < step).then(|| Axis::of(role, places.len()))
}
