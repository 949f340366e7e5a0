//! What fails on an image is a finding.

use std::fs;
use std::sync::atomic::Ordering;

use elucid_metrics::Metrics;
use elucid_study::results::{self, Failure};
use elucid_study::{Begin, Place, State, Summary, metrics};

use crate::common::{ASKED, Desk, METRICS, cells, run, values};

#[test]
fn a_method_that_fails_on_some_images_ends_no_study() {
    let desk = Desk::new(4);
    let study = desk.study("cpu", &["gradient", "choosy"]);
    let out = desk.path("out");
    let (settings, found) = run(&study, &out, &Begin::new()).unwrap();
    let state = |image, row, metric| found.state(Place { image, row, metric });
    // Two of four pictures are bright, and their neighbours in the batch are measured all the same.
    for image in 0..4 {
        assert!(matches!(state(image, 0, 0), State::Number(_)));
        match image < 2 {
            true => assert!(matches!(state(image, 1, 0), State::Number(_)), "{image}"),
            false => assert_eq!(state(image, 1, 0), State::Failed, "{image}"),
        }
    }
    let failures: Vec<Failure> = Failure::each(&found).collect();
    assert_eq!(failures.len(), 2 * METRICS.len());
    assert!(
        failures[0]
            .reason
            .contains("choosy: brightness is too much, expected a dark picture")
    );
    let last = failures.last().unwrap();
    assert!(
        last.reason.contains("a bug: too bright to look at"),
        "{}",
        last.reason
    );
    assert_eq!(
        (last.file.as_str(), last.metric.as_str()),
        ("3.png", "complexity")
    );

    results::write(&out, &settings, &found).unwrap();
    let text = fs::read_to_string(out.join(results::RESULTS)).unwrap();
    assert_eq!(text.lines().count(), 1 + 4 * 4);
    assert_eq!(text.matches(",failed,failed,failed,").count(), 2);
    let text = fs::read_to_string(out.join(results::FAILURES)).unwrap();
    assert_eq!(text.lines().count(), 1 + 6);
    let known = Metrics::standard();
    let made = metrics(&known, &settings.metrics, 0, 8).unwrap();
    let summary = Summary::new(&settings, (&known, &made), &found).unwrap();
    let line = summary.to_csv();
    let line = line
        .lines()
        .find(|line| line.starts_with("choosy,sparseness"))
        .unwrap();
    assert!(line.ends_with(",2,0,2"), "{line}");
}

#[test]
fn what_failed_is_tried_again_only_when_asked() {
    let desk = Desk::new(4);
    let study = desk.study("cpu", &["gradient", "choosy"]);
    let out = desk.path("out");
    fs::write(desk.path("2.png"), "no picture").unwrap();
    let (_, first) = run(&study, &out, &Begin::new()).unwrap();
    assert_eq!(first.skipped().count(), 1);
    assert_eq!(first.failures().len(), METRICS.len());
    let before = cells(&out);
    let asked = ASKED.load(Ordering::Relaxed);
    let resume = Begin::new().resume(true);
    let (_, again) = run(&study, &out, &resume).unwrap();
    assert_eq!(values(&again), values(&first));
    assert_eq!(cells(&out), before, "nothing is measured again");

    // One picture is mended, the other is not.
    let brought = Desk::new(4);
    fs::copy(brought.path("0.png"), desk.path("2.png")).unwrap();
    let retry = resume.clone().retry_failed(true);
    let (_, mended) = run(&study, &out, &retry).unwrap();
    assert!(ASKED.load(Ordering::Relaxed) > asked);
    assert_eq!(mended.skipped().count(), 0);
    let row =
        |found: &elucid_study::Found| found.failures().keys().map(|p| p.image).collect::<Vec<_>>();
    assert_eq!(row(&mended), [3, 3, 3]);
    assert!(mended.is_done(2) && mended.number(2, 1, 0).is_some());
    // The journal says the same to whoever reads it later.
    let (_, read) = elucid_study::read(&out).unwrap();
    assert_eq!(values(&read), values(&mended));
    // Only what failed was tried.
    let new = cells(&out).len() - before.len();
    assert_eq!(
        new,
        1 + 4,
        "the failed cell, and all methods on the picture that was mended"
    );
}

#[test]
fn no_picture_at_all_is_an_error() {
    let desk = Desk::new(2);
    for name in ["0.png", "1.png"] {
        fs::write(desk.path(name), "no picture").unwrap();
    }
    let study = desk.study("cpu", &["gradient"]);
    let error = run(&study, &desk.path("out"), &Begin::new()).unwrap_err();
    assert!(
        error.to_string().contains("no image could be read"),
        "{error}"
    );
}
