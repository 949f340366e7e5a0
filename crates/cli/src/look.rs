//! What commands that look at one photograph share: flags, the first steps, and what reports begin with.

use std::borrow::Cow;
use std::path::PathBuf;

use clap::Args;
use elucid::prelude::*;
use elucid::vision::Guess;
use serde::Serialize;

use crate::args::{ModelArgs, RunArgs};
use crate::error::CliError;
use crate::report::{Clock, GuessFacts, ImageFacts, RunFacts, remark};
use crate::session::Session;

/// How many guesses pages and reports show.
pub const GUESSES: usize = 5;

/// A photograph, and the network that looks at it.
#[derive(Debug, Args)]
pub struct LookArgs {
    #[command(flatten)]
    model: ModelArgs,

    #[command(flatten)]
    run: RunArgs,

    /// The photograph: PNG, JPEG, WebP, BMP, GIF or TIFF, or - for one on standard input; or an array: .npy,
    /// FILE.npz:MEMBER
    #[arg(long, value_name = "FILE")]
    pub image: PathBuf,
}

impl LookArgs {
    /// Opens the network, once the file of the photograph is there: before minutes are spent.
    pub fn open(&self) -> Result<(ImageFacts, Session, Clock), CliError> {
        let image = ImageFacts::of(&self.image)?;
        let mut clock = Clock::default();
        let session = clock.time("open the model", || Session::open(&self.run, &self.model))?;
        Ok((image, session, clock))
    }

    /// Reads the photograph.
    pub fn read(&self, session: &Session, clock: &mut Clock) -> Result<Photo, CliError> {
        clock.time("read the photograph", || session.read(&self.image))
    }

    /// What pages call the photograph.
    pub fn file(&self) -> Cow<'_, str> {
        let name = self.image.file_name().unwrap_or(self.image.as_os_str());
        name.to_string_lossy()
    }
}

/// What pages show of a photograph, whatever they are about.
pub struct Seen {
    /// What the network saw.
    pub photo: Picture,
    /// What was done to the photograph that is not usual.
    pub remark: Option<String>,
    /// The best guesses, best first; none where the network has no classes.
    pub guesses: Vec<Guess>,
}

impl Seen {
    pub fn of(photo: &Photo, ranked: Vec<Guess>) -> Result<Self, CliError> {
        Ok(Self {
            photo: Picture::from_image(photo.picture().clone())?,
            remark: remark(photo),
            guesses: ranked.into_iter().take(GUESSES).collect(),
        })
    }
}

/// What reports begin with: which command ran, what it ran, and on which photograph.
#[derive(Debug, Serialize)]
pub struct LookFacts {
    #[serde(flatten)]
    run: RunFacts,
    image: ImageFacts,
    predictions: Vec<GuessFacts>,
}

impl LookFacts {
    pub fn of(command: &'static str, session: &Session, image: ImageFacts, seen: &Seen) -> Self {
        Self {
            run: RunFacts::of(command, session),
            image: ImageFacts {
                remark: seen.remark.clone(),
                ..image
            },
            predictions: GuessFacts::list(&seen.guesses),
        }
    }
}
