//! What may be taken together, and what only if somebody says so.

use std::fs;

use elucid_study::{Begin, Merge, SETTINGS, Shard, StudyError};

use crate::common::{Desk, run, values};

fn shard(index: usize) -> Shard {
    Shard { index, count: 2 }
}

#[test]
fn shards_of_other_devices_are_refused() {
    let desk = Desk::new(4);
    let mut folders = Vec::new();
    for (index, device) in [(1, "cpu"), (2, "a gpu")] {
        let study = desk
            .study(device, &["gradient"])
            .part(None, shard(index))
            .unwrap();
        let folder = desk.path(&format!("part{index}"));
        run(&study, &folder, &Begin::new()).unwrap();
        folders.push(folder);
    }
    let error = Merge::of(&folders, false).unwrap_err();
    assert!(matches!(error, StudyError::Mixed { .. }), "{error}");
    assert!(
        error.to_string().contains("device is a gpu and was cpu"),
        "{error}"
    );
    let merge = Merge::of(&folders, true).unwrap();
    assert!(merge.missing().is_empty());
    let (settings, found) = merge.write(&desk.path("merged")).unwrap();
    assert_eq!(settings.merged_from, 2);
    let mixed = found.mixed().unwrap();
    assert!(
        mixed[0].starts_with("a gpu in f32") && mixed[1].starts_with("cpu in f32"),
        "{mixed:?}"
    );
    // All the same as one study of everything.
    let whole = desk.study("cpu", &["gradient"]);
    let (_, whole) = run(&whole, &desk.path("whole"), &Begin::new()).unwrap();
    assert_eq!(values(&found), values(&whole));
    assert!(whole.mixed().is_none());
}

#[test]
fn a_study_goes_on_elsewhere_only_when_told_to() {
    let desk = Desk::new(4);
    let out = desk.path("out");
    let first = desk
        .study("cpu", &["gradient"])
        .part(Some(2), Shard::WHOLE)
        .unwrap();
    run(&first, &out, &Begin::new()).unwrap();
    let other = desk.study("a gpu", &["gradient"]);
    let resume = Begin::new().resume(true);
    let error = run(&other, &out, &resume).unwrap_err();
    assert!(matches!(error, StudyError::Mixed { .. }), "{error}");
    assert!(error.to_string().contains("Begin::allow_mixed"), "{error}");
    let (settings, found) = run(&other, &out, &resume.clone().allow_mixed(true)).unwrap();
    assert_eq!(settings.device, "cpu", "it stays the study that it was");
    assert_eq!(found.mixed().unwrap().len(), 2);
    // Whoever merges it is told, too.
    let folders = [out];
    let error = Merge::of(&folders, false).unwrap_err();
    assert!(matches!(error, StudyError::Mixed { .. }), "{error}");
    Merge::of(&folders, true).unwrap();
}

#[test]
fn folders_of_other_versions_are_refused() {
    let desk = Desk::new(2);
    let out = desk.path("out");
    let study = desk.study("cpu", &["gradient"]);
    run(&study, &out, &Begin::new()).unwrap();
    let path = out.join(SETTINGS);
    let text = fs::read_to_string(&path).unwrap();
    let resume = Begin::new().resume(true);
    for (schema, said) in [
        ("", "an earlier version"),
        ("\"schema\": 3,", "a later version"),
    ] {
        fs::write(&path, text.replace("\"schema\": 2,", schema)).unwrap();
        let error = run(&study, &out, &resume).unwrap_err();
        assert!(matches!(error, StudyError::Schema { .. }), "{error}");
        assert!(error.to_string().contains(said), "{error}");
        assert!(elucid_study::read(&out).is_err());
    }
}

/// A process that was killed before it wrote anything leaves what can be begun.
#[test]
fn what_was_killed_at_once_can_be_gone_on_with() {
    let desk = Desk::new(2);
    let study = desk.study("cpu", &["gradient"]);
    let out = desk.path("out");
    fs::create_dir(&out).unwrap();
    fs::write(out.join(".elucid-abc.part"), "half of somethi").unwrap();
    run(&study, &out, &Begin::new()).unwrap();
    fs::remove_file(out.join("images.csv")).unwrap();
    run(&study, &out, &Begin::new().resume(true)).unwrap();
    elucid_study::read(&out).unwrap();
}
