//! Any bytes are either refused with an error or make a model that runs without a panic, within the memory
//! that is allowed.

#![no_main]

#[path = "../../crates/graph/tests/common/mod.rs"]
mod common;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    common::hostile::attempt(bytes, None, bytes.len().is_multiple_of(4));
});
