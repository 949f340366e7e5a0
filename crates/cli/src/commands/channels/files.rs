//! The files of a run: arrays, pictures, the page.

use elucid::Error;
use elucid::prelude::*;
use elucid::vision::Guess;
use ndarray::Axis;

use super::PAGE;
use super::compute::{Results, View, Work};
use crate::error::CliError;
use crate::output::Files;
use crate::pictures::enlarged;
use crate::report::remarks;

/// The maps of all channels go into the page up to this many numbers, two bytes each in base64;
/// above it those of the channels at the ends.
const MAX_NUMBERS: usize = 4 << 20;

/// Every file but the report.
pub fn of(work: &Work, results: &Results) -> Result<Files, CliError> {
    let mut files = Files::default();
    let page = page(work, results)?.render().map_err(Error::from)?;
    files.add(PAGE, page.into_bytes());
    let photo = enlarged(&results.seen.photo)?;
    files.add("photograph.png", photo.to_png_bytes()?);
    for (channel, icon) in &results.icons {
        if let Some(icon) = icon {
            files.add(format!("icons/channel_{channel}.png"), icon.to_png_bytes()?);
        }
    }
    for view in &results.views {
        let within = match view.folder {
            "" => String::new(),
            folder => format!("{folder}/"),
        };
        files.add_npy(format!("{within}channels.npy"), &view.found.values())?;
        let Ok(maps) = view.found.maps() else {
            continue;
        };
        files.add_npy(format!("{within}maps.npy"), &maps)?;
        for (channel, _) in &results.icons {
            let map = maps.index_axis(Axis(0), *channel);
            let style = MapStyle::of(map.insert_axis(Axis(0)));
            let [_, overlay] = style.draw(&photo, map, Interpolation::Nearest)?;
            let name = format!("{within}channel_{channel}.png");
            files.add(name, overlay.to_png_bytes()?);
        }
    }
    Ok(files)
}

fn page(work: &Work, results: &Results) -> Result<ChannelWidget, CliError> {
    let args = work.args;
    let seen = &results.seen;
    let mut page = ChannelWidget::new(&seen.photo, work.layer.name(), &results.target.name)
        .predictions(seen.guesses.iter().map(Guess::shown))
        .fact("Model", work.session.model.name())
        .fact("Photograph", args.look.file())
        .remarks(remarks(&work.session.model))
        .remarks(&seen.remark)
        .top(usize::from(args.top));
    if let Some(made) = &results.made {
        page = page.fact("Icons", made.to_string());
    }
    page = match &work.sprites {
        Some(sprites) => page.sprites(&sprites.map),
        None => {
            let icons = results.icons.iter();
            page.icons(icons.filter_map(|(channel, icon)| Some((*channel, icon.clone()?))))
        }
    };
    let shown: Vec<usize> = results.icons.iter().map(|(channel, _)| *channel).collect();
    let numbers: usize = results
        .views
        .iter()
        .map(|v| v.found.attribution().len())
        .sum();
    for view in &results.views {
        let (name, description) = describe(view);
        let mut of_method =
            ChannelView::new(name, view.found.values().to_owned()).description(description);
        if let Ok(maps) = view.found.maps() {
            of_method = match numbers <= MAX_NUMBERS {
                true => of_method.maps(maps.to_owned()),
                false => of_method.maps_of(shown.clone(), maps.select(Axis(0), &shown)),
            };
        }
        page = page.view(of_method);
    }
    Ok(page)
}

/// What the page calls a method, and says of it.
fn describe(view: &View) -> (&'static str, String) {
    let (name, said) = match view.found.method() {
        ChannelMethod::Linear => (
            "Linear",
            "Activation times gradient, at the photograph itself.",
        ),
        ChannelMethod::Path { .. } => (
            "Path",
            "Activation times the mean gradient while all channels fade in together.",
        ),
        ChannelMethod::AdaptivePath { .. } => (
            "Adaptive path",
            "Activation times the mean gradient while all channels fade in together, with points \
             where they are needed.",
        ),
        ChannelMethod::StochasticPath { .. } if view.name == "notebook" => (
            "Stochastic path of the notebook",
            "Activation times the mean gradient while channels fade in to two thirds, each \
             strengthened or weakened at random.",
        ),
        ChannelMethod::StochasticPath { .. } => (
            "Stochastic path",
            "Activation times the mean gradient while all channels fade in, each strengthened or \
             weakened at random.",
        ),
    };
    let Completeness { sum, expected } = view.found.completeness();
    let sums = format!(
        "The channels add up to {sum:+.3}; together they change the score by {expected:+.3}."
    );
    (name, format!("{said} {sums}"))
}
