//! Several workers, other batches, and being stopped.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use elucid_study::journal::JOURNAL;
use elucid_study::{Begin, Control, Ended, Found, Settings, Shard, Watch};

use crate::common::{Desk, cells, run, values};

#[test]
fn any_batch_size_keeps_what_is_finished() {
    let desk = Desk::new(9);
    let out = desk.path("out");
    let of = |size: usize, limit: Option<usize>| {
        let study = desk.study("cpu", &["gradient", "grad-cam"]);
        study
            .batch_size(size)
            .unwrap()
            .part(limit, Shard::WHOLE)
            .unwrap()
    };
    run(&of(1, Some(5)), &out, &Begin::new()).unwrap();
    let before = cells(&out);
    assert_eq!(before.len(), 5 * 4);
    let resume = Begin::new().resume(true);
    let (settings, found) = run(&of(256, None), &out, &resume).unwrap();
    assert_eq!((settings.batch_size, settings.total()), (1, 9));
    assert_eq!(found.cells(), [36, 36]);
    let after = cells(&out);
    assert_eq!(after.len(), 36, "nothing was measured twice");
    assert!(before.iter().all(|cell| after.contains(cell)));
    let (_, smaller) = run(&of(3, None), &out, &resume).unwrap();
    assert_eq!(values(&smaller), values(&found));
    assert_eq!(cells(&out), after);
}

#[test]
fn workers_on_one_folder_share_the_images() {
    let desk = Desk::new(12);
    let out = desk.path("out");
    let whole = desk.study("cpu", &["gradient", "grad-cam"]);
    let (_, whole) = run(&whole, &desk.path("whole"), &Begin::new()).unwrap();
    let barrier = Barrier::new(3);
    let found: Vec<Found> = thread::scope(|scope| {
        let work = || {
            let study = desk.study("cpu", &["gradient", "grad-cam"]);
            barrier.wait();
            run(&study, &out, &Begin::new().resume(true)).unwrap().1
        };
        let workers: Vec<_> = (0..3).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap())
            .collect()
    });
    for found in &found {
        assert_eq!(values(found), values(&whole));
    }
    let cells = cells(&out);
    assert_eq!(cells.len(), 12 * 4, "nothing was measured twice");
    let journals = fs::read_dir(out.join(JOURNAL)).unwrap().count();
    assert!((1..=3).contains(&journals), "{journals}");
}

/// Stops the study after some cells.
struct After {
    cells: usize,
    stop: Arc<AtomicBool>,
}

impl Watch for After {
    fn begun(&mut self, _: &Settings, found: &Found) {
        self.cells += found.cells()[0];
    }

    fn cells(&mut self, done: usize, _: usize) {
        if done >= self.cells {
            self.stop.store(true, Ordering::Relaxed);
        }
    }
}

#[test]
fn a_study_that_is_stopped_keeps_its_cells() {
    let desk = Desk::new(5);
    let out = desk.path("out");
    let study = desk.study("cpu", &["gradient", "grad-cam"]);
    let (_, whole) = run(&study, &desk.path("whole"), &Begin::new()).unwrap();
    let mut done = 0;
    let mut stops = 0;
    loop {
        let control = Control::default();
        let mut watch = After {
            cells: 1,
            stop: Arc::clone(&control.stop),
        };
        let resume = Begin::new().resume(true);
        let (ended, _, found) = study.run(&out, &resume, &control, &mut watch).unwrap();
        assert!(found.cells()[0] > done || ended == Ended::Whole);
        done = found.cells()[0];
        let leases = elucid_study::lease::held(&out, elucid_study::lease::STALE_AFTER).unwrap();
        assert!(leases.is_empty(), "whoever stops gives its images back");
        stops += 1;
        if ended == Ended::Whole {
            assert_eq!(values(&found), values(&whole));
            break;
        }
    }
    assert!(stops > 5, "{stops}");
    assert_eq!(cells(&out).len(), 20, "nothing was measured twice");
}

/// Counts the blocks that are held while something is measured.
struct Held {
    folder: PathBuf,
    most: usize,
}

impl Watch for Held {
    fn cell(&mut self, _: &str) {
        let held = elucid_study::lease::held(&self.folder, elucid_study::lease::STALE_AFTER);
        self.most = self.most.max(held.unwrap().len());
    }
}

/// Blocks that do not fit into a batch are left to others.
#[test]
fn a_worker_holds_no_more_blocks_than_fit_into_a_batch() {
    let desk = Desk::new(14);
    let out = desk.path("out");
    let of = |size: usize, limit: usize| {
        let study = desk.study("cpu", &["gradient"]).batch_size(size).unwrap();
        study.part(Some(limit), Shard::WHOLE).unwrap()
    };
    run(&of(2, 2), &out, &Begin::new()).unwrap();
    let most = |size: usize, limit: usize| {
        let mut held = Held {
            folder: out.clone(),
            most: 0,
        };
        let resume = Begin::new().resume(true);
        let study = of(size, limit);
        let (ended, ..) = study
            .run(&out, &resume, &Control::default(), &mut held)
            .unwrap();
        assert_eq!(ended, Ended::Whole);
        held.most
    };
    assert_eq!(most(1, 4), 1, "a batch may be smaller than a block");
    assert_eq!(most(3, 8), 1);
    assert_eq!(most(5, 14), 2);
}

#[test]
fn what_it_takes_is_told_before() {
    let desk = Desk::new(3);
    fs::write(desk.path("0.png"), "no picture").unwrap();
    let methods = ["gradient", "smooth-grad:samples=24", "choosy"];
    let expected = desk.study("cpu", &methods).expected().unwrap();
    let passes: Vec<usize> = expected.iter().map(|expected| expected.passes).collect();
    // Nothing was drawn beyond the first batch, and all samples are counted.
    assert_eq!(passes[0], 1);
    assert_eq!(passes[1], 24);
    assert!(
        expected.iter().all(|e| e.images == 3 && e.seconds > 0.0),
        "{expected:?}"
    );
    assert!(expected[1].seconds > expected[0].seconds, "{expected:?}");
}
