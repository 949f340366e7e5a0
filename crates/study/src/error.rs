//! What can go wrong in a study. What goes wrong with one image is no error of the study: it is
//! [`Value::Failed`](crate::Value::Failed).

use std::io;
use std::path::{Path, PathBuf};

use elucid_attribution::AttributionError;
use elucid_metrics::MetricError;
use elucid_vision::ModelError;
use elucid_vision::input::InputError;

/// An error from a study.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StudyError {
    /// A method that cannot be made or does not fit the network.
    #[error(transparent)]
    Attribution(#[from] AttributionError),
    /// A metric that cannot be made, or a sum that cannot be taken.
    #[error(transparent)]
    Metric(#[from] MetricError),
    /// The network, or a class that it does not have.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Pictures that cannot be put together.
    #[error(transparent)]
    Input(#[from] InputError),
    /// A file or a folder.
    #[error("cannot {attempt} {}: {source}", path.display())]
    File {
        /// `read` or `write`.
        attempt: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A list of images, or a folder of them, that cannot be understood.
    #[error("{0}")]
    Data(String),
    /// An archive of images that is none, or is cut short.
    #[error("the archive {}: {reason}", archive.display())]
    Archive {
        /// The archive.
        archive: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// An entry in a list of methods or metrics that cannot be understood.
    #[error("{0}")]
    Entry(String),
    /// A file of a study that does not hold what was written.
    #[error("{}, line {line}: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// A file that is not the one that was written.
    #[error("{} is not the file that was written", .0.display())]
    Altered(PathBuf),
    /// A map that cannot be measured, or a file of maps that holds something else.
    #[error("{}: {reason}", file.display())]
    Map {
        /// The file.
        file: PathBuf,
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// A file of curves that holds something else.
    #[error("{}: {reason}", file.display())]
    Curve {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Curves are to be kept, and no metric is made of any.
    #[error("none of the metrics is made of curves that could be kept; these are: {0}")]
    NoCurves(String),
    /// Images of which another program's maps have none.
    #[error(
        "{name}: {missing} of {of} images have no map in {}: {images}",
        folder.display()
    )]
    MissingMaps {
        /// What the maps are called.
        name: String,
        /// Where they were looked for.
        folder: PathBuf,
        /// How many images have none.
        missing: usize,
        /// Of how many.
        of: usize,
        /// The first of them, with the files that would be theirs.
        images: String,
    },
    /// Images without a mask, where masks are given.
    #[error(
        "{missing} of {of} images have no mask in {}: {images}",
        folder.display()
    )]
    MissingMasks {
        /// Where they were looked for.
        folder: PathBuf,
        /// How many images have none.
        missing: usize,
        /// Of how many.
        of: usize,
        /// The first of them, with the files that would be theirs.
        images: String,
    },
    /// A file that is no mask.
    #[error("the mask {file}: {reason}")]
    Mask {
        /// The file.
        file: String,
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// A mask of another size than its picture.
    #[error(
        "the mask {file} has {} x {} pixels and its picture {} x {} (width, height)",
        mask[0], mask[1], picture[0], picture[1]
    )]
    MaskSize {
        /// The file.
        file: String,
        /// Width and height of the mask.
        mask: [u32; 2],
        /// Those of the picture.
        picture: [u32; 2],
    },
    /// Nothing is to be measured.
    #[error("{0}")]
    Empty(String),
    /// The folder holds something.
    #[error(
        "the folder {} is not empty; give another one, or Begin::resume to go on with what ended early, \
         or to help where somebody works",
        .0.display()
    )]
    Occupied(PathBuf),
    /// The folder holds something else.
    #[error("{} holds something, but no {what}: it has no settings.json", folder.display())]
    NoStudy {
        /// The folder.
        folder: PathBuf,
        /// What it was taken for.
        what: &'static str,
    },
    /// The folder was written by another version.
    #[error(
        "{} was written by {} version of this program: its results have no journal that could be gone \
         on with or merged; give another folder, or use the version that made it",
        folder.display(),
        if *newer { "a later" } else { "an earlier" }
    )]
    Schema {
        /// The folder.
        folder: PathBuf,
        /// Whether a later version wrote it.
        newer: bool,
    },
    /// The folder's study is another one.
    #[error("{} was begun with other settings: {difference}; give another folder", folder.display())]
    Settings {
        /// The folder.
        folder: PathBuf,
        /// The first setting that differs, with both values.
        difference: String,
    },
    /// Results of another device, precision or build, whose numbers may differ.
    #[error(
        "{}: {difference}, so that results may differ; Begin::allow_mixed takes them together all \
         the same, and the results say so",
        folder.display()
    )]
    Mixed {
        /// The folder.
        folder: PathBuf,
        /// What differs, with both values.
        difference: String,
    },
    /// Two methods or two metrics of one name, whose results nobody could tell apart.
    #[error(
        "there are two {what}s called {name}; names tell results apart, so that each may be there once"
    )]
    Repeated {
        /// `method` or `metric`. The baselines count as methods.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A folder in whose place no merge may be put, because it holds what cannot be made again from others.
    #[error(
        "{} {reason}: a merge in its place would destroy what was measured; give another folder",
        folder.display()
    )]
    Protected {
        /// The folder.
        folder: PathBuf,
        /// What it holds.
        reason: &'static str,
    },
    /// Folders that do not belong together.
    #[error("{0}")]
    Merge(String),
}

impl StudyError {
    pub(crate) fn file(attempt: &'static str, path: &Path) -> impl Fn(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File {
            attempt,
            path: path.clone(),
            source,
        }
    }
}
