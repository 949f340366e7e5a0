//! Curves that are kept.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use elucid_attribution::Methods;
use elucid_metrics::{Metric, MetricOptions, Metrics};
use elucid_study::{
    Begin, CURVES, Entry, Found, MeanCurves, Merge, Origins, Settings, Shard, Study, StudyError,
    curves, read,
};

use crate::common::{CHOOSY, Desk, cell_records, cells, cut, run, values};

const METHODS: [&str; 2] = ["gradient", "choosy"];
const METRICS: [&str; 3] = [
    "sparseness",
    "deletion-fast:steps=4",
    "road:percentages=30+60",
];

fn study(desk: &Desk) -> Study<'static> {
    let known = Methods::standard().with(CHOOSY);
    let methods = METHODS.map(|name| Entry::parse(&known, name).unwrap());
    desk.try_study("cpu", methods.to_vec(), &Metrics::standard(), &METRICS)
        .unwrap()
}

fn keeping() -> Begin {
    Begin::new().resume(true).save_curves(true)
}

/// Every file of curves, with its text.
fn files(folder: &Path) -> BTreeMap<String, String> {
    let rows = ["gradient", "choosy", "centre", "random"];
    let names = rows.map(|row| curves::list(folder, row).unwrap());
    let names = names.into_iter().flatten();
    names
        .map(|name| {
            let text = fs::read_to_string(folder.join(CURVES).join(&name)).unwrap();
            (name, text)
        })
        .collect()
}

/// Every file that a journal names is there, whole, with curves of the images of its record.
fn check_files(folder: &Path) -> usize {
    let names = { cell_records(folder).into_iter() }.filter_map(|cell| cell.curves);
    let kept = names.map(|name| curves::read(folder, &name).unwrap());
    kept.inspect(|kept| assert!(!kept.is_empty())).count()
}

/// The mean curves, and nothing lost.
fn means(folder: &Path, settings: &Settings, found: &Found) -> Vec<MeanCurves> {
    let metrics = elucid_study::metrics(&Metrics::standard(), &settings.metrics, 0, 8).unwrap();
    let origins = Origins::of(folder, settings);
    MeanCurves::of(&origins, found, &metrics, |error| panic!("{error}"))
}

#[test]
fn curves_that_are_kept_are_those_that_were_measured() {
    let desk = Desk::new(4);
    let out = desk.path("out");
    let (settings, found) = run(&study(&desk), &out, &keeping()).unwrap();
    let known = Metrics::standard();
    let deletion = known.metric(METRICS[1], &MetricOptions::new()).unwrap();
    assert!(deletion.curve_axes().is_some());
    let mut kept = 0;
    for (row, _) in found.rows().iter().enumerate() {
        for image in 0..4 {
            for (metric, name) in METRICS.iter().enumerate() {
                let Some(value) = found.number(image, row, metric) else {
                    assert_eq!(found.curve_file(image, row, metric), None);
                    continue;
                };
                let file = found.curve_file(image, row, metric).unwrap();
                let all = curves::read(&out, file).unwrap();
                let mut mine = all.iter().filter(|c| c.image == image && c.metric == *name);
                let mean = |curve: &curves::KeptCurve| {
                    curve.y.iter().map(|&y| f64::from(y)).sum::<f64>() / curve.y.len() as f64
                };
                match metric {
                    0 => assert!(mine.next().is_none()),
                    1 => {
                        let curve = mine.next().unwrap();
                        assert_eq!(curve.x, [0.0, 0.25, 0.5, 0.75, 1.0]);
                        let ends = f64::from((curve.y[0] + curve.y[4]) / 2.0);
                        let area = (5.0 * mean(curve) - ends) / 4.0;
                        assert!((area - value).abs() < 1e-6, "{area} {value}");
                        kept += 1;
                    }
                    _ => {
                        let [most, least] = [mine.next().unwrap(), mine.next().unwrap()];
                        assert_eq!([&*most.curve, &*least.curve], ["most", "least"]);
                        let made = (mean(least) - mean(most)) / 2.0;
                        assert!((made - value).abs() < 1e-6, "{made} {value}");
                    }
                }
                assert!(mine.next().is_none());
            }
        }
    }
    // The choosy method fails on the bright half.
    assert_eq!(kept, 4 + 2 + 4 + 4);
    // Numbers are those of a study that keeps none.
    let (_, without) = run(&study(&desk), &desk.path("without"), &Begin::new()).unwrap();
    assert_eq!(values(&found), values(&without));
    assert!(!desk.path("without").join(CURVES).exists());
    // Whoever reads it later knows them, and their means are those of the values.
    let (_, again) = read(&out).unwrap();
    assert_eq!(again.curve_file(3, 0, 1), found.curve_file(3, 0, 1));
    let means = means(&out, &settings, &again);
    let names: Vec<[&str; 2]> = means.iter().map(|m| [&*m.metric, &*m.curve]).collect();
    let [_, deletion, road] = METRICS;
    assert_eq!(
        names,
        [[deletion, "curve"], [road, "least"], [road, "most"]]
    );
    for (row, method) in means[0].methods.iter().enumerate() {
        assert_eq!(method.images, [4, 2, 4, 4][row], "{}", method.method);
        let y: Vec<f64> = method.points.iter().map(|point| point.mean).collect();
        let area = (y.iter().sum::<f64>() - (y[0] + y[4]) / 2.0) / 4.0;
        let of_values = (0..4).filter_map(|image| found.number(image, row, 1));
        let mean = of_values.sum::<f64>() / method.images as f64;
        assert!((area - mean).abs() < 1e-6, "{area} {mean}");
        for point in &method.points {
            let [low, high] = point.interval.unwrap();
            assert!(low <= point.mean && point.mean <= high);
        }
    }
    let table = MeanCurves::to_csv(&means);
    assert_eq!(table.lines().count(), 1 + 4 * 5 + 2 * 4 * 2);
    assert!(table.starts_with("metric,curve,method,images,x,mean,low,high\n"));
}

#[test]
fn curves_are_made_where_they_are_lacking() {
    let desk = Desk::new(4);
    let out = desk.path("out");
    let (_, without) = run(&study(&desk), &out, &Begin::new()).unwrap();
    let before = cells(&out).len();
    let (_, with) = run(&study(&desk), &out, &keeping()).unwrap();
    assert_eq!(values(&with), values(&without));
    // What failed has none.
    assert_eq!(cells(&out).len() - before, 4 + 2 + 4 + 4);
    let (whole, all) = (files(&out), cells(&out));
    run(&study(&desk), &out, &keeping()).unwrap();
    assert_eq!(cells(&out), all, "nothing is made twice");
    // What is gone is made again; what nobody asks for is not missed.
    let gone = whole.keys().next().unwrap();
    fs::remove_file(out.join(CURVES).join(gone)).unwrap();
    run(&study(&desk), &out, &Begin::new().resume(true)).unwrap();
    assert_eq!(cells(&out), all);
    run(&study(&desk), &out, &keeping()).unwrap();
    assert_eq!(files(&out), whole, "the same files");
}

#[test]
fn a_journal_that_was_cut_lacks_no_curve() {
    let desk = Desk::new(4);
    let whole = desk.path("whole");
    let (_, expected) = run(&study(&desk), &whole, &keeping()).unwrap();
    for records in [2, 5] {
        let out = desk.path(&format!("cut{records}"));
        run(&study(&desk), &out, &keeping()).unwrap();
        cut(&out, records);
        assert!(check_files(&out) <= records);
        let (_, found) = run(&study(&desk), &out, &keeping()).unwrap();
        assert_eq!(values(&found), values(&expected));
        assert_eq!(files(&out), files(&whole), "no file is there twice");
        check_files(&out);
    }
}

#[test]
fn a_merge_finds_the_curves_of_its_shards() {
    let desk = Desk::new(4);
    let whole = desk.path("whole");
    let (settings, found) = run(&study(&desk), &whole, &keeping()).unwrap();
    let expected = means(&whole, &settings, &found);
    let shards: Vec<_> = (1..=2)
        .map(|index| {
            let shard = Shard { index, count: 2 };
            let study = study(&desk).part(None, shard).unwrap();
            let out = desk.path(&format!("shard{index}"));
            run(&study, &out, &keeping()).unwrap();
            out
        })
        .collect();
    let merged = desk.path("merged");
    fs::create_dir(&merged).unwrap();
    let (settings, found) = Merge::of(&shards, false).unwrap().write(&merged).unwrap();
    let got = means(&merged, &settings, &found);
    assert_eq!(got.len(), expected.len());
    for (got, expected) in got.iter().zip(&expected) {
        for (got, expected) in got.methods.iter().zip(&expected.methods) {
            assert_eq!(got.images, expected.images);
            for (got, expected) in got.points.iter().zip(&expected.points) {
                assert!((got.mean - expected.mean).abs() < 1e-5);
            }
        }
    }
    // A file that is not what was written is left out, and said.
    let name = files(&shards[0]).into_keys().next().unwrap();
    fs::write(shards[0].join(CURVES).join(&name), "{}\n").unwrap();
    let metrics = elucid_study::metrics(&Metrics::standard(), &settings.metrics, 0, 8).unwrap();
    let mut lost = Vec::new();
    let origins = Origins::of(&merged, &settings);
    let fewer = MeanCurves::of(&origins, &found, &metrics, |error| {
        assert!(matches!(error, StudyError::Altered(_)), "{error}");
        lost.push(error.to_string());
    });
    assert_eq!(lost.len(), 1);
    let images = |means: &[MeanCurves]| -> usize {
        let methods = means.iter().flat_map(|means| &means.methods);
        methods.map(|method| method.images).sum()
    };
    assert!(images(&fewer) < images(&got));
}

#[test]
fn metrics_without_curves_are_refused() {
    let desk = Desk::new(1);
    let study = desk.study("cpu", &["gradient"]);
    let error = run(&study, &desk.path("out"), &keeping()).unwrap_err();
    assert!(matches!(error, StudyError::NoCurves(_)), "{error}");
    for name in ["insertion", "road", "sic", "pixel-flipping"] {
        assert!(error.to_string().contains(name), "{error}");
    }
    assert!(!desk.path("out").exists());
}
