//! What was added to a study after it was begun: more methods, more metrics, on the same images or on some of them.
//!
//! A file in the folder of the journals, `SECONDS-DIGITS.plan`, for each addition: written once, whole, before the first cell of
//! it, and never changed, as journals are; several workers may add to a study at the same time. The study is what
//! `settings.json` says and all of these.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use elucid_attribution::Configuration;
use elucid_models::sha256;
use serde::{Deserialize, Serialize};

use crate::difference::difference;
use crate::entries::MethodFacts;
use crate::error::StudyError;
use crate::files;
use crate::journal::JOURNAL;
use crate::part::Part;
use crate::settings::Settings;

/// Ending of the name of an addition.
const ENDING: &str = "plan";

/// Methods, metrics and parts that a study has besides.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Growth {
    #[serde(default)]
    methods: Vec<MethodFacts>,
    #[serde(default)]
    metrics: Vec<String>,
    #[serde(default)]
    metric_options: BTreeMap<String, Configuration>,
    #[serde(default)]
    parts: Vec<Part>,
}

impl Growth {
    /// What `asked` has that `study` has not. What both have is the same, or this is the error.
    pub fn of(asked: &Settings, study: &Settings, folder: &Path) -> Result<Self, StudyError> {
        let differs = |what: String| StudyError::Settings {
            folder: folder.to_owned(),
            difference: what,
        };
        let mut growth = Self::default();
        for method in &asked.methods {
            let known = study.methods.iter().find(|known| known.name == method.name);
            match known.and_then(|known| difference(method, known, &[])) {
                Some(difference) => {
                    return Err(differs(format!("methods.{}.{difference}", method.name)));
                }
                None if known.is_none() => growth.methods.push(method.clone()),
                None => {}
            }
        }
        for metric in &asked.metrics {
            let options = asked.metric_options.get(metric);
            let known = study.metrics.contains(metric);
            let before = study.metric_options.get(metric);
            match difference(&options, &before, &[]) {
                Some(difference) if known => {
                    return Err(differs(format!("metric_options.{metric}.{difference}")));
                }
                _ if !known => {
                    growth.metrics.push(metric.clone());
                    growth
                        .metric_options
                        .extend(options.map(|options| (metric.clone(), options.clone())));
                }
                _ => {}
            }
        }
        let parts = study.all_parts();
        let new = asked.all_parts().into_iter();
        growth.parts = new
            .filter(|new| !parts.iter().any(|part| new.is_within(part)))
            .collect();
        Ok(growth)
    }

    /// Names of its methods and metrics.
    pub fn names(&self) -> impl Iterator<Item = String> {
        let methods = self.methods.iter().map(|method| &method.name);
        methods.chain(&self.metrics).cloned()
    }

    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// Adds it to what is known of a study.
    pub fn add_to(self, study: &mut Settings) {
        if self.is_nothing() {
            return;
        }
        study.parts = study.all_parts();
        for method in self.methods {
            if study.methods.iter().all(|known| known.name != method.name) {
                study.methods.push(method);
            }
        }
        for metric in self.metrics {
            if !study.metrics.contains(&metric) {
                study.metrics.push(metric);
            }
        }
        for (metric, options) in self.metric_options {
            study.metric_options.entry(metric).or_insert(options);
        }
        for part in self.parts {
            if !study.parts.iter().any(|known| part.is_within(known)) {
                study.parts.push(part);
            }
        }
    }

    /// Writes it down. When this returns, the disk has it.
    pub fn write(&self, folder: &Path, seconds: u64) -> Result<(), StudyError> {
        let journals = folder.join(JOURNAL);
        fs::create_dir_all(&journals).map_err(StudyError::file("write", &journals))?;
        let text = serde_json::to_string_pretty(self)
            .map_err(|error| StudyError::Data(format!("a plan cannot be written: {error}")))?;
        let bytes = (text + "\n").into_bytes();
        let digits = &sha256::of_bytes(&bytes)[..16];
        files::create(
            &journals.join(format!("{seconds:010}-{digits}.{ENDING}")),
            &bytes,
        )?;
        Ok(())
    }
}

/// Reads all additions of a folder, in order of their names, which is that of their times.
pub(crate) fn read(folder: &Path) -> Result<Vec<Growth>, StudyError> {
    let entries = files::with_ending(&folder.join(JOURNAL), ENDING)?;
    let read = entries.iter().map(|entry| {
        let path = entry.path();
        let bytes = fs::read(&path).map_err(StudyError::file("read", &path))?;
        serde_json::from_slice(&bytes).map_err(|error| StudyError::Damaged {
            path,
            line: error.line(),
            reason: error.to_string(),
        })
    });
    read.collect()
}
