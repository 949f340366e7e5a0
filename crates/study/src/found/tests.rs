//! What is found out, record by record.

use proptest::prelude::*;

use super::*;
use crate::journal::RowRecord;

const ROWS: [&str; 3] = ["a", "b", "c"];
const METRICS: [&str; 2] = ["x", "y"];
const IMAGES: usize = 4;

fn empty() -> Found {
    // Shards have gaps.
    let planned = (0..IMAGES).map(|i| Planned {
        number: 2 * i,
        file: format!("{i}.png"),
        class: i,
    });
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Found::of(names(&ROWS), names(&METRICS), planned.collect(), &parts())
}

/// All of the first row and of one metric, and all of both metrics on one image.
fn parts() -> [Part; 3] {
    let part = |rows: &[&str], metrics: &[&str], images: Option<Vec<usize>>| Part {
        methods: rows.iter().map(|name| (*name).to_owned()).collect(),
        metrics: metrics.iter().map(|name| (*name).to_owned()).collect(),
        images,
    };
    [
        part(&["a"], &METRICS, None),
        part(&["b"], &["y"], None),
        part(&ROWS, &METRICS, Some(vec![2])),
    ]
}

/// A record on any images, of which one may lie beyond a limit, and any of the metrics.
fn record() -> impl Strategy<Value = Record> {
    let state = prop_oneof![
        Just(ImageState::Skipped("no picture".to_owned())),
        Just(ImageState::Seen {
            predicted: 1,
            probability: 0.5,
            note: None,
        }),
    ];
    let image = (0..=IMAGES, state).prop_map(|(i, state)| ImageRecord {
        image: 2 * i,
        file: format!("{i}.png"),
        class: i,
        state,
    });
    let value = prop_oneof![
        Just(Value::Number(1.0)),
        Just(Value::NotApplicable("no box".to_owned())),
        Just(Value::Failed("a bug".to_owned())),
    ];
    let row = (0..=IMAGES, prop::collection::vec(value, 2)).prop_map(|(i, values)| RowRecord {
        image: 2 * i,
        seconds: 1.0,
        values,
    });
    let rows = prop::collection::vec(row, 0..4);
    let cell = (0..ROWS.len(), 1..=METRICS.len(), rows).prop_map(|(row, metrics, mut rows)| {
        rows.iter_mut().for_each(|row| row.values.truncate(metrics));
        Record::Cell(CellRecord {
            method: ROWS[row].to_owned(),
            metrics: METRICS[..metrics].iter().map(|m| (*m).to_owned()).collect(),
            rows,
            maps: None,
            curves: None,
        })
    });
    let images = prop::collection::vec(image, 0..4).prop_map(Record::Images);
    prop_oneof![1 => images, 3 => cell]
}

proptest! {
    /// The counts are what whoever looks at every value would count.
    #[test]
    fn counts_are_those_of_whoever_counts(
        records in prop::collection::vec(record(), 0..40),
        again in prop::collection::vec(record(), 0..10),
    ) {
        let mut found = empty();
        for (i, record) in records.into_iter().chain(again).enumerate() {
            found.add(record).unwrap();
            if i == 30 {
                found.retry_failed();
            }
            let seen: Vec<usize> = found.seen().map(|(image, ..)| image).collect();
            let is_wanted = |image: usize, row: usize| row < 2 || image == 1;
            let on = |row: usize| {
                let here = seen.iter().filter(|&&image| is_wanted(image, row));
                here.filter(|&&image| found.is_measured(image, row)).count()
            };
            let each: Vec<usize> = (0..ROWS.len()).map(on).collect();
            let skipped = found.skipped().count();
            let there = (0..IMAGES).filter(|&at| !matches!(found.image(at), Some(Image::Skipped(_))));
            let all: usize = there.map(|image| (0..ROWS.len()).filter(|&row| is_wanted(image, row)).count()).sum();
            prop_assert_eq!(found.cells(), [each.iter().sum(), all]);
            let whole = |image: &&usize| (0..ROWS.len()).all(|row| found.is_measured(**image, row));
            let done = skipped + seen.iter().filter(whole).count();
            prop_assert_eq!(found.images_done(), done);
            prop_assert_eq!((0..IMAGES).filter(|&image| found.is_done(image)).count(), done);
            for (row, each) in each.into_iter().enumerate() {
                prop_assert_eq!(found.images_measured(row), each);
                let failed = found.failures().keys().filter(|place| place.row == row);
                prop_assert_eq!(found.values_failed(row), failed.count());
            }
        }
    }
}

/// A worker that could no longer read an image takes nothing from what another measured on it.
#[test]
fn a_failure_is_no_news_of_what_was_measured() {
    let mut found = empty();
    let cell = |seconds: f64, values: Vec<Value>| {
        Record::Cell(CellRecord {
            method: "a".to_owned(),
            metrics: METRICS.map(str::to_owned).to_vec(),
            rows: vec![RowRecord {
                image: 0,
                seconds,
                values,
            }],
            maps: None,
            curves: None,
        })
    };
    let failed = || vec![Value::Failed("gone".to_owned()); 2];
    found.add(cell(0.0, failed())).unwrap();
    assert_eq!(
        (found.values_failed(0), found.seconds(0, 0)),
        (2, Some(0.0))
    );
    found.add(cell(0.5, vec![Value::Number(3.0); 2])).unwrap();
    found.add(cell(0.0, failed())).unwrap();
    assert_eq!(
        (found.values_failed(0), found.seconds(0, 0)),
        (0, Some(0.5))
    );
    assert_eq!(found.number(0, 0, 1), Some(3.0));
}

/// A method that failed has no map to be made again, whatever metrics its part asks for.
#[test]
fn what_failed_lacks_no_map() {
    let mut found = empty();
    let seen = ImageRecord {
        image: 0,
        file: "0.png".to_owned(),
        class: 0,
        state: ImageState::Seen {
            predicted: 0,
            probability: 0.5,
            note: None,
        },
    };
    found.add(Record::Images(vec![seen])).unwrap();
    found.keep_maps(vec![true; ROWS.len()], |_, _| true);
    assert!(found.lacks_map(0, 0) && found.lacks_map(0, 1));
    let failed = |method: &str, metrics: &[&str]| {
        Record::Cell(CellRecord {
            method: method.to_owned(),
            metrics: metrics.iter().map(|m| (*m).to_owned()).collect(),
            rows: vec![RowRecord {
                image: 0,
                seconds: 0.0,
                values: vec![Value::Failed("a bug".to_owned()); metrics.len()],
            }],
            maps: None,
            curves: None,
        })
    };
    // One of two that are asked for, and the only one.
    found.add(failed("a", &["x"])).unwrap();
    found.add(failed("b", &["y"])).unwrap();
    assert!(found.lacks_map(0, 0) && !found.lacks_map(0, 1));
    found.excuse([0], 0);
    assert!(!found.lacks_map(0, 0));
}
