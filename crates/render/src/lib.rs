#![doc = include_str!("lib.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod attention;
mod builders;
pub mod channel;
pub mod colormap;
mod drawing;
mod error;
pub mod file;
pub mod gallery;
pub mod groups;
pub mod normalise;
mod page;
pub mod picture;
pub mod plate;
pub mod plot;
pub mod resample;
pub mod sheet;
pub mod spatial;
pub mod sprites;
pub mod style;

pub use attention::{AttentionMethod, AttentionView, AttentionWidget};
pub use channel::{ChannelView, ChannelWidget, top_and_bottom};
pub use colormap::{ColorMap, orange_blue};
pub use error::RenderError;
pub use gallery::{Figure, Gallery, GallerySection};
pub use groups::{GroupView, GroupWidget, factor_overlay, group_color, group_map};
pub use normalise::Normalisation;
pub use picture::Picture;
pub use plate::{Plate, PlateCell};
pub use plot::{LinePlot, Series};
pub use resample::{Interpolation, resample};
pub use sheet::ContactSheet;
pub use spatial::{SpatialHints, SpatialView, SpatialWidget};
pub use sprites::SpriteMap;
pub use style::MapStyle;
