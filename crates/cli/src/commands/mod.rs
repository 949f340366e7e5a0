//! One file per command.

pub mod classify;
pub mod devices;
pub mod inspect;
pub mod models;
pub mod spatial;
