//! The groups, what they add to the targets, and their icons.

use elucid::attribution::{AttributionError, Groups, map_shape};
use elucid::prelude::*;
use elucid::vision::Guess;

use super::GroupsArgs;
use crate::console::follow;
use crate::error::CliError;
use crate::page_icons::{IconFacts, Icons};
use crate::report::{Clock, remark};
use crate::session::Session;
use crate::target::{self, TargetFacts};

/// How many guesses the page and the report show.
const GUESSES: usize = 5;

/// What was computed, before anything is drawn or written.
pub struct Results {
    /// What the network saw.
    pub photo: Picture,
    /// What was done to the photograph that is not usual.
    pub remark: Option<String>,
    /// The best guesses, best first; none where the network has no classes.
    pub guesses: Vec<Guess>,
    /// In the order of the effects.
    pub targets: Vec<TargetFacts>,
    /// One for each number of groups.
    pub divisions: Vec<Division>,
}

/// One number of groups.
pub struct Division {
    /// Where its files go; empty for the folder itself.
    pub folder: String,
    pub found: Groups,
    /// One for each group, or none at all.
    pub icons: Vec<Picture>,
    /// How the icons were made, if they were.
    pub made: Option<IconFacts>,
}

/// A layer of an open model, and what to do with it.
pub struct Work<'w> {
    pub session: &'w Session,
    pub args: &'w GroupsArgs,
    pub layer: &'w Layer,
}

impl<'w> Work<'w> {
    /// Finds the layer, and checks that it has positions.
    pub fn new(session: &'w Session, args: &'w GroupsArgs) -> Result<Self, CliError> {
        let model = &session.model;
        let layer = model.layer(&Network::layer(model, &args.layer)?)?;
        map_shape(model, layer.name())?;
        Ok(Self {
            session,
            args,
            layer,
        })
    }

    /// Does the work, noting how long each step takes.
    pub fn compute(&self, photo: &Photo, clock: &mut Clock) -> Result<Results, CliError> {
        let console = &self.session.console;
        let ranked = clock.time("classify", || self.session.ranked(photo))?;
        let no_best = self.session.model.head().no_best();
        if let (true, Some(reason)) = (self.args.asked().is_empty(), no_best) {
            console.note(format!("no attributions: {reason}"));
        }
        let (targets, facts): (Vec<Target>, Vec<TargetFacts>) =
            self.choose(&ranked)?.into_iter().unzip();
        let found = clock.time("find groups", || self.find(photo, targets))?;
        let mut divisions = Vec::with_capacity(found.len());
        for found in found {
            let count = found.count();
            let folder = match self.args.groups.0.len() {
                // With one number there is nothing to tell apart.
                1 => String::new(),
                _ => format!("{count}_groups"),
            };
            let (icons, made) = match self.args.icons.no_icons {
                true => (Vec::new(), None),
                false => {
                    let step = format!("make icons, {count} groups");
                    let made = clock.time(step, || self.icons(&found))?;
                    (made.pictures, Some(made.facts))
                }
            };
            divisions.push(Division {
                folder,
                found,
                icons,
                made,
            });
        }
        Ok(Results {
            photo: Picture::from_image(photo.picture().clone())?,
            remark: remark(photo),
            guesses: ranked.into_iter().take(GUESSES).collect(),
            targets: facts,
            divisions,
        })
    }

    /// The targets asked for, else the two best guesses.
    fn choose(&self, ranked: &[Guess]) -> Result<Vec<(Target, TargetFacts)>, CliError> {
        let asked = self.args.asked();
        if asked.is_empty() {
            let best = match self.session.best(ranked) {
                Ok(_) => ranked.iter().take(2).cloned(),
                Err(_) => return Ok(Vec::new()),
            };
            return Ok(best.map(target::logit).collect());
        }
        target::each(asked, "targets", self.session, ranked)
    }

    fn find(&self, photo: &Photo, targets: Vec<Target>) -> Result<Vec<Groups>, AttributionError> {
        let bar = self.session.console.steps("groups");
        let mut groups = NeuronGroups::new(1)
            .at(self.layer.name())
            .targets(targets)
            .reducer(self.args.reducer)
            .seed(self.args.seed)
            .progress(follow(&bar));
        if let Some(rules) = &self.args.gradients.rules {
            groups = groups.rules(rules);
        }
        let numbers = self.args.groups.0.iter().copied();
        let found = groups.compute_all(&self.session.model, photo, numbers);
        bar.finish_and_clear();
        found
    }

    /// A picture for the direction of each group.
    fn icons(&self, found: &Groups) -> Result<Icons, CliError> {
        let layer = self.layer.name();
        let directions = found.directions();
        let each = directions.outer_iter().enumerate();
        let each = each.map(|(group, of)| (group, Objective::direction(layer, of)));
        let GroupsArgs {
            icons,
            seed,
            batch_size,
            ..
        } = self.args;
        icons.make(self.session, each.collect(), *seed, *batch_size)
    }
}
