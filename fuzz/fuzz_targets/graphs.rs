//! Networks that look like real ones are either refused with an error or run, forwards and backwards,
//! within the memory that is allowed.

#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use elucid_testkit::hostile::{BESIDE, BESIDE_BYTES, Choices, attempt, network};
use libfuzzer_sys::fuzz_target;

/// Where the file beside the network lies.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = std::env::temp_dir().join(format!("elucid-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("the temporary folder can be written");
    std::fs::write(folder.join(BESIDE), vec![0x3e; BESIDE_BYTES]).expect("so can a file in it");
    folder
});

fuzz_target!(|bytes: &[u8]| {
    let file = network(&mut Choices::new(bytes));
    attempt(&file, Some(&FOLDER), bytes.len().is_multiple_of(4));
});
