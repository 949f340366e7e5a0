//! Microsoft's `Attention`, which multiplies its input with the weights of queries, keys and values
//! itself, and `MultiHeadAttention`, which gets these three.
//!
//! Both attend as `Attention` of ONNX does; what a padding mask hides has `mask_filter_value` added to
//! its scores.

use std::sync::Arc;

use burn::tensor::{Device, Tensor};

use super::attention::{Sizes, attend, attention_flops, heads, hiding, misfit, shared};
use super::matmul::dense;
use crate::activation::{Activation, IntoView};
use crate::attributes::Attributes;
use crate::heads::{Attends, Heads};
use crate::host::broadcast;
use crate::operator::{Kernel, Known, Operands, Operator, Refused, Resolved, Shapes, Slots, aligned, check_host_size, check_size, facts, numbers};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[
    Entry::of("com.microsoft", "Attention", |a| {
        for name in ["do_rotary", "past_present_share_buffer"] {
            if a.flag(name) {
                return Err(format!("attribute {name} is not supported"));
            }
        }
        let common = Common::read(a)?;
        let widths = a.sizes("qkv_hidden_sizes", 1)?;
        Ok(Arc::new(Projected { common, widths }))
    }),
    Entry::of("com.microsoft", "MultiHeadAttention", |a| {
        Ok(Arc::new(Given(Common::read(a)?)))
    }),
];

/// Attributes of both.
#[derive(Debug, Clone, Copy)]
struct Common {
    heads: usize,
    scale: Option<f32>,
    causal: bool,
    /// Added where a padding mask hides a key.
    filter: f32,
}

impl Common {
    fn read(a: &Attributes) -> Result<Self, String> {
        Ok(Self {
            heads: heads(a, "num_heads")?.ok_or("attribute num_heads is missing")?,
            scale: a.float("scale").filter(|&scale| scale != 0.0),
            causal: a.flag("unidirectional"),
            filter: a.float_or("mask_filter_value", -10_000.0),
        })
    }

    fn number(&self, attribute: &str) -> Option<f64> {
        match attribute {
            "num_heads" => Some(self.heads as f64),
            "scale" => self.scale.map(f64::from),
            "unidirectional" => Some(u8::from(self.causal).into()),
            _ => None,
        }
    }

    /// Reads a padding mask: lengths `[N]`, ends and starts `[2 N]`, or 1 for what counts, `[N, keys]`
    /// or `[N, queries, keys]`.
    fn padding(
        &self,
        inputs: &Operands<'_>,
        slot: usize,
        [batch, rows, keys]: [usize; 3],
    ) -> Result<Option<Padding>, Refused> {
        let Some(known) = inputs.optional(slot) else {
            return Ok(None);
        };
        let stated = known.shape.as_slice();
        check_host_size(stated)?;
        let rows = if stated.len() == 3 { rows } else { 1 };
        check_host_size(&[batch, rows, keys])?;
        let values = inputs.ints(slot, "the padding mask")?;
        let counts: Box<dyn Fn(usize, usize, usize) -> bool> = match *stated {
            [count] if count == batch => Box::new(|n, _, j| (j as i64) < values[n]),
            [count] if count == 2 * batch => {
                Box::new(|n, _, j| (values[batch + n]..values[n]).contains(&(j as i64)))
            }
            [n, t] if [n, t] == [batch, keys] => Box::new(|n, _, j| values[n * keys + j] > 0),
            [n, s, t] if [n, s, t] == [batch, rows, keys] => {
                Box::new(|n, i, j| values[(n * rows + i) * keys + j] > 0)
            }
            _ => {
                return Err(Refused::Unsupported(format!(
                    "a padding mask of shape {stated:?} for {batch} rows of {keys} keys"
                )));
            }
        };
        let mut added = Vec::with_capacity(batch * rows * keys);
        for n in 0..batch {
            for i in 0..rows {
                let value = |j| if counts(n, i, j) { 0.0 } else { self.filter };
                added.extend((0..keys).map(value));
            }
        }
        Ok(Some(Padding {
            shape: [batch, 1, rows, keys],
            added,
        }))
    }

    /// The kernel that attends, when scores and what is added to them fit.
    fn attending(
        &self,
        inputs: &Operands<'_>,
        sizes: [Sizes; 3],
        past: usize,
        slots: AddedSlots,
    ) -> Result<Attending, Refused> {
        let [q, k, v] = sizes;
        let total = k.length + past;
        let scores = [q.batch, q.heads, q.length, total];
        // The scores, and what softmax makes of them.
        check_size(&[&[2], &scores[..]].concat())?;
        if inputs.optional(slots.bias).is_some() {
            let stated = &inputs.operand(slots.bias)?.shape;
            let fits = broadcast(&scores, stated).as_deref() == Some(&scores[..]);
            if !fits {
                return Err(format!("a bias {stated:?} does not fit scores {scores:?}").into());
            }
        }
        Ok(Attending {
            sizes: [q, k, v],
            past,
            scale: self.scale.unwrap_or(1.0 / (q.size as f32).sqrt()),
            causal: self.causal,
            padding: self.padding(inputs, slots.padding, [q.batch, q.length, total])?,
        })
    }
}

/// Where the inputs stand that are added to scores.
#[derive(Debug, Clone, Copy)]
struct AddedSlots {
    padding: usize,
    bias: usize,
}

/// What a padding mask adds.
#[derive(Debug)]
struct Padding {
    shape: [usize; 4],
    added: Vec<f32>,
}

/// The part that both have.
#[derive(Debug)]
struct Attending {
    /// Of queries, keys and values.
    sizes: [Sizes; 3],
    /// Keys that come before those of this input.
    past: usize,
    scale: f32,
    causal: bool,
    padding: Option<Padding>,
}

impl Attending {
    /// What is computed with queries, all keys and all values.
    fn whole(&self, [q, k, v]: [Tensor<4>; 3], bias: Option<Activation>) -> Heads {
        let [sizes, of_keys, _] = self.sizes;
        let device: Device = q.device();
        let keys = self.sizes[1].length + self.past;
        let mut added: Vec<Tensor<4>> = Vec::new();
        if let Some(bias) = bias {
            let view = aligned(&bias.shape(), 4);
            added.push(bias.into_view(&view).into_cast());
        }
        if let Some(padding) = &self.padding {
            let host = Activation::from_host(padding.added.clone(), &padding.shape, &device);
            added.push(host.into_cast());
        }
        if self.causal {
            let is_hidden = |_, i: usize, j: usize| j > self.past + i;
            added.push(hiding([1, sizes.length, keys], is_hidden, &device));
        }
        let groups = sizes.heads / of_keys.heads.max(1);
        Heads {
            q,
            k: shared(k, groups),
            v: shared(v, groups),
            scale: self.scale,
            bias: added.into_iter().reduce(|a, b| a + b),
            softcap: 0.0,
            packed: true,
        }
    }

    /// Its arithmetic, with or without a bias for each score.
    fn flops(&self, biased: bool) -> u64 {
        let [q, k, v] = self.sizes;
        let scores = [q.batch, q.heads, q.length, self.past + k.length];
        let added = [biased, self.padding.is_some(), self.causal];
        let added = added.into_iter().filter(|is_added| *is_added).count();
        attention_flops(&scores, q.size, v.size, added as u64)
    }

    /// `[N, L, heads * size]`.
    fn run(&self, given: [Tensor<4>; 3], bias: Option<Activation>) -> Activation {
        let [sizes, _, values] = self.sizes;
        let y = attend(self.whole(given, bias)).y;
        let width = sizes.heads * values.size;
        y.swap_dims(1, 2)
            .into_view(&[sizes.batch, sizes.length, width])
    }
}

#[derive(Debug)]
struct Projected {
    common: Common,
    /// Of queries, keys and values, if they are not the same.
    widths: Option<Vec<usize>>,
}

impl Operator for Projected {
    facts!(kind: "com.microsoft.Attention", algebra: Other, most_outputs: 2);

    fn number(&self, attribute: &str) -> Option<f64> {
        let queries = self.widths.as_ref().and_then(|widths| widths.first());
        match attribute {
            // That of the queries, the first of three.
            "qkv_hidden_sizes" => queries.map(|&width| width as f64),
            _ => self.common.number(attribute),
        }
    }

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let x = inputs.operand(0)?;
        let &[batch, length, features] = x.shape.as_slice() else {
            return Err(misfit(inputs, 1));
        };
        let total = match inputs.operand(1)?.shape.as_slice() {
            &[rows, columns] if rows == features => columns,
            _ => return Err(misfit(inputs, 2)),
        };
        if inputs.optional(2).is_some() && inputs.operand(2)?.shape != [total] {
            return Err(misfit(inputs, 3));
        }
        if inputs.optional(6).is_some() {
            return Err(Refused::Unsupported("past_sequence_length".to_owned()));
        }
        let widths = match &self.widths {
            None => [total / 3; 3],
            Some(widths) => <[usize; 3]>::try_from(widths.as_slice())
                .map_err(|_| "qkv_hidden_sizes are not three numbers")?,
        };
        if widths.iter().sum::<usize>() != total || widths[0] != widths[1] {
            return Err(format!("weights of {total} columns for widths {widths:?}").into());
        }
        check_size(&[batch, length, total])?;
        let heads = Some(self.common.heads);
        let size = |width| Sizes::of(&[batch, length, width], heads, "inputs");
        let sizes = [size(widths[0])?, size(widths[1])?, size(widths[2])?];
        let [_, k, v] = sizes;
        let mut past = 0;
        if inputs.optional(4).is_some() {
            past = match *inputs.operand(4)?.shape.as_slice() {
                [2, n, h, past, size] if [n, h, size, size] == [batch, k.heads, k.size, v.size] => {
                    past
                }
                _ => return Err(misfit(inputs, 5)),
            };
        }
        if inputs.outputs() > 1 && k.size != v.size {
            return Err("keys and values of different sizes in one output".into());
        }
        let slots = AddedSlots {
            padding: 3,
            bias: 5,
        };
        let attending = self.common.attending(inputs, sizes, past, slots)?;
        let present = vec![2, batch, k.heads, k.length + past, k.size];
        let outputs = vec![
            Known::computed(vec![batch, length, widths[2]], x.kind),
            Known::computed(present, x.kind),
        ];
        Ok(Resolved::of(ProjectedKernel { attending, widths }, outputs))
    }
}

#[derive(Debug)]
struct ProjectedKernel {
    attending: Attending,
    widths: [usize; 3],
}

impl ProjectedKernel {
    /// Queries, and all keys and values.
    fn given(&self, inputs: &mut Slots) -> Option<[Tensor<4>; 3]> {
        let weight = inputs.take(1);
        let all = dense(inputs.take(0), &weight, inputs.maybe(2).as_ref());
        let all = all.into_cast::<3>();
        let mut from = 0;
        let mut parts = self.attending.sizes.into_iter().zip(self.widths);
        let mut part = || {
            parts.next().map(|(sizes, width)| {
                let part = all.clone().narrow(2, from, width);
                from += width;
                sizes.split(part.into())
            })
        };
        let (q, mut k, mut v) = (part()?, part()?, part()?);
        if let Some(past) = inputs.maybe(4) {
            let past = past.into_cast::<5>();
            let grown = |i: usize, new: Tensor<4>| {
                let [_, batch, heads, length, size] = past.dims();
                let old = past
                    .clone()
                    .narrow(0, i, 1)
                    .reshape([batch, heads, length, size]);
                Tensor::cat(vec![old, new], 2)
            };
            (k, v) = (grown(0, k), grown(1, v));
        }
        Some([q, k, v])
    }
}

impl Attends for ProjectedKernel {
    fn heads(&self, mut inputs: Slots) -> Option<Heads> {
        let given = self.given(&mut inputs)?;
        Some(self.attending.whole(given, inputs.maybe(5)))
    }
}

impl Kernel for ProjectedKernel {
    fn attends(&self) -> Option<&dyn Attends> {
        Some(self)
    }

    fn flops(&self, shapes: &Shapes) -> Option<u64> {
        // Queries, keys and values are products with a weight, and a bias.
        let inner = shapes.input(1)?.first().copied()? as u64;
        let rows = numbers(shapes.input(0)?.get(..2)?);
        let made = rows * numbers(shapes.input(1)?.get(1..)?);
        let bias = shapes.input(2).map_or(0, |_| made);
        let attended = self.attending.flops(shapes.input(5).is_some());
        Some(2 * made * inner + bias + attended)
    }

    fn run(&self, mut inputs: Slots, outputs: &[Known]) -> Vec<Activation> {
        let Some([q, k, v]) = self.given(&mut inputs) else {
            return Vec::new();
        };
        let bias = inputs.maybe(5);
        let mut made = vec![self.attending.run([q, k.clone(), v.clone()], bias)];
        if outputs.len() > 1 {
            made.push(Tensor::stack::<5>(vec![k, v], 0).into());
        }
        made
    }
}

#[derive(Debug)]
struct Given(Common);

/// How queries, keys or values are given.
#[derive(Debug, Clone, Copy)]
struct Source {
    slot: usize,
    /// Which part of `[N, L, heads, parts, size]`, if they are that.
    part: Option<usize>,
    /// Whether a bias is added.
    biased: bool,
    sizes: Sizes,
}

impl Source {
    fn of(inputs: &Operands<'_>, slot: usize, heads: usize, what: &str) -> Result<Self, Refused> {
        let sizes = Sizes::of(&inputs.operand(slot)?.shape, Some(heads), what)?;
        Ok(Self {
            slot,
            part: None,
            // Keys and values that come as heads have theirs.
            biased: sizes.packed,
            sizes,
        })
    }

    /// A part of `[N, L, heads, parts, size]`.
    fn part(
        inputs: &Operands<'_>,
        slot: usize,
        heads: usize,
        [part, parts]: [usize; 2],
    ) -> Result<Self, Refused> {
        match *inputs.operand(slot)?.shape.as_slice() {
            [batch, length, h, p, size] if [h, p] == [heads, parts] => Ok(Self {
                slot,
                part: Some(part),
                biased: true,
                sizes: Sizes {
                    batch,
                    heads,
                    length,
                    size,
                    packed: true,
                },
            }),
            _ => Err(misfit(inputs, 3)),
        }
    }

    /// As `[N, heads, L, size]`.
    fn take(&self, x: Activation) -> Tensor<4> {
        let Some(part) = self.part else {
            return self.sizes.split(x);
        };
        let x = x.into_cast::<5>().narrow(3, part, 1);
        self.sizes.split(x.into_view(&[
            self.sizes.batch,
            self.sizes.length,
            self.sizes.heads * self.sizes.size,
        ]))
    }
}

impl Operator for Given {
    facts!(kind: "com.microsoft.MultiHeadAttention", algebra: Other, most_outputs: 3);

    fn number(&self, attribute: &str) -> Option<f64> {
        self.0.number(attribute)
    }

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let heads = self.0.heads;
        if inputs.optional(8).is_some() || inputs.optional(9).is_some() {
            let what = "past_sequence_length and cache_indirection".to_owned();
            return Err(Refused::Unsupported(what));
        }
        let whole = |slot, what| Source::of(inputs, slot, heads, what);
        let part = |slot, of| Source::part(inputs, slot, heads, of);
        let sources = match (inputs.optional(1), inputs.optional(2)) {
            (None, _) => [part(0, [0, 3])?, part(0, [1, 3])?, part(0, [2, 3])?],
            (Some(_), None) => [whole(0, "queries")?, part(1, [0, 2])?, part(1, [1, 2])?],
            (Some(_), Some(_)) => [whole(0, "queries")?, whole(1, "keys")?, whole(2, "values")?],
        };
        let [q, k, v] = sources.map(|source| source.sizes);
        let fits = k.batch == q.batch && v.batch == q.batch && k.length == v.length;
        if !fits || q.size != k.size || !q.packed {
            return Err(misfit(inputs, 3));
        }
        if inputs.optional(3).is_some() {
            let width = heads * (2 * q.size + v.size);
            if inputs.operand(3)?.shape != [width] {
                return Err(misfit(inputs, 4));
            }
        }
        let mut past = 0;
        if inputs.optional(6).is_some() || inputs.optional(7).is_some() {
            let (keys, values) = (&inputs.operand(6)?.shape, &inputs.operand(7)?.shape);
            past = keys.get(2).copied().unwrap_or(0);
            let expected = |size| [q.batch, heads, past, size];
            if *keys != expected(k.size) || *values != expected(v.size) {
                return Err(misfit(inputs, 8));
            }
        }
        let slots = AddedSlots {
            padding: 4,
            bias: 5,
        };
        let attending = self.0.attending(inputs, [q, k, v], past, slots)?;
        let kind = inputs.input(0)?.kind;
        let present = |size| vec![q.batch, heads, k.length + past, size];
        let outputs = vec![
            Known::computed(vec![q.batch, q.length, heads * v.size], kind),
            Known::computed(present(k.size), kind),
            Known::computed(present(v.size), kind),
        ];
        Ok(Resolved::of(GivenKernel { attending, sources }, outputs))
    }
}

#[derive(Debug)]
struct GivenKernel {
    attending: Attending,
    /// Of queries, keys and values.
    sources: [Source; 3],
}

impl GivenKernel {
    /// Queries, and all keys and values.
    fn given(&self, inputs: &mut Slots) -> Option<[Tensor<4>; 3]> {
        let given = [0, 1, 2].map(|slot| inputs.maybe(slot));
        let bias = inputs.maybe(3).map(Activation::into_cast::<1>);
        let mut from = 0;
        let mut parts: Vec<Tensor<4>> = Vec::new();
        for source in &self.sources {
            let Some(stated) = given[source.slot].clone() else {
                continue;
            };
            let mut x = source.take(stated);
            let Sizes { heads, size, .. } = source.sizes;
            if let Some(bias) = bias.clone().filter(|_| source.biased) {
                x = x + bias
                    .narrow(0, from, heads * size)
                    .reshape([1, heads, 1, size]);
            }
            from += heads * size;
            parts.push(x);
        }
        let [q, k, v] = <[Tensor<4>; 3]>::try_from(parts).ok()?;
        let mut grown = |slot: usize, new: Tensor<4>| match inputs.maybe(slot) {
            Some(past) => Tensor::cat(vec![past.into_cast::<4>(), new], 2),
            None => new,
        };
        let (k, v) = (grown(6, k), grown(7, v));
        Some([q, k, v])
    }
}

impl Attends for GivenKernel {
    fn heads(&self, mut inputs: Slots) -> Option<Heads> {
        let given = self.given(&mut inputs)?;
        Some(self.attending.whole(given, inputs.maybe(5)))
    }
}

impl Kernel for GivenKernel {
    fn attends(&self) -> Option<&dyn Attends> {
        Some(self)
    }

    fn flops(&self, shapes: &Shapes) -> Option<u64> {
        let added = self.sources.iter().filter(|source| source.biased);
        let added = added.map(|Source { sizes, .. }| {
            numbers(&[sizes.batch, sizes.heads, sizes.length, sizes.size])
        });
        Some(self.attending.flops(shapes.input(5).is_some()) + added.sum::<u64>())
    }

    fn run(&self, mut inputs: Slots, outputs: &[Known]) -> Vec<Activation> {
        let Some([q, k, v]) = self.given(&mut inputs) else {
            return Vec::new();
        };
        let y = self
            .attending
            .run([q, k.clone(), v.clone()], inputs.maybe(5));
        let mut made: Vec<Activation> = vec![y, k.into(), v.into()];
        made.truncate(outputs.len());
        made
    }
}
