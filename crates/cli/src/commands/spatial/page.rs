//! The page that compares the sets of rules.

use elucid::prelude::*;
use elucid::vision::Guess;

use super::compute::{Results, View, Work};
use crate::report::remarks;

/// The widget for what was computed.
pub fn of(work: &Work<'_>, results: &Results) -> SpatialWidget {
    let model = &work.session.model;
    let seen = &results.seen;
    let first = &results.views[0].maps;
    let mut page = SpatialWidget::new(&seen.photo, first.from(), first.to())
        .predictions(seen.guesses.iter().map(Guess::shown))
        .classes(results.hints.iter().map(|hint| hint.label.as_str()))
        .fact("Model", model.name())
        .fact("Photograph", work.args.look.file())
        .remarks(remarks(model))
        .remarks(&seen.remark);
    for view in &results.views {
        page = page.view(view_of(view));
    }
    page
}

fn view_of(view: &View) -> SpatialView {
    let (name, description) = describe(view.rules.name());
    let mut shown = SpatialView::new(name, view.maps.maps().clone()).description(description);
    if let Some(hints) = &view.hints {
        shown = shown.hints(hints.clone());
    }
    match view.rules.is_empty() {
        true => shown,
        false => shown.replaced_gradients(),
    }
}

/// What the page calls a preset, and says of it.
fn describe(rules: &str) -> (&str, &'static str) {
    match rules {
        "true" => (
            "True gradient",
            "What the network computes. A max-pool passes the gradient to \
             the one position that held the maximum.",
        ),
        "smooth" => (
            "Smooth max-pooling",
            "Each max-pool passes the gradient to its whole window, \
             the larger values first: that of avg(x²) / avg(|x|).",
        ),
        "smooth-blur" => (
            "Smooth and blurred",
            "As smooth max-pooling, with the gradient below \
             each max-pool blurred lightly against checkerboards.",
        ),
        "guided" => (
            "Guided backpropagation",
            "Each ReLU passes only positive gradients, and only \
             where it was active.",
        ),
        "deconvnet" => (
            "Deconvnet",
            "Each ReLU passes only positive gradients, whether it was \
             active or not.",
        ),
        other => (other, ""),
    }
}
