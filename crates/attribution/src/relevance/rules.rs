use std::sync::Arc;

use elucid_graph::{Activation, Activations, BoundGraph, GraphError, Recording, Step};
use elucid_rules::{Algebra, Composite, RuleUse, Subject, Which};
use elucid_vision::Model;

use super::excitation::Inhibition;
use super::share::{ADDED, Stabiliser};
use super::{
    AlphaBeta, Attention, Branches, Difference, Epsilon, Excitation, Flat, Gamma, Identity, Norm,
    Normalization, Pass, Product, Quotient, RelevanceRule, Softmax, Winner, ZBox, ZPlus,
};
use crate::error::AttributionError;
use crate::work::Context;

/// Which operators get which [`RelevanceRule`]: an ordered list, of which the first match wins.
///
/// An entry matches an operator when its kind, its layer's name or its place fits and the rule
/// [covers](RelevanceRule::covers) it. Operators that only move numbers ([`Algebra::Moves`]) need no
/// entry: relevance moves with them. Any other operator that matches nothing is an error, and so is an
/// entry that no operator of the network fits, but for those of the composites here.
///
/// ```
/// use elucid_attribution::relevance::{Gamma, RelevanceRules, WSquare};
///
/// let rules = RelevanceRules::new()
///     .on_first(WSquare)
///     .on_layers("inception_5*", Gamma::new(0.1))
///     .then(RelevanceRules::epsilon_plus())
///     .named("mine");
/// assert_eq!(rules.name(), "mine");
/// ```
#[derive(Debug, Clone, Default)]
pub struct RelevanceRules {
    list: Composite<dyn RelevanceRule>,
    keeps_batch_norm: bool,
}

/// Operators with weights.
const WEIGHTED: [Algebra; 2] = [Algebra::Convolution, Algebra::Dense];

/// The limit for 0.
fn stabiliser(epsilon: f32) -> Stabiliser {
    match epsilon == 0.0 {
        true => Stabiliser::Guard,
        false => Stabiliser::Epsilon(epsilon),
    }
}

impl RelevanceRules {
    /// The names that [`RelevanceRules::composite`] knows.
    pub const COMPOSITES: &'static [&'static str] = &[
        "epsilon",
        "epsilon-plus",
        "epsilon-plus-flat",
        "epsilon-gamma-box",
        "epsilon-alpha2-beta1",
        "epsilon-alpha2-beta1-flat",
        "composite-lrp",
        "attn-lrp",
        "cp-lrp",
        "cp-lrp-gamma",
    ];

    /// No rules.
    pub fn new() -> Self {
        Self::default()
    }

    /// [`Epsilon`] on every weighted operator.
    ///
    /// Like all composites here: [`Norm`] on average pools and sums, [`Pass`] on activations, local
    /// response normalisation, arithmetic with constants and batch normalisations that cannot be
    /// merged, [`Winner`] on max-pools, [`Product::of_gates`] on products with a gate:
    /// all to the signal.
    pub fn epsilon() -> Self {
        Self::new().composed("epsilon", Epsilon::default())
    }

    /// [`ZPlus`] on convolutions, [`Epsilon`] on dense layers: Zennit's `EpsilonPlus`.
    pub fn epsilon_plus() -> Self {
        Self::new().composed("epsilon-plus", ZPlus::default())
    }

    /// As [`epsilon_plus`](RelevanceRules::epsilon_plus) with [`Flat`] on the first layer: Zennit's
    /// `EpsilonPlusFlat`.
    pub fn epsilon_plus_flat() -> Self {
        Self::flat_first().composed("epsilon-plus-flat", ZPlus::default())
    }

    /// [`ZBox`] on the first layer, [`Gamma`] 0.25 on convolutions, [`Epsilon`] on dense layers:
    /// Zennit's `EpsilonGammaBox`. `low` and `high` as in [`ZBox::new`].
    pub fn epsilon_gamma_box(low: &[f32], high: &[f32]) -> Self {
        Self::gamma_with(ZBox::new(low, high))
    }

    /// The same with [`ZBox::pixels`]: bounds from the model's description of its input.
    pub fn epsilon_gamma_pixels() -> Self {
        Self::gamma_with(ZBox::pixels())
    }

    fn gamma_with(bounds: ZBox) -> Self {
        Self::new()
            .offer(Which::First, bounds)
            .composed("epsilon-gamma-box", Gamma::default())
    }

    /// [`AlphaBeta`] 2 and 1 on convolutions, [`Epsilon`] on dense layers: Zennit's
    /// `EpsilonAlpha2Beta1`.
    pub fn epsilon_alpha2_beta1() -> Self {
        Self::new().composed("epsilon-alpha2-beta1", AlphaBeta::alpha2_beta1())
    }

    /// The same with [`Flat`] on the first layer.
    pub fn epsilon_alpha2_beta1_flat() -> Self {
        Self::flat_first().composed("epsilon-alpha2-beta1-flat", AlphaBeta::alpha2_beta1())
    }

    /// By depth, as the composite of Montavon et al., *Layer-wise relevance propagation: an overview*
    /// (2019): [`ZBox::pixels`] on the first layer, [`Gamma`] 0.25 below 7/16 of the
    /// [depth](elucid_rules::Depth::fraction), from there to 13/16 [`Epsilon::relative`] 0.25, and
    /// [`Epsilon`] 1e-9 above, which is LRP-0.
    ///
    /// The chapter says lower, middle and upper layers; the fractions are where its code for VGG-16
    /// changes rules, which has 16 layers with weights: 7 below, 6 in the middle, and the 3 dense ones.
    pub fn composite_lrp() -> Self {
        let weighted = |from, to| Which::All(vec![WEIGHTED.into(), Which::Depth(from, to)]);
        Self::new()
            .offer(Which::First, ZBox::pixels())
            .offer(weighted(0.0, 7.0 / 16.0), Gamma::default())
            .offer(weighted(7.0 / 16.0, 13.0 / 16.0), Epsilon::relative(0.25))
            .offer(WEIGHTED, Epsilon::new(1e-9))
            .between_layers(Norm::default())
            .named("composite-lrp")
    }

    /// AttnLRP: Achtibat et al., *AttnLRP: Attention-Aware Layer-Wise Relevance Propagation for
    /// Transformers*, ICML 2024, <https://arxiv.org/abs/2402.05602>, in the limit of all epsilons going to
    /// 0.
    ///
    /// [`Epsilon::limit`] on weighted operators, [`Norm::absorbing`] on what else is linear, [`Product`],
    /// [`Softmax`], [`Attention`], [`Normalization`] and [`Quotient`] in attention, gates and
    /// normalisations, [`Identity`] on activations. Biases, learned positions and class tokens absorb their
    /// share. A convolutional network with gates is covered, too.
    ///
    /// iNNvestigate's licence says that a part of LRP is under patent (Fraunhofer), and LXT, the program of
    /// the paper's authors, is under a licence that grants no patent rights: look into it before commercial
    /// use.
    pub fn attn_lrp() -> Self {
        Self::attn_lrp_with(0.0)
    }

    /// The same with this epsilon in every denominator, by the sign of what it is added to; 0 is the limit.
    /// Single precision is badly conditioned with one that is not 0: relevances over responses near 0.
    pub fn attn_lrp_with(epsilon: f32) -> Self {
        let rules = Self::new().offer(WEIGHTED, Epsilon::stabilised(stabiliser(epsilon)));
        rules.attending(epsilon, false).named("attn-lrp")
    }

    /// CP-LRP: Ali et al., *XAI for Transformers: Better Explanations through Conservative Propagation*,
    /// ICML 2022, <https://arxiv.org/abs/2202.07304>, in the limit of all epsilons going to 0.
    ///
    /// As [`attn_lrp`](RelevanceRules::attn_lrp), but the weights of attention are constants: all of a head's
    /// relevance goes to its values, and softmax, queries and keys get none.
    ///
    /// iNNvestigate's licence says that a part of LRP is under patent (Fraunhofer): look into it before
    /// commercial use.
    pub fn cp_lrp() -> Self {
        Self::cp_lrp_with(0.0)
    }

    /// The same with this epsilon in every denominator, as [`attn_lrp_with`](RelevanceRules::attn_lrp_with).
    pub fn cp_lrp_with(epsilon: f32) -> Self {
        let rules = Self::new().offer(WEIGHTED, Epsilon::stabilised(stabiliser(epsilon)));
        rules.attending(epsilon, true).named("cp-lrp")
    }

    /// [`cp_lrp`](RelevanceRules::cp_lrp) with [`Gamma`] 0.25 on convolutions and 0.05 on dense layers:
    /// what AttnLRP's authors recommend for vision transformers, who look for the numbers on each network.
    pub fn cp_lrp_gamma() -> Self {
        Self::new()
            .offer(Algebra::Convolution, Gamma::new(0.25))
            .offer(Algebra::Dense, Gamma::new(0.05))
            .attending(0.0, true)
            .named("cp-lrp-gamma")
    }

    /// Rules for what lies between weighted operators, attention among it.
    fn attending(self, epsilon: f32, constant_attention: bool) -> Self {
        let stabiliser = stabiliser(epsilon);
        let (mut products, mut attention) = (
            Product::stabilised(stabiliser),
            Attention::with_epsilon(epsilon),
        );
        if constant_attention {
            (products, attention) = (products.constant_attention(), attention.constant());
        }
        let linear = [
            Algebra::Linear,
            Algebra::Sum,
            Algebra::Affine,
            Algebra::Mixture,
        ];
        self.offer(linear, Norm::stabilised(stabiliser).absorbing())
            .offer(Algebra::Product, products)
            .offer(Algebra::Quotient, Quotient)
            .offer(Algebra::Softmax, Softmax)
            .offer(
                Algebra::Normalization,
                Normalization::stabilised(stabiliser),
            )
            .offer(Algebra::Other, attention)
            .offer([Algebra::Activation, Algebra::Gate], Identity)
            .offer(Algebra::LocalNormalization, Pass)
            .offer([Algebra::Maximum, Algebra::Minimum], Winner)
    }

    /// The LRP of its own that Chefer, Gur and Wolf hand relevance to attention by (*Transformer Interpretability
    /// Beyond Attention Visualization*, CVPR 2021): [`ZPlus::without_bias`] on weighted operators, [`Branches`] on
    /// residual sums, [`Product`] in attention and gates, [`Pass`] on normalisations, activations and the
    /// softmax. It is meant for what [`CheferCvpr`](crate::CheferCvpr) makes of it.
    ///
    /// iNNvestigate's licence says that a part of LRP is under patent (Fraunhofer): look into it before
    /// commercial use.
    pub fn chefer_cvpr() -> Self {
        let stabiliser = Stabiliser::Added(ADDED);
        let passed = [
            Algebra::Activation,
            Algebra::Gate,
            Algebra::Affine,
            Algebra::Normalization,
            Algebra::LocalNormalization,
            Algebra::Softmax,
        ];
        let linear = [Algebra::Linear, Algebra::Sum];
        Self::new()
            .offer(WEIGHTED, ZPlus::without_bias())
            .offer(passed, Pass)
            .offer(Algebra::Sum, Branches)
            .offer(linear, Norm::stabilised(stabiliser))
            .offer(Algebra::Product, Product::stabilised(stabiliser))
            .offer(Algebra::Quotient, Quotient)
            .offer(Algebra::Other, Attention::passing())
            .offer([Algebra::Maximum, Algebra::Minimum], Winner)
            .named("chefer-cvpr")
    }

    /// [`Excitation`] on every weighted operator, [`Norm::guarded`] on average pools and sums,
    /// [`Difference`] on differences; normalisations are kept and passed. Weights of attention are weights as
    /// others are: what a head makes of its values is shared among these.
    pub fn excitation_backprop() -> Self {
        Self::new()
            .offer(WEIGHTED, Excitation)
            .offer(Algebra::Sum, Difference)
            .offer(Algebra::Product, Product::of_gates().constant_attention())
            .offer(Algebra::Quotient, Quotient)
            .offer(Algebra::Normalization, Pass)
            .offer(Algebra::Other, Attention::new().constant())
            .between_layers(Norm::guarded())
            .keeping_batch_norm()
            .named("excitation-backprop")
    }

    /// A composite by its name in [`COMPOSITES`](RelevanceRules::COMPOSITES), with
    /// [`ZBox::pixels`] where it has a box; `None` for any other.
    pub fn composite(name: &str) -> Option<Self> {
        Some(match name {
            "epsilon" => Self::epsilon(),
            "epsilon-plus" => Self::epsilon_plus(),
            "epsilon-plus-flat" => Self::epsilon_plus_flat(),
            "epsilon-gamma-box" => Self::epsilon_gamma_pixels(),
            "epsilon-alpha2-beta1" => Self::epsilon_alpha2_beta1(),
            "epsilon-alpha2-beta1-flat" => Self::epsilon_alpha2_beta1_flat(),
            "composite-lrp" => Self::composite_lrp(),
            "attn-lrp" => Self::attn_lrp(),
            "cp-lrp" => Self::cp_lrp(),
            "cp-lrp-gamma" => Self::cp_lrp_gamma(),
            _ => return None,
        })
    }

    fn flat_first() -> Self {
        Self::new().offer(Which::First, Flat)
    }

    fn composed(self, name: &str, convolutions: impl RelevanceRule + 'static) -> Self {
        self.offer(Algebra::Convolution, convolutions)
            .offer(Algebra::Dense, Epsilon::default())
            .between_layers(Norm::default())
            .named(name)
    }

    /// Rules for what lies between weighted operators.
    fn between_layers(self, sums: Norm) -> Self {
        self.offer([Algebra::Linear, Algebra::Sum], sums)
            .offer(
                [
                    Algebra::Activation,
                    Algebra::Gate,
                    Algebra::Affine,
                    Algebra::LocalNormalization,
                ],
                Pass,
            )
            .offer(Algebra::Product, Product::of_gates())
            .offer([Algebra::Maximum, Algebra::Minimum], Winner)
    }

    /// An entry about operators that a network need not have.
    fn offer(mut self, which: impl Into<Which>, rule: impl RelevanceRule + 'static) -> Self {
        self.list.push_where_present(which, Arc::new(rule));
        self
    }

    /// Gives operators a rule: all of one kind, of several, of an [`Algebra`], or of any [`Which`].
    #[must_use]
    pub fn on(mut self, which: impl Into<Which>, rule: impl RelevanceRule + 'static) -> Self {
        self.list.push(which, Arc::new(rule));
        self
    }

    /// Gives a rule to the operators that compute the layers named by `pattern`, a glob: `*` stands
    /// for any text, `/` included, and `?` for any one character.
    #[must_use]
    pub fn on_layers(self, pattern: &str, rule: impl RelevanceRule + 'static) -> Self {
        self.on(Which::named(pattern), rule)
    }

    /// Gives a rule to the first weighted operators: those that no other comes before.
    #[must_use]
    pub fn on_first(self, rule: impl RelevanceRule + 'static) -> Self {
        self.on(Which::First, rule)
    }

    /// Appends another list, which decides where this one has no match. Name and treatment of batch
    /// normalisation stay this list's.
    #[must_use]
    pub fn then(mut self, other: Self) -> Self {
        self.list.extend(&other.list);
        self
    }

    /// Leaves batch normalisations alone instead of merging each into the convolution or dense layer
    /// before it. A constant added to such a layer is its bias all the same.
    #[must_use]
    pub fn keeping_batch_norm(mut self) -> Self {
        self.keeps_batch_norm = true;
        self
    }

    /// Sets the name under which these rules appear in reports.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.list.set_name(name);
        self
    }

    /// The name given, else `custom`.
    pub fn name(&self) -> &str {
        self.list.name().unwrap_or("custom")
    }

    /// The list of what gets which rule.
    pub fn list(&self) -> &Composite<dyn RelevanceRule> {
        &self.list
    }

    /// The rule for one operator; `None` when nothing covers it.
    pub fn find(&self, step: &Step<'_>) -> Option<&dyn RelevanceRule> {
        let names: Vec<&str> = step.names().iter().map(String::as_str).collect();
        let has_weights = step.weights().is_some();
        let subject = Subject {
            is_first: has_weights && step.is_first(),
            depth: Some(step.depth()),
            ..Subject::new(step.kind(), step.algebra(), &names)
        };
        match self.list.find(&subject, |rule| rule.covers(step)) {
            Some((_, entry)) => Some(&*entry.rule),
            None if step.algebra() == Algebra::Moves => Some(&Winner),
            None => None,
        }
    }

    /// Refuses parameters out of range.
    pub(crate) fn check(&self) -> Result<(), AttributionError> {
        self.list
            .entries()
            .iter()
            .try_for_each(|entry| entry.rule.check())
    }

    /// The model that a method hands relevance down in by these rules, if each of them is about some of it.
    pub(crate) fn model<'w>(
        &self,
        work: &Context<'w>,
        method: &str,
    ) -> Result<&'w Model, AttributionError> {
        self.check()?;
        let model = work.model(method)?;
        self.check_matches(model)?;
        Ok(model)
    }

    /// Refuses an entry that is about none of the operators of `model`.
    pub(crate) fn check_matches(&self, model: &BoundGraph) -> Result<(), AttributionError> {
        let describe = |rule: &(dyn RelevanceRule + 'static)| rule.name();
        let check = |subjects: &[Subject<'_>]| self.list.check_matches(subjects, describe);
        Ok(model.with_subjects(check).map_err(GraphError::from)?)
    }

    /// The rules that have to take something, with no operator taken yet.
    fn unused(&self) -> Vec<RuleUse> {
        let mut uses = Vec::new();
        for entry in self.list.entries() {
            if !entry.may_match_nothing {
                RuleUse::count(&mut uses, &entry.rule.name(), 0);
            }
        }
        uses
    }

    /// The recording as these rules want it.
    pub(crate) fn prepare<'m>(&self, recording: Recording<'m>) -> Recording<'m> {
        match self.keeps_batch_norm {
            true => recording.merging_biases(),
            false => recording.merging_batch_norm(),
        }
    }

    /// Hands `seed` down from one layer to another, after checking that every operator on the way is
    /// covered. Says how many operators each rule took.
    pub(crate) fn hand_down(
        &self,
        method: &str,
        recording: &Recording<'_>,
        from: &str,
        seed: Activation,
        to: &str,
    ) -> Result<(Activation, Vec<RuleUse>), AttributionError> {
        let handed = self.hand_down_to(method, recording, from, seed, &[to]);
        handed.and_then(|(arrived, uses)| Ok((arrived.get(to)?.clone(), uses)))
    }

    /// The same to several layers.
    pub(crate) fn hand_down_to(
        &self,
        method: &str,
        recording: &Recording<'_>,
        from: &str,
        seed: Activation,
        to: &[&str],
    ) -> Result<(Activations, Vec<RuleUse>), AttributionError> {
        self.hand_down_by(method, recording, from, seed, to, |step| self.find(step))
    }

    /// The same, with the weights of the operator called `inhibited` negated.
    pub(crate) fn hand_down_against(
        &self,
        method: &str,
        recording: &Recording<'_>,
        from: &str,
        seed: Activation,
        to: &str,
        inhibited: &str,
    ) -> Result<Activation, AttributionError> {
        let handed = self.hand_down_by(method, recording, from, seed, &[to], |step| {
            match step.layer() == inhibited {
                true => Some(&Inhibition),
                false => self.find(step),
            }
        });
        handed.and_then(|(arrived, _)| Ok(arrived.get(to)?.clone()))
    }

    /// The operators that something arrives at on the way from one layer down to another.
    pub(crate) fn reached<'r>(
        &self,
        recording: &'r Recording<'_>,
        from: &str,
        to: &str,
    ) -> Result<Vec<Step<'r>>, AttributionError> {
        reached(recording, from, &[to], &|step: &Step<'_>| self.find(step))
    }

    fn hand_down_by<'s>(
        &'s self,
        method: &str,
        recording: &Recording<'_>,
        from: &str,
        seed: Activation,
        to: &[&str],
        rule_for: impl Fn(&Step<'_>) -> Option<&'s dyn RelevanceRule>,
    ) -> Result<(Activations, Vec<RuleUse>), AttributionError> {
        let (mut uses, mut nodes) = (self.unused(), Vec::new());
        let reached = reached(recording, from, to, &rule_for)?;
        for step in reached.iter().filter(|step| !step.is_absorbed()) {
            match rule_for(step) {
                Some(rule) => RuleUse::count(&mut uses, &rule.name(), 1),
                None => nodes.push(step.label()),
            }
        }
        let uncovered = |nodes| AttributionError::Uncovered {
            method: method.to_owned(),
            nodes,
        };
        if !nodes.is_empty() {
            return Err(uncovered(nodes));
        }
        let arrived =
            recording.propagate(from, seed, to, |step, relevance| match rule_for(step) {
                Some(rule) => rule.propagate(step, relevance),
                None => Err(uncovered(vec![step.label()])),
            })?;
        Ok((arrived, uses))
    }
}

/// The operators that something arrives at, by these rules.
fn reached<'r, 's>(
    recording: &'r Recording<'_>,
    from: &str,
    to: &[&str],
    rule_for: &impl Fn(&Step<'_>) -> Option<&'s dyn RelevanceRule>,
) -> Result<Vec<Step<'r>>, AttributionError> {
    // What stops at an operator without a rule need not be known.
    let hands = |step: &Step<'_>, slot| match rule_for(step) {
        Some(rule) => rule.hands_to(step, slot),
        None => true,
    };
    Ok(recording.reached(from, to, hands)?)
}
