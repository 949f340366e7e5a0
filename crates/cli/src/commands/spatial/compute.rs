//! The numbers: maps between the layers, and hints of the classes.

use elucid::attribution::{AttributionError, map_shape};
use elucid::prelude::*;
use elucid::vision::Guess;
use ndarray::{Array3, Axis};

use super::SpatialArgs;
use crate::console::follow;
use crate::error::CliError;
use crate::look::Seen;
use crate::report::Clock;
use crate::session::Session;
use crate::target::{self, Reading, TargetFacts};

/// What was computed, before anything is drawn or written.
pub struct Results {
    pub seen: Seen,
    /// What the hints are about: at most two, none where nothing was asked for and no class stands out.
    pub hints: Vec<Hint>,
    /// One for each set of rules.
    pub views: Vec<View>,
}

/// What the layers are also attributed to.
pub struct Hint {
    pub target: Target,
    pub facts: TargetFacts,
    /// For people: the name of a class, or the target in words.
    pub label: String,
    /// What tells its files from others of the same name.
    pub number: usize,
}

impl Hint {
    /// The logit of a class.
    fn class(class: Guess) -> Self {
        let (label, number) = (class.label.clone(), class.index);
        let (target, facts) = target::logit(class);
        Self {
            target,
            facts,
            label,
            number,
        }
    }
}

/// What was computed under one set of rules.
pub struct View {
    pub rules: Rules,
    pub maps: SpatialMaps,
    /// Absent exactly where nothing is hinted at.
    pub hints: Option<SpatialHints>,
}

/// The two layers of an open model.
pub struct Work<'w> {
    pub session: &'w Session,
    pub args: &'w SpatialArgs,
    /// The shallow layer.
    pub from: &'w Layer,
    /// The deep layer.
    pub to: &'w Layer,
    /// `[height, width]` of their maps.
    sizes: [[usize; 2]; 2],
}

impl<'w> Work<'w> {
    /// Finds the layers, and checks them.
    pub fn new(session: &'w Session, args: &'w SpatialArgs) -> Result<Self, CliError> {
        let model = &session.model;
        let (from, to) = (model.layer(&args.from)?, model.layer(&args.to)?);
        let work = Self {
            session,
            args,
            from,
            to,
            sizes: [positions(model, from)?, positions(model, to)?],
        };
        work.check()?;
        Ok(work)
    }

    /// Refuses layers in the wrong order or without positions, and more positions than a page can
    /// hold, before minutes are spent on them.
    fn check(&self) -> Result<(), CliError> {
        let place = |layer: &Layer| {
            self.session
                .model
                .layers()
                .iter()
                .position(|l| l.name() == layer.name())
        };
        if place(self.from) > place(self.to) {
            return Err(CliError::Failure(format!(
                "\"{}\" is computed before \"{}\": --from takes the shallow layer, --to the deep one",
                self.to.name(),
                self.from.name(),
            )));
        }
        let views = self.args.rules.0.len();
        let mut values = views;
        for [rows, columns] in self.sizes {
            values = values.saturating_mul(rows).saturating_mul(columns);
        }
        // Two bytes a value, in base64.
        if values.saturating_mul(2).div_ceil(3).saturating_mul(4) <= SpatialWidget::MAX_BYTES {
            return Ok(());
        }
        let [from, to] = self.sizes.map(|[rows, columns]| rows * columns);
        Err(CliError::Failure(format!(
            "{to} positions of \"{}\" by {from} positions of \"{}\" do not fit in a page of {} MiB \
             when there are {views} sets of rules; take deeper layers, or fewer --rules",
            self.to.name(),
            self.from.name(),
            SpatialWidget::MAX_BYTES >> 20,
        )))
    }

    /// Does the work, noting how long each step takes.
    pub fn compute(&self, photo: &Photo, clock: &mut Clock) -> Result<Results, CliError> {
        let Session { model, console, .. } = self.session;
        let sets = &self.args.rules.0;
        let ranked = clock.time("classify", || self.session.ranked(photo))?;
        let is_asked = self.args.target.is_some() || !self.args.classes.is_empty();
        if let (false, Some(reason)) = (is_asked, model.head().no_best()) {
            console.note(format!("no class hints: {reason}"));
        }
        let hints = self.choose(&ranked)?;
        let mut views = Vec::with_capacity(sets.len());
        for rules in sets {
            // Of several, one that is about nothing here would only repeat the true gradient.
            if let (true, Err(error)) = (sets.len() > 1, model.check_rules(rules)) {
                console.note(format!("without the rules {}: {error}", rules.name()));
                continue;
            }
            let step = format!("attribute to the targets, {}", rules.name());
            let at_layers = clock.time(step, || self.hints(photo, rules, &hints))?;
            let step = format!("attribute between the layers, {}", rules.name());
            let maps = clock.time(step, || self.maps(photo, rules))?;
            views.push(View {
                rules: rules.clone(),
                maps,
                hints: at_layers,
            });
        }
        if views.is_empty() {
            return Err(CliError::Failure(
                "none of the --rules is about anything in this network".to_owned(),
            ));
        }
        for hint in &hints {
            hint.facts.tell(console);
            console.note(
                match hint.facts.classes.first().and_then(|c| c.probability) {
                    Some(probability) => format!("{}: {:.1} %", hint.label, 100.0 * probability),
                    None => hint.label.clone(),
                },
            );
        }
        Ok(Results {
            seen: Seen::of(photo, ranked)?,
            hints,
            views,
        })
    }

    /// The targets asked for, else the two best guesses.
    fn choose(&self, ranked: &[Guess]) -> Result<Vec<Hint>, CliError> {
        if let Some(asked) = &self.args.target {
            return self.targets(asked, ranked);
        }
        let asked = &self.args.classes;
        if asked.is_empty() {
            return Ok(match self.session.best(ranked) {
                Ok(_) => ranked.iter().take(2).cloned().map(Hint::class).collect(),
                Err(_) => Vec::new(),
            });
        }
        let mut classes: Vec<Guess> = Vec::new();
        for name in asked {
            let index = self.session.model.class(name)?;
            if classes.iter().any(|known| known.index == index) {
                return Err(CliError::Usage(format!(
                    "--classes names class {index} twice"
                )));
            }
            classes.extend(ranked.iter().find(|guess| guess.index == index).cloned());
        }
        Ok(classes.into_iter().map(Hint::class).collect())
    }

    fn targets(&self, asked: &[String], ranked: &[Guess]) -> Result<Vec<Hint>, CliError> {
        let reading = Reading {
            boxes: self.args.boxes,
            as_given: false,
        };
        let mut hints: Vec<Hint> = Vec::new();
        for text in asked {
            let (target, facts) = reading.of(text, &self.session.model, ranked)?;
            if hints.iter().any(|known| known.facts.is_same(&facts)) {
                return Err(CliError::Usage(format!("--target names {text} twice")));
            }
            hints.push(Hint {
                target,
                label: facts.name.clone(),
                facts,
                number: hints.len(),
            });
        }
        Ok(hints)
    }

    fn maps(&self, photo: &Photo, rules: &Rules) -> Result<SpatialMaps, CliError> {
        let bar = self
            .session
            .console
            .steps(&format!("{} gradient", rules.name()));
        let mut method = SpatialAttribution::between(self.from.name(), self.to.name())
            .rules(rules)
            .progress(follow(&bar));
        if let Some(batch_size) = self.args.batch_size {
            method = method.batch_size(batch_size as usize);
        }
        let maps = method.compute(&self.session.model, photo);
        bar.finish_and_clear();
        maps?
            .pop()
            .ok_or_else(|| CliError::Failure("the photograph gave no maps".to_owned()))
    }

    /// Attribution to each target at both layers; nothing without targets.
    fn hints(
        &self,
        photo: &Photo,
        rules: &Rules,
        hints: &[Hint],
    ) -> Result<Option<SpatialHints>, AttributionError> {
        if hints.is_empty() {
            return Ok(None);
        }
        let at =
            |layer: &Layer, [rows, columns]: [usize; 2]| -> Result<Array3<f32>, AttributionError> {
                let method = LinearApproximation::at(layer.name()).rules(rules);
                let mut maps = Array3::zeros((0, rows, columns));
                for hint in hints {
                    let map = method
                        .attribute(&self.session.model, photo, hint.target.clone())?
                        .map()?;
                    maps.append(Axis(0), map.maps().view()).map_err(|_| {
                        AttributionError::ReadBack {
                            expected: vec![1, rows, columns],
                            got: map.maps().shape().to_vec(),
                        }
                    })?;
                }
                Ok(maps)
            };
        Ok(Some(SpatialHints {
            from: at(self.from, self.sizes[0])?,
            to: at(self.to, self.sizes[1])?,
        }))
    }
}

/// `[height, width]` of a layer's map.
fn positions(model: &Model, layer: &Layer) -> Result<[usize; 2], AttributionError> {
    let [_, _, rows, columns] = map_shape(model, layer.name())?;
    Ok([rows, columns])
}
