//! `-v` and `RUST_LOG`.

use crate::common::{Desk, has};

/// Lines as logs have them: with a time, as a rule.
fn is_logged(line: &str) -> bool {
    let mut words = line.split_whitespace();
    let time = words.next().unwrap_or_default();
    let level = words.next().unwrap_or_default();
    let is_time = time.len() == "2026-11-30T20:41:07.218345Z".len()
        && time.ends_with('Z')
        && [
            (4, '-'),
            (7, '-'),
            (10, 'T'),
            (13, ':'),
            (16, ':'),
            (19, '.'),
        ]
        .iter()
        .all(|&(at, mark)| time.chars().nth(at) == Some(mark));
    is_time && ["ERROR", "WARN", "INFO", "DEBUG", "TRACE"].contains(&level)
}

const CLASSIFY: &str = "classify cat.png";

#[test]
fn nothing_is_logged_unless_it_is_asked_for() {
    let desk = Desk::squeezenet();
    let said = desk.say(CLASSIFY).ok().err;
    assert!(said.starts_with("squeezenet1_1 on cpu"), "{said}");
    assert!(!said.contains("elucid"), "{said}");
    assert!(!said.lines().any(is_logged), "{said}");
    for quiet in ["-q -vv", "-vv --quiet"] {
        assert_eq!(desk.say(&format!("{CLASSIFY} {quiet}")).ok().err, "");
    }
    let quiet = Desk::squeezenet().with("RUST_LOG", "trace");
    assert_eq!(quiet.say(&format!("{CLASSIFY} -q")).ok().err, "");
}

/// Standard error is a pipe here, as in a job.
#[test]
fn every_line_has_its_time_in_a_job() {
    let desk = Desk::squeezenet();
    let ended = desk.say(&format!("{CLASSIFY} --json -v"));
    let said = ended.err.clone();
    ended.json();
    assert!(said.lines().all(is_logged), "{said}");
    has(
        &said,
        &[
            "INFO elucid_vision::opening: opened model=\"squeezenet1_1\"",
            "operators=",
            "squeezenet1_1 on cpu",
        ],
    );
    assert!(!said.contains("DEBUG"), "{said}");
    // Wherever the flag stands.
    let first = desk
        .say(&format!("-vv {CLASSIFY} --model squeezenet"))
        .ok()
        .err;
    has(&first, &["DEBUG elucid_cli", "read and prepared"]);

    let more = desk
        .say(
            "attribute --image cat.png --method occlusion --window 112 --stride 112 --out out -vvv",
        )
        .ok()
        .err;
    has(
        &more,
        &[
            "DEBUG elucid_attribution::attributor: begun method=\"occlusion\"",
            "TRACE elucid_attribution::work: batch done=",
            "DEBUG elucid_attribution::attributor: done method=\"occlusion\"",
            "evaluations=[",
            "results written folder=out",
        ],
    );
    assert!(more.lines().all(is_logged), "{more}");
}

#[test]
fn the_variable_says_what_is_logged() {
    let desk = Desk::squeezenet().with("RUST_LOG", "warn,elucid_vision=info");
    let said = desk.say(&format!("{CLASSIFY} -vvv")).ok().err;
    has(&said, &["INFO elucid_vision::opening: opened"]);
    assert!(!said.contains("elucid_cli"), "{said}");
    // Remarks are said all the same.
    has(&said, &["\nsqueezenet1_1 on cpu"]);

    let empty = Desk::squeezenet().with("RUST_LOG", "");
    assert!(!empty.say(CLASSIFY).ok().err.contains("INFO"));
    for wrong in ["inof", "elucid=loud", "a=b=c"] {
        let desk = Desk::squeezenet().with("RUST_LOG", wrong);
        let ended = desk.say(CLASSIFY);
        ended.refused_with(2, &["RUST_LOG", wrong, "info,elucid_study=debug"]);
        desk.say("--version").ok();
    }
}

/// Cells, leases, records, and what failed, which is said once.
#[test]
fn a_study_says_what_it_does() {
    let desk = Desk::squeezenet().boxed(&["nothing.png,100,100,285,0,0,50,50"]);
    let study = "evaluate --data boxes.csv --methods gradient --metrics pointing --batch-size 2 --threads 1";
    let said = desk.say(&format!("{study} --out out -vv")).ok().err;
    assert!(said.lines().all(is_logged), "{said}");
    has(
        &said,
        &[
            "INFO elucid_study::work: study begun folder=out images=5",
            "INFO elucid_study::lease: lease taken block=0",
            "INFO elucid_study::journal: journal begun",
            "DEBUG elucid_study::journal: record written and synced bytes=",
            "DEBUG elucid_study::work: cell begun method=\"gradient\"",
            "INFO elucid_study::work: cell done method=\"gradient\"",
            "WARN elucid_study::work: skipped: ",
            "INFO elucid_study::lease: lease given back block=0",
            "study ended folder=out ended=Whole",
        ],
    );
    assert_eq!(said.matches("skipped: ").count(), 1, "{said}");
    // Without a log it is said, too.
    let said = desk.say(&format!("{study} --out plain")).ok().err;
    assert_eq!(said.matches("nothing.png: skipped: ").count(), 1, "{said}");
    // The study is no other for what is said of it, and its file does not hold it.
    let file = desk
        .say(&format!("{study} --out out -v --write-study"))
        .ok()
        .out;
    assert!(!file.contains("verbose"), "{file}");
    desk.say("evaluate status out -v").ok();
}
