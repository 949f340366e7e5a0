//! The cases of inputs, small pictures and layouts, where the folder of cases lies beside the
//! checkout: small networks whose right answers can be worked out by hand, with the program that
//! judges them.

use std::path::Path;
use std::process::{Command, Output};

const CASES: [&str; 14] = [
    "grey-channel",
    "grey-icons",
    "channels-last",
    "channels-last-free",
    "four-channels",
    "picture-and-numbers",
    "sixteen-bits",
    "normalised-inside",
    "black-baseline",
    "small-picture",
    "orientation",
    "company",
    "swin",
    "bias-behind-transpose",
];

fn python(program: &Path, arguments: &[&str]) -> Option<Output> {
    let output = Command::new("python3")
        .arg(program)
        .args(arguments)
        .output();
    output.ok()
}

#[test]
fn every_case_passes() {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/cases");
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().to_str().unwrap();
    // The programs need Python with onnx, NumPy and Pillow.
    let made = cases.join("make_cases.py").is_file()
        && python(&cases.join("make_cases.py"), &[at]).is_some_and(|made| made.status.success());
    if !made {
        eprintln!("skipped: no cases, or nothing that makes them");
        return;
    }
    let mut arguments = vec![env!("CARGO_BIN_EXE_elucid"), at];
    arguments.extend(CASES);
    arguments.push("-v");
    let judged = python(&cases.join("run.py"), &arguments).unwrap();
    let said = String::from_utf8_lossy(&judged.stdout);
    let passed = said
        .lines()
        .filter(|line| line.starts_with("passes "))
        .count();
    assert_eq!(
        passed,
        CASES.len(),
        "{said}{}",
        String::from_utf8_lossy(&judged.stderr)
    );
}
