//! The numbers: attention by block, and what methods say of the same tokens.

use elucid::Error;
use elucid::attribution::{
    AttentionMap, AttentionMaps, AttentionRollout, AttributionError, Chefer,
};
use elucid::graph::TokenAxis;
use elucid::prelude::*;
use elucid::vision::Guess;
use ndarray::{Array3, Axis};

use super::blocks::{self, Chosen, Shown};
use super::{AttentionArgs, LeftOut};
use crate::error::CliError;
use crate::look::Seen;
use crate::report::Clock;
use crate::session::Session;
use crate::target::{self, TargetFacts};

/// What was computed, before anything is drawn or written.
pub struct Results {
    pub seen: Seen,
    pub targets: Vec<TargetFacts>,
    /// What the blocks attend among.
    pub tokens: TokenAxis,
    pub blocks: Vec<Shown>,
    pub methods: Vec<Found>,
    /// Blocks and methods that are not shown.
    pub left_out: Vec<LeftOut>,
}

/// What a method says.
pub struct Found {
    /// As the command `attribute` calls it.
    pub name: &'static str,
    /// What it says for each token, `[K, T, T]`, where it is about tokens: one of all targets, or one for each.
    pub rows: Option<Array3<f32>>,
    /// What it says of the picture as the network reads it, `[K, h, w]`.
    pub maps: Array3<f32>,
}

impl Found {
    fn new(
        name: &'static str,
        (rows, maps): (Option<Array3<f32>>, Array3<f32>),
        of: TokenAxis,
    ) -> Self {
        let tokens = of.prefix + of.grid.iter().product::<usize>();
        // In a decoder rows are those of queries, which are nothing to point at.
        let rows = rows.filter(|rows| rows.shape()[1..] == [tokens; 2]);
        Self { name, rows, maps }
    }

    /// Whether it has something of its own to say of each target.
    pub fn is_by_target(&self) -> bool {
        !matches!(self.name, "attention" | "attention-rollout")
    }
}

/// An open model, and what to do with it.
pub struct Work<'w> {
    pub session: &'w Session,
    pub args: &'w AttentionArgs,
}

impl Work<'_> {
    /// Does the work, noting how long each step takes.
    pub fn compute(&self, photo: &Photo, clock: &mut Clock) -> Result<Results, CliError> {
        let Session { model, console, .. } = self.session;
        let ranked = clock.time("classify", || self.session.ranked(photo))?;
        let (targets, facts): (Vec<Target>, Vec<TargetFacts>) =
            self.choose(&ranked)?.into_iter().unzip();
        let maps = clock.time("read the attention", || AttentionMaps::of(model, photo))?;
        let chosen = blocks::choose(model, &maps, &self.args.blocks)?;
        drop(maps);
        let Chosen {
            tokens,
            blocks,
            mut left_out,
        } = chosen;
        for block in &left_out {
            console.note(format!(
                "without the attention {}: {}",
                block.name, block.reason
            ));
        }
        let last = blocks.last().map_or("", |shown| shown.block.name());
        let wanted = Wanted {
            model,
            photo,
            targets: &targets,
            tokens,
            last,
        };
        let mut methods = Vec::new();
        for (name, method) in METHODS {
            match clock.time(name, || method(&wanted)) {
                Ok(found) => methods.extend(found.map(|said| Found::new(name, said, tokens))),
                Err(error) => {
                    let reason = error.to_string();
                    console.note(format!("without {name}: {reason}"));
                    let name = name.to_owned();
                    left_out.push(LeftOut { name, reason });
                }
            }
        }
        Ok(Results {
            seen: Seen::of(photo, ranked)?,
            targets: facts,
            tokens,
            blocks,
            methods,
            left_out,
        })
    }

    /// The targets asked for, else the two best guesses; none where the network has no classes.
    fn choose(&self, ranked: &[Guess]) -> Result<Vec<(Target, TargetFacts)>, CliError> {
        let Session { model, console, .. } = self.session;
        if let Some(asked) = &self.args.targets {
            return target::each(asked, "targets", self.session, ranked);
        }
        match model.head().no_best() {
            None => Ok(ranked.iter().take(2).cloned().map(target::logit).collect()),
            Some(reason) => {
                console.note(format!("nothing that is about a class: {reason}"));
                Ok(Vec::new())
            }
        }
    }
}

/// What methods are asked for.
struct Wanted<'w> {
    model: &'w Model,
    photo: &'w Photo,
    targets: &'w [Target],
    tokens: TokenAxis,
    /// The last block that is shown.
    last: &'w str,
}

/// Rows of tokens `[K, T, T]` and maps `[K, h, w]`; nothing without a target that it needs.
type Said = Option<(Option<Array3<f32>>, Array3<f32>)>;

type MethodOf = fn(&Wanted<'_>) -> Result<Said, Error>;

/// What stands beside the attention of single blocks, by the names of the command `attribute`.
const METHODS: [(&str, MethodOf); 4] = [
    ("attention", |wanted| {
        let method = AttentionMap::last().block(wanted.last);
        Ok(Some((None, wanted.map(&method, wanted.any())?)))
    }),
    ("attention-rollout", |wanted| {
        let method = AttentionRollout::new();
        let rows = method.matrix(wanted.model, wanted.photo, &wanted.any())?;
        let maps = wanted.map(&method, wanted.any())?;
        Ok(Some((Some(rows), maps)))
    }),
    ("chefer", |wanted| {
        let method = Chefer::new();
        let rows = |target: &Target| method.matrix(wanted.model, wanted.photo, target);
        let maps = |target: &Target| wanted.map(&method, target.clone());
        let Some(maps) = wanted.each(maps)? else {
            return Ok(None);
        };
        Ok(Some((wanted.each(rows)?, maps)))
    }),
    ("lrp", |wanted| {
        let method = Lrp::new(RelevanceRules::attn_lrp());
        let maps = wanted.each(|target| {
            let found = method.attribute(wanted.model, wanted.photo, target.clone())?;
            let pixels = found.saliency(Reduce::Sum)?;
            Ok(pixels.summed(wanted.tokens.grid)?.maps().clone())
        })?;
        Ok(maps.map(|maps| (None, maps)))
    }),
];

impl Wanted<'_> {
    /// The target of what looks at none.
    fn any(&self) -> Target {
        self.targets
            .first()
            .cloned()
            .unwrap_or_else(|| Target::class(0))
    }

    /// A method's map of the photograph, `[1, h, w]`.
    fn map(
        &self,
        method: &dyn Attributor,
        target: Target,
    ) -> Result<Array3<f32>, AttributionError> {
        let found = method.attribute(self.model, self.photo, target)?;
        Ok(found.map()?.maps().clone())
    }

    /// What is said of each target, one after the other.
    fn each(
        &self,
        of: impl Fn(&Target) -> Result<Array3<f32>, AttributionError>,
    ) -> Result<Option<Array3<f32>>, AttributionError> {
        let mut all: Option<Array3<f32>> = None;
        for target in self.targets {
            let one = of(target)?;
            match &mut all {
                None => all = Some(one),
                Some(all) => {
                    all.append(Axis(0), one.view())
                        .map_err(|_| AttributionError::ReadBack {
                            expected: all.shape().to_vec(),
                            got: one.shape().to_vec(),
                        })?
                }
            }
        }
        Ok(all)
    }
}
