//! Maps, made or read, and what metrics say of them.

use std::collections::BTreeMap;
use std::time::Instant;

use elucid_attribution::{Attribution, Saliency, Target};
use elucid_metrics::{Case, Metric, MetricError, Outcome, baseline};
use elucid_vision::Photo;
use ndarray::{Array2, ArrayView2, Axis};

use super::{Loaded, Ready, ReadyMethod, Shown, Stopped, Watch, Work, caught, remark};
use crate::curves::KeptCurve;
use crate::folder::Folder;
use crate::foreign::ForeignMaps;
use crate::found::{Place, State};
use crate::journal::{RowRecord, Value};
use crate::maps::large;
use crate::study::Explained;

/// What was found out about some images under one method.
#[derive(Default)]
pub(super) struct Measured {
    pub rows: Vec<RowRecord>,
    /// Maps that are to be kept, before they were brought to the size of the images, by the images' numbers.
    pub maps: BTreeMap<usize, Array2<f32>>,
    /// Curves that are to be kept.
    pub curves: Vec<KeptCurve>,
}

impl Measured {
    /// How many values failed.
    pub fn failed(&self) -> usize {
        let values = self.rows.iter().flat_map(|row| &row.values);
        values
            .filter(|value| matches!(value, Value::Failed(_)))
            .count()
    }
}

/// Which row and which metrics are asked for, as the folder's settings number them.
type Asked<'a> = (usize, &'a [usize]);

/// The map of an image, as it is thresholded and at the size of the images.
type Maps<'a> = [ArrayView2<'a, f32>; 2];

impl Work<'_> {
    /// One row for each image.
    pub(super) fn row(
        &self,
        asked: Asked<'_>,
        images: &[&Loaded<'_>],
        folder: &Folder,
        watch: &mut dyn Watch,
    ) -> Result<Measured, Stopped> {
        let name = folder.found.rows()[asked.0].as_str();
        // The study may have more than this process was asked for, in another order.
        let mine = self
            .study
            .methods
            .iter()
            .position(|known| known.name() == name);
        match mine.map(|mine| &self.ready[mine]) {
            Some(Ready::Method(ready)) => self.method(ready, asked, images, folder, watch),
            Some(Ready::Maps(maps)) => self.foreign(maps, asked, images, folder, watch),
            None => self.baseline(name, asked.1, images, folder),
        }
    }

    /// Images under a method, whose maps are made unless they are kept.
    fn method(
        &self,
        ready: &ReadyMethod<'_>,
        asked: Asked<'_>,
        images: &[&Loaded<'_>],
        folder: &Folder,
        watch: &mut dyn Watch,
    ) -> Result<Measured, Stopped> {
        // An attribution of several images cannot be handed to a metric.
        let single = (self.metrics(asked.1, folder)).any(|metric| metric.needs().attribution);
        let mut measured = Measured::default();
        let mut unknown: Vec<&Loaded<'_>> = Vec::new();
        for image in images {
            // A map says less than the attribution that it was made of.
            let kept = match single {
                true => None,
                false => self.kept(image, asked.0, folder, watch),
            };
            let Some(raw) = kept else {
                unknown.push(image);
                continue;
            };
            let large = large(&raw, self.size());
            let known = folder.found.seconds(image.at, asked.0);
            measured.rows.push(RowRecord {
                image: image.item.number,
                seconds: known.unwrap_or_default(),
                values: self.method_values(
                    ready,
                    (image, [raw.view(), large.view()], None),
                    (asked, folder),
                    &mut measured.curves,
                    watch,
                )?,
            });
        }
        let together = if single { 1 } else { unknown.len() };
        let mut groups: Vec<&[&Loaded<'_>]> = unknown.chunks(together.max(1)).rev().collect();
        while let Some(group) = groups.pop() {
            let started = Instant::now();
            let explained = caught(|| self.explain(ready, group));
            if self.control.is_stopped() {
                return Err(Stopped);
            }
            let seconds = started.elapsed().as_secs_f64() / group.len() as f64;
            let (attribution, maps) = match explained {
                Ok(explained) => explained,
                // One of them may be to blame.
                Err(_) if group.len() > 1 => {
                    groups.extend(group.chunks(1).rev());
                    continue;
                }
                Err(error) => {
                    let failed = group
                        .iter()
                        .map(|image| failed(ready.name, image, asked, &error, watch));
                    measured.rows.extend(failed);
                    continue;
                }
            };
            for (i, image) in group.iter().enumerate() {
                let [raw, large] = [&maps[0], &maps[1]].map(|m| m.maps().index_axis(Axis(0), i));
                let attribution = single.then_some(&attribution);
                let values = self.method_values(
                    ready,
                    (image, [raw, large], attribution),
                    (asked, folder),
                    &mut measured.curves,
                    watch,
                )?;
                if folder.found.keeps_map(asked.0) {
                    measured.maps.insert(image.item.number, raw.to_owned());
                }
                measured.rows.push(RowRecord {
                    image: image.item.number,
                    seconds,
                    values,
                });
            }
        }
        measured.rows.sort_by_key(|row| row.image);
        Ok(measured)
    }

    /// What metrics say of a method's map of an image, and of its attribution where that is at hand.
    fn method_values(
        &self,
        ready: &ReadyMethod<'_>,
        (image, maps, attribution): (&Loaded<'_>, Maps<'_>, Option<&Attribution>),
        (asked, folder): (Asked<'_>, &Folder),
        curves: &mut Vec<KeptCurve>,
        watch: &mut dyn Watch,
    ) -> Result<Vec<Value>, Stopped> {
        let [raw, large] = &maps;
        let (raw, large) = (raw.reborrow(), large.reborrow());
        let asked_of = (asked.1, folder);
        let values = self.measure(image, large.reborrow(), asked_of, curves, |case| {
            let case = (case.raw_map(raw))
                .attributor(&*ready.attributor)
                .present(&*ready.present);
            match attribution {
                Some(attribution) => case.attribution(attribution),
                None => Ok(case),
            }
        })?;
        self.show(ready.name, (image, large), asked, &values, folder, watch);
        Ok(values)
    }

    /// The map that was kept of an image, if it is there.
    fn kept(
        &self,
        image: &Loaded<'_>,
        row: usize,
        folder: &Folder,
        watch: &mut dyn Watch,
    ) -> Option<Array2<f32>> {
        let file = folder.found.map_file(image.at, row)?;
        let mut shelf = self.shelf.borrow_mut();
        let map = shelf.map(&folder.path, file, image.item.number, |error| {
            remark(
                watch,
                &image.item.file,
                &format!("its map is made again: {error}"),
            );
        });
        map.map(|map| map.to_owned())
    }

    /// Images of which another program made the maps.
    fn foreign(
        &self,
        maps: &ForeignMaps,
        asked: Asked<'_>,
        images: &[&Loaded<'_>],
        folder: &Folder,
        watch: &mut dyn Watch,
    ) -> Result<Measured, Stopped> {
        let mut measured = Measured::default();
        for image in images {
            let read = maps.maps(image.item.number, self.size());
            let row = match read {
                Ok([raw, large]) => {
                    let (asked_of, curves) = ((asked.1, folder), &mut measured.curves);
                    let values = self.measure(image, large.view(), asked_of, curves, |case| {
                        Ok(case.raw_map(raw.view()))
                    })?;
                    self.show(
                        maps.name(),
                        (image, large.view()),
                        asked,
                        &values,
                        folder,
                        watch,
                    );
                    RowRecord {
                        image: image.item.number,
                        seconds: 0.0,
                        values,
                    }
                }
                Err(error) => failed(maps.name(), image, asked, &error.to_string(), watch),
            };
            measured.rows.push(row);
        }
        Ok(measured)
    }

    fn explain(
        &self,
        ready: &ReadyMethod<'_>,
        group: &[&Loaded<'_>],
    ) -> Result<(Attribution, [Saliency; 2]), String> {
        let photos: Vec<Photo> = group.iter().map(|image| image.seen.photo.clone()).collect();
        let targets = group.iter().map(|image| Target::class(self.class(image)));
        let photos = Photo::stack(&photos).map_err(|e| e.to_string())?;
        let attribution = ready
            .attributor
            .attribute(self.study.model, &photos, Target::each(targets))
            .map_err(|e| e.to_string())?;
        let maps = ready.look.maps(&attribution).map_err(|e| e.to_string())?;
        Ok((attribution, maps))
    }

    /// The class that is explained.
    fn class(&self, image: &Loaded<'_>) -> usize {
        match self.study.target {
            Explained::Label => image.item.class,
            Explained::Prediction => image.predicted,
        }
    }

    /// `[height, width]` of the images.
    fn size(&self) -> [usize; 2] {
        self.study.model.input_spec().size()
    }

    /// Some of the metrics, as the folder's settings number them.
    fn metrics(&self, asked: &[usize], folder: &Folder) -> impl Iterator<Item = &dyn Metric> {
        let asked = asked.iter();
        asked.filter_map(|&metric| self.metric(&folder.found.metrics()[metric]))
    }

    fn metric(&self, name: &str) -> Option<&dyn Metric> {
        let mut known = self.study.metric_names.iter();
        let mine = known.position(|known| known == name)?;
        Some(&*self.study.metrics[mine])
    }

    /// What each of the metrics that are asked for says of a map.
    fn measure<'c>(
        &'c self,
        image: &'c Loaded<'_>,
        map: ArrayView2<'c, f32>,
        (asked, folder): (&[usize], &Folder),
        curves: &mut Vec<KeptCurve>,
        complete: impl FnOnce(Case<'c>) -> Result<Case<'c>, MetricError>,
    ) -> Result<Vec<Value>, Stopped> {
        let seen = &image.seen;
        let case = Case::new(self.study.model, &seen.photo, self.class(image), map)
            .and_then(|case| case.identity(image.item.identity()).boxes(&seen.boxes))
            .and_then(|case| match &seen.mask {
                Some([object, void]) => case.mask(object.view())?.ignoring(void.view()),
                None => Ok(case),
            })
            .map(|case| case.networks(&self.networks))
            .and_then(complete);
        let mut values = Vec::new();
        for &place in asked {
            let name = &folder.found.metrics()[place];
            let Some(metric) = self.metric(name) else {
                continue;
            };
            let measured = match &case {
                Ok(case) if folder.found.keeps_curves(place) => {
                    caught(|| metric.trace(case).map_err(|e| e.to_string())).map(|traced| {
                        let number = image.item.number;
                        let made = traced.curves.iter();
                        curves.extend(
                            made.filter_map(|(curve, of)| KeptCurve::new(number, name, curve, of)),
                        );
                        traced.outcome
                    })
                }
                Ok(case) => caught(|| metric.measure(case).map_err(|e| e.to_string())),
                Err(error) => Err(error.to_string()),
            };
            // What a method gives that was stopped on the way is no measurement.
            if self.control.is_stopped() {
                return Err(Stopped);
            }
            values.push(match measured {
                Ok(Outcome::Value(value)) => Value::of(value, metric.name()),
                Ok(Outcome::NotApplicable(reason)) => Value::NotApplicable(reason.to_string()),
                Err(error) => Value::Failed(format!("{}: {error}", metric.name())),
            });
        }
        Ok(values)
    }

    /// Hands a map that was measured to whoever looks on, and says what failed.
    fn show(
        &self,
        name: &str,
        (image, map): (&Loaded<'_>, ArrayView2<'_, f32>),
        (row, metrics): Asked<'_>,
        values: &[Value],
        folder: &Folder,
        watch: &mut dyn Watch,
    ) {
        for value in values {
            if let Value::Failed(reason) = value {
                remark(watch, &image.item.file, &format!("{name} failed: {reason}"));
            }
        }
        // With what was known before.
        let all = (0..folder.found.metrics().len()).map(|metric| {
            if let Some(at) = metrics.iter().position(|&asked| asked == metric) {
                return values[at].clone();
            }
            let image = image.at;
            match folder.found.state(Place { image, row, metric }) {
                State::Number(number) => Value::Number(number),
                State::Failed => Value::Failed("it failed before".to_owned()),
                State::NotApplicable | State::Missing => {
                    Value::NotApplicable("it was not measured now".to_owned())
                }
            }
        });
        let all: Vec<Value> = all.collect();
        let kept = watch.measured(&Shown {
            method: row,
            number: image.item.number,
            photo: &image.seen.photo,
            map: map.reborrow(),
            boxes: &image.seen.boxes,
            mask: image.seen.mask.as_ref().map(|[object, _]| object.view()),
            values: &all,
        });
        if let Err(error) = kept
            && !self.has_complained.replace(true)
        {
            let text = format!("not everything that is shown could be kept: {error}");
            remark(watch, &image.item.file, &text);
        }
    }

    /// The rows of what knows nothing.
    fn baseline(
        &self,
        name: &str,
        asked: &[usize],
        images: &[&Loaded<'_>],
        folder: &Folder,
    ) -> Result<Measured, Stopped> {
        let [height, width] = self.size();
        let mut measured = Measured::default();
        for image in images {
            // Every image has its own, wherever its shard and its batch begin.
            let seed = self.study.seed.wrapping_add(image.item.number as u64);
            let map = match name {
                "centre" => baseline::centre(height, width),
                _ => baseline::random(height, width, seed),
            };
            let curves = &mut measured.curves;
            let values = self.measure(image, map.view(), (asked, folder), curves, Ok)?;
            measured.rows.push(RowRecord {
                image: image.item.number,
                seconds: 0.0,
                values,
            });
        }
        Ok(measured)
    }
}

/// The row of an image that a method failed on.
fn failed(
    name: &str,
    image: &Loaded<'_>,
    asked: Asked<'_>,
    error: &str,
    watch: &mut dyn Watch,
) -> RowRecord {
    remark(watch, &image.item.file, &format!("{name} failed: {error}"));
    let failed = Value::Failed(format!("{name}: {error}"));
    RowRecord {
        image: image.item.number,
        seconds: 0.0,
        values: vec![failed; asked.1.len()],
    }
}
