//! The networks that the program carries, by feature.

use std::fmt;

use crate::ResolveError;
use crate::manifest::{self, Entry};

/// Name of the network that is used where none is named; the feature `inception` carries it.
pub const EMBEDDED: &str = "inception_v1_small";

/// A network that the program carries.
///
/// ```
/// # #[cfg(feature = "inception")] {
/// use elucid_models::{EMBEDDED, Embedded};
///
/// let network = Embedded::find(EMBEDDED)?;
/// assert_eq!(network.name(), "inception_v1_small");
/// assert!(network.bytes().len() < 4_000_000);
/// # }
/// # Ok::<(), elucid_models::ResolveError>(())
/// ```
#[derive(Clone, Copy)]
pub struct Embedded {
    name: &'static str,
    bytes: &'static [u8],
}

impl Embedded {
    /// Those that this build carries.
    pub fn all() -> &'static [Self] {
        &[
            #[cfg(feature = "inception")]
            Self {
                name: "inception_v1_small",
                bytes: include_bytes!("../inception_v1_small.onnx"),
            },
            #[cfg(feature = "squeezenet")]
            Self {
                name: "squeezenet1_1",
                bytes: include_bytes!("../squeezenet1_1.onnx"),
            },
        ]
    }

    /// The one of this name or alias, in upper or lower case.
    ///
    /// # Errors
    /// [`ResolveError::NotCarried`], which names the feature, when the build lacks it, and
    /// [`ResolveError::Unknown`] for a name that no build carries.
    pub fn find(name: &str) -> Result<Self, ResolveError> {
        let unknown = || ResolveError::Unknown {
            asked: name.to_owned(),
            nearest: manifest::nearest(name),
        };
        let entry = manifest::by_name(name).ok_or_else(unknown)?;
        match (Self::of(entry), &entry.feature) {
            (Some(found), _) => Ok(found),
            (None, Some(feature)) => Err(ResolveError::NotCarried {
                name: &entry.name,
                feature,
            }),
            (None, None) => Err(unknown()),
        }
    }

    /// The one that is the file of `entry`, if this build carries it.
    pub(crate) fn of(entry: &Entry) -> Option<Self> {
        let mut all = Self::all().iter();
        all.find(|network| network.name == entry.name).copied()
    }

    /// Name of its manifest entry.
    pub fn name(self) -> &'static str {
        self.name
    }

    /// The ONNX file.
    pub fn bytes(self) -> &'static [u8] {
        self.bytes
    }
}

impl PartialEq for Embedded {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Embedded {}

impl fmt::Debug for Embedded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Embedded").field(&self.name).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_networks_are_the_manifests() {
        for network in Embedded::all() {
            let entry = manifest::by_bytes(network.bytes()).expect("a known file");
            assert_eq!(entry.name, network.name());
            assert_eq!(Embedded::find(&entry.name).unwrap(), *network);
        }
    }

    #[test]
    fn all_together_take_less_than_9_mb() {
        let bytes = Embedded::all().iter().map(|network| network.bytes().len());
        assert!(bytes.sum::<usize>() < 9_000_000);
    }

    #[test]
    fn each_is_there_or_its_feature_is_named() {
        for (name, feature, here) in [
            (EMBEDDED, "inception", cfg!(feature = "inception")),
            ("squeezenet", "squeezenet", cfg!(feature = "squeezenet")),
        ] {
            match Embedded::find(name) {
                Ok(found) => assert!(here, "{found:?}"),
                Err(error) => {
                    assert!(!here, "{error}");
                    assert!(error.to_string().contains(feature), "{error}");
                }
            }
        }
        assert!(Embedded::find("googlenet").is_err());
    }
}
