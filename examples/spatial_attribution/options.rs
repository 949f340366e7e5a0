//! The arguments of the example: `-- --model M --image I --from L --to L --classes A,B --out DIR`,
//! each with a default.

use std::error::Error;
use std::path::{Path, PathBuf};

use elucid::graph::input::{decode_image, open_image};
use elucid::models::photographs;
use image::DynamicImage;

/// What can be given behind `--`.
pub struct Options {
    pub model: String,
    image: Option<PathBuf>,
    pub from: String,
    pub to: String,
    pub classes: Vec<String>,
    out: Option<PathBuf>,
}

impl Options {
    pub fn from_arguments() -> Result<Self, Box<dyn Error>> {
        let mut options = Self {
            model: "squeezenet1_1".to_owned(),
            image: None,
            from: "fire5/concat".to_owned(),
            to: "fire9/concat".to_owned(),
            classes: Vec::new(),
            out: None,
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(flag) = arguments.next() {
            let value = arguments
                .next()
                .ok_or_else(|| format!("{flag} needs a value"))?;
            match flag.as_str() {
                "--model" => options.model = value,
                "--image" => options.image = Some(value.into()),
                "--from" => options.from = value,
                "--to" => options.to = value,
                "--classes" => options.classes = value.split(',').map(str::to_owned).collect(),
                "--out" => options.out = Some(value.into()),
                _ => return Err(format!("unknown flag {flag}").into()),
            }
        }
        Ok(options)
    }

    /// The photograph asked for, else one that is half cat and half coffee.
    pub fn picture(&self) -> Result<DynamicImage, Box<dyn Error>> {
        Ok(match &self.image {
            Some(path) => open_image(path)?,
            None => decode_image(photographs::cat_and_coffee())?,
        })
    }

    /// A folder that did not exist: the one asked for, or the first free one of
    /// `elucid-output/spatial_attribution`, `elucid-output/spatial_attribution-2` and so on.
    pub fn new_folder(&self) -> std::io::Result<PathBuf> {
        if let Some(folder) = &self.out {
            std::fs::create_dir_all(folder.parent().unwrap_or(Path::new("")))?;
            std::fs::create_dir(folder)?;
            return Ok(folder.clone());
        }
        std::fs::create_dir_all("elucid-output")?;
        let mut folder = PathBuf::from("elucid-output/spatial_attribution");
        let mut number = 2;
        while let Err(error) = std::fs::create_dir(&folder) {
            if error.kind() != std::io::ErrorKind::AlreadyExists {
                return Err(error);
            }
            folder.set_file_name(format!("spatial_attribution-{number}"));
            number += 1;
        }
        Ok(folder)
    }
}
