#![doc = include_str!("../README.md")]
#![deny(missing_docs)]

pub mod cache;
#[cfg(feature = "download")]
pub mod download;
mod labels;
pub mod manifest;
pub mod photographs;
pub mod sha256;

pub use cache::{Cache, Found, ResolveError, resolve};
#[cfg(feature = "download")]
pub use download::{Progress, PullError, PullOptions, Stage, pull};
pub use labels::{LabelError, Labels};
pub use manifest::{ChannelOrder, Entry, ParseError, Preprocessing, Resize};

/// SqueezeNet 1.1 as an ONNX file: its manifest entry is `squeezenet1_1`.
///
/// Input `data` `[N, 3, H, W]`; logits `pool10/flatten` `[N, 1000]`.
#[cfg(feature = "embedded")]
pub fn embedded() -> &'static [u8] {
    include_bytes!("../squeezenet1_1.onnx")
}

/// Name of the manifest entry of the network that the feature `embedded` carries.
pub const EMBEDDED: &str = "squeezenet1_1";

/// How alike two lower-case names are, 0 to 1.
fn similarity(a: &str, b: &str) -> f64 {
    strsim::jaro_winkler(a, b)
}

#[cfg(all(test, feature = "embedded"))]
mod tests {
    #[test]
    fn the_embedded_network_is_the_manifests() {
        let entry = crate::manifest::by_bytes(crate::embedded()).expect("a known file");
        assert_eq!(entry.name, crate::EMBEDDED);
        assert_eq!(entry.bytes, crate::embedded().len() as u64);
    }

    #[test]
    fn the_embedded_network_takes_at_most_5_mb() {
        assert!(crate::embedded().len() <= 5_000_000);
    }
}
