//! The groups, what they add to the targets, and their icons.

use elucid::attribution::{AttributionError, Groups, map_shape};
use elucid::prelude::*;
use elucid::vision::Guess;
use ndarray::{Array3, Axis};

use super::GroupsArgs;
use crate::console::follow;
use crate::error::CliError;
use crate::look::Seen;
use crate::page_icons::{IconFacts, Icons};
use crate::report::Clock;
use crate::session::Session;
use crate::target::{self, TargetFacts};

/// What was computed, before anything is drawn or written.
pub struct Results {
    pub seen: Seen,
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
    /// Groups that fire nowhere, in ascending order.
    pub dead: Vec<usize>,
}

impl Division {
    /// What whoever sees the groups should know, in words.
    pub fn remark(&self) -> Option<String> {
        /// How many groups are named: a report lists all.
        const NAMED: usize = 4;
        let fire = match self.dead.len() {
            0 => return None,
            1 => "fires nowhere, is black and adds nothing to any target",
            _ => "fire nowhere, are black and add nothing to any target",
        };
        let dead = self.dead.iter().take(NAMED);
        let mut names: Vec<String> = dead
            .map(|group| format!("group {} (group_{group}.png)", group + 1))
            .collect();
        if self.dead.len() > NAMED {
            names.push("...".to_owned());
        }
        Some(format!(
            "{} of {} groups {fire}: {}",
            self.dead.len(),
            self.found.count(),
            names.join(", ")
        ))
    }
}

/// The groups without any activity: the matrix has fewer kinds of rows than there are groups, or is zero.
fn dead(found: &Groups) -> Vec<usize> {
    let factors = found.factors();
    let directions = found.directions();
    let is_dead = |&group: &usize| {
        let factor = factors.index_axis(Axis(1), group);
        let direction = directions.row(group);
        factor.iter().all(|&v| v == 0.0) || direction.iter().all(|&v| v == 0.0)
    };
    (0..found.count()).filter(is_dead).collect()
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
            let mut division = Division {
                folder,
                dead: dead(&found),
                found,
                icons: Vec::new(),
                made: None,
            };
            if let Some(remark) = division.remark() {
                console.note(format!("note: {remark}"));
            }
            if !self.args.icons.no_icons && division.dead.len() < count {
                let step = format!("make icons, {count} groups");
                let made = clock.time(step, || self.icons(&division))?;
                division.icons = made.pictures;
                division.made = Some(made.facts);
            }
            divisions.push(division);
        }
        Ok(Results {
            seen: Seen::of(photo, ranked)?,
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

    /// A picture for the direction of each group; black for those that look for nothing.
    fn icons(&self, division: &Division) -> Result<Icons, CliError> {
        let layer = self.layer.name();
        let directions = division.found.directions();
        let each = directions.outer_iter().enumerate();
        let each = each.filter(|(group, _)| !division.dead.contains(group));
        let each = each.map(|(group, of)| (group, Objective::direction(layer, of)));
        let GroupsArgs {
            icons,
            seed,
            batch_size,
            ..
        } = self.args;
        let mut made = icons.make(self.session, each.collect(), *seed, *batch_size)?;
        if let Some(first) = made.pictures.first() {
            let black = Array3::<u8>::zeros((first.height(), first.width(), 3));
            let black = Picture::from_rgb(black.view())?;
            for &group in &division.dead {
                made.pictures.insert(group, black.clone());
            }
        }
        Ok(made)
    }
}
