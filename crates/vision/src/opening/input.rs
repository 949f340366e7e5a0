//! Which input takes the pictures, what the others hold, and how pictures are prepared.

use std::path::Path;

use elucid_graph::{ElementType, Graph, HostTensor};
use elucid_models::Entry;
use ndarray::ArrayD;

use super::{Opening, Remark};
use crate::error::ModelError;
use crate::input::{ChannelOrder, InputError, InputSpec};
use crate::pictures::{Pictures, list, shape_text};
use crate::preparation::{Described, Origin, beside, in_metadata};
use crate::within::{Takes, Within};

impl Opening {
    /// The graph with one input of pictures `[N, C, H, W]`, other inputs held at what is fed.
    pub(super) fn placed(
        &self,
        mut graph: Graph,
        described: Option<&(Origin, Described)>,
        remarks: &mut Vec<Remark>,
    ) -> Result<(Graph, Pictures), ModelError> {
        let said_by = described.map(|(origin, _)| origin);
        let described = described.map(|(_, described)| described);
        let named = self.input.as_ref();
        let named = named.or(described.and_then(|d| d.input.as_ref())).cloned();
        let fed: Vec<String> = self.feeds.iter().map(|(name, _)| name.clone()).collect();
        let layout = self.layout.or(described.and_then(|d| d.layout));
        let found = Pictures::find(&graph, named.as_deref(), layout, &fed);
        let mut pictures = found.map_err(|error| match (error, said_by) {
            (ModelError::Pictures { reason }, Some(Origin::Beside(file)))
                if self.input.is_none() && named.is_some() =>
            {
                let file = file.clone();
                ModelError::Input(InputError::Preparation { file, reason })
            }
            (error, _) => error,
        })?;
        let twice = |(i, name): &(usize, &String)| fed[..*i].contains(name);
        if let Some((_, name)) = fed.iter().enumerate().find(twice) {
            return Err(ModelError::Pictures {
                reason: format!("input \"{name}\" is fed twice: it has one value"),
            });
        }
        for (name, value) in &self.feeds {
            let input = graph.inputs().iter().map(|i| i.value);
            let Some(input) = input.into_iter().find(|v| graph.name(*v) == name) else {
                return Err(ModelError::Pictures {
                    reason: format!(
                        "no input \"{name}\" to feed: the network has {}",
                        list(&graph)
                    ),
                });
            };
            let values = value.iter().copied().collect();
            let held = HostTensor::of_floats(ElementType::F32, value.shape(), values);
            let held = held.map_err(|reason| ModelError::Pictures { reason })?;
            graph = graph.hold(input, &held, Some(pictures.input))?;
        }
        pictures.check_others(&graph)?;
        if pictures.layout_is_guessed {
            remarks.push(Remark::new(format!(
                "input \"{}\" was taken for one with channels last, by its sizes alone; \
                 Opening::layout(nchw) says otherwise",
                graph.name(pictures.input)
            )));
        }
        if pictures.layout_is_open {
            let input = graph.inputs().iter().find(|i| i.value == pictures.input);
            let shape = input.map_or_else(String::new, |input| shape_text(&input.shape));
            remarks.push(Remark::new(format!(
                "input \"{}\" {shape} was taken for one with channels first, and its sizes fit channels \
                 last as well; Opening::layout(nhwc) says otherwise",
                graph.name(pictures.input)
            )));
        }
        let channels = match (pictures.channels, &self.spec) {
            (None, Some(spec)) => spec.channels(),
            (channels, _) => channels.unwrap_or(3),
        };
        pictures.channels = Some(channels);
        let (graph, input) = graph.of_pictures(pictures.input, pictures.layout, channels)?;
        pictures.input = input;
        Ok((graph, pictures))
    }

    /// How pictures are prepared, and who says so.
    pub(super) fn prepared(
        &self,
        graph: &Graph,
        pictures: &Pictures,
        known: Option<&Entry>,
        described: Option<(Origin, Described)>,
        remarks: &mut Vec<Remark>,
    ) -> Result<(InputSpec, Origin), ModelError> {
        let mut base = pictures.usual_spec()?;
        let mut origin = Origin::Assumed;
        let mut size_is_said = self.preparation.size.is_some()
            || self.spec.is_some()
            || known.is_some()
            || pictures.stated.iter().all(Option::is_some);
        if let Some(spec) = &self.spec {
            (base, origin) = (spec.clone(), Origin::Given);
        } else if let Some(entry) = known {
            (base, origin) = (InputSpec::from_manifest(&entry.input)?, Origin::Known);
        } else if let Some((said_by, described)) = described {
            let mut said = described.preparation;
            size_is_said |= said.size.is_some();
            let refused = |reason: String| InputError::Preparation {
                file: match &said_by {
                    Origin::Beside(file) => file.clone(),
                    _ => "the file's metadata".to_owned(),
                },
                reason,
            };
            if let Some([height, width]) = said.size {
                let own = pictures.stated;
                let fits = |stated: Option<usize>, side| stated.is_none_or(|stated| stated == side);
                let text = |side: Option<usize>| side.map_or("any".to_owned(), |s| s.to_string());
                if !(fits(own[0], height) && fits(own[1], width)) {
                    let reason = format!(
                        "a size of {height} x {width} pixels, and the network's input is fixed to {} x {}",
                        text(own[0]),
                        text(own[1])
                    );
                    match described.is_own {
                        true => return Err(refused(reason).into()),
                        // Processors are often written for another size than the export's.
                        false => remarks
                            .push(Remark::new(format!("{}, which is taken", refused(reason)))),
                    }
                }
                // A short side that was said for another size keeps its proportion.
                said.size = Some([own[0].unwrap_or(height), own[1].unwrap_or(width)]);
            } else if let [Some(height), Some(width)] = pictures.stated {
                said.size = Some([height, width]);
            }
            base = said
                .apply(base)
                .map_err(|error| refused(error.to_string()))?;
            remarks.extend(described.remarks.into_iter().map(Remark::new));
            if said.says_values() {
                origin = said_by;
            }
        }
        if matches!(origin, Origin::Assumed) {
            let channels = base.channels();
            let found = Within::find(graph, pictures.input, channels);
            let takes = match (pictures.kind, &found) {
                (ElementType::I8, _) => Some(Takes::SignedBytes),
                (kind, _) if kind.is_int() => Some(Takes::Bytes),
                (_, within) => within.as_ref().and_then(Within::takes),
            };
            if let Some(takes) = takes {
                let (scale, mean) = match takes {
                    Takes::Bytes => (1.0, 0.0),
                    Takes::SignedBytes => (1.0, 128.0),
                    Takes::Shares => (1.0 / 255.0, 0.0),
                };
                let ones = vec![1.0; channels];
                base = base.with_normalisation(scale, vec![mean; channels], ones)?;
                if found.as_ref().is_some_and(Within::is_blue_first) {
                    base = base.with_order(ChannelOrder::Bgr);
                }
                origin = Origin::Network;
                if !self.preparation.says_values() {
                    remarks.push(taken_remark(takes, pictures, found.as_ref()));
                }
            }
        }
        let is_assumed = matches!(origin, Origin::Assumed) && !self.preparation.says_values();
        let spec = self.preparation.apply(base)?;
        if let Some(channels) = pictures.channels.filter(|c| *c != spec.channels()) {
            let got = spec.channels();
            let what = "a preparation";
            return Err(InputError::PerChannel {
                what,
                got,
                channels,
            }
            .into());
        }
        if is_assumed && spec.channels() <= 4 {
            remarks.push(assumed_remark(&spec, pictures));
        } else if !size_is_said {
            let [height, width] = spec.size();
            remarks.push(Remark::new(format!(
                "the file leaves the size of its pictures open: {height} x {width} pixels are assumed; \
                 Preparation::size says otherwise"
            )));
        }
        let origin = match self.preparation.says_values() {
            true => Origin::Given,
            false => origin,
        };
        Ok((spec, origin))
    }
}

/// What a file beside the network, or its own metadata, say of its input.
pub(super) fn described(
    path: Option<&Path>,
    graph: &Graph,
) -> Result<Option<(Origin, Described)>, ModelError> {
    if let Some((file, described)) = path.map(beside).transpose()?.flatten() {
        return Ok(Some((Origin::Beside(file), described)));
    }
    let described = in_metadata(graph.metadata())?;
    Ok(described.map(|described| (Origin::Metadata, described)))
}

/// A held input's name, and what identifies its value.
pub(super) fn fed((name, value): &(String, ArrayD<f32>)) -> (String, String) {
    let shape = format!("{:?}", value.shape());
    let bytes = value.iter().flat_map(|v| v.to_le_bytes());
    let bytes: Vec<u8> = shape.into_bytes().into_iter().chain(bytes).collect();
    (name.clone(), elucid_models::sha256::of_bytes(&bytes))
}

fn taken_remark(takes: Takes, pictures: &Pictures, within: Option<&Within>) -> Remark {
    let values = match takes {
        Takes::Bytes => "0 to 255",
        Takes::SignedBytes => "-128 to 127",
        Takes::Shares => "0 to 1",
    };
    Remark::new(match within {
        Some(within) => {
            let order = match within.is_blue_first() {
                true => " in the order blue, green, red, whose means these are",
                false => "",
            };
            format!(
                "pictures are normalised inside the network, {}: values of {values} go in{order}; \
                 Preparation::scale, mean, std and order change it",
                within.text()
            )
        }
        None => format!(
            "the network's input holds {}: values of {values} go in; Preparation::scale, mean and std change \
             it",
            pictures.kind
        ),
    })
}

fn assumed_remark(spec: &InputSpec, pictures: &Pictures) -> Remark {
    let what = match spec.channels() {
        3 => "ImageNet's usual preparation was assumed",
        _ => "values of 0 to 1 were assumed",
    };
    let size = match pictures.stated {
        [Some(_), Some(_)] => "",
        _ => ", size",
    };
    let [height, width] = spec.size();
    Remark::new(format!(
        "nobody says how pictures are prepared for this network: {what} ((pixel * {} - {:?}) / {:?}, \
         {height} x {width} pixels, {}); Preparation::scale, mean, std, order, resize{size} or a \
         file NAME.json beside it change that",
        spec.scale(),
        spec.mean(),
        spec.std(),
        spec.resize()
    ))
}
