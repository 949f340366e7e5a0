//! Studies that are begun, stopped, gone on with, shared and merged, with a method that fails on some images.

mod common;
mod curves;
mod failures;
mod growth;
mod large;
mod maps;
mod mixed;
#[cfg(feature = "parquet")]
mod parquet;
mod shards;
mod workers;
