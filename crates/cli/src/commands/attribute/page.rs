//! The page that compares results.

use elucid::Error;
use elucid::prelude::*;
use elucid::vision::Guess;

use super::compute::{Explained, Results, Work};
use super::run::Run;
use super::{ResultFacts, percent};
use crate::options::PictureArgs;
use crate::report::remarks;

const LEDE: &str = "What in the photograph speaks for the target, by each method.";

/// What the colours mean.
fn colors(pictures: &PictureArgs) -> String {
    let centred = pictures.normalise.map(Normalisation::is_symmetrical);
    let sides = "green speaks for the target and pink against it.";
    match (pictures.colormap, centred) {
        (None, None) => format!("Bright places speak for it; where a map has a sign, {sides}"),
        (None, Some(true)) => format!("The colours have two sides: {sides}"),
        (None, Some(false)) => "The more a place speaks for it, the brighter it is.".to_owned(),
        (Some(colors), centred) => {
            let zero = match centred {
                None => {
                    "; zero is in their middle where a map has a sign or the colours have two sides"
                }
                Some(true) => "; zero is in their middle",
                Some(false) if colors.is_diverging() => "; zero is not in their middle",
                Some(false) => "",
            };
            format!("The colours are {colors}, from the least evidence to the most{zero}.")
        }
    }
}

/// Where the colours end.
fn ends(scale: Option<Normalisation>) -> String {
    let of_each = match scale {
        None => "end at the 99th percentile of its own map".to_owned(),
        Some(Normalisation::MinMax) => "go from the smallest number of its own map to the largest".to_owned(),
        Some(Normalisation::MaxAbs) => "end at the largest number of its own map, without its sign".to_owned(),
        Some(Normalisation::Positive) => {
            "go from zero, which stands for all that speaks against it, too, to the largest number of its own map".to_owned()
        }
        Some(Normalisation::Percentile(p)) => format!(
            "go from zero, which stands for all that speaks against it, too, to percentile {p} of its own map"
        ),
        Some(Normalisation::PercentileAbs(p)) => {
            format!("end at percentile {p} of its own map, without the signs")
        }
        Some(Normalisation::Range { low, high }) => {
            return format!("The colours of every picture go from {low} to {high}, so pictures of one method compare amounts, too.");
        }
    };
    format!("The colours of each picture {of_each}, so pictures compare places, not amounts.")
}

/// The comparison: a section for each photograph.
pub fn of(work: &Work<'_>, results: &Results) -> Result<Gallery, Error> {
    let pictures = &work.args.pictures;
    let (colors, ends) = (colors(pictures), ends(pictures.normalise));
    let mut page = Gallery::new("Attribution")
        .text(format!("{LEDE} {colors} {ends}"))
        .fact("Model", work.session.model.name())
        .remarks(remarks(&work.session.model));
    let note = work
        .photos
        .first()
        .and_then(|photo| photo.target.note.as_ref());
    page = page.remarks(note);
    // Of several photographs it has to be said which.
    let several = work.photos.len() > 1;
    page = page.remarks(work.photos.iter().filter_map(|photo| {
        let remark = photo.facts.remark.as_ref()?;
        Some(match several {
            true => format!("{}: {remark}", photo.name),
            false => remark.clone(),
        })
    }));
    let skipped = work.skipped.iter();
    page = page.remarks(skipped.map(|skipped| format!("{} could not be read", skipped.file)));
    if let [photo] = &work.photos[..] {
        let guesses = photo.guesses.iter();
        page = page.predictions(guesses.map(Guess::shown));
    }
    if work.args.maps.smooth > 0.0 {
        page = page.fact(
            "Smoothed by",
            format!("{} of the side", work.args.maps.smooth),
        );
    }
    for (i, photo) in work.photos.iter().enumerate() {
        let figures = |run: usize| {
            let shown = results.shown.iter().find(|s| s.run == run && s.photo == i);
            match (shown, results.failures.iter().find(|f| f.run == run)) {
                (Some(shown), _) => figure(
                    &results.facts[shown.facts],
                    shown.overlay.as_ref(),
                    &photo.name,
                ),
                (None, Some(failure)) => Figure::absent(&failure.message),
                (None, None) => Figure::absent("no result"),
            }
        };
        let marked = photo.marked(&photo.picture)?;
        page = page.section(section(work, photo, &marked, figures));
    }
    Ok(page)
}

/// The photograph and its figures: a table where several layers were asked for.
fn section(
    work: &Work<'_>,
    photo: &Explained,
    marked: &Picture,
    figure: impl Fn(usize) -> Figure,
) -> GallerySection {
    let mut alt = format!("The photograph {} as the network saw it", photo.name);
    let mut caption = "Photograph";
    if photo.place.is_some() {
        alt.push_str(", with a line around what is explained");
        caption = "Photograph; the line is around what is explained";
    }
    let mut section = GallerySection::new(&photo.name)
        .text(text(work, photo))
        .figure(Figure::new(marked, alt).caption(caption));
    // Those that were asked for, without second names of one layer.
    let mut layers: Vec<&str> = Vec::new();
    for layer in work.runs.iter().filter_map(|run| run.layer.as_deref()) {
        if !layers.contains(&layer) {
            layers.push(layer);
        }
    }
    let is_table = layers.len() > 1;
    for (i, run) in work.runs.iter().enumerate() {
        if !is_table || run.layer.is_none() {
            let full = full_name(work, run);
            section = section.figure(figure(i).caption(run.method.title).detail(full));
        }
    }
    if is_table {
        section = section.columns(layers.iter().copied());
        for method in &work.args.method.0 {
            let row: Vec<Figure> = (work.runs.iter().enumerate())
                .filter(|(_, run)| run.method.name == method.name && run.layer.is_some())
                .map(|(i, _)| figure(i))
                .collect();
            if !row.is_empty() {
                section = section.row(method.title, row);
            }
        }
    }
    section
}

/// The layers' full names, or what was asked for where there is no such layer.
fn full_name(work: &Work<'_>, run: &Run) -> String {
    let full = |layer: &&str| {
        let found = Network::layer(&work.session.model, layer);
        found.unwrap_or_else(|_| (*layer).to_owned())
    };
    let names: Vec<String> = run.layers().iter().map(full).collect();
    names.join(" and ")
}

fn text(work: &Work<'_>, photo: &Explained) -> String {
    let explained = format!("Explained: the {}.", photo.target.name);
    if work.photos.len() == 1 {
        return explained;
    }
    let guesses: Vec<String> = photo
        .guesses
        .iter()
        .take(3)
        .map(|g| match g.shown() {
            (label, Some(probability)) => format!("{label} {:.1}\u{a0}%", 100.0 * probability),
            (label, None) => label,
        })
        .collect();
    if guesses.is_empty() {
        return explained;
    }
    format!("{explained} The network sees {}.", guesses.join(", "))
}

fn figure(facts: &ResultFacts, overlay: Option<&Picture>, photo: &str) -> Figure {
    let layer = &facts.layer.name;
    let mut figure = match overlay {
        Some(overlay) => Figure::new(
            overlay,
            format!(
                "{} of the {} at {layer}, over the photograph {photo}",
                facts.title, facts.target
            ),
        ),
        None => Figure::absent(format!("{layer} has no positions, so there is no map.")),
    };
    if let Some(why) = facts.map.as_ref().and_then(|map| map.why_blank.as_ref()) {
        figure = figure.number("blank", why);
    }
    if facts.rules != Rules::new().name() {
        figure = figure.number("gradients", &facts.rules);
    }
    figure = figure.number("score", format!("{:.3}", facts.score));
    if let Some(completeness) = &facts.completeness {
        figure = figure.number("completeness error", percent(completeness.error));
    }
    figure = figure.number("evaluations", facts.evaluations.to_string());
    for remark in &facts.remarks {
        figure = figure.number("remark", remark);
    }
    match facts.tolerance_met {
        Some(false) => figure.number("tolerance", "not met"),
        _ => figure,
    }
}
