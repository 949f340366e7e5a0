//! The methods and metrics that the program knows by name.

use std::sync::OnceLock;

use elucid::attribution::{Method, MethodOption, Methods};
use elucid::metrics::{MetricInfo, Metrics};

use crate::error::CliError;

/// Flags are made from them, and clap makes flags without being told anything.
static KNOWN: OnceLock<(Methods, Metrics)> = OnceLock::new();

/// From now on these are known.
pub fn set(methods: Methods, metrics: Metrics) -> Result<(), CliError> {
    KNOWN.set((methods, metrics)).map_err(|_| {
        CliError::Failure(
            "a program was run in this process before, and may know others".to_owned(),
        )
    })
}

fn known() -> &'static (Methods, Metrics) {
    KNOWN.get_or_init(|| (Methods::standard(), Metrics::standard()))
}

/// Every method.
pub fn methods() -> impl Iterator<Item = &'static Method> {
    known().0.iter()
}

/// The table of them.
pub fn all_methods() -> &'static Methods {
    &known().0
}

/// The method with this name.
pub fn method(name: &str) -> Result<&'static Method, String> {
    let found = known().0.find(name);
    found.map_err(|error| format!("{error}; see: elucid methods"))
}

/// What an option of a method may be, in words: of presets, which there are.
pub fn values(method: &Method, option: &MethodOption) -> String {
    match option.name {
        "preset" => method.presets.join(", "),
        _ => option.values.to_owned(),
    }
}

/// Every metric.
pub fn metrics() -> &'static Metrics {
    &known().1
}

/// The metric with this name.
pub fn metric(name: &str) -> Result<&'static MetricInfo, String> {
    let found = known().1.find(name);
    found.map_err(|error| format!("{error}; see: elucid metrics"))
}
