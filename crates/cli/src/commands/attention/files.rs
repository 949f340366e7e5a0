//! The files of a run: arrays, pictures, the page.

use elucid::Error;
use elucid::prelude::*;
use elucid::render::{AttentionMethod, AttentionView};
use elucid::vision::Guess;
use ndarray::{ArrayView2, Axis};

use super::PAGE;
use super::blocks::Shown;
use super::compute::{Found, Results, Work};
use crate::error::CliError;
use crate::names;
use crate::output::Files;
use crate::pictures::enlarged;
use crate::report::remarks;
use crate::target::TargetFacts;

/// Every file but the report, and whether the page has all heads.
pub fn of(work: &Work<'_>, results: &Results) -> Result<(Files, bool), CliError> {
    let mut files = Files::default();
    let page = page(work, results).heads_that_fit();
    files.add(PAGE, page.render().map_err(Error::from)?.into_bytes());
    let has_heads = page.has_heads();
    if !has_heads {
        work.session.console.note(
            "note: all heads would make the page too large: it has their mean only (--page-limit, --blocks)",
        );
    }
    let photo = enlarged(&results.seen.photo)?;
    files.add("photograph.png", photo.to_png_bytes()?);
    for shown in &results.blocks {
        files.add_npy(format!("attention_{}.npy", shown.number), &shown.weights)?;
    }
    let slugs = slugs(&results.targets);
    for found in &results.methods {
        for (k, map) in found.maps.outer_iter().enumerate() {
            let name = match (found.is_by_target(), slugs.get(k)) {
                (true, Some(slug)) => format!("{}_{slug}", found.name),
                _ => found.name.to_owned(),
            };
            files.add(format!("{name}.png"), picture(&photo, map)?.to_png_bytes()?);
            files.add_npy(format!("{name}.npy"), &map)?;
            if let Some(rows) = &found.rows {
                let rows = rows.index_axis(Axis(0), k);
                files.add_npy(format!("{name}_tokens.npy"), &rows)?;
            }
        }
    }
    Ok((files, has_heads))
}

/// The map of the patches over the photograph.
fn picture(photo: &Picture, map: ArrayView2<'_, f32>) -> Result<Picture, Error> {
    let style = MapStyle::of(map.insert_axis(Axis(0)));
    let [_, overlay] = style.draw(photo, map, Interpolation::Nearest)?;
    Ok(overlay)
}

/// Parts of file names, no two the same.
fn slugs(targets: &[TargetFacts]) -> Vec<String> {
    let mut taken = Vec::with_capacity(targets.len());
    for target in targets {
        let name = names::unique([label(target)], &taken);
        taken.push(name);
    }
    taken
}

/// What the page calls a target: of a class, its name says it all.
fn label(target: &TargetFacts) -> &str {
    match &target.classes[..] {
        [class] if target.kind == "logit" => &class.label,
        _ => &target.name,
    }
}

fn page(work: &Work<'_>, results: &Results) -> AttentionWidget {
    let model = &work.session.model;
    let seen = &results.seen;
    let page = AttentionWidget::new(&seen.photo, results.tokens.grid)
        .prefix(prefix(results.tokens.prefix))
        .classes(results.targets.iter().map(label))
        .max_bytes(work.args.page_limit())
        .predictions(seen.guesses.iter().map(Guess::shown))
        .fact("Model", model.name())
        .fact("Photograph", work.args.look.file())
        .remarks(remarks(model))
        .remarks(&seen.remark);
    let page = results.left_out.iter().fold(page, |page, left| {
        page.fact("Note", format!("without {}: {}", left.name, left.reason))
    });
    let page = results
        .blocks
        .iter()
        .map(view)
        .fold(page, AttentionWidget::view);
    let methods = results.methods.iter().filter_map(method);
    methods.fold(page, AttentionWidget::method)
}

/// What tokens in front of the patches are called: the first is the one that is trained for the class, as far as
/// there is a convention.
fn prefix(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|token| match token {
        0 => "class token".to_owned(),
        token => format!("token {token}"),
    })
}

fn view(shown: &Shown) -> AttentionView {
    let name = match shown.block.module() {
        "" => shown.block.name(),
        module => module,
    };
    AttentionView::new(name, shown.weights.clone()).number(shown.number)
}

/// What the page says of a method; nothing of what its blocks show.
fn method(found: &Found) -> Option<AttentionMethod> {
    let maps = || found.maps.clone();
    Some(match (found.name, found.rows.clone()) {
        ("attention-rollout", Some(rows)) => AttentionMethod::rows(
            "Attention rollout",
            rows.index_axis_move(Axis(0), 0),
        )
        .description(
            "The mean over heads and the residual connections, multiplied through all blocks.",
        ),
        ("chefer", rows) => match rows {
            Some(rows) => AttentionMethod::rows_by_class("Chefer", rows),
            None => AttentionMethod::maps_by_class("Chefer", maps()),
        }
        .description("Each weight by its gradient for the class, multiplied through all blocks."),
        ("lrp", _) => AttentionMethod::maps_by_class("Relevance", maps())
            .description("AttnLRP: the score handed down to the pixels, added up in each patch."),
        _ => return None,
    })
}
