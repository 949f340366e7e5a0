//! Maps that are kept, and maps that another program made.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use elucid_attribution::{Methods, Saliency};
use elucid_metrics::Metrics;
use elucid_study::journal::{self, JOURNAL, Record};
use elucid_study::{
    Begin, Control, Data, Ended, Entry, Explainer, ForeignMaps, Found, Place, Shown, State,
    StudyError, Watch, maps,
};
use ndarray::{Array2, Axis};
use ndarray_npy::write_npy;

use crate::common::{Desk, METRICS, cell_records, cells, cut, model, run, values};

const METHODS: [&str; 3] = ["gradient:smooth=0.02", "grad-cam", "choosy"];

fn keeping() -> Begin {
    Begin::new().resume(true).save_maps(true)
}

/// Remembers every map that it is shown.
#[derive(Default)]
struct Seen(BTreeMap<(usize, usize), Array2<f32>>);

impl Watch for Seen {
    fn measured(&mut self, shown: &Shown<'_>) -> Result<(), String> {
        self.0
            .insert((shown.method, shown.number), shown.map.to_owned());
        Ok(())
    }
}

/// The map of an image at its size, from the file that the journal names.
fn kept(folder: &Path, found: &Found, image: usize, row: usize) -> Option<Array2<f32>> {
    let file = found.map_file(image, row)?;
    let map = maps::read(folder, file).unwrap().remove(&image).unwrap();
    let size = model().input_spec().size();
    let large = Saliency::new(map.insert_axis(Axis(0)), size).upsampled();
    Some(large.maps().index_axis(Axis(0), 0).to_owned())
}

/// Every file of maps, with its bytes.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let lists = METHODS.map(|method| maps::list(folder, method).unwrap());
    let names = lists.into_iter().flat_map(BTreeMap::into_keys);
    names
        .map(|name| {
            let bytes = fs::read(folder.join(maps::MAPS).join(&name)).unwrap();
            (name, bytes)
        })
        .collect()
}

/// Every file that a journal names is there, whole.
fn check_files(folder: &Path) -> usize {
    let mut count = 0;
    for cell in cell_records(folder) {
        if let Some(name) = cell.maps {
            let maps = maps::read(folder, &name).unwrap();
            let images: Vec<usize> = cell.rows.iter().map(|row| row.image).collect();
            assert_eq!(maps.into_keys().collect::<Vec<_>>(), images);
            count += 1;
        }
    }
    count
}

#[test]
fn maps_that_are_kept_are_those_that_were_measured() {
    let desk = Desk::new(4);
    let study = desk.study("cpu", &METHODS);
    let out = desk.path("out");
    let mut seen = Seen::default();
    let ended = study.run(&out, &keeping(), &Control::default(), &mut seen);
    let (ended, _, found) = ended.unwrap();
    assert_eq!(ended, Ended::Whole);
    for image in 0..4 {
        for row in 0..5 {
            // The last two know nothing of the image; a method that fails has no map.
            let has_map = row < 2 || (row == 2 && image < 2);
            assert_eq!(
                found.map_file(image, row).is_some(),
                has_map,
                "{image} {row}"
            );
            assert_eq!(
                kept(&out, &found, image, row).as_ref(),
                seen.0.get(&(row, image))
            );
        }
    }
    assert_eq!(
        (0..5).map(|row| found.maps_kept(row)).collect::<Vec<_>>(),
        [4, 4, 2, 0, 0]
    );
    // As small as the layer.
    let file = found.map_file(0, 1).unwrap();
    assert!(maps::read(&out, file).unwrap()[&0].dim().0 < 20);
    // Numbers are those of a study that keeps none, and whoever reads it later knows the maps.
    let (_, without) = run(&study, &desk.path("without"), &Begin::new()).unwrap();
    assert_eq!(values(&found), values(&without));
    assert!(!desk.path("without").join(maps::MAPS).exists());
    let (_, read) = elucid_study::read(&out).unwrap();
    assert_eq!(read.map_file(3, 1), found.map_file(3, 1));
    assert_eq!(read.cells(), found.cells());
}

#[test]
fn maps_are_made_where_they_are_lacking() {
    let desk = Desk::new(4);
    let study = desk.study("cpu", &METHODS);
    let out = desk.path("out");
    let (_, without) = run(&study, &out, &Begin::new()).unwrap();
    let before = cells(&out);
    let (_, with) = run(&study, &out, &keeping()).unwrap();
    assert_eq!(values(&with), values(&without));
    // Neither baselines nor what failed.
    let again = cells(&out).len() - before.len();
    assert_eq!(again, 4 + 4 + 2);
    let whole = files(&out);
    let all = cells(&out);
    run(&study, &out, &keeping()).unwrap();
    assert_eq!(cells(&out), all, "nothing is made twice");
    // What is gone is made again; what nobody asks for is not missed.
    let gone = whole.keys().next().unwrap();
    fs::remove_file(out.join(maps::MAPS).join(gone)).unwrap();
    run(&study, &out, &Begin::new().resume(true)).unwrap();
    assert_eq!(cells(&out), all);
    run(&study, &out, &keeping()).unwrap();
    assert_eq!(files(&out), whole, "the same files");
    assert_eq!(cells(&out).len(), all.len() + 2);
}

#[test]
fn a_journal_that_was_cut_lacks_no_map() {
    let desk = Desk::new(4);
    let study = desk.study("cpu", &METHODS);
    let whole = desk.path("whole");
    let (_, expected) = run(&study, &whole, &keeping()).unwrap();
    let files_of_whole = files(&whole);
    for records in [1, 2, 3, 4, 6, 9] {
        let out = desk.path(&format!("cut{records}"));
        run(&study, &out, &keeping()).unwrap();
        cut(&out, records);
        let named = check_files(&out);
        assert!(named <= records);
        let (_, found) = run(&study, &out, &keeping()).unwrap();
        assert_eq!(values(&found), values(&expected));
        assert_eq!(files(&out), files_of_whole, "no file is there twice");
        check_files(&out);
    }
}

/// Stops the study after a cell.
struct Once(Arc<AtomicBool>, bool);

impl Watch for Once {
    fn cell(&mut self, _: &str) {
        if self.1 {
            self.0.store(true, Ordering::Relaxed);
        }
        self.1 = true;
    }
}

#[test]
fn a_study_that_is_stopped_names_only_files_that_are_whole() {
    let desk = Desk::new(3);
    let study = desk.study("cpu", &METHODS);
    let out = desk.path("out");
    let mut stops = 0;
    loop {
        let control = Control::default();
        let mut once = Once(Arc::clone(&control.stop), false);
        let ended = study.run(&out, &keeping(), &control, &mut once).unwrap().0;
        check_files(&out);
        if ended == Ended::Whole {
            break;
        }
        stops += 1;
    }
    assert!(stops > 5, "{stops}");
    // Of two dark images under three methods, and of a bright one under two.
    assert_eq!(check_files(&out), 3 + 2);
}

/// The metrics that attribute again, and two that do not.
const MORE: [&str; 5] = [
    "sparseness",
    "localisation-energy",
    "random-logit",
    "sensitivity-max:samples=1",
    "completeness",
];

#[test]
fn maps_of_another_program_are_measured_as_those_of_a_method() {
    let desk = Desk::new(2);
    let methods = Methods::standard();
    let entry = |text: &str| Entry::parse(&methods, text).unwrap();
    let known = Metrics::standard();
    let out = desk.path("out");
    let made = desk
        .try_study(
            "cpu",
            vec![entry("gradient"), entry("grad-cam")],
            &known,
            &MORE,
        )
        .unwrap();
    let (_, made) = run(&made, &out, &keeping()).unwrap();
    let (theirs, small) = (desk.path("theirs"), desk.path("small"));
    for folder in [&theirs, &small] {
        fs::create_dir(folder).unwrap();
    }
    for image in 0..2 {
        let name = format!("{image}.npy");
        write_npy(theirs.join(&name), &kept(&out, &made, image, 0).unwrap()).unwrap();
        let file = made.map_file(image, 1).unwrap();
        write_npy(small.join(&name), &maps::read(&out, file).unwrap()[&image]).unwrap();
    }
    let items = Data::read(&desk.path("list.csv"))
        .unwrap()
        .resolve(model())
        .unwrap();
    let open = |name: &str, folder: &Path| ForeignMaps::open(name, folder, &items).unwrap();
    let study = |maps: Vec<Explainer>| desk.try_study("cpu", maps, &known, &MORE).unwrap();
    let refused = study(vec![open("small", &small).into()]);
    let error = run(&refused, &desk.path("refused"), &Begin::new()).unwrap_err();
    assert!(matches!(error, StudyError::Map { .. }), "{error}");
    assert!(error.to_string().contains("13 x 13 pixels"), "{error}");
    assert!(!desk.path("refused").exists());
    let again = desk.path("again");
    let maps = || {
        vec![
            open("theirs", &theirs).into(),
            open("small", &small).resize(true).into(),
            entry("gradient").into(),
        ]
    };
    let (settings, found) = run(&study(maps()), &again, &keeping()).unwrap();
    assert_eq!(
        settings.rows(),
        ["theirs", "small", "gradient", "centre", "random"]
    );
    assert_eq!(settings.methods[1].options.get("resize"), Some("bilinear"));
    for image in 0..2 {
        for (row, of) in [(0, 0), (1, 1), (2, 0)] {
            for metric in 0..MORE.len() {
                let state = found.state(Place { image, row, metric });
                let expected = made.state(Place {
                    image,
                    row: of,
                    metric,
                });
                match metric < 2 || row == 2 {
                    true => assert_eq!(state, expected, "{image} {row} {metric}"),
                    false => assert_eq!(state, State::NotApplicable, "{image} {row} {metric}"),
                }
            }
        }
        assert!(found.map_file(image, 0).is_none(), "they are files already");
    }
    // Why, in the journal.
    let mut reasons = Vec::new();
    let journal = fs::read_dir(again.join(JOURNAL)).unwrap().next().unwrap();
    journal::read(&journal.unwrap().path(), |record| {
        if let Record::Cell(cell) = record
            && cell.method == "theirs"
        {
            reasons.extend(cell.rows[0].values[2..].to_vec());
        }
    })
    .unwrap();
    let said = format!("{:?}", &reasons[..3]);
    assert!(
        said.contains("there is no method to attribute again with"),
        "{said}"
    );
    assert!(said.contains("only a map is known"), "{said}");
    // A map that is no map fails on its image, and one that is missing before anything begins.
    write_npy(
        theirs.join("1.npy"),
        &Array2::from_elem((224, 224), f32::NAN),
    )
    .unwrap();
    let (_, found) = run(&study(maps()), &desk.path("nan"), &keeping()).unwrap();
    let failed: Vec<usize> = found.failures().keys().map(|place| place.image).collect();
    assert_eq!(failed, [1; MORE.len()]);
    let reason = found.failures().values().next().unwrap();
    assert!(
        reason.contains("NaN at [0, 0]") && reason.starts_with("theirs: "),
        "{reason}"
    );
    let checked = study(maps());
    assert!(checked.check_maps().unwrap().is_empty());
    fs::remove_file(theirs.join("1.npy")).unwrap();
    // Where all were there when somebody looked, it fails on its image.
    let (_, found) = run(&checked, &desk.path("lost"), &keeping()).unwrap();
    let failed: Vec<usize> = found.failures().keys().map(|place| place.image).collect();
    assert_eq!(failed, [1; MORE.len()]);
    let error = run(&study(maps()), &desk.path("none"), &keeping()).unwrap_err();
    assert!(
        error.to_string().contains("1 of 2 images have no map"),
        "{error}"
    );
    // A name that a method has.
    let twice = vec![
        open("gradient", &theirs).into(),
        Explainer::from(entry("gradient")),
    ];
    let error = desk.try_study("cpu", twice, &known, &METRICS).unwrap_err();
    assert!(matches!(error, StudyError::Repeated { .. }), "{error}");
}
