//! What may be taken together, and what only if somebody says so.

use std::fs;
use std::path::Path;

use elucid_study::journal::JOURNAL;
use elucid_study::{
    Begin, IMAGES, Merge, ORIGINS, Origins, SETTINGS, Settings, Shard, StudyError, read,
};

use crate::common::{Desk, cells, run, values};

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

/// Whatever a crash leaves of a limit that was growing can be read and gone on with.
#[test]
fn a_limit_may_grow_half_way() {
    let desk = Desk::new(4);
    let out = desk.path("out");
    let [settings, images] = [SETTINGS, IMAGES].map(|name| out.join(name));
    let of = |limit: usize| {
        let study = desk.study("cpu", &["gradient"]);
        study.part(Some(limit), Shard::WHOLE).unwrap()
    };
    let resume = Begin::new().resume(true);
    let planned = || read(&out).unwrap().1.planned().len();
    run(&of(2), &out, &resume).unwrap();
    let few = [&settings, &images].map(|file| fs::read(file).unwrap());
    run(&of(4), &out, &resume).unwrap();
    let many = [&settings, &images].map(|file| fs::read(file).unwrap());

    // The list is written, the settings are not.
    fs::write(&settings, &few[0]).unwrap();
    assert_eq!(planned(), 2);
    Merge::of(std::slice::from_ref(&out), false).unwrap();
    // Who asks for no more takes nothing from who does.
    run(&of(2), &out, &resume).unwrap();
    assert_eq!(fs::read(&images).unwrap(), many[1]);
    run(&of(4), &out, &resume).unwrap();
    assert_eq!(planned(), 4);
    // Never in this order, but by other builds.
    fs::write(&images, &few[1]).unwrap();
    read(&out).unwrap_err();
    run(&of(4), &out, &resume).unwrap();
    assert_eq!(planned(), 4);
    assert_eq!(
        [&settings, &images].map(|file| fs::read(file).unwrap()),
        many
    );
    assert_eq!(cells(&out).len(), 4 * 3, "nothing was measured twice");
}

/// The two halves of a study, in `half1` and `half2`.
fn halves(desk: &Desk) -> Vec<std::path::PathBuf> {
    let halves = [1, 2].map(|index| {
        let study = desk.study("cpu", &["gradient"]);
        let folder = desk.path(&format!("half{index}"));
        let study = study.part(None, shard(index)).unwrap();
        run(&study, &folder, &Begin::new()).unwrap();
        folder
    });
    halves.to_vec()
}

fn listing(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_merge_takes_the_place_of_merges_only() {
    let desk = Desk::new(4);
    let halves = halves(&desk);
    let whole = desk.path("whole");
    let (_, expected) = run(&desk.study("cpu", &["gradient"]), &whole, &Begin::new()).unwrap();
    let merge = Merge::of(&halves, false).unwrap();
    let refused = |folder: &Path, said: &str| {
        let before = [listing(folder), listing(&folder.join(JOURNAL))];
        merge.check_place(folder).unwrap_err();
        let error = merge.write(folder).unwrap_err();
        assert!(matches!(error, StudyError::Protected { .. }), "{error}");
        assert!(error.to_string().contains(said), "{error}");
        assert_eq!([listing(folder), listing(&folder.join(JOURNAL))], before);
    };
    refused(&halves[0], "among the folders that are merged");
    refused(&desk.path("whole/../half2"), "among the folders");
    refused(&whole, "no merge");
    // Its settings are lost, not what was measured.
    fs::remove_file(whole.join(SETTINGS)).unwrap();
    refused(&whole, "journals of an evaluation");

    let merged = desk.path("merged");
    let check = || {
        let (settings, found) = merge.write(&merged).unwrap();
        assert_eq!(settings.merged_from, 2);
        assert_eq!(values(&found), values(&expected));
        let (settings_read, found_read) = read(&merged).unwrap();
        assert_eq!(settings_read, settings);
        assert_eq!(values(&found_read), values(&found));
        assert_eq!(found_read.sessions(), found.sessions());
        assert_eq!(listing(&merged.join(JOURNAL)), ["merged.jsonl"]);
    };
    check();
    check();
    // What an earlier merge left in the folder counts no more.
    let journal = merged.join(JOURNAL);
    fs::copy(journal.join("merged.jsonl"), journal.join("earlier.jsonl")).unwrap();
    check();
    // A merge that was ended half way.
    fs::remove_file(merged.join(SETTINGS)).unwrap();
    check();
    let error = Merge::of(std::slice::from_ref(&merged), false)
        .unwrap()
        .write(&merged)
        .unwrap_err();
    assert!(matches!(error, StudyError::Protected { .. }), "{error}");
}

/// What stays with the shards is found, where they were or beside the merge, and never another study's.
#[test]
fn a_merge_knows_where_it_comes_from() {
    let desk = Desk::new(4);
    let halves = halves(&desk);
    let merged = desk.path("merged");
    let (settings, _) = Merge::of(&halves, false).unwrap().write(&merged).unwrap();
    let origin = |folder: &Path, number: usize| {
        let settings = Settings::read(folder).unwrap();
        let origins = Origins::of(folder, &settings);
        origins.folder(number).map(|f| fs::canonicalize(f).unwrap())
    };
    let real = |folder: &Path| Some(fs::canonicalize(folder).unwrap());
    for number in 0..4 {
        assert_eq!(origin(&merged, number), real(&halves[number % 2]));
        assert_eq!(origin(&halves[0], number), real(&halves[0]));
    }
    // A merge of merges comes from the same folders.
    let again = desk.path("again");
    let merge = Merge::of(std::slice::from_ref(&merged), false).unwrap();
    merge.write(&again).unwrap();
    assert_eq!(origin(&again, 1), real(&halves[1]));

    // All of it is moved.
    let moved = desk.path("moved");
    fs::create_dir(&moved).unwrap();
    for name in ["half1", "half2", "merged"] {
        fs::rename(desk.path(name), moved.join(name)).unwrap();
    }
    assert_eq!(origin(&moved.join("merged"), 1), real(&moved.join("half2")));
    // Another study lies where a shard was, and one shard is gone.
    let other = desk.study("cpu", &["gradient"]).seed(1).unwrap();
    let other = other.part(None, shard(1)).unwrap();
    fs::remove_dir_all(moved.join("half1")).unwrap();
    run(&other, &moved.join("half1"), &Begin::new()).unwrap();
    fs::remove_dir_all(moved.join("half2")).unwrap();
    assert_eq!(origin(&moved.join("merged"), 0), None);
    assert_eq!(origin(&moved.join("merged"), 1), None);
    // Nobody wrote it down.
    fs::remove_file(moved.join("merged").join(ORIGINS)).unwrap();
    assert!(
        Origins::of(&moved.join("merged"), &settings)
            .folder(0)
            .is_none()
    );
}
