//! The numbers, and the files made of them.

use std::ops::ControlFlow;
use std::path::PathBuf;

use elucid::Error;
use elucid::attribution::{AttributionError, Baseline, Configuration};
use elucid::prelude::*;
use elucid::render::ColorMap;
use elucid::vision::Guess;
use indicatif::ProgressBar;
use ndarray::{Array2, Axis};
use tracing::info;

use super::run::Run;
use super::{AttributeArgs, FailureFacts, MapFacts, ResultFacts};
use crate::error::CliError;
use crate::images::{self, Several, Skipped};
use crate::interrupt::Interrupt;
use crate::look::GUESSES;
use crate::names;
use crate::output::Files;
use crate::pictures::enlarged;
use crate::report::{Clock, ImageFacts, LayerFacts};
use crate::session::Session;
use crate::target::{self, Reading, TargetFacts};

/// Results are held until all of them are there, up to this many bytes.
const MAX_BYTES: usize = 2 << 30;

/// What is explained of a photograph whose classes are `ranked`, best first.
fn choose(
    args: &AttributeArgs,
    session: &Session,
    ranked: &[Guess],
) -> Result<(Target, TargetFacts), CliError> {
    let model = &session.model;
    let best = || session.best(ranked).cloned();
    let reading = Reading {
        boxes: args.boxes,
        as_given: args.probability,
    };
    Ok(match &args.target {
        Some(text) if args.probability && target::is_class(text) => {
            target::probability(target::class(text, model, ranked)?)
        }
        Some(text) if args.probability && target::is_answer_no(text) => {
            target::improbability(reading.of(text, model, ranked)?, model)?
        }
        Some(text) => reading.of(text, model, ranked)?,
        None if args.probability => target::probability(best()?),
        None => target::logit(best()?),
    })
}

/// A photograph, what the network says of it, and what is explained.
pub struct Explained {
    /// The file, for people.
    pub name: String,
    /// The part of the file's name that becomes part of a folder's.
    stem: String,
    /// What the network saw.
    pub picture: Picture,
    /// The best guesses, best first.
    pub guesses: Vec<Guess>,
    pub target: TargetFacts,
    /// What identifies it, and what was done to it that is not usual.
    pub facts: ImageFacts,
    /// Where in it the target looks, `[H, W]` of any size, if it is about a place.
    pub place: Option<Array2<bool>>,
}

impl Explained {
    /// A picture of it with the place that the target is about.
    pub fn marked(&self, picture: &Picture) -> Result<Picture, Error> {
        match &self.place {
            Some(place) => Ok(enlarged(picture)?.outlined(place.view())?),
            None => Ok(picture.clone()),
        }
    }
}

/// A result, for the page.
pub struct Shown {
    pub run: usize,
    pub photo: usize,
    /// Index of its facts.
    pub facts: usize,
    /// Absent where the layer has no positions.
    pub overlay: Option<Picture>,
    /// The colours, and the values at their ends.
    pub bar: Option<(ColorMap, [f32; 2])>,
}

/// One run's results for all photographs, as pictures.
struct Drawn {
    layer: LayerFacts,
    /// Absent where the layer has no positions.
    maps: Option<Maps>,
}

struct Maps {
    reduction: Reduce,
    style: MapStyle,
    /// At the layer's resolution.
    small: Saliency,
    /// At the size of the photographs.
    large: Saliency,
    /// The map alone, and over the photograph.
    pictures: Vec<[Picture; 2]>,
    /// The values at the ends of the colours, of each picture.
    ranges: Vec<[f32; 2]>,
}

/// A run that gave nothing.
pub struct Failure {
    pub run: usize,
    method: &'static str,
    layer: String,
    pub message: String,
}

impl Failure {
    /// For the report.
    pub fn facts(&self) -> FailureFacts {
        FailureFacts {
            method: self.method,
            layer: self.layer.clone(),
            error: self.message.clone(),
        }
    }
}

/// What came out.
#[derive(Default)]
pub struct Results {
    pub files: Files,
    pub facts: Vec<ResultFacts>,
    pub shown: Vec<Shown>,
    pub failures: Vec<Failure>,
    folders: Vec<String>,
}

/// An open model, photographs, and what to do with them.
pub struct Work<'w> {
    pub session: &'w Session,
    pub args: &'w AttributeArgs,
    pub runs: Vec<Run>,
    pub photos: Vec<Explained>,
    images: Vec<Photo>,
    target: Target,
    interrupt: Interrupt,
    /// How many photographs were given, whether they could be read or not.
    given: usize,
    /// Those that could not.
    pub skipped: Vec<Skipped>,
}

impl<'w> Work<'w> {
    /// Finds the layers, reads the photographs and chooses the targets.
    pub fn new(
        (session, args): (&'w Session, &'w AttributeArgs),
        mut runs: Vec<Run>,
        (pictures, several): (Vec<(PathBuf, ImageFacts)>, &mut Several),
        interrupt: Interrupt,
        clock: &mut Clock,
    ) -> Result<Self, CliError> {
        let model = &session.model;
        let mut seen: Vec<(&'static str, String)> = Vec::new();
        let mut layers = Vec::new();
        for name in &args.layers {
            layers.push((name, Network::layer(model, name)?));
        }
        // Two names of one layer are one run.
        runs.retain(|run| {
            let Some(asked) = &run.layer else {
                return true;
            };
            let full = layers.iter().find(|(name, _)| *name == asked);
            let key = full.map(|(_, full)| (run.method.name, full.clone()));
            match key {
                Some(key) if seen.contains(&key) => false,
                key => {
                    seen.extend(key);
                    true
                }
            }
        });
        for run in &mut runs {
            let mut known: Vec<&String> = Vec::new();
            run.fused.retain(|asked| {
                let full = layers.iter().find(|(name, _)| *name == asked);
                let Some((_, full)) = full.filter(|(_, full)| !known.contains(&full)) else {
                    return false;
                };
                known.push(full);
                true
            });
        }
        check_size(&runs, pictures.len(), model)?;

        let mut stack = Vec::new();
        let mut photos = Vec::new();
        let mut targets = Vec::new();
        let mut read = || -> Result<(), CliError> {
            let like = |picture: &PathBuf| target::like(picture, args.embedding.as_deref(), model);
            let liked = args.like.as_ref().map(like).transpose()?;
            let bar = session.console.steps("photographs");
            bar.set_length(pictures.len() as u64);
            for (path, identity) in &pictures {
                let seen = || -> Result<_, CliError> {
                    let image = session.read(path)?;
                    let ranked = session.ranked(&image)?;
                    target::finite(&ranked, path)?;
                    Ok((image, ranked))
                };
                bar.inc(1);
                let Some((image, ranked)) = several.keep(path, seen())? else {
                    continue;
                };
                let (target, facts) = match &liked {
                    Some(found) => found.clone(),
                    None => choose(args, session, &ranked)?,
                };
                if photos.is_empty() {
                    facts.tell(&session.console);
                }
                let text = |part: Option<&std::ffi::OsStr>| {
                    part.unwrap_or(path.as_os_str())
                        .to_string_lossy()
                        .into_owned()
                };
                let is_stdin = images::is_stdin(path);
                photos.push(Explained {
                    name: match is_stdin {
                        true => images::name(path),
                        false => text(path.file_name()),
                    },
                    stem: match is_stdin {
                        true => "stdin".to_owned(),
                        false => text(path.file_stem()),
                    },
                    picture: Picture::from_image(image.picture().clone())?,
                    guesses: ranked.into_iter().take(GUESSES).collect(),
                    target: facts,
                    place: target.place_in(model, &image)?,
                    facts: identity.clone().seen_as(&image),
                });
                stack.push(image);
                targets.push(target);
            }
            bar.finish_and_clear();
            Ok(())
        };
        clock.time("read and classify", &mut read)?;
        Ok(Self {
            session,
            args,
            runs,
            photos,
            images: stack,
            interrupt,
            given: several.all,
            skipped: several.skipped.clone(),
            target: match <[Target; 1]>::try_from(targets) {
                Ok([target]) => target,
                Err(targets) => Target::each(targets),
            },
        })
    }

    /// Whether there are several results, each in a folder of its own, and a page.
    pub fn is_grid(&self) -> bool {
        self.runs.len() * self.given > 1
    }

    /// Does the work, noting how long each step takes. A method that cannot explain this network
    /// does not keep others from it.
    pub fn compute(&self, clock: &mut Clock) -> Result<Results, CliError> {
        let console = &self.session.console;
        let images = Photo::stack(&self.images)?;
        let mut results = Results::default();
        for (index, run) in self.runs.iter().enumerate() {
            let what = format!("{} at {}", run.method.name, run.place());
            let mut failed = |message: String| {
                results.failures.push(Failure {
                    run: index,
                    method: run.method.name,
                    layer: run.place(),
                    message,
                });
            };
            if self.interrupt.is_set() && index > 0 {
                failed(format!("not begun: ended by {}", self.interrupt.by()));
                continue;
            }
            let bar = console.steps(&match self.runs.len() {
                1 => what.clone(),
                count => format!("{what} ({} of {count})", index + 1),
            });
            let done = clock.time(&what, || self.attribute(run, &images, &bar));
            bar.finish_and_clear();
            let drawn = done.and_then(|attribution| {
                let drawn = clock.time(format!("draw {what}"), || self.draw(run, &attribution))?;
                Ok((attribution, drawn))
            });
            match drawn {
                Ok((attribution, drawn)) => {
                    let evaluations = attribution.evaluations();
                    info!(?evaluations, "{what}: gradients or scores of each image");
                    for photo in 0..self.photos.len() {
                        if !self.reached(&what, photo, &attribution) {
                            continue;
                        }
                        self.keep(index, photo, &attribution, &drawn, &mut results)?;
                    }
                }
                // The arguments are wrong, whatever the network.
                Err(elucid::Error::Attribution(error @ AttributionError::Parameter { .. })) => {
                    return Err(CliError::Usage(error.to_string()));
                }
                Err(elucid::Error::Attribution(AttributionError::Cancelled { .. })) => {
                    let ended = format!("ended by {}", self.interrupt.by());
                    console.note(format!("{what}: {ended}"));
                    failed(ended);
                }
                Err(error) if self.runs.len() == 1 => return Err(error.into()),
                Err(error) => {
                    console.note(format!("{what} failed: {error}"));
                    failed(error.to_string());
                }
            }
        }
        match &results.failures[..] {
            _ if results.facts.is_empty() && self.interrupt.is_set() => Err(self.interrupt.ended()),
            [first, ..] if results.facts.is_empty() => Err(CliError::Failure(format!(
                "every method failed, {} at {} with: {}",
                first.method, first.layer, first.message
            ))),
            _ => Ok(results),
        }
    }

    fn attribute(
        &self,
        run: &Run,
        images: &dyn ImageBatch,
        bar: &ProgressBar,
    ) -> Result<Attribution, elucid::Error> {
        let options = run.options(self.args).keep_partial(true).progress({
            let bar = bar.clone();
            let interrupt = self.interrupt.clone();
            move |progress| {
                bar.set_length(progress.total as u64);
                bar.set_position(progress.done as u64);
                match interrupt.is_set() {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                }
            }
        });
        let method = run.build(&options, self.args)?;
        let attribution = method.attribute(&self.session.model, images, self.target.clone())?;
        Ok(attribution)
    }

    /// Whether there is something for a photograph. Says so if less was left than was planned.
    fn reached(&self, what: &str, photo: usize, attribution: &Attribution) -> bool {
        let Some(planned) = attribution.planned().get(photo) else {
            return true;
        };
        let name = &self.photos[photo].name;
        let evaluations = attribution.evaluations().get(photo).copied();
        let evaluations = evaluations.unwrap_or_default();
        let by = self.interrupt.by();
        self.session.console.note(match evaluations {
            0 => format!("{what}, {name}: ended by {by} before it was reached"),
            _ => format!(
                "{what}, {name}: ended by {by}: the map rests on {evaluations} of {planned} \
                 evaluations"
            ),
        });
        evaluations > 0
    }

    /// The maps and pictures of one run.
    fn draw(&self, run: &Run, attribution: &Attribution) -> Result<Drawn, elucid::Error> {
        let model = &self.session.model;
        let layer = LayerFacts::of(model.layer(attribution.layer())?, model)?;
        let usual = run.reduction().unwrap_or(attribution.reduction());
        let reduction = self.args.maps.reduce.unwrap_or(usual);
        let small = match attribution.saliency(reduction) {
            Ok(maps) => maps,
            // There are numbers, but nothing to draw.
            Err(
                error
                @ (AttributionError::NotSpatial { .. } | AttributionError::LayerLayout { .. }),
            ) => {
                let why = match error {
                    AttributionError::NotSpatial { .. } => {
                        format!("{} has no positions", layer.name)
                    }
                    error => error.to_string(),
                };
                let what = format!("{} at {}", run.method.name, run.place());
                let console = &self.session.console;
                console.note(format!("{what}: no map is drawn: {why}"));
                return Ok(Drawn { layer, maps: None });
            }
            Err(error) => return Err(error.into()),
        };
        let style = self.args.pictures.style(MapStyle::of(small.maps().view()));
        let large = small.torchray(self.args.maps.smooth);
        let pictures = self.photos.iter().zip(large.maps().outer_iter());
        let pictures = pictures
            .map(|(photo, map)| style.draw(&photo.picture, map, Interpolation::Nearest))
            .collect::<Result<_, _>>()?;
        let ranges = large.maps().outer_iter();
        let ranges = ranges.map(|map| style.normalisation().range(map));
        let ranges = ranges.collect::<Result<_, _>>()?;
        Ok(Drawn {
            layer,
            maps: Some(Maps {
                reduction,
                style,
                small,
                large,
                pictures,
                ranges,
            }),
        })
    }

    /// Adds the files, facts and picture of one photograph.
    fn keep(
        &self,
        run: usize,
        photo: usize,
        attribution: &Attribution,
        drawn: &Drawn,
        results: &mut Results,
    ) -> Result<(), CliError> {
        let (index, run, i) = (run, &self.runs[run], photo);
        let photo = &self.photos[i];
        let folder = self.folder(run, photo, &results.folders);
        let at = |file: &str| match folder.is_empty() {
            true => file.to_owned(),
            false => format!("{folder}/{file}"),
        };
        let first = results.files.len();
        let values = attribution.values().index_axis(Axis(0), i);
        results.files.add_npy(at("attribution.npy"), &values)?;
        let mut map_facts = None;
        let mut overlay = None;
        let mut bar = None;
        if let Some(maps) = &drawn.maps {
            let map = maps.small.maps().index_axis(Axis(0), i);
            results.files.add_npy(at("saliency.npy"), &map)?;
            if self.args.maps.smooth > 0.0 {
                let large = maps.large.maps().index_axis(Axis(0), i);
                results.files.add_npy(at("smoothed.npy"), &large)?;
            }
            let [alone, over] = &maps.pictures[i];
            results.files.add(at("heatmap.png"), alone.to_png_bytes()?);
            results.files.add(at("overlay.png"), over.to_png_bytes()?);
            let why_blank = maps.style.why_blank(map);
            if let Some(why) = &why_blank {
                self.session.console.note(format!(
                    "{} at {}, {}: {why}: the map is blank",
                    run.method.name, drawn.layer.name, photo.name
                ));
            }
            let constant = map.len() > 1 && map.iter().all(|v| Some(v) == map.first());
            if constant && why_blank.is_none() {
                self.session.console.note(format!(
                    "{} at {}, {}: the map is constant: it is the same everywhere and points nowhere",
                    run.method.name, drawn.layer.name, photo.name
                ));
            }
            map_facts = Some(MapFacts {
                reduction: maps.reduction.to_string(),
                height: map.nrows(),
                width: map.ncols(),
                colors: maps.style.colors().to_string(),
                normalisation: maps.style.normalisation().to_string(),
                range: maps.ranges[i],
                why_blank,
                constant,
            });
            if self.is_grid() || self.args.pictures.figure {
                overlay = Some(photo.marked(over)?);
                bar = Some((maps.style.colors(), maps.ranges[i]));
            }
        }
        let remarks = attribution.remarks().iter();
        let of_photo = format!("image {i}: ");
        let remarks: Vec<String> = remarks
            .filter_map(|remark| Some(remark.strip_prefix(&of_photo)?.to_owned()))
            .collect();
        for remark in &remarks {
            let what = format!(
                "{} at {}, {}",
                run.method.name, drawn.layer.name, photo.name
            );
            self.session.console.note(format!("{what}: {remark}"));
        }
        let spec = self.session.model.input_spec();
        let options = attribution.configuration().clone();
        let facts = ResultFacts {
            method: run.method.name,
            title: run.method.title,
            layer: drawn.layer.clone(),
            image: photo.facts.file.clone(),
            target: photo.target.name.clone(),
            score: attribution.scores().get(i).copied().unwrap_or(f32::NAN),
            rules: attribution.rules().to_owned(),
            rules_used: attribution.rule_uses().iter().map(Into::into).collect(),
            hidden_by: hidden_by(&options, spec),
            options,
            seed: run.method.random.then_some(self.args.seed),
            completeness: attribution.completeness().get(i).copied().map(Into::into),
            evaluations: attribution.evaluations().get(i).copied().unwrap_or(1),
            planned_evaluations: attribution.planned().get(i).copied(),
            tolerance_met: attribution.tolerance_met().get(i).copied(),
            remarks,
            map: map_facts,
            files: results.files.names_from(first),
            folder: folder.clone(),
        };
        results.folders.push(folder);
        results.shown.push(Shown {
            run: index,
            photo: i,
            facts: results.facts.len(),
            overlay,
            bar,
        });
        results.facts.push(facts);
        Ok(())
    }

    /// Where a result goes: method, layer if one was asked for, photograph if there are several.
    fn folder(&self, run: &Run, photo: &Explained, taken: &[String]) -> String {
        if !self.is_grid() {
            return String::new();
        }
        let stem = match self.given {
            1 => "",
            _ => &photo.stem,
        };
        let layer = match &run.layer {
            Some(layer) => layer.clone(),
            None => run.fused.join("_"),
        };
        names::unique([run.method.name, &layer, stem], taken)
    }
}

/// What hides pixels, in words.
fn hidden_by(options: &Configuration, spec: &InputSpec) -> Option<String> {
    let baseline = options.get("baseline")?;
    if baseline == "segment-mean" {
        return Some("the mean colour of each segment".to_owned());
    }
    let baseline: Baseline = baseline.parse().ok()?;
    Some(baseline.in_words(spec))
}

/// Refuses more than memory and a page should hold, before minutes are spent on it.
fn check_size(runs: &[Run], photos: usize, model: &Model) -> Result<(), CliError> {
    let [height, width] = model.input_spec().size();
    let mut bytes: usize = 0;
    for run in runs {
        for layer in run.layers() {
            // A method whose own layer is not there fails alone.
            let Ok(layer) = Network::layer(model, layer) else {
                continue;
            };
            let numbers: usize = model.layer(&layer)?.shape().iter().skip(1).product();
            // The map and two pictures come with it.
            bytes = bytes.saturating_add(4 * numbers + 10 * height * width);
        }
    }
    let advice = "explain fewer photographs, layers or methods at a time";
    if bytes.saturating_mul(photos) > MAX_BYTES {
        return Err(CliError::Failure(format!(
            "these results take more than {} GiB; {advice}",
            MAX_BYTES >> 30
        )));
    }
    let pictures = (runs.len() + 1).saturating_mul(photos);
    // Three bytes a pixel, in base64.
    if runs.len() * photos > 1 && pictures.saturating_mul(4 * height * width) > Gallery::MAX_BYTES {
        return Err(CliError::Failure(format!(
            "{pictures} pictures of {height} x {width} pixels do not fit in a page of {} MiB; \
             {advice}",
            Gallery::MAX_BYTES >> 20
        )));
    }
    Ok(())
}
