//! What the examples share: arguments of the form `--name value`, and where results go; and what the
//! studies among them compute, which tests look at too, and what networks among them learn from.

pub mod cascade;
pub mod combine;
pub mod shapes;
pub mod study;

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{IsTerminal, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use elucid::models::EMBEDDED;
use elucid::prelude::*;
use elucid::vision::Scores;
use elucid::vision::input::{decode_image, open_image};
use image::DynamicImage;
use ndarray::{ArrayView2, Axis};

/// Arguments with their defaults.
pub struct Arguments {
    example: &'static str,
    values: BTreeMap<String, String>,
}

impl Arguments {
    /// Reads the command line. `taken` names the arguments of the example with their defaults, as in `layer top=4`; without one
    /// the model is the embedded one and all else is empty. All examples also take `--image` and `--out`.
    pub fn read(example: &'static str, taken: &str) -> Result<Self, Box<dyn Error>> {
        let taken = ["image", "out"].into_iter().chain(taken.split(' '));
        let mut values: BTreeMap<String, String> = taken
            .filter(|argument| !argument.is_empty())
            .map(|argument| match argument.split_once('=') {
                Some(named) => named,
                None if argument == "model" => (argument, EMBEDDED),
                None => (argument, ""),
            })
            .map(|(name, default)| (name.to_owned(), default.to_owned()))
            .collect();
        let mut arguments = std::env::args().skip(1);
        while let Some(flag) = arguments.next() {
            let known: Vec<String> = values.keys().map(|name| format!("--{name}")).collect();
            let slot = flag
                .strip_prefix("--")
                .and_then(|name| values.get_mut(name))
                .ok_or_else(|| format!("unknown flag {flag}; there are {}", known.join(", ")))?;
            *slot = arguments
                .next()
                .ok_or_else(|| format!("{flag} needs a value"))?;
        }
        Ok(Self { example, values })
    }

    /// An argument, or its default.
    pub fn get(&self, name: &str) -> &str {
        self.values.get(name).map_or("", String::as_str)
    }

    /// An argument's items, between commas.
    pub fn list(&self, name: &str) -> Vec<&str> {
        let items = self.get(name).split(',').map(str::trim);
        items.filter(|item| !item.is_empty()).collect()
    }

    /// The photograph asked for, else one that the library carries.
    pub fn picture(&self, default: &[u8]) -> Result<DynamicImage, Box<dyn Error>> {
        Ok(match self.get("image") {
            "" => decode_image(default)?,
            path => open_image(path)?,
        })
    }

    /// The layer that an argument asks for, else the first of these that the network has, else the one
    /// where its convolutional features end.
    pub fn layer(
        &self,
        argument: &str,
        model: &Model,
        defaults: &[&str],
    ) -> Result<String, Box<dyn Error>> {
        Ok(match self.get(argument) {
            "" => defaults
                .iter()
                .find_map(|name| model.layer(name).ok())
                .map_or_else(
                    || Network::layer(model, FEATURES),
                    |layer| Ok(layer.name().to_owned()),
                )?,
            name => model.layer(name)?.name().to_owned(),
        })
    }

    /// The classes that an argument asks for, else the two best guesses.
    pub fn classes(
        &self,
        argument: &str,
        model: &Model,
        scores: &Scores,
    ) -> Result<Vec<usize>, Box<dyn Error>> {
        Ok(match self.list(argument).as_slice() {
            [] => scores.top(2).iter().map(|guess| guess.index).collect(),
            names => names
                .iter()
                .map(|name| model.class(name))
                .collect::<Result<_, _>>()?,
        })
    }

    /// A folder that did not exist: the one asked for, or the first free one of
    /// `elucid-output/EXAMPLE`, `elucid-output/EXAMPLE-2` and so on.
    pub fn new_folder(&self) -> std::io::Result<PathBuf> {
        let asked = self.get("out");
        if !asked.is_empty() {
            let folder = PathBuf::from(asked);
            std::fs::create_dir_all(folder.parent().unwrap_or(Path::new("")))?;
            std::fs::create_dir(&folder)?;
            return Ok(folder);
        }
        std::fs::create_dir_all("elucid-output")?;
        let mut folder = PathBuf::from("elucid-output").join(self.example);
        let mut number = 2;
        while let Err(error) = std::fs::create_dir(&folder) {
            if error.kind() != std::io::ErrorKind::AlreadyExists {
                return Err(error);
            }
            folder.set_file_name(format!("{}-{number}", self.example));
            number += 1;
        }
        Ok(folder)
    }

    /// Saves a page of one section as [`save`](Arguments::save) does.
    pub fn save_section(
        &self,
        title: &str,
        text: &str,
        section: GallerySection,
    ) -> Result<(), Box<dyn Error>> {
        self.save(&Gallery::new(title).text(text).section(section))
    }

    /// Saves a page as `EXAMPLE.html` in the new folder, and says where it is.
    pub fn save(&self, page: &Gallery) -> Result<(), Box<dyn Error>> {
        let path = self.new_folder()?.join(format!("{}.html", self.example));
        page.save(&path)?;
        println!("open {}", path.display());
        Ok(())
    }
}

/// A callback that writes to the terminal, if there is one, how far long work has come.
pub fn percentage(of: &'static str) -> impl FnMut(Progress) -> ControlFlow<()> + Send {
    let seen = std::io::stderr().is_terminal();
    let mut shown = None;
    move |progress| {
        let percent = 100 * progress.done / progress.total.max(1);
        if seen && shown.replace(percent) != Some(percent) {
            eprint!("\r{of}: {percent:3} %");
            if percent == 100 {
                eprintln!();
            }
            // Whether anybody sees it makes no difference to the work.
            let _ = std::io::stderr().flush();
        }
        progress.continue_()
    }
}

/// A map over the photograph, in the colours that suit it.
pub fn over(seen: &Picture, map: ArrayView2<'_, f32>) -> Result<Picture, Box<dyn Error>> {
    let style = MapStyle::of(map.insert_axis(Axis(0)));
    let [_, overlay] = style.draw(seen, map, Interpolation::Bilinear)?;
    Ok(overlay)
}

/// What was optimised, as pictures.
pub fn pictures(icons: &Visualisation) -> Result<Vec<Picture>, Box<dyn Error>> {
    let picture = icons.all_bytes().map(|icon| Picture::from_rgb(icon.view()));
    Ok(picture.collect::<Result<_, _>>()?)
}

/// An example's exit code; its error goes to standard error.
pub fn exit(result: Result<(), Box<dyn Error>>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
