//! What is run: each method at each layer, fused and averaged as asked for.

use std::collections::BTreeMap;

use elucid::attribution::{AttributionError, Averaged, Fused, Method, MethodOptions, Place};
use elucid::prelude::*;

use super::AttributeArgs;
use crate::error::CliError;
use crate::known;
use crate::options::taken_by_others;

/// A method at a layer.
#[derive(Debug)]
pub struct Run {
    pub method: &'static Method,
    /// The layer as it was asked for; `None` for the method's own.
    pub layer: Option<String>,
    /// The layers whose maps become one, as they were asked for; none unless they are fused.
    pub fused: Vec<String>,
    /// What was given of the method's options.
    options: BTreeMap<&'static str, String>,
}

impl Run {
    /// The layer as it was asked for, or the method's own.
    pub fn layer(&self) -> &str {
        self.layer.as_deref().unwrap_or(self.method.own_layer())
    }

    /// The layers as they were asked for, or the method's own.
    pub fn layers(&self) -> Vec<&str> {
        match &self.fused[..] {
            [] => vec![self.layer()],
            fused => fused.iter().map(String::as_str).collect(),
        }
    }

    /// Where it attributes to, in words.
    pub fn place(&self) -> String {
        self.layers().join(" and ")
    }

    /// How channels become one map unless it is said. Evidence at features is shown as its papers do,
    /// positive: a class activation map that is negative everywhere has nothing to show.
    pub fn reduction(&self) -> Option<Reduce> {
        (self.method.place == Place::SpatialLayer).then_some(Reduce::Positive)
    }

    /// The method under these options, with what is fused and averaged.
    pub fn build(
        &self,
        options: &MethodOptions,
        args: &AttributeArgs,
    ) -> Result<Box<dyn Attributor>, AttributionError> {
        let reduce = args.maps.reduce.or(self.reduction());
        let method: Box<dyn Attributor> = match args.fuse.filter(|_| !self.fused.is_empty()) {
            Some(fuse) => {
                let fused = Fused::layers(self.method, options, &self.fused, fuse)?;
                Box::new(match reduce {
                    Some(reduce) => fused.reduced_by(reduce),
                    None => fused,
                })
            }
            None => self.method.build(options)?,
        };
        if args.tta.is_empty() {
            return Ok(method);
        }
        let averaged = Averaged::new(method, args.tta.iter().copied());
        // What is fused is one map already.
        Ok(Box::new(match reduce.filter(|_| self.fused.is_empty()) {
            Some(reduce) => averaged.reduced_by(reduce),
            None => averaged,
        }))
    }

    pub fn options(&self, args: &AttributeArgs) -> MethodOptions {
        let mut options = MethodOptions::new().seed(args.seed);
        if let Some(layer) = &self.layer {
            options = options.layer(layer);
        }
        if let Some(rules) = self.rules(args) {
            options = options.rules(rules);
        }
        if let Some(batch_size) = args.batch_size {
            options = options.batch_size(batch_size as usize);
        }
        let set =
            |options: MethodOptions, (name, value): (&&str, &String)| options.set(name, value);
        self.options.iter().fold(options, set)
    }

    fn rules<'a>(&self, args: &'a AttributeArgs) -> Option<&'a Rules> {
        args.gradients
            .rules
            .as_ref()
            .filter(|_| self.method.takes_rules)
    }
}

/// Every method at every layer, as far as it takes one.
pub fn runs(args: &AttributeArgs) -> Result<Vec<Run>, CliError> {
    let methods = &args.method.0;
    let takes_layer = |method: &&'static Method| method.place.takes_layer();
    let takes_rules = |method: &&'static Method| method.takes_rules;
    let all = known::methods();
    if !args.layers.is_empty() && !methods.iter().any(takes_layer) {
        return Err(taken_by_others("layer", methods, all.filter(takes_layer)));
    }
    if args.gradients.rules.is_some() && !methods.iter().any(takes_rules) {
        return Err(taken_by_others("rules", methods, all.filter(takes_rules)));
    }
    if args.fuse.is_some() && args.layers.len() < 2 {
        return Err(CliError::Usage(
            "--fuse is for two layers or more: --layer A,B".to_owned(),
        ));
    }
    let mut runs = Vec::new();
    for method in methods {
        let asked = match takes_layer(method) {
            true => &args.layers[..],
            false => &[],
        };
        let (layers, fused) = match (asked, args.fuse) {
            ([], _) => (vec![None], Vec::new()),
            (asked, Some(_)) => (vec![None], asked.to_vec()),
            (asked, None) => (asked.iter().cloned().map(Some).collect(), Vec::new()),
        };
        for layer in layers {
            let run = Run {
                method,
                layer,
                fused: fused.clone(),
                options: args.options.of(method),
            };
            run.build(&run.options(args), args)
                .map_err(|error| CliError::Usage(error.to_string()))?;
            runs.push(run);
        }
    }
    Ok(runs)
}
