//! The files of a run: arrays, pictures, the page.

use elucid::Error;
use elucid::prelude::*;
use elucid::render::{factor_overlay, group_map};
use elucid::vision::Guess;
use ndarray::{Array2, Array4, Axis};

use super::PAGE;
use super::compute::{Division, Results, Work};
use crate::error::CliError;
use crate::output::Files;
use crate::pictures::enlarged;
use crate::report::remarks;

/// Every file but the report.
pub fn of(work: &Work, results: &Results) -> Result<Files, CliError> {
    let mut files = Files::default();
    let page = page(work, results).render().map_err(Error::from)?;
    files.add(PAGE, page.into_bytes());
    let photo = enlarged(&results.seen.photo)?;
    files.add("photograph.png", photo.to_png_bytes()?);
    for division in &results.divisions {
        add(&mut files, division, &photo)?;
    }
    Ok(files)
}

fn add(files: &mut Files, division: &Division, photo: &Picture) -> Result<(), CliError> {
    let within = match division.folder.as_str() {
        "" => String::new(),
        folder => format!("{folder}/"),
    };
    let found = &division.found;
    let factors = found.factors();
    let factors = factors.index_axis(Axis(0), 0);
    files.add_npy(format!("{within}factors.npy"), &factors)?;
    files.add_npy(format!("{within}directions.npy"), &found.directions())?;
    if let Some(offset) = found.offset() {
        files.add_npy(format!("{within}offset.npy"), offset)?;
    }
    if !found.effects().is_empty() {
        files.add_npy(format!("{within}attributions.npy"), &attributions(division))?;
        files.add_npy(format!("{within}effects.npy"), &effects(division))?;
    }
    let smooth = Interpolation::Bilinear;
    let map = group_map(factors, photo.height(), photo.width(), smooth)?;
    files.add(format!("{within}groups.png"), map.to_png_bytes()?);
    for (group, factor) in factors.outer_iter().enumerate() {
        let lit = factor_overlay(photo, factor, smooth)?;
        files.add(format!("{within}group_{group}.png"), lit.to_png_bytes()?);
    }
    for (group, icon) in division.icons.iter().enumerate() {
        files.add(format!("{within}icon_{group}.png"), icon.to_png_bytes()?);
    }
    Ok(())
}

/// What each group adds to each target, `[groups, targets]`.
fn attributions(division: &Division) -> Array2<f32> {
    let effects = division.found.effects();
    Array2::from_shape_fn(
        (division.found.count(), effects.len()),
        |(group, target)| effects[target].values()[[0, group]] as f32,
    )
}

/// What each group adds to each target at each position, `[targets, groups, H, W]`.
fn effects(division: &Division) -> Array4<f32> {
    let effects = division.found.effects();
    let (_, groups, height, width) = division.found.factors().dim();
    Array4::from_shape_fn(
        (effects.len(), groups, height, width),
        |(target, i, y, x)| effects[target].maps()[[0, i, y, x]],
    )
}

fn page(work: &Work, results: &Results) -> GroupWidget {
    let seen = &results.seen;
    let mut page = GroupWidget::new(&seen.photo, work.layer.name())
        .predictions(seen.guesses.iter().map(Guess::shown))
        .fact("Model", work.session.model.name())
        .fact("Photograph", work.args.look.file())
        .remarks(remarks(&work.session.model))
        .remarks(&seen.remark)
        .remarks(results.divisions.iter().filter_map(Division::remark))
        .fact("Groups by", work.args.reducer.to_string());
    if let Some(made) = results.divisions.iter().find_map(|d| d.made.as_ref()) {
        page = page.fact("Icons", made.to_string());
    }
    let names: Vec<String> = results
        .targets
        .iter()
        .map(|target| match &target.classes[..] {
            // In the table the class says it all.
            [class] if target.kind == "logit" => class.label.clone(),
            _ => target.name.clone(),
        })
        .collect();
    for division in &results.divisions {
        page = page.view(view(division, &names));
    }
    page
}

fn view(division: &Division, targets: &[String]) -> GroupView {
    let found = &division.found;
    let effects = found.effects();
    let mut view = GroupView::new(found.factors().index_axis(Axis(0), 0).to_owned())
        .icons(division.icons.iter().cloned())
        .error(found.summary().relative_error as f32);
    if !effects.is_empty() {
        let residual = effects.iter().map(|effects| effects.residual()[0] as f32);
        view = view
            .attributions(targets.iter().cloned(), attributions(division))
            .residual(residual);
    }
    if found.offset().is_some() && !effects.is_empty() {
        view = view.mean(effects.iter().map(|effects| effects.offset()[0] as f32));
    }
    view
}
