//! Results as Parquet.

use std::collections::BTreeMap;
use std::fs::File;

use elucid_study::results::{self, PARQUET};
use elucid_study::{Begin, Place, State};
use parquet::basic::Type;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row};

use crate::common::{Desk, METRICS, run};

#[test]
fn every_value_has_a_row() {
    let desk = Desk::new(4);
    let study = desk.study("cpu", &["gradient", "choosy"]);
    let out = desk.path("out");
    std::fs::write(desk.path("1.png"), "no picture").unwrap();
    let (settings, found) = run(&study, &out, &Begin::new()).unwrap();
    results::write(&out, &settings, &found).unwrap();
    assert!(results::FILES.contains(&PARQUET));
    let reader = SerializedFileReader::new(File::open(out.join(PARQUET)).unwrap()).unwrap();
    let schema = reader.metadata().file_metadata().schema_descr_ptr();
    let types: BTreeMap<&str, Type> = (schema.columns().iter())
        .map(|column| (column.name(), column.physical_type()))
        .collect();
    assert_eq!(
        (types["value"], types["image"]),
        (Type::DOUBLE, Type::INT64)
    );
    let rows: Vec<Row> = reader
        .get_row_iter(None)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(rows.len(), 3 * 4 * METRICS.len());
    let mut states = BTreeMap::new();
    for row in &rows {
        let cells: BTreeMap<&str, &Field> = row
            .get_column_iter()
            .map(|(name, field)| (name.as_str(), field))
            .collect();
        let text = |name: &str| match cells[name] {
            Field::Str(text) => text.as_str(),
            other => panic!("{name}: {other:?}"),
        };
        let whole = |name: &str| match cells[name] {
            Field::Long(number) => *number as usize,
            other => panic!("{name}: {other:?}"),
        };
        let image = whole("image");
        let place = Place {
            image,
            row: found
                .rows()
                .iter()
                .position(|name| name == text("method"))
                .unwrap(),
            metric: found
                .metrics()
                .iter()
                .position(|name| name == text("metric"))
                .unwrap(),
        };
        let reason = found.failures().get(&place);
        let (state, value) = match found.state(place) {
            State::Number(number) => ("value", Field::Double(number)),
            State::NotApplicable => ("not applicable", Field::Null),
            State::Failed => ("failed", Field::Null),
            State::Missing => panic!("{place:?}"),
        };
        assert_eq!(
            (text("state"), cells["value"]),
            (state, &value),
            "{place:?}"
        );
        let said = reason.map_or(Field::Null, |reason| Field::Str(reason.clone()));
        assert_eq!(cells["reason"], &said);
        assert_eq!(text("file"), format!("{image}.png"));
        assert_eq!(whole("class"), image * 3);
        assert_eq!(text("label"), settings.label(image * 3));
        let Some(elucid_study::Image::Seen {
            predicted,
            probability,
            ..
        }) = found.image(image)
        else {
            panic!("{image}");
        };
        assert_eq!(whole("predicted"), *predicted);
        assert_eq!(cells["probability"], &Field::Float(*probability));
        *states.entry(state).or_insert(0) += 1;
    }
    assert_eq!(states["failed"], 2 * METRICS.len());
    assert!(states["value"] > 0);
}
