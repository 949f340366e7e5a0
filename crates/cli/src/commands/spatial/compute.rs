//! The numbers: maps between the layers, and hints of the classes.

use elucid::attribution::{AttributionError, map_shape};
use elucid::prelude::*;
use elucid::vision::Guess;
use ndarray::{Array3, Axis};

use super::SpatialArgs;
use crate::console::follow;
use crate::error::CliError;
use crate::report::Clock;
use crate::session::Session;

/// How many guesses the page and the report show.
const GUESSES: usize = 5;

/// What was computed, before anything is drawn or written.
pub struct Results {
    /// What the network saw.
    pub photo: Picture,
    /// The best guesses, best first.
    pub guesses: Vec<Guess>,
    /// At most two; none where the layers have no class hints.
    pub classes: Vec<Guess>,
    /// One for each set of rules.
    pub views: Vec<View>,
}

/// What was computed under one set of rules.
pub struct View {
    pub rules: Rules,
    pub maps: SpatialMaps,
    /// Absent exactly where there are no classes.
    pub hints: Option<SpatialHints>,
}

/// The two layers of an open model.
pub struct Work<'w> {
    session: &'w Session,
    args: &'w SpatialArgs,
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
        let (asked, sets) = (&self.args.classes, &self.args.rules.0);
        let ranked = clock.time("classify", || self.session.ranked(photo))?;
        if let (true, Some(reason)) = (asked.is_empty(), model.head().no_best()) {
            console.note(format!("no class hints: {reason}"));
        }
        let classes = self.choose(&ranked)?;
        let mut views = Vec::with_capacity(sets.len());
        for rules in sets {
            // Of several, one that is about nothing here would only repeat the true gradient.
            if let (true, Err(error)) = (sets.len() > 1, model.check_rules(rules)) {
                console.note(format!("without the rules {}: {error}", rules.name()));
                continue;
            }
            let step = format!("attribute to the classes, {}", rules.name());
            let hints = clock.time(step, || self.hints(photo, rules, &classes))?;
            let step = format!("attribute between the layers, {}", rules.name());
            let maps = clock.time(step, || self.maps(photo, rules))?;
            views.push(View {
                rules: rules.clone(),
                maps,
                hints,
            });
        }
        for class in &classes {
            console.note(match class.shown() {
                (label, Some(probability)) => {
                    format!("class {label}: {:.1} %", 100.0 * probability)
                }
                (label, None) => label,
            });
        }
        Ok(Results {
            photo: Picture::from_image(photo.picture().clone())?,
            guesses: ranked.into_iter().take(GUESSES).collect(),
            classes,
            views,
        })
    }

    /// The classes asked for, else the two best guesses.
    fn choose(&self, ranked: &[Guess]) -> Result<Vec<Guess>, CliError> {
        let asked = &self.args.classes;
        if asked.is_empty() {
            return Ok(match self.session.best(ranked) {
                Ok(_) => ranked.iter().take(2).cloned().collect(),
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
        Ok(classes)
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

    /// Attribution to each class at both layers; nothing without classes.
    fn hints(
        &self,
        photo: &Photo,
        rules: &Rules,
        classes: &[Guess],
    ) -> Result<Option<SpatialHints>, AttributionError> {
        if classes.is_empty() {
            return Ok(None);
        }
        let at =
            |layer: &Layer, [rows, columns]: [usize; 2]| -> Result<Array3<f32>, AttributionError> {
                let method = LinearApproximation::at(layer.name()).rules(rules);
                let mut maps = Array3::zeros((0, rows, columns));
                for class in classes {
                    let target = Target::class(class.index);
                    let map = method
                        .attribute(&self.session.model, photo, target)?
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
