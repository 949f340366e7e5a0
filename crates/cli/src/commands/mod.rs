//! One file per command.

pub mod attention;
pub mod attribute;
pub mod channels;
pub mod classify;
pub mod completions;
pub mod devices;
pub mod evaluate;
pub mod groups;
pub mod inspect;
pub mod man;
pub mod methods;
pub mod metrics;
pub mod models;
pub mod profile;
pub mod spatial;
pub mod spritemap;
pub mod visualize;
