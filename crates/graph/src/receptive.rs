//! Which positions of a shallow layer one position of a deep layer depends on, exactly, and which
//! deep positions can therefore share one backward pass.

use std::collections::HashMap;

use elucid_rules::{BoundRule, Pool2d};

use crate::graph::{Graph, ValueId};
use crate::plan::Plan;

/// First and last index along one axis; `None` when nothing is reached.
pub type Span = Option<(usize, usize)>;

/// For every row and column of a deep layer, the rows and columns of a shallow layer that its
/// gradient can reach. A position's window is the product of its row's and its column's span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Windows {
    /// One span of shallow rows for each deep row.
    pub rows: Vec<Span>,
    /// One span of shallow columns for each deep column.
    pub columns: Vec<Span>,
}

impl Windows {
    /// Groups of deep positions `(y, x)` whose windows do not overlap, so that one cotangent
    /// serves a whole group: the Jacobian is sparse, and these are the colours of its columns.
    pub fn colours(&self) -> Vec<Vec<(usize, usize)>> {
        let (rows, columns) = (colour(&self.rows), colour(&self.columns));
        let mut groups = Vec::with_capacity(rows.len() * columns.len());
        for ys in &rows {
            for xs in &columns {
                groups.push(
                    ys.iter()
                        .flat_map(|&y| xs.iter().map(move |&x| (y, x)))
                        .collect(),
                );
            }
        }
        groups
    }
}

/// Groups indices whose spans are disjoint; for spans this greedy choice needs the fewest groups.
fn colour(spans: &[Span]) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..spans.len()).collect();
    order.sort_by_key(|&i| spans[i]);
    let mut groups: Vec<(Option<usize>, Vec<usize>)> = Vec::new();
    for i in order {
        let first = spans[i].map(|(first, _)| first);
        let free = groups
            .iter_mut()
            .find(|(end, _)| end.is_none() || first.is_none() || *end < first);
        let (end, members) = match free {
            Some(group) => group,
            None => {
                groups.push((None, Vec::new()));
                groups.last_mut().expect("a group was just added")
            }
        };
        members.push(i);
        *end = (*end).max(spans[i].map(|(_, last)| last));
    }
    groups.into_iter().map(|(_, members)| members).collect()
}

/// What a value's positions depend on.
#[derive(Debug, Clone, PartialEq)]
enum Seen {
    /// Each position on a window.
    Local(Windows),
    /// Every number on everything.
    Everything,
}

/// Traces windows from `to` back to `from` along a plan that feeds only `from`.
///
/// `rule_of` gives the rule that replaces a step's gradient; its own reach is added. `None` when
/// positions of `to` are not tied to positions of `from`: a dense layer or a reshape lies between.
pub(crate) fn windows(
    graph: &Graph,
    plan: &Plan,
    from: ValueId,
    to: ValueId,
    rule_of: impl Fn(usize) -> Option<BoundRule>,
) -> Option<Windows> {
    let image = |v: ValueId| <[usize; 4]>::try_from(plan.known.get(&v)?.shape.as_slice()).ok();
    let [.., h, w] = image(from)?;
    let single = |n: usize| (0..n).map(|i| Some((i, i))).collect();
    let mut seen: HashMap<ValueId, Seen> = HashMap::new();
    seen.insert(
        from,
        Seen::Local(Windows {
            rows: single(h),
            columns: single(w),
        }),
    );
    for (index, step) in plan.steps.iter().enumerate() {
        let Some(kernel) = &step.kernel else {
            continue;
        };
        let node = &graph.nodes[step.node.0];
        let inputs: Vec<Option<&Seen>> = node
            .inputs
            .iter()
            .map(|slot| slot.and_then(|v| seen.get(&v)))
            .collect();
        if inputs.iter().all(Option::is_none) {
            continue;
        }
        let extra = match rule_of(index) {
            None => Some([0, 0]),
            Some(BoundRule::OneInput(rule)) => rule.reach(),
            // Operators of several inputs do not widen what they depend on.
            Some(BoundRule::Operator(rule)) => rule.reach().filter(|reach| *reach == [0, 0]),
        };
        let shapes = node
            .inputs
            .iter()
            .map(|slot| {
                let known = slot.and_then(|v| plan.known.get(&v));
                known.map_or(&[][..], |k| k.shape.as_slice())
            })
            .collect::<Vec<_>>();
        let local: Option<Vec<Option<&Windows>>> = inputs
            .iter()
            .map(|seen| match seen {
                None => Some(None),
                Some(Seen::Local(windows)) => Some(Some(windows)),
                Some(Seen::Everything) => None,
            })
            .collect();
        let made: Vec<Seen> = step
            .outputs
            .iter()
            .map(|known| {
                let &[_, _, height, width] = known.shape.as_slice() else {
                    return Seen::Everything;
                };
                let found = local.as_ref().zip(extra).and_then(|(inputs, extra)| {
                    kernel.windows(&Reach {
                        inputs,
                        shapes: &shapes,
                        output: &known.shape,
                        size: [height, width],
                        extra,
                    })
                });
                found.map_or(Seen::Everything, Seen::Local)
            })
            .collect();
        seen.extend(
            node.outputs
                .iter()
                .copied()
                .zip(made)
                .filter(|(v, _)| *v != from),
        );
    }
    match seen.remove(&to)? {
        Seen::Local(windows) => Some(windows),
        Seen::Everything => None,
    }
}

/// What an operator with an output `[N, C, H, W]` is told to say on which positions each position of
/// its output depends.
#[derive(Debug)]
pub struct Reach<'a> {
    inputs: &'a [Option<&'a Windows>],
    shapes: &'a [&'a [usize]],
    output: &'a [usize],
    size: [usize; 2],
    extra: [usize; 2],
}

impl Reach<'_> {
    /// The shape of its output.
    pub fn output(&self) -> &[usize] {
        self.output
    }

    /// The windows of an input; `None` when it does not depend on the shallow layer.
    pub fn input(&self, slot: usize) -> Option<&Windows> {
        self.inputs.get(slot).copied().flatten()
    }

    /// Whether no other input than the first depends on the shallow layer: a weight that does would
    /// tie positions together in other ways.
    fn only_first(&self) -> bool {
        self.inputs.iter().skip(1).all(Option::is_none)
    }

    /// Each position on the same position of the first input.
    pub fn same(&self) -> Option<Windows> {
        self.only_first().then(|| self.input(0).cloned()).flatten()
    }

    /// Each position on the same position of the first input, or on its neighbours as far as the
    /// rule reaches that stands in for the gradient.
    pub fn element_wise(&self) -> Option<Windows> {
        let windows = self.only_first().then(|| self.input(0)).flatten()?;
        Some(widen(windows, self.extra))
    }

    /// The same for operators that no rule stands in for.
    pub fn slide_without_rule(&self, pool: &Pool2d) -> Option<Windows> {
        let windows = self.only_first().then(|| self.input(0)).flatten()?;
        Some(slide(windows, pool, self.size, [0, 0]))
    }

    /// Each position on a sliding window of the first input.
    pub fn slide(&self, pool: &Pool2d) -> Option<Windows> {
        let windows = self.only_first().then(|| self.input(0)).flatten()?;
        Some(slide(windows, pool, self.size, self.extra))
    }

    /// Each position on the same position of every input, which broadcast.
    pub fn broadcast(&self) -> Option<Windows> {
        let mut merged: Option<Windows> = None;
        for (windows, shape) in self.inputs.iter().zip(self.shapes) {
            let Some(windows) = windows else {
                continue;
            };
            let next = stretch(windows, shape, self.size)?;
            merged = Some(match merged {
                None => next,
                Some(so_far) => merge(&so_far, &next),
            });
        }
        merged
    }

    /// Each row and column on those of the first input that a function of the axis (0 or 1) and the
    /// index names.
    pub fn mapped(&self, source: impl Fn(usize, usize) -> Span) -> Option<Windows> {
        let windows = self.only_first().then(|| self.input(0)).flatten()?;
        let axis = |spans: &[Span], axis: usize| {
            (0..self.size[axis])
                .map(|i| {
                    let (first, last) = source(axis, i)?;
                    let read = spans.get(first..=last.min(spans.len().saturating_sub(1)))?;
                    read.iter().fold(None, |u, &s| union(u, s))
                })
                .collect()
        };
        Some(Windows {
            rows: axis(&windows.rows, 0),
            columns: axis(&windows.columns, 1),
        })
    }
}

fn union(a: Span, b: Span) -> Span {
    match (a, b) {
        (Some((a0, a1)), Some((b0, b1))) => Some((a0.min(b0), a1.max(b1))),
        (one, other) => one.or(other),
    }
}

/// Each position together with its `extra` neighbours on both sides.
fn widen(windows: &Windows, [down, right]: [usize; 2]) -> Windows {
    let grow = |spans: &[Span], n: usize| {
        (0..spans.len())
            .map(|i| {
                let last = (i + n).min(spans.len() - 1);
                spans[i.saturating_sub(n)..=last]
                    .iter()
                    .fold(None, |u, &s| union(u, s))
            })
            .collect()
    };
    Windows {
        rows: grow(&windows.rows, down),
        columns: grow(&windows.columns, right),
    }
}

/// Through a sliding window; `extra` widens what it reads on both sides.
fn slide(windows: &Windows, pool: &Pool2d, output: [usize; 2], extra: [usize; 2]) -> Windows {
    let axis = |spans: &[Span], i: usize| {
        (0..output[i])
            .map(|o| {
                let start = o * pool.stride[i];
                let first = (start.saturating_sub(pool.pads[i])).saturating_sub(extra[i]);
                let end = start + (pool.kernel[i] - 1) * pool.dilation[i] + 1 + extra[i];
                let end = end.saturating_sub(pool.pads[i]).min(spans.len());
                spans
                    .get(first..end)
                    .unwrap_or_default()
                    .iter()
                    .fold(None, |u, &s| union(u, s))
            })
            .collect()
    };
    Windows {
        rows: axis(&windows.rows, 0),
        columns: axis(&windows.columns, 1),
    }
}

/// Through broadcasting of `[N, C, H, W]` to `output`.
fn stretch(windows: &Windows, shape: &[usize], output: [usize; 2]) -> Option<Windows> {
    if shape.len() != 4 {
        return None;
    }
    let axis = |spans: &[Span], size: usize| {
        if spans.len() == size {
            Some(spans.to_vec())
        } else {
            (spans.len() == 1).then(|| vec![spans[0]; size])
        }
    };
    Some(Windows {
        rows: axis(&windows.rows, output[0])?,
        columns: axis(&windows.columns, output[1])?,
    })
}

fn merge(a: &Windows, b: &Windows) -> Windows {
    let zip = |a: &[Span], b: &[Span]| a.iter().zip(b).map(|(&x, &y)| union(x, y)).collect();
    Windows {
        rows: zip(&a.rows, &b.rows),
        columns: zip(&a.columns, &b.columns),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disjoint_spans_share_a_colour() {
        let spans = [Some((0, 1)), Some((1, 2)), Some((2, 3)), Some((3, 4)), None];
        let groups = colour(&spans);
        assert_eq!(groups.len(), 2);
        for group in &groups {
            for (i, a) in group.iter().enumerate() {
                for b in &group[i + 1..] {
                    if let (Some((a0, a1)), Some((b0, b1))) = (spans[*a], spans[*b]) {
                        assert!(a1 < b0 || b1 < a0, "{a} and {b} overlap");
                    }
                }
            }
        }
        assert_eq!(groups.iter().map(Vec::len).sum::<usize>(), spans.len());
    }

    #[test]
    fn a_strided_window_reads_what_it_says() {
        let single = |n: usize| (0..n).map(|i| Some((i, i))).collect::<Vec<_>>();
        let start = Windows {
            rows: single(7),
            columns: single(7),
        };
        let pool = Pool2d {
            kernel: [3, 3],
            stride: [2, 2],
            pads: [1, 1, 1, 1],
            dilation: [1, 1],
            ceil_mode: false,
        };
        let through = slide(&start, &pool, [4, 4], [0, 0]);
        assert_eq!(
            through.rows,
            [Some((0, 1)), Some((1, 3)), Some((3, 5)), Some((5, 6))]
        );
        let blurred = slide(&start, &pool, [4, 4], [1, 1]);
        assert_eq!(blurred.rows[1], Some((0, 4)));
    }
}
