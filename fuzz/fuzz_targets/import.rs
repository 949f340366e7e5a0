//! Any bytes are either refused with an error or make a model that runs without a panic, within the memory
//! that is allowed.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    elucid_testkit::hostile::attempt(bytes, None, bytes.len().is_multiple_of(4));
});
