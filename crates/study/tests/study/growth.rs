//! Studies that grow, and studies of parts.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Barrier;
use std::thread;

use elucid_attribution::Methods;
use elucid_metrics::Metrics;
use elucid_study::journal::JOURNAL;
use elucid_study::{
    Begin, Common, Entry, Found, Merge, Part, Settings, Shard, State, Study, StudyError, read,
};

use crate::common::{CHOOSY, Desk, METRICS, cells, run, values};

const MORE: &str = "mass-accuracy";

fn study(desk: &Desk, methods: &[&str], metrics: &[&str]) -> Study<'static> {
    let known = Methods::standard().with(CHOOSY);
    let methods = methods
        .iter()
        .map(|text| Entry::parse(&known, text).unwrap());
    desk.try_study(
        "cpu",
        methods.collect::<Vec<_>>(),
        &Metrics::standard(),
        metrics,
    )
    .unwrap()
}

fn resume() -> Begin {
    Begin::new().resume(true)
}

/// Values but those that nobody has asked for.
fn asked(found: &Found) -> BTreeMap<(usize, String, String), String> {
    let mut values = values(found);
    values.retain(|_, state| state != &format!("{:?}", State::Missing));
    values
}

fn plans(folder: &Path) -> usize {
    let entries = fs::read_dir(folder.join(JOURNAL)).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(".plan")).count()
}

#[test]
fn methods_and_metrics_are_added_without_measuring_anything_twice() {
    let desk = Desk::new(4);
    let all = [&METRICS[..], &[MORE]].concat();
    let whole = study(&desk, &["gradient", "grad-cam"], &all);
    let (_, whole) = run(&whole, &desk.path("whole"), &Begin::new()).unwrap();
    let out = desk.path("out");
    run(&study(&desk, &["gradient"], &METRICS), &out, &Begin::new()).unwrap();
    let before = cells(&out);
    // Another method alone.
    let (settings, found) = run(&study(&desk, &["grad-cam"], &METRICS), &out, &resume()).unwrap();
    assert_eq!(
        settings.rows(),
        ["gradient", "grad-cam", "centre", "random"]
    );
    assert_eq!(found.cells(), [16, 16]);
    let mut new = cells(&out);
    new.retain(|cell| !before.contains(cell));
    assert!(
        new.len() == 4 && new.iter().all(|(method, _)| method == "grad-cam"),
        "{new:?}"
    );
    // Another metric alone, of one method: the other has none.
    let only = study(&desk, &["gradient"], &[MORE]);
    let (settings, found) = run(&only, &out, &resume()).unwrap();
    assert_eq!(settings.metrics, all);
    assert_eq!(found.cells(), [16, 16], "nobody asked for it of grad-cam");
    assert!(found.number(0, 0, 3).is_some() && found.number(0, 1, 3).is_none());
    // All of it.
    let both = study(&desk, &["gradient", "grad-cam"], &all);
    let (settings, found) = run(&both, &out, &resume()).unwrap();
    assert_eq!(values(&found), values(&whole));
    assert_eq!(settings.metrics, all);
    assert_eq!(plans(&out), 3);
    // Nothing is added a second time, and whoever asks for less takes nothing away.
    let measured = cells(&out);
    for study in [&both, &only, &study(&desk, &["grad-cam"], &METRICS[..1])] {
        let (_, found) = run(study, &out, &resume()).unwrap();
        assert_eq!(values(&found), values(&whole));
    }
    assert_eq!((plans(&out), cells(&out)), (3, measured));
    let (settings, found) = read(&out).unwrap();
    assert_eq!(settings.methods.len(), 2);
    assert_eq!(values(&found), values(&whole));
}

#[test]
fn new_metrics_of_maps_that_are_kept_attribute_nothing() {
    let desk = Desk::new(2);
    let out = desk.path("out");
    let keeping = Begin::new().resume(true).save_maps(true);
    run(&study(&desk, &["choosy"], &METRICS), &out, &keeping).unwrap();
    let (_, known) = read(&out).unwrap();
    let (_, found) = run(&study(&desk, &["choosy"], &[MORE]), &out, &resume()).unwrap();
    let (_, whole) = run(
        &study(&desk, &["choosy"], &[&METRICS[..], &[MORE]].concat()),
        &desk.path("whole"),
        &Begin::new(),
    )
    .unwrap();
    assert_eq!(values(&found), values(&whole));
    // A map is enough: what attributing took is known from before, to the bit.
    assert_eq!(found.seconds(0, 0), known.seconds(0, 0));
    // A metric of the attribution makes it again.
    let only = study(&desk, &["choosy"], &["completeness"]);
    let (_, found) = run(&only, &out, &resume()).unwrap();
    assert_ne!(found.seconds(0, 0), known.seconds(0, 0));
}

#[test]
fn what_differs_is_refused_and_nothing_is_added() {
    let desk = Desk::new(2);
    let out = desk.path("out");
    run(&study(&desk, &["gradient"], &METRICS), &out, &Begin::new()).unwrap();
    let common = Common {
        smooth: Some(0.02),
        ..Common::default()
    };
    let other = Entry::parse(&Methods::standard(), "gradient")
        .unwrap()
        .or(&common);
    let plain = Entry::parse(&Methods::standard(), "grad-cam").unwrap();
    let other = desk.try_study("cpu", vec![plain, other], &Metrics::standard(), &METRICS);
    let error = run(&other.unwrap(), &out, &resume()).unwrap_err();
    assert!(matches!(error, StudyError::Settings { .. }), "{error}");
    assert!(
        error
            .to_string()
            .contains("methods.gradient.smooth is 0.02 and was 0"),
        "{error}"
    );
    // Another seed, with another method.
    let other = study(&desk, &["grad-cam"], &METRICS).seed(3).unwrap();
    let error = run(&other, &out, &resume()).unwrap_err();
    assert!(error.to_string().contains("seed is 3 and was 0"), "{error}");
    assert_eq!(plans(&out), 0);
    assert_eq!(read(&out).unwrap().0.rows().len(), 3);
}

#[test]
fn a_plan_that_nobody_came_to_measure_is_gone_on_with() {
    let desk = Desk::new(2);
    let out = desk.path("out");
    let larger = study(&desk, &["gradient", "grad-cam"], &METRICS);
    run(&study(&desk, &["gradient"], &METRICS), &out, &Begin::new()).unwrap();
    run(&larger, &out, &resume()).unwrap();
    // As if it had been killed right after it was written.
    for entry in fs::read_dir(out.join(JOURNAL)).unwrap() {
        let path = entry.unwrap().path();
        let is_journal = path.extension().is_some_and(|ending| ending == "jsonl");
        if is_journal && fs::read_to_string(&path).unwrap().contains("grad-cam") {
            fs::remove_file(path).unwrap();
        }
    }
    let (settings, found) = read(&out).unwrap();
    assert_eq!((settings.methods.len(), found.cells()), (2, [6, 8]));
    let (_, found) = run(&larger, &out, &resume()).unwrap();
    assert_eq!(found.cells(), [8, 8]);
    // One that is damaged is named.
    let plan = fs::read_dir(out.join(JOURNAL))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let plan = { plan }
        .find(|path| path.extension().is_some_and(|e| e == "plan"))
        .unwrap();
    fs::write(&plan, "{\n]").unwrap();
    let error = read(&out).unwrap_err();
    assert!(
        matches!(&error, StudyError::Damaged { path, line: 2, .. } if *path == plan),
        "{error}"
    );
}

#[test]
fn several_workers_may_add_to_a_study_at_once() {
    let desk = Desk::new(6);
    let out = desk.path("out");
    let methods = ["gradient", "grad-cam", "layer-cam"];
    let whole = study(&desk, &methods, &METRICS);
    let (_, whole) = run(&whole, &desk.path("whole"), &Begin::new()).unwrap();
    let barrier = Barrier::new(3);
    thread::scope(|scope| {
        for method in methods {
            let (desk, out, barrier) = (&desk, &out, &barrier);
            scope.spawn(move || {
                let study = study(desk, &[method], &METRICS);
                barrier.wait();
                let (_, found) = run(&study, out, &resume()).unwrap();
                let row = found.rows().iter().position(|row| row == method).unwrap();
                assert_eq!(found.images_measured(row), 6, "{method}");
            });
        }
    });
    let (_, found) = read(&out).unwrap();
    assert_eq!(found.cells(), [30, 30]);
    assert_eq!(values(&found), values(&whole), "in whatever order");
}

fn part(methods: &[&str], metrics: &[&str], images: Option<&[usize]>) -> Part {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Part {
        methods: owned(methods),
        metrics: owned(metrics),
        images: images.map(<[usize]>::to_vec),
    }
}

#[test]
fn parts_are_measured_on_their_images_alone() {
    let desk = Desk::new(5);
    let methods = ["gradient", "grad-cam"];
    let (_, whole) = run(
        &study(&desk, &methods, &METRICS),
        &desk.path("whole"),
        &Begin::new(),
    )
    .unwrap();
    let parts = || {
        vec![
            part(&["gradient"], &["sparseness"], None),
            part(&methods, &["pointing:15", "complexity"], Some(&[1, 4])),
        ]
    };
    let of = |shard: Shard| {
        let study = study(&desk, &methods, &METRICS).part(None, shard).unwrap();
        study.parts(parts()).unwrap()
    };
    let out = desk.path("out");
    let (settings, found) = run(&of(Shard::WHOLE), &out, &Begin::new()).unwrap();
    assert_eq!(settings.parts, parts());
    // Two baselines on five images, gradient too, and grad-cam on two.
    assert_eq!(found.cells(), [5 * 3 + 2; 2]);
    assert_eq!(found.images_wanted(1), 2);
    let mut expected = values(&whole);
    expected.retain(|(image, method, metric), _| {
        let first = method != "grad-cam" && metric == "sparseness";
        first || [1, 4].contains(image) && metric != "sparseness"
    });
    assert_eq!(asked(&found), expected);
    assert_eq!(read(&out).unwrap().0, settings);
    // Shards have the same parts, and their merge is the whole.
    let folders = [1, 2].map(|index| {
        let folder = desk.path(&format!("part{index}"));
        run(&of(Shard { index, count: 2 }), &folder, &Begin::new()).unwrap();
        folder
    });
    let merge = Merge::of(&folders, false).unwrap();
    assert!(merge.missing().is_empty(), "{:?}", merge.missing());
    let (_, merged) = merge.write(&desk.path("merged")).unwrap();
    assert_eq!(asked(&merged), expected);
    // One that has more is refused.
    let more = study(&desk, &methods, &METRICS).part(None, Shard { index: 1, count: 2 });
    run(&more.unwrap(), &folders[0], &resume()).unwrap();
    let error = Merge::of(&folders, false).unwrap_err();
    assert!(error.to_string().contains("parts"), "{error}");
    // The rest is asked for later.
    let (_, found) = run(&study(&desk, &methods, &METRICS), &out, &resume()).unwrap();
    assert_eq!(values(&found), values(&whole));
    let settings = Settings::read(&out).unwrap();
    assert_eq!(settings.parts.len(), 3);
}

#[test]
fn parts_of_what_is_not_there_are_refused() {
    let desk = Desk::new(3);
    for (wrong, said) in [
        (
            part(&["grad-cam"], &METRICS, None),
            "no method grad-cam, but gradient",
        ),
        (
            part(&["gradient"], &["road"], None),
            "no metric road, but sparseness",
        ),
        (part(&[], &METRICS, None), "part 2 has no methods"),
        (part(&["gradient"], &[], None), "part 2 has no metrics"),
        (part(&["gradient"], &METRICS, Some(&[3])), "no image 3 of 3"),
        (part(&["gradient"], &METRICS, Some(&[])), "part 2: images"),
        (
            part(&["gradient"], &METRICS, Some(&[1, 0])),
            "part 2: images",
        ),
    ] {
        let right = part(&["gradient"], &METRICS, None);
        let study = study(&desk, &["gradient"], &METRICS);
        let error = study.parts(vec![right, wrong]).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}
