//! Gradients through replaced rectifiers: what guided backpropagation and the deconvnet share.

use std::collections::HashSet;

use elucid_graph::GraphError;
use elucid_rules::{Algebra, OpKind, RuleUse, Rules};
use elucid_vision::Model;

use crate::attribution::Attribution;
use crate::attributor::Attributor;
use crate::error::AttributionError;
use crate::saliency::Reduce;
use crate::work::Context;

/// A [`Rectified`] method under a preset of rules, the constant `RECTIFIED`, with its entry in the table: name, title,
/// who published it, and names that others give it.
macro_rules! rectified {
    ($(#[$doc:meta])* $method:ident by $rules:literal, $name:literal, $title:literal, $reference:literal $(, also $others:expr)?) => {
        $crate::attributor::method! {
            $(#[$doc])*
            pub struct $method {}
            /// At a layer.
            at_input
        }

        impl $method {
            $crate::attributor::setup_builders!(batch_size, progress);
        }

        $crate::options!($method {});

        pub(crate) const METHOD: $crate::Method =
            $crate::Method::of::<$method>($name, $title, $reference)
                .at($crate::Place::AnyLayer)
                .needs_model()
                $(.also($others))?;

        pub(crate) const RECTIFIED: $crate::rectified::Rectified = $crate::rectified::Rectified {
            title: METHOD.title,
            rules: $rules,
        };

        $crate::attributor::explains!($method, |method, work| RECTIFIED.explain(method, work));
    };
}
pub(crate) use rectified;

/// A method that is the gradient under other rules for ReLU and Clip.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rectified {
    /// Its name in full, for messages.
    pub title: &'static str,
    /// The preset of [`Rules`].
    pub rules: &'static str,
}

impl Rectified {
    /// The same under the rules, in a network in which they have something to replace.
    pub fn work<'w>(&self, work: &Context<'w>) -> Result<Context<'w>, AttributionError> {
        let rules = Rules::preset(self.rules).map_err(GraphError::from)?;
        let work = work.under(&rules);
        let model = work.model(self.title)?;
        let operators = between(model, &work.layer, &work.target.layer);
        let mut activations: Vec<OpKind> = Vec::new();
        for (kind, algebra) in &operators {
            if bends(*algebra) && !activations.contains(kind) {
                activations.push(*kind);
            }
        }
        // Behind the last activation nothing need be replaced.
        let is_linear_end = activations.is_empty()
            && (model.graph().nodes().iter()).any(|node| rectifies(&node.op.kind()));
        if !operators.is_empty() && !is_linear_end && !activations.iter().any(rectifies) {
            return Err(AttributionError::NoRectifier {
                method: self.title,
                layer: work.layer,
                target: work.target.layer,
                activations: activations.iter().map(ToString::to_string).collect(),
            });
        }
        Ok(work)
    }

    /// The gradient under the rules.
    pub fn explain(
        &self,
        method: &dyn Attributor,
        work: &Context<'_>,
    ) -> Result<Attribution, AttributionError> {
        let work = self.work(work)?;
        let (values, scores) = work.each_batch(|rows, at| {
            let found = work.gradients(rows, at)?;
            Ok((found.gradient, found.scores))
        })?;
        Ok(
            Attribution::new(method, &work, values, scores, Reduce::MaxAbs)?
                .with_rule_uses(self.kept(&work)?),
        )
    }

    /// Activations that the paper has no formula for, by kind: they kept their true gradient.
    pub fn kept(&self, work: &Context<'_>) -> Result<Vec<RuleUse>, AttributionError> {
        let model = work.model(self.title)?;
        let mut kept = Vec::new();
        for (kind, algebra) in between(model, &work.layer, &work.target.layer) {
            if algebra.is_activation() && !rectifies(&kind) {
                RuleUse::count(&mut kept, &format!("true gradient of {kind}"), 1);
            }
        }
        Ok(kept)
    }
}

fn rectifies(kind: &OpKind) -> bool {
    matches!(*kind, OpKind::Relu | OpKind::Clip)
}

/// Whether an operator is a nonlinearity that might stand where others have a ReLU.
fn bends(algebra: Algebra) -> bool {
    algebra.is_activation()
        || matches!(
            algebra,
            Algebra::Function | Algebra::Maximum | Algebra::Minimum
        )
}

/// The operators through which layer `to` depends on layer `from`.
fn between(model: &Model, from: &str, to: &str) -> Vec<(OpKind, Algebra)> {
    let graph = model.graph();
    let (Some(from), Some(to)) = (graph.value(from), graph.value(to)) else {
        return Vec::new();
    };
    let mut below = HashSet::from([from]);
    for node in graph.nodes() {
        if node.inputs.iter().flatten().any(|v| below.contains(v)) {
            below.extend(&node.outputs);
        }
    }
    let mut above = HashSet::from([to]);
    let mut kinds = Vec::new();
    for node in graph.nodes().iter().rev() {
        let reads = node.inputs.iter().flatten().any(|v| below.contains(v));
        if reads && node.outputs.iter().any(|v| above.contains(v)) {
            above.extend(node.inputs.iter().flatten());
            kinds.push((node.op.kind(), graph.algebra(node)));
        }
    }
    kinds.reverse();
    kinds
}
