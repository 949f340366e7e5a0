//! From what a user types to a model file on this machine.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::embedded::Embedded;
use crate::manifest::{self, Entry};

/// Environment variable that overrides the cache folder.
pub const FOLDER_VARIABLE: &str = "ELUCID_MODELS";
/// Environment variable that names a folder whose `models/` is searched too.
pub const ASSETS_VARIABLE: &str = "ELUCID_ASSETS";

/// A model that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A file.
    File(PathBuf),
    /// A network that the program carries.
    Embedded(Embedded),
}

/// Why no model was found.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// A known model that is not on this machine, and can be downloaded.
    #[error(
        "the model {name} is not on this machine ({}): pull(\"{name}\") downloads it",
        megabytes(*.bytes)
    )]
    NotPulled {
        /// Its name in the manifest.
        name: &'static str,
        /// Its size, in bytes.
        bytes: u64,
    },
    /// A known model that is not on this machine and hosted nowhere.
    #[error(
        "the model {name} is not on this machine and cannot be downloaded; looked for {}",
        paths(.looked)
    )]
    NotHosted {
        /// Its name in the manifest.
        name: &'static str,
        /// The files that would have been taken.
        looked: Vec<PathBuf>,
    },
    /// A network that this build could carry and does not, and that is not on this machine.
    #[error("the model {name} is not part of this build: its feature `{feature}` carries it")]
    NotCarried {
        /// Its name in the manifest.
        name: &'static str,
        /// The feature, of every crate down to this one.
        feature: &'static str,
    },
    /// A file in the cache is not the one that was downloaded.
    #[error(
        "{} has {got} bytes instead of {expected}: pull(\"{name}\") downloads it anew",
        path.display()
    )]
    Damaged {
        /// The model's name in the manifest.
        name: &'static str,
        /// The file.
        path: PathBuf,
        /// Its size according to the manifest, in bytes.
        expected: u64,
        /// Its actual size, in bytes.
        got: u64,
    },
    /// Neither a file nor a known model.
    #[error("there is no file {asked:?} and no model of that name{}", meant(.nearest))]
    Unknown {
        /// What was asked for.
        asked: String,
        /// Names of known models that are near to it; may be empty.
        nearest: Vec<&'static str>,
    },
    /// A folder was given.
    #[error("{} is a folder; give the .onnx file in it", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
    },
    /// The platform says nothing about where a cache belongs.
    #[error("this system names no cache folder; set {FOLDER_VARIABLE} to the folder to use")]
    NoCacheFolder,
}

fn megabytes(bytes: u64) -> String {
    format!("{:.0} MB", bytes as f64 / 1e6)
}

fn paths(paths: &[PathBuf]) -> String {
    let paths: Vec<String> = paths.iter().map(|p| p.display().to_string()).collect();
    paths.join(", ")
}

fn meant(nearest: &[&str]) -> String {
    if nearest.is_empty() {
        "; the manifest lists the names".to_owned()
    } else {
        format!("; the nearest are {}", nearest.join(", "))
    }
}

/// The folders in which models are looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cache {
    folder: PathBuf,
    assets: Vec<PathBuf>,
}

impl Cache {
    /// A cache in `folder`, which need not exist yet, and nothing else.
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            assets: Vec::new(),
        }
    }

    /// Also looks in `folder`, after the cache and after the folders given before.
    pub fn or_in(mut self, folder: impl Into<PathBuf>) -> Self {
        self.assets.push(folder.into());
        self
    }

    /// The cache of this user: the folder `ELUCID_MODELS`, else the platform's cache folder;
    /// then, where it is set, `models/` in the folder `ELUCID_ASSETS`. No folder is looked in that
    /// nobody named.
    ///
    /// # Errors
    /// [`ResolveError::NoCacheFolder`] when the variable is not set and the platform has no
    /// such folder.
    pub fn from_env() -> Result<Self, ResolveError> {
        Self::from_variables(
            std::env::var_os(FOLDER_VARIABLE),
            std::env::var_os(ASSETS_VARIABLE),
        )
    }

    fn from_variables(
        folder: Option<OsString>,
        assets: Option<OsString>,
    ) -> Result<Self, ResolveError> {
        let given = |value: Option<OsString>| value.filter(|v| !v.is_empty()).map(PathBuf::from);
        let folder = given(folder)
            .or_else(|| {
                directories::ProjectDirs::from("", "", "elucid")
                    .map(|dirs| dirs.cache_dir().join("models"))
            })
            .ok_or(ResolveError::NoCacheFolder)?;
        let mut cache = Self::at(folder);
        if let Some(assets) = given(assets) {
            cache = cache.or_in(assets.join("models"));
        }
        Ok(cache)
    }

    /// The folder that downloads go to.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where the file of `entry` belongs, whether or not it is there.
    pub fn path_of(&self, entry: &Entry) -> PathBuf {
        self.folder.join(&entry.file)
    }

    /// Whether the file of `entry` is in the cache with the right size. (The hash is verified
    /// when it is downloaded.)
    pub fn holds(&self, entry: &Entry) -> bool {
        size_of_file(&self.path_of(entry)) == Some(entry.bytes)
    }

    /// The model that `name_or_path` means: the file of that path; else the known model of that
    /// name, embedded, in the cache, or in one of the other folders, there also under the file
    /// name `NAME.onnx`.
    ///
    /// # Errors
    /// A [`ResolveError`] that says what to type instead.
    pub fn resolve(&self, name_or_path: &str) -> Result<Found, ResolveError> {
        if let Some(found) = existing_file(name_or_path) {
            return Ok(found);
        }
        if let Some(entry) = manifest::by_name(name_or_path) {
            return self.find(entry, name_or_path);
        }
        if Path::new(name_or_path).is_dir() {
            return Err(ResolveError::Folder {
                path: name_or_path.into(),
            });
        }
        Err(ResolveError::Unknown {
            asked: name_or_path.to_owned(),
            nearest: manifest::nearest(name_or_path.trim_end_matches(".onnx")),
        })
    }

    fn find(&self, entry: &'static Entry, asked: &str) -> Result<Found, ResolveError> {
        if let Some(embedded) = Embedded::of(entry) {
            return Ok(Found::Embedded(embedded));
        }
        let cached = self.path_of(entry);
        match size_of_file(&cached) {
            Some(size) if size == entry.bytes => return Ok(Found::File(cached)),
            Some(got) => {
                return Err(ResolveError::Damaged {
                    name: &entry.name,
                    path: cached,
                    expected: entry.bytes,
                    got,
                });
            }
            None => {}
        }
        let mut looked = vec![cached];
        for folder in &self.assets {
            // The same network may lie there in another file: "googlenet" is content with
            // googlenet.onnx, "googlenet-12" is not.
            for file in [entry.file.clone(), format!("{}.onnx", asked.to_lowercase())] {
                let path = folder.join(file);
                if path.is_file() {
                    return Ok(Found::File(path));
                }
                if !looked.contains(&path) {
                    looked.push(path);
                }
            }
        }
        if entry.is_hosted() {
            Err(ResolveError::NotPulled {
                name: &entry.name,
                bytes: entry.bytes,
            })
        } else if let Some(feature) = &entry.feature {
            Err(ResolveError::NotCarried {
                name: &entry.name,
                feature,
            })
        } else {
            Err(ResolveError::NotHosted {
                name: &entry.name,
                looked,
            })
        }
    }
}

/// [`Cache::resolve`] in the cache of this user. An existing file and an embedded network are found
/// even where there is no cache folder.
///
/// # Errors
/// A [`ResolveError`] that says what to type instead.
pub fn resolve(name_or_path: &str) -> Result<Found, ResolveError> {
    let embedded = || manifest::by_name(name_or_path).and_then(Embedded::of);
    match existing_file(name_or_path).or_else(|| embedded().map(Found::Embedded)) {
        Some(found) => Ok(found),
        None => Cache::from_env()?.resolve(name_or_path),
    }
}

fn existing_file(path: &str) -> Option<Found> {
    let path = Path::new(path);
    path.is_file().then(|| Found::File(path.to_owned()))
}

fn size_of_file(path: &Path) -> Option<u64> {
    let metadata = std::fs::metadata(path).ok()?;
    metadata.is_file().then_some(metadata.len())
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use super::*;

    fn sparse(path: &Path, bytes: u64) {
        File::create(path).unwrap().set_len(bytes).unwrap();
    }

    #[test]
    fn an_existing_file_is_itself() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.onnx");
        fs::write(&path, "x").unwrap();
        let found = Cache::at(folder.path().join("none"))
            .resolve(path.to_str().unwrap())
            .unwrap();
        assert_eq!(found, Found::File(path));
    }

    #[test]
    fn a_name_is_found_in_the_cache_then_in_the_assets() {
        let folder = tempfile::tempdir().unwrap();
        let (cached, assets) = (folder.path().join("cache"), folder.path().join("assets"));
        fs::create_dir(&cached).unwrap();
        fs::create_dir(&assets).unwrap();
        let cache = Cache::at(&cached).or_in(&assets);

        let error = cache.resolve("googlenet").unwrap_err();
        assert_eq!(
            error.to_string(),
            "the model googlenet-12 is not on this machine (28 MB): pull(\"googlenet-12\") downloads it"
        );

        let other = assets.join("googlenet.onnx");
        fs::write(&other, "another file of the network").unwrap();
        assert_eq!(
            cache.resolve("GoogLeNet").unwrap(),
            Found::File(other.clone())
        );
        assert!(cache.resolve("googlenet-12").is_err());

        let entry = manifest::by_name("googlenet").unwrap();
        let pulled = cache.path_of(entry);
        sparse(&pulled, 5);
        let error = cache.resolve("googlenet").unwrap_err();
        assert!(error.to_string().contains("5 bytes instead of"), "{error}");
        assert!(!cache.holds(entry));
        sparse(&pulled, entry.bytes);
        assert_eq!(cache.resolve("googlenet").unwrap(), Found::File(pulled));
        assert!(cache.holds(entry));
    }

    #[test]
    fn a_miss_says_what_would_be_right() {
        let cache = Cache::at("/nonexistent");
        let error = cache.resolve("googlnet").unwrap_err().to_string();
        assert!(error.contains("googlenet-12"), "{error}");
        let error = cache.resolve("xyzzy").unwrap_err().to_string();
        assert!(error.contains("the manifest lists the names"), "{error}");
        let error = cache.resolve("efficientnet-lite0").unwrap_err().to_string();
        assert!(error.contains("cannot be downloaded"), "{error}");
        let folder = tempfile::tempdir().unwrap();
        let error = cache.resolve(folder.path().to_str().unwrap()).unwrap_err();
        assert!(matches!(error, ResolveError::Folder { .. }), "{error}");
        assert!(cache.resolve("").is_err());
        assert!(cache.resolve("a\0b").is_err());
    }

    #[test]
    fn networks_are_carried_as_the_features_say() {
        let cache = Cache::at("/nonexistent");
        for (asked, name, here) in [
            (
                "inception-small",
                "inception_v1_small",
                cfg!(feature = "inception"),
            ),
            ("squeezenet", "squeezenet1_1", cfg!(feature = "squeezenet")),
        ] {
            match cache.resolve(asked) {
                Ok(Found::Embedded(found)) => assert!(here && found.name() == name),
                Err(error @ ResolveError::NotCarried { .. }) => {
                    assert!(!here && error.to_string().contains("feature"), "{error}");
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn the_environment_overrides_the_platform() {
        let cache = Cache::from_variables(Some("/m".into()), Some("/assets".into())).unwrap();
        assert_eq!(cache.folder(), Path::new("/m"));
        assert_eq!(cache.assets, [PathBuf::from("/assets/models")]);
        // An empty variable is as good as none.
        if let Ok(cache) = Cache::from_variables(Some("".into()), None) {
            assert!(cache.assets.is_empty());
            assert!(cache.folder().ends_with("models") || cache.folder().is_absolute());
        }
    }
}
