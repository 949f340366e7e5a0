//! What blocks are.

use std::fmt;

use super::affine::Affine;
use super::gate::GateFunction;
use super::norm::Statistics;
use crate::graph::ValueId;

/// What lies along an axis of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenAxis {
    /// Number of tokens in front that are no patches: class and register tokens.
    pub prefix: usize,
    /// Height and width in patches; the patches follow row by row.
    pub grid: [usize; 2],
}

/// What a block is, with the values that matter in it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Pattern {
    /// A convolution or a dense layer, and a batch normalisation of what it makes: an operator of that
    /// name, or a product and a sum with one constant for each channel. All of it is linear in the input and
    /// can become one layer.
    BatchNorm {
        /// The node with the weights.
        weighted: usize,
        /// What that node makes.
        product: ValueId,
        /// What is done with it, in order.
        steps: Vec<Affine>,
    },
    /// A product with constant weights, and a sum with one constant for each channel: one linear layer with
    /// a bias. Rules that look at the output of a layer must see it with the bias.
    Linear {
        /// The node with the weights.
        weighted: usize,
        /// What that node makes.
        product: ValueId,
        /// What is added to it.
        bias: ValueId,
    },
    /// A number times a factor that follows from it: `y = x g(x)`.
    Gate {
        /// Which function.
        function: GateFunction,
        /// What is multiplied, `x`.
        signal: ValueId,
        /// The factor `g(x)`, where the file has it as a value of its own.
        factor: Option<ValueId>,
        /// A constant that the operator adds to the signal first.
        bias: Option<ValueId>,
    },
    /// A map times one factor for each channel, which follows from the channels' means
    /// (Hu et al., *Squeeze-and-Excitation Networks*, 2018).
    SqueezeExcite {
        /// The map.
        signal: ValueId,
        /// Its channels' means.
        pooled: ValueId,
        /// The factors, of the map's rank, with size 1 along each position.
        factor: ValueId,
    },
    /// `(x - mean) / deviation * scale + offset`, or without the mean.
    Normalization {
        /// Over what the statistics are taken.
        statistics: Statistics,
        /// What is normalised. The sum of two values, for an operator that adds a shortcut first: see
        /// `skip`.
        signal: ValueId,
        /// What the operator adds to the signal first: a shortcut, and perhaps a bias.
        skip: Vec<ValueId>,
        /// Axes of the signal over which the mean is taken, in order. Groups take a part of axis 1.
        axes: Vec<usize>,
        /// The mean, where the file has it as a value.
        mean: Option<ValueId>,
        /// The root of variance plus epsilon, or its inverse, where the file has it as a value.
        deviation: Option<ValueId>,
        /// Whether `deviation` holds the inverse.
        inverse: bool,
        /// What is added to the variance.
        epsilon: f64,
        /// The signal with mean 0 and deviation 1, where the file has it as a value.
        normalised: Option<ValueId>,
        /// The constant factor, if there is one.
        scale: Option<ValueId>,
        /// The constant that is added, if there is one.
        offset: Option<ValueId>,
    },
    /// `softmax(scale q kᵀ + masks) v`.
    Attention {
        /// Queries as they enter, before they are scaled; a constant where they were learned.
        q: ValueId,
        /// Keys as they enter, before they are scaled; transposed where the file transposes them before.
        k: ValueId,
        /// Values as they enter.
        v: ValueId,
        /// The one layer that queries, keys and values are parts of, if there is one.
        packed: Option<ValueId>,
        /// The product of queries and keys.
        products: Option<ValueId>,
        /// What the softmax reads: scaled, masks and positions added.
        scores: Option<ValueId>,
        /// What the softmax makes, `[.., heads, queries, keys]`. Absent where one operator does
        /// everything and does not hand it out.
        probabilities: Option<ValueId>,
        /// What is added to the products: a mask, relative positions.
        masks: Vec<ValueId>,
        /// What the queries are, where they are the tokens of one map: absent inside windows.
        queries: Option<TokenAxis>,
        /// What the keys are, likewise.
        keys: Option<TokenAxis>,
        /// Number of heads of the queries.
        heads: usize,
        /// What the product of queries and keys is multiplied by in all; absent where it is not one
        /// number.
        scale: Option<f64>,
        /// The nodes of the product of queries and keys, of the softmax, and of the product with the
        /// values: three times the same, where one operator does everything.
        stages: [usize; 3],
    },
    /// The step from a map `[N, C, h, w]` to a sequence of tokens `[N, prefix + h w, C]`.
    TokenGrid {
        /// The map.
        map: ValueId,
        /// Number of tokens in front that are no patches: class and register tokens.
        prefix: usize,
        /// Height and width in patches.
        grid: [usize; 2],
    },
}

impl fmt::Display for TokenAxis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [height, width] = self.grid;
        match self.prefix {
            0 => write!(f, "{height} x {width}"),
            prefix => write!(f, "{prefix} + {height} x {width}"),
        }
    }
}

impl Pattern {
    /// The name of what it is: `attention`, `GELU`, `layer normalization`.
    pub fn name(&self) -> &'static str {
        match self {
            Pattern::BatchNorm { .. } => "batch normalization",
            Pattern::Linear { .. } => "linear layer",
            Pattern::Gate { function, .. } => function.as_str(),
            Pattern::SqueezeExcite { .. } => "squeeze-and-excitation",
            Pattern::Normalization { statistics, .. } => statistics.as_str(),
            Pattern::Attention { .. } => "attention",
            Pattern::TokenGrid { .. } => "token grid",
        }
    }

    /// The values that matter in it, by the names of its fields.
    pub fn values(&self) -> Vec<(&'static str, ValueId)> {
        let named: Vec<(&'static str, Option<ValueId>)> = match self {
            Pattern::BatchNorm { product, .. } => vec![("product", Some(*product))],
            Pattern::Linear { product, bias, .. } => {
                vec![("product", Some(*product)), ("bias", Some(*bias))]
            }
            Pattern::Gate {
                signal,
                factor,
                bias,
                ..
            } => vec![
                ("signal", Some(*signal)),
                ("factor", *factor),
                ("bias", *bias),
            ],
            Pattern::SqueezeExcite {
                signal,
                pooled,
                factor,
            } => vec![
                ("signal", Some(*signal)),
                ("pooled", Some(*pooled)),
                ("factor", Some(*factor)),
            ],
            Pattern::Normalization {
                signal,
                mean,
                deviation,
                normalised,
                scale,
                offset,
                ..
            } => vec![
                ("signal", Some(*signal)),
                ("mean", *mean),
                ("deviation", *deviation),
                ("normalised", *normalised),
                ("scale", *scale),
                ("offset", *offset),
            ],
            Pattern::Attention {
                q,
                k,
                v,
                packed,
                products,
                scores,
                probabilities,
                ..
            } => vec![
                ("q", Some(*q)),
                ("k", Some(*k)),
                ("v", Some(*v)),
                ("packed", *packed),
                ("products", *products),
                ("scores", *scores),
                ("probabilities", *probabilities),
            ],
            Pattern::TokenGrid { map, .. } => vec![("map", Some(*map))],
        };
        let there = named.into_iter();
        there
            .filter_map(|(name, value)| Some((name, value?)))
            .collect()
    }

    /// What is worth to be told about it: `6 heads, scale 0.125, packed`.
    pub(super) fn details(&self) -> Vec<String> {
        let mut parts: Vec<String> = Vec::new();
        match self {
            Pattern::Normalization {
                statistics,
                axes,
                epsilon,
                ..
            } => {
                match statistics {
                    Statistics::Group { groups } => parts.push(format!("{groups} groups")),
                    _ => parts.push(format!("over axes {axes:?}")),
                }
                parts.push(format!("epsilon {:e}", *epsilon as f32));
            }
            Pattern::Attention {
                heads,
                scale,
                packed,
                masks,
                keys,
                probabilities,
                ..
            } => {
                parts.push(format!("{heads} heads"));
                parts.extend(scale.map(|scale| format!("scale {scale:.4}")));
                parts.extend(packed.map(|_| "packed".to_owned()));
                parts.extend(keys.map(|keys| format!("keys {keys}")));
                parts.extend((!masks.is_empty()).then(|| "masked".to_owned()));
                parts.extend(
                    probabilities
                        .is_none()
                        .then(|| "probabilities not in the file".to_owned()),
                );
            }
            Pattern::TokenGrid { prefix, grid, .. } => {
                parts.push(format!("grid {} x {}", grid[0], grid[1]));
                parts.push(format!("prefix {prefix}"));
            }
            _ => {}
        }
        parts
    }
}
