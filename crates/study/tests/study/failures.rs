//! What fails on an image is a finding.

use std::fs;
use std::sync::atomic::Ordering;

use elucid_attribution::Methods;
use elucid_metrics::{Case, Direction, Metric, MetricError, MetricInfo, Metrics, Needs, Outcome};
use elucid_study::results::{self, Failure};
use elucid_study::{
    Begin, Control, Ended, Entry, Place, Shard, Shown, State, StudyError, Summary, Watch, metrics,
};

use crate::common::{ASKED, Desk, METRICS, cells, cut, run, values};

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

/// An image that was seen and is gone is no reason to look for it for ever: what it lacks has failed.
#[test]
fn what_was_seen_and_is_gone_has_failed() {
    let desk = Desk::new(4);
    let study = desk.study("cpu", &["gradient", "grad-cam"]);
    let out = desk.path("out");
    run(&study, &out, &Begin::new()).unwrap();
    // Who worked, two images, and one of four cells.
    cut(&out, 3);
    desk.hide(0..1, true);
    let resume = Begin::new().resume(true);
    let (_, found) = run(&study, &out, &resume).unwrap();
    assert_eq!(found.skipped().count(), 0);
    let state = |image, row, metric| found.state(Place { image, row, metric });
    for metric in 0..METRICS.len() {
        assert_ne!(
            state(0, 0, metric),
            State::Failed,
            "what was measured stays"
        );
        for row in 1..4 {
            assert_eq!(state(0, row, metric), State::Failed);
            assert_ne!(state(1, row, metric), State::Failed);
        }
    }
    let failure = Failure::each(&found).next().unwrap();
    assert!(
        failure.reason.starts_with("cannot be read any more: "),
        "{}",
        failure.reason
    );
    let before = cells(&out);
    let (_, again) = run(&study, &out, &resume).unwrap();
    assert_eq!(values(&again), values(&found));
    assert_eq!(cells(&out), before, "it is done");
    // Still gone, and then back.
    let retry = resume.retry_failed(true);
    let (_, again) = run(&study, &out, &retry).unwrap();
    assert_eq!(values(&again), values(&found));
    desk.hide(0..1, false);
    let (_, mended) = run(&study, &out, &retry).unwrap();
    assert!(mended.failures().is_empty());
    assert_eq!(mended.cells(), [16, 16]);
}

/// Data that this machine does not have say nothing of the images, and no other worker is told so.
#[test]
fn data_that_are_not_there_are_no_unreadable_images() {
    let desk = Desk::new(4);
    let of = |limit: usize| {
        let study = desk.study("cpu", &["gradient"]);
        study.part(Some(limit), Shard::WHOLE).unwrap()
    };
    let out = desk.path("out");
    let resume = Begin::new().resume(true);
    let refused = |limit: usize| {
        desk.hide(0..4, true);
        let error = run(&of(limit), &out, &resume).unwrap_err();
        assert!(matches!(error, StudyError::Empty(_)), "{error}");
        let (error, first) = (error.to_string(), desk.path("0.png"));
        assert!(error.contains("no image could be read"), "{error}");
        assert!(error.contains(&first.display().to_string()), "{error}");
        let (_, found) = elucid_study::read(&out).unwrap();
        assert_eq!(found.skipped().count() + found.failures().len(), 0);
        desk.hide(0..4, false);
    };
    refused(2);
    assert!(cells(&out).is_empty());
    run(&of(2), &out, &resume).unwrap();
    // Whoever goes on elsewhere may lack them, too.
    refused(4);
    assert_eq!(cells(&out).len(), 2 * 3);
    // One that is there tells that the others are not.
    desk.hide(1..4, true);
    let (_, found) = run(&of(4), &out, &resume).unwrap();
    assert_eq!(found.skipped().count(), 2);
}

/// A metric of one's own, without care.
#[derive(Debug)]
struct Careless(f64);

const CARELESS: MetricInfo =
    MetricInfo::new("careless", "A ratio", Direction::Larger, "here", |_| {
        Ok(Box::new(Careless(f64::NAN)))
    });

const BOUNDLESS: MetricInfo =
    MetricInfo::new("boundless", "A ratio", Direction::Larger, "here", |_| {
        Ok(Box::new(Careless(f64::NEG_INFINITY)))
    });

impl Metric for Careless {
    fn name(&self) -> &str {
        match self.0.is_nan() {
            true => CARELESS.name,
            false => BOUNDLESS.name,
        }
    }

    fn direction(&self) -> Direction {
        Direction::Larger
    }

    fn needs(&self) -> Needs {
        Needs::MAP
    }

    fn measure(&self, _: &Case<'_>) -> Result<Outcome, MetricError> {
        Ok(Outcome::Value(self.0))
    }
}

#[test]
fn a_number_that_is_none_is_a_failure() {
    let desk = Desk::new(2);
    let known = Metrics::standard().with(CARELESS).with(BOUNDLESS);
    let entry = Entry::parse(&Methods::standard(), "gradient").unwrap();
    let names = ["careless", "boundless", "sparseness"];
    let study = desk.try_study("cpu", vec![entry], &known, &names).unwrap();
    let out = desk.path("out");
    let (_, found) = run(&study, &out, &Begin::new()).unwrap();
    let reasons: Vec<String> = Failure::each(&found)
        .map(|failure| failure.reason)
        .collect();
    assert_eq!(
        reasons[..2],
        [
            "careless: NaN is no finite number",
            "boundless: -inf is no finite number"
        ]
    );
    assert_eq!(reasons.len(), 2 * 3 * 2);
    assert!(found.number(0, 0, 2).is_some());
    // The journal says so, too.
    let (_, read) = elucid_study::read(&out).unwrap();
    assert_eq!(values(&read), values(&found));
}

#[test]
fn names_that_stand_twice_are_refused() {
    let desk = Desk::new(2);
    let known = Metrics::standard();
    let entry = |name: &str| {
        let mut entry = Entry::parse(&Methods::standard(), "gradient").unwrap();
        entry.name = name.to_owned();
        entry
    };
    let refused = |methods: &[&str], metrics: &[&str]| {
        let methods = methods.iter().map(|name| entry(name));
        let study = desk.try_study("cpu", methods.collect(), &known, metrics);
        let error = study.unwrap_err();
        let StudyError::Repeated { what, name } = error else {
            panic!("{error}");
        };
        format!("{what} {name}")
    };
    let one = &["sparseness"];
    assert_eq!(refused(&["a", "b", "a"], one), "method a");
    // Baselines are rows as others are.
    assert_eq!(refused(&["a", "centre"], one), "method centre");
    assert_eq!(refused(&["random"], one), "method random");
    let twice = &["sparseness", "pointing:15", "sparseness"];
    assert_eq!(refused(&["a", "b"], twice), "metric sparseness");
}

/// Who cannot keep what it is shown.
#[derive(Default)]
struct Full {
    shown: usize,
    remarks: Vec<String>,
}

impl Watch for Full {
    fn remark(&mut self, _: &str, text: &str) {
        self.remarks.push(text.to_owned());
    }

    fn measured(&mut self, _: &Shown<'_>) -> Result<(), String> {
        self.shown += 1;
        Err("the disk is full".to_owned())
    }
}

#[test]
fn a_picture_that_cannot_be_kept_ends_no_study() {
    let desk = Desk::new(4);
    let study = desk.study("cpu", &["gradient"]);
    let mut full = Full::default();
    let out = desk.path("out");
    let ended = study.run(&out, &Begin::new(), &Control::default(), &mut full);
    let (ended, _, found) = ended.unwrap();
    assert_eq!((ended, found.cells()), (Ended::Whole, [12, 12]));
    assert_eq!(full.shown, 4);
    assert_eq!(full.remarks.len(), 1, "{:?}", full.remarks);
    assert!(full.remarks[0].contains("the disk is full"));
}
