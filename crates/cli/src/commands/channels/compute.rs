//! The numbers, and the icons of the channels that are shown.

use elucid::attribution::{ChannelValues, map_shape};
use elucid::prelude::*;
use elucid::render::top_and_bottom;
use elucid::vision::{Guess, HeadKind};

use super::ChannelsArgs;
use super::sprites::{self, Sprites};
use crate::console::follow;
use crate::error::CliError;
use crate::look::Seen;
use crate::page_icons::IconFacts;
use crate::report::Clock;
use crate::session::Session;
use crate::target::{self, TargetFacts};

/// What was computed, before anything is drawn or written.
pub struct Results {
    pub seen: Seen,
    pub target: TargetFacts,
    /// One for each method.
    pub views: Vec<View>,
    /// The channels at the ends of any view, in ascending order; their icons, where there are any.
    pub icons: Vec<(usize, Option<Picture>)>,
    /// How the icons were made, if they were.
    pub made: Option<IconFacts>,
}

/// What one method found.
pub struct View {
    pub name: &'static str,
    /// Where its files go; empty for the folder itself.
    pub folder: &'static str,
    pub found: ChannelValues,
}

/// A layer of an open model, and what to do with it.
pub struct Work<'w> {
    pub session: &'w Session,
    pub args: &'w ChannelsArgs,
    pub layer: &'w Layer,
    pub sprites: Option<Sprites>,
}

impl<'w> Work<'w> {
    /// Finds the layer, and checks that it has channels and that the sprites are its own.
    pub fn new(
        session: &'w Session,
        args: &'w ChannelsArgs,
        sprites: Option<Sprites>,
    ) -> Result<Self, CliError> {
        let model = &session.model;
        let layer = model.layer(&Network::layer(model, &args.layer)?)?;
        if layer.shape().len() != 2 {
            map_shape(model, layer.name())?;
        }
        if let Some(sprites) = &sprites {
            sprites::check(sprites, model, layer)?;
        }
        Ok(Self {
            session,
            args,
            layer,
            sprites,
        })
    }

    /// Does the work, noting how long each step takes.
    pub fn compute(&self, photo: &Photo, clock: &mut Clock) -> Result<Results, CliError> {
        let ranked = clock.time("classify", || self.session.ranked(photo))?;
        let (target, facts) = self.choose(&ranked)?;
        facts.tell(&self.session.console);
        let methods = &self.args.method.0;
        let mut views = Vec::with_capacity(methods.len());
        for &(name, method) in methods {
            let step = format!("attribute, {name}");
            views.push(View {
                name,
                // With one method there is nothing to tell apart.
                folder: if methods.len() == 1 { "" } else { name },
                found: clock.time(step, || self.attribute(photo, name, method, &target))?,
            });
        }

        let top = usize::from(self.args.top);
        let ends = |view: &View| top_and_bottom(view.found.values(), top);
        let mut shown: Vec<usize> = views.iter().flat_map(ends).collect();
        shown.sort_unstable();
        shown.dedup();
        let (icons, made) = self.icons(&shown, clock)?;
        Ok(Results {
            seen: Seen::of(photo, ranked)?,
            target: facts,
            views,
            icons: shown.into_iter().zip(icons).collect(),
            made,
        })
    }

    /// The target asked for, else the best guess minus the second.
    fn choose(&self, ranked: &[Guess]) -> Result<(Target, TargetFacts), CliError> {
        match (&self.args.target, ranked) {
            (Some(text), _) => target::of(text, &self.session.model, ranked),
            (None, [a, b, ..]) if self.session.model.head().kind() == HeadKind::Classes => {
                Ok(target::between(a.clone(), b.clone()))
            }
            (None, _) => Ok(target::logit(self.session.best(ranked)?.clone())),
        }
    }

    fn attribute(
        &self,
        photo: &Photo,
        name: &str,
        method: ChannelMethod,
        target: &Target,
    ) -> Result<ChannelValues, CliError> {
        let bar = self.session.console.steps(name);
        let mut attribution = ChannelAttribution::at(self.layer.name())
            .method(method)
            .seed(self.args.seed)
            .progress(follow(&bar));
        if let Some(rules) = &self.args.gradients.rules {
            attribution = attribution.rules(rules);
        }
        if let Some(batch_size) = self.args.batch_size {
            attribution = attribution.batch_size(batch_size as usize);
        }
        let found = attribution.compute(&self.session.model, photo, target.clone());
        bar.finish_and_clear();
        found?
            .pop()
            .ok_or_else(|| CliError::Failure("the photograph gave no values".to_owned()))
    }

    /// The icons of some channels: from the sprite map, or made for them.
    fn icons(
        &self,
        shown: &[usize],
        clock: &mut Clock,
    ) -> Result<(Vec<Option<Picture>>, Option<IconFacts>), CliError> {
        let ChannelsArgs {
            icons,
            seed,
            batch_size,
            ..
        } = self.args;
        if let Some(Sprites { map, .. }) = &self.sprites {
            let sprites: Vec<_> = shown.iter().map(|&channel| map.sprite(channel)).collect();
            let missing = sprites.iter().filter(|sprite| sprite.is_none()).count();
            if missing > 0 {
                let shown = shown.len();
                let console = &self.session.console;
                console.note(format!(
                    "the sprite map lacks {missing} of {shown} channels"
                ));
            }
            return Ok((sprites, None));
        }
        if icons.no_icons {
            return Ok((vec![None; shown.len()], None));
        }
        let layer = self.layer.name();
        let each = shown.iter().map(|&n| (n, Objective::channel(layer, n)));
        let made = clock.time("make icons", || {
            icons.make(self.session, each.collect(), *seed, *batch_size)
        })?;
        Ok((
            made.pictures.into_iter().map(Some).collect(),
            Some(made.facts),
        ))
    }
}
