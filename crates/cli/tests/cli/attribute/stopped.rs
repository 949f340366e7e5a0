//! What signals leave.

use super::map;
use crate::common::Desk;

/// Runs a command line that begins with the embedded network, and sends a signal while it works. Gives what
/// it said.
#[cfg(unix)]
fn interrupted(desk: &Desk, line: &str, (signal, code): (&str, i32)) -> String {
    use crate::common::send;
    use std::time::{Duration, Instant};

    let mut child = desk
        .command(line.split(' '))
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // The first remark is that the model is open; the signal is heard from then on.
    let mut remarks = std::io::BufReader::new(child.stderr.take().unwrap());
    let mut remark = String::new();
    std::io::BufRead::read_line(&mut remarks, &mut remark).unwrap();
    assert!(remark.contains("squeezenet1_1"), "{remark}");
    std::thread::sleep(Duration::from_secs(3));
    let begun = Instant::now();
    send(signal, &child);
    let said = std::io::read_to_string(remarks).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(code), "{said}");
    assert!(begun.elapsed() < Duration::from_secs(60));
    said
}

/// A method that has nothing before its end leaves nothing.
#[cfg(unix)]
#[test]
fn ctrl_c_ends_the_only_method() {
    let desk = Desk::squeezenet();
    let before = desk.listing(".");
    let line = "attribute --image cat.png --method guided-ig --steps 100000 --out out";
    let said = interrupted(&desk, line, ("INT", 130));
    assert!(said.contains("ended by Ctrl-C"), "{said}");
    assert!(!said.contains("error"), "{said}");
    assert_eq!(desk.listing("."), before);
}

/// The first Ctrl-C ends the sampling, and what there is is written.
#[cfg(unix)]
#[test]
fn what_ctrl_c_leaves_is_kept() {
    let desk = Desk::squeezenet();
    let said = interrupted(
        &desk,
        "attribute --image cat.png --method rise,gradient --masks 100000 --out out",
        ("INT", 130),
    );
    assert!(said.contains("of 100000 evaluations"), "{said}");

    let report = desk.report("out");
    assert_eq!(report["interrupted"], true);
    let result = &report["results"][0];
    assert_eq!(result["planned_evaluations"], 100_000);
    let evaluations = result["evaluations"].as_u64().unwrap();
    assert!((1..100_000).contains(&evaluations), "{evaluations}");
    let failure = &report["failures"][0];
    assert_eq!(failure["method"], "gradient");
    assert!(failure["error"].as_str().unwrap().contains("Ctrl-C"));
    assert!(map(&desk, "out/rise").iter().any(|&v| v > 0.0));
}

/// A batch system asks politely before it kills, and any method that adds up samples has something to show.
#[cfg(unix)]
#[test]
fn what_sigterm_leaves_is_kept() {
    let desk = Desk::squeezenet();
    let line = "attribute --image cat.png --method smooth-grad --samples 100000 --out out";
    interrupted(&desk, line, ("TERM", 143));
    let report = desk.report("out");
    assert_eq!(report["interrupted"], true);
    let result = &report["results"][0];
    assert_eq!(result["planned_evaluations"], 100_000);
    assert_eq!(result["options"]["samples"], "100000");
    let evaluations = result["evaluations"].as_u64().unwrap();
    assert!(evaluations > 0 && evaluations < 100_000, "{evaluations}");
    assert!(map(&desk, "out").iter().any(|&v| v != 0.0));
}
