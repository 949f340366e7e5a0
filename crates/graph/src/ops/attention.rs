//! `Attention`: `softmax(scale * Q K^T + mask) V` for several heads.
//!
//! Inputs are `[N, heads, L, size]` or `[N, L, heads * size]`; where there are fewer heads of keys than
//! of queries, several of these share one. A row of scores of which everything is masked gives 0. The
//! softmax is in single precision, whatever `softmax_precision` says.
//!
//! The mask is added before `softcap` bends the scores, as ONNX 1.19 states it, where the operator's
//! versions 23 and 24 come from. Its later releases, and ONNX Runtime, bend first.

use std::sync::Arc;

use burn::tensor::{Device, Tensor};
use elucid_rules::{cat, matmul};

use crate::activation::{Activation, IntoView};
use crate::attributes::Attributes;
use crate::heads::{self, Attends};
use crate::host::{ElementType, broadcast};
use crate::operator::{Apart, Kernel, Known, Operands, Operator, Refused, Resolved, Shapes, Slots, aligned, check_size, facts, numbers};
use crate::registry::Entry;

pub(super) const ENTRIES: &[Entry] = &[Entry::onnx("Attention", 23, read)];

fn read(a: &Attributes) -> Result<Arc<dyn Operator>, String> {
    let mode = a.int_or("qk_matmul_output_mode", 0);
    Ok(Arc::new(Attention {
        causal: a.flag("is_causal"),
        heads: [heads(a, "q_num_heads")?, heads(a, "kv_num_heads")?],
        scale: a.float("scale"),
        softcap: a.float_or("softcap", 0.0),
        scores: match mode {
            0 => Scores::Products,
            1 => Scores::Masked,
            2 => Scores::Capped,
            3 => Scores::Weights,
            _ => return Err(format!("qk_matmul_output_mode is {mode}, expected 0 to 3")),
        },
    }))
}

/// A number of heads, where it is stated.
pub(super) fn heads(a: &Attributes, name: &str) -> Result<Option<usize>, String> {
    let Some(stated) = a.int(name) else {
        return Ok(None);
    };
    let heads = usize::try_from(stated).ok().filter(|&h| h > 0);
    let heads = heads.ok_or_else(|| format!("attribute {name} is {stated}, expected 1 or more"))?;
    Ok(Some(heads))
}

/// Which scores come out.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Scores {
    Products,
    Masked,
    Capped,
    Weights,
}

#[derive(Debug)]
struct Attention {
    causal: bool,
    /// Of queries, and of keys and values.
    heads: [Option<usize>; 2],
    scale: Option<f32>,
    softcap: f32,
    scores: Scores,
}

/// Sizes of queries, keys or values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sizes {
    pub batch: usize,
    pub heads: usize,
    pub length: usize,
    pub size: usize,
    /// Whether the heads are part of the last axis, `[N, L, heads * size]`.
    pub packed: bool,
}

impl Sizes {
    /// Reads `[N, heads, L, size]`, or `[N, L, heads * size]` with a stated number of heads.
    pub fn of(shape: &[usize], heads: Option<usize>, what: &str) -> Result<Self, Refused> {
        match *shape {
            [batch, found, length, size] if heads.is_none_or(|stated| stated == found) => {
                Ok(Self {
                    batch,
                    heads: found,
                    length,
                    size,
                    packed: false,
                })
            }
            [batch, length, width] => {
                let heads = heads.ok_or_else(|| format!("the number of heads of {what}"))?;
                if width % heads != 0 {
                    return Err(format!("{what} of {width} numbers have no {heads} heads").into());
                }
                Ok(Self {
                    batch,
                    heads,
                    length,
                    size: width / heads,
                    packed: true,
                })
            }
            _ => Err(format!(
                "{what} have shape {shape:?}, expected [N, heads, L, size] or [N, L, heads * size]"
            )
            .into()),
        }
    }

    /// As `[N, heads, L, size]`.
    pub fn split(&self, x: Activation) -> Tensor<4> {
        if !self.packed {
            return x.into_cast();
        }
        let x = x.into_view(&[self.batch, self.length, self.heads, self.size]);
        x.into_cast::<4>().swap_dims(1, 2)
    }
}

impl Operator for Attention {
    facts!(kind: "Attention", algebra: Other, most_outputs: 4);

    fn apart(&self, inputs: &Operands<'_>) -> Apart {
        // A mask of three axes is one for each head.
        let mask = inputs.optional(3).map(|mask| mask.shape.len());
        match (4..7).all(|slot| inputs.optional(slot).is_none())
            && matches!(mask, None | Some(2 | 4))
        {
            true => Apart::Stacks,
            false => Apart::No,
        }
    }

    fn number(&self, attribute: &str) -> Option<f64> {
        let heads = |which: usize| self.heads[which].map(|heads| heads as f64);
        match attribute {
            "q_num_heads" => heads(0),
            "kv_num_heads" => heads(1),
            "scale" => self.scale.map(f64::from),
            "softcap" => Some(self.softcap.into()),
            "is_causal" => Some(u8::from(self.causal).into()),
            "qk_matmul_output_mode" => Some(f64::from(self.scores as u8)),
            _ => None,
        }
    }

    fn resolve(&self, inputs: &Operands<'_>) -> Result<Resolved, Refused> {
        let [q_heads, kv_heads] = self.heads;
        let q = Sizes::of(&inputs.operand(0)?.shape, q_heads, "queries")?;
        let k = Sizes::of(&inputs.operand(1)?.shape, kv_heads, "keys")?;
        let v = Sizes::of(&inputs.operand(2)?.shape, kv_heads, "values")?;
        let fits = k.batch == q.batch
            && k.size == q.size
            && v == Sizes { size: v.size, ..k }
            && k.packed == q.packed
            && k.heads > 0
            && q.heads % k.heads == 0;
        if !fits {
            return Err(misfit(inputs, 3));
        }
        let mut past = 0;
        if inputs.optional(4).is_some() || inputs.optional(5).is_some() {
            past = match inputs.operand(4)?.shape.as_slice() {
                &[_, _, length, _] => length,
                _ => 0,
            };
            let expected = |size| [q.batch, k.heads, past, size];
            let (keys, values) = (&inputs.operand(4)?.shape, &inputs.operand(5)?.shape);
            if *keys != expected(k.size) || *values != expected(v.size) {
                return Err(misfit(inputs, 6));
            }
        }
        let total = k.length + past;
        let scores = [q.batch, q.heads, q.length, total];
        // The scores, and what softmax makes of them.
        check_size(&[&[2], &scores[..]].concat())?;
        let mut mask = None;
        if let Some(known) = inputs.optional(3) {
            let is_bool = known.kind == ElementType::Bool;
            if !is_bool && !known.kind.is_float() {
                return Err(format!("the mask holds {}", known.kind).into());
            }
            // Keys that the mask does not reach are masked.
            let stated = &known.shape;
            let reach = stated.last().copied().unwrap_or(0);
            let mut behind = scores;
            behind[3] = reach;
            let fits = broadcast(&behind, stated).as_deref() == Some(&behind[..]);
            if !fits || reach > total || stated.len() < 2 {
                return Err(format!("a mask {stated:?} does not fit scores {scores:?}").into());
            }
            let view = aligned(stated, 4);
            let view = <[usize; 4]>::try_from(view).map_err(|_| "a mask of more than 4 axes")?;
            mask = Some(Mask { view, is_bool });
        }
        let lengths = match inputs.optional(6) {
            None => None,
            Some(_) => {
                let lengths = inputs.ints(6, "the numbers of keys")?;
                if lengths.len() != q.batch {
                    return Err(format!("{} numbers of keys", lengths.len()).into());
                }
                Some(lengths)
            }
        };
        let kernel = Heads {
            q,
            k,
            v,
            past,
            scale: self.scale.unwrap_or(1.0 / (q.size as f32).sqrt()),
            softcap: self.softcap,
            causal: self.causal,
            lengths,
            mask,
            scores: self.scores,
        };
        let kind = inputs.input(0)?.kind;
        let y = match q.packed {
            true => vec![q.batch, q.length, q.heads * v.size],
            false => vec![q.batch, q.heads, q.length, v.size],
        };
        let present = |size| vec![q.batch, k.heads, total, size];
        let outputs = vec![
            Known::computed(y, kind),
            Known::computed(present(k.size), inputs.input(1)?.kind),
            Known::computed(present(v.size), inputs.input(2)?.kind),
            Known::computed(scores.to_vec(), kind),
        ];
        Ok(Resolved::of(kernel, outputs))
    }
}

/// For inputs of which one does not fit the others.
pub(super) fn misfit(inputs: &Operands<'_>, count: usize) -> Refused {
    let shape = |slot| inputs.optional(slot).map(|known| known.shape.clone());
    let shapes: Vec<_> = (0..count).filter_map(shape).collect();
    format!("inputs of shapes {shapes:?} do not fit one another").into()
}

/// A mask as it is given.
#[derive(Debug, Clone, Copy)]
struct Mask {
    view: [usize; 4],
    /// Whether it says what counts; else it is added.
    is_bool: bool,
}

#[derive(Debug)]
struct Heads {
    q: Sizes,
    k: Sizes,
    v: Sizes,
    /// Keys that come before those of this input.
    past: usize,
    scale: f32,
    softcap: f32,
    causal: bool,
    /// How many keys of each batch entry count.
    lengths: Option<Vec<i64>>,
    mask: Option<Mask>,
    scores: Scores,
}

impl Heads {
    fn total(&self) -> usize {
        self.k.length + self.past
    }

    /// Queries, and all keys and values, each head once.
    fn given(&self, inputs: &mut Slots) -> [Tensor<4>; 3] {
        let q = self.q.split(inputs.take(0));
        let mut grown = |slot: usize, past: usize, sizes: &Sizes| {
            let new = sizes.split(inputs.take(slot));
            match inputs.maybe(past) {
                Some(past) => cat(vec![past.into_cast::<4>(), new], 2),
                None => new,
            }
        };
        let (k, v) = (grown(1, 4, &self.k), grown(2, 5, &self.v));
        [q, k, v]
    }

    fn whole(&self, [q, k, v]: [Tensor<4>; 3], mask: Option<Activation>) -> heads::Heads {
        let groups = self.q.heads / self.k.heads.max(1);
        heads::Heads {
            bias: self.bias(mask, &q.device()),
            q,
            k: shared(k, groups),
            v: shared(v, groups),
            scale: self.scale,
            softcap: self.softcap,
            packed: self.q.packed,
        }
    }

    /// What is added to the scores.
    fn bias(&self, mask: Option<Activation>, device: &Device) -> Option<Tensor<4>> {
        let total = self.total();
        let given = mask.zip(self.mask).map(|(mask, how)| {
            let mask = mask.into_view(&how.view).into_cast::<4>();
            let mask = if how.is_bool { unless(mask) } else { mask };
            let [a, b, c, reach] = how.view;
            if reach == total {
                return mask;
            }
            let behind = Tensor::full([a, b, c, total - reach], f32::NEG_INFINITY, device);
            Tensor::cat(vec![mask, behind], 3)
        });
        let hidden = (self.causal || self.lengths.is_some()).then(|| {
            let (rows, batch) = (self.q.length, self.lengths.as_ref().map_or(1, Vec::len));
            let is_hidden = |n: usize, i: usize, j: usize| {
                let lengths = self.lengths.as_ref();
                let behind = lengths.is_some_and(|lengths| j as i64 >= lengths[n]);
                behind || (self.causal && j > self.past + i)
            };
            hiding([batch, rows, total], is_hidden, device)
        });
        match (given, hidden) {
            (Some(given), Some(hidden)) => Some(given + hidden),
            (given, hidden) => given.or(hidden),
        }
    }
}

/// 0 where a mask is 1, and minus infinity where it is 0.
fn unless(mask: Tensor<4>) -> Tensor<4> {
    let mask = mask.without_autodiff();
    let hidden = mask.clone().lower_elem(0.5);
    mask.zeros_like().mask_fill(hidden, f32::NEG_INFINITY)
}

/// What hides keys: `[N or 1, 1, queries, keys]`, minus infinity where it does.
pub(super) fn hiding(
    [batch, rows, keys]: [usize; 3],
    is_hidden: impl Fn(usize, usize, usize) -> bool,
    device: &Device,
) -> Tensor<4> {
    let mut values = Vec::with_capacity(batch * rows * keys);
    for n in 0..batch {
        for i in 0..rows {
            values.extend((0..keys).map(|j| match is_hidden(n, i, j) {
                true => f32::NEG_INFINITY,
                false => 0.0,
            }));
        }
    }
    Activation::from_host(values, &[batch, 1, rows, keys], device).into_cast()
}

/// Everything that an attention computes, `[N, heads, queries, keys]` but for the result.
pub(super) struct Attended {
    pub products: Tensor<4>,
    pub masked: Tensor<4>,
    pub capped: Tensor<4>,
    pub weights: Tensor<4>,
    /// `[N, heads, queries, size]`.
    pub y: Tensor<4>,
}

/// Attends.
pub(super) fn attend(heads: heads::Heads) -> Attended {
    let heads::Heads {
        q,
        k,
        v,
        scale,
        bias,
        softcap,
        packed: _,
    } = heads;
    let products = matmul(q * scale, k.swap_dims(2, 3));
    let masked = match bias {
        Some(bias) => products.clone() + bias,
        None => products.clone(),
    };
    let capped = heads::bent(masked.clone(), softcap);
    let weights = heads::masked_softmax(capped.clone());
    Attended {
        y: matmul(weights.clone(), v),
        products,
        masked,
        capped,
        weights,
    }
}

/// Each head `groups` times.
pub(super) fn shared(x: Tensor<4>, groups: usize) -> Tensor<4> {
    if groups == 1 {
        return x;
    }
    let [batch, heads, length, size] = x.dims();
    let x = x.reshape([batch, heads, 1, length, size]);
    let x: Tensor<5> = x.expand([batch, heads, groups, length, size]);
    x.reshape([batch, heads * groups, length, size])
}

/// The arithmetic of attention: both products, the scale, the softmax, and `more` for each score.
pub(super) fn attention_flops(scores: &[usize], size: usize, value_size: usize, more: u64) -> u64 {
    numbers(scores) * (2 * (size + value_size) as u64 + 1 + 5 + more)
}

impl Attends for Heads {
    fn heads(&self, mut inputs: Slots) -> Option<heads::Heads> {
        let given = self.given(&mut inputs);
        Some(self.whole(given, inputs.maybe(3)))
    }
}

impl Kernel for Heads {
    fn attends(&self) -> Option<&dyn Attends> {
        Some(self)
    }

    fn flops(&self, _shapes: &Shapes) -> Option<u64> {
        let keys = self.past + self.k.length;
        let scores = [self.q.batch, self.q.heads, self.q.length, keys];
        let masked = u64::from(self.mask.is_some() || self.causal);
        let bent = u64::from(self.softcap > 0.0);
        Some(attention_flops(&scores, self.q.size, self.v.size, masked + bent))
    }

    fn run(&self, mut inputs: Slots, outputs: &[Known]) -> Vec<Activation> {
        let [q, k, v] = self.given(&mut inputs);
        let found = attend(self.whole([q, k.clone(), v.clone()], inputs.maybe(3)));
        let scores = match self.scores {
            Scores::Products => found.products,
            Scores::Masked => found.masked,
            Scores::Capped => found.capped,
            Scores::Weights => found.weights,
        };
        let y = if self.q.packed {
            found.y.swap_dims(1, 2)
        } else {
            found.y
        };
        let made: [Activation; 4] = [y.into(), k.into(), v.into(), scores.into()];
        let made = made.into_iter().zip(outputs);
        made.map(|(made, known)| made.into_view(&known.shape))
            .collect()
    }
}
