//! Files that nobody would write: whatever they hold, they are refused in words or run, within the
//! memory that is allowed.
//!
//! `ELUCID_RUNS` says how many files, `ELUCID_SEED` where to begin; `scripts/fuzz` runs a million.

use std::backtrace::Backtrace;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use elucid_testkit::hostile::{BESIDE, BESIDE_BYTES, Choices, attempt, network};
use elucid_testkit::memory;

/// Files, unless `ELUCID_RUNS` says otherwise.
const RUNS: u64 = 3_000;

/// Longer than any of these may take, also on a machine with much else to do.
const SLOW: Duration = Duration::from_secs(120);

/// More than the process may hold, of which the limit of each network is a small part.
const MOST_MEMORY: u64 = 1_500_000_000;

fn number(name: &str, default: u64) -> u64 {
    let stated = std::env::var(name).ok().and_then(|text| text.parse().ok());
    stated.unwrap_or(default)
}

/// Bytes that follow from a seed.
fn choices(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    (0..512).map(|_| next()).collect()
}

fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|t| (*t).to_owned()));
    text.unwrap_or_default()
}

struct Findings {
    next: AtomicU64,
    end: u64,
    reached: [AtomicU64; 4],
    found: Mutex<Vec<String>>,
}

impl Findings {
    fn work(&self, folder: &Path) {
        loop {
            let seed = self.next.fetch_add(1, Ordering::Relaxed);
            if seed >= self.end {
                return;
            }
            let started = Instant::now();
            let bytes = choices(seed);
            let tried = catch_unwind(AssertUnwindSafe(|| {
                let file = network(&mut Choices::new(&bytes));
                attempt(&file, Some(folder), seed.is_multiple_of(4))
            }));
            match tried {
                Ok(reached) => _ = self.reached[reached as usize].fetch_add(1, Ordering::Relaxed),
                Err(panic) => self.add(format!("seed {seed}: {}", words(&*panic))),
            }
            if started.elapsed() > SLOW {
                self.add(format!("seed {seed} took {:?}", started.elapsed()));
            }
            if seed.is_multiple_of(64) && memory::peak() > Some(MOST_MEMORY) {
                self.add(format!(
                    "up to seed {seed}: {:?} bytes were held",
                    memory::peak()
                ));
                return;
            }
        }
    }

    fn add(&self, what: String) {
        println!("{what}");
        self.found.lock().unwrap().push(what);
    }
}

/// Set in the process that runs the files.
const ALONE: &str = "ELUCID_HOSTILE_FILES";

/// In a process of its own, whose memory is that of no other test.
#[test]
fn no_file_panics_or_takes_more_than_it_may() {
    if std::env::var_os(ALONE).is_some() {
        return run();
    }
    let this = std::env::current_exe().unwrap();
    let name = "hostile_graphs::no_file_panics_or_takes_more_than_it_may";
    let ran = Command::new(this)
        .args([name, "--exact", "--nocapture"])
        .env(ALONE, "1")
        .status();
    assert!(
        ran.unwrap().success(),
        "there were findings: they stand above"
    );
}

fn run() {
    let folder = std::env::temp_dir().join(format!("elucid-hostile-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(BESIDE), vec![0x3e; BESIDE_BYTES]).unwrap();
    let start = number("ELUCID_SEED", 0);
    let findings = Findings {
        next: AtomicU64::new(start),
        end: start + number("ELUCID_RUNS", RUNS),
        reached: Default::default(),
        found: Mutex::default(),
    };
    // With `RUST_BACKTRACE=1` the way to it, too.
    std::panic::set_hook(Box::new(|panic| {
        println!("{panic}\n{}", Backtrace::capture());
    }));
    std::thread::scope(|scope| {
        for _ in 0..number("ELUCID_THREADS", 2) {
            scope.spawn(|| findings.work(&folder));
        }
    });
    let _ = std::panic::take_hook();
    std::fs::remove_dir_all(&folder).unwrap();
    let [refused, opened, ran, differentiated] = findings.reached.map(AtomicU64::into_inner);
    println!("{refused} refused, {opened} opened, {ran} ran, {differentiated} were differentiated");
    println!("at most {:?} bytes were held", memory::peak());
    let found = findings.found.into_inner().unwrap();
    assert!(
        found.is_empty(),
        "{} findings, the first: {}",
        found.len(),
        found[0]
    );
    let all = refused + opened + ran + differentiated;
    let enough = all < 1000 || ran + differentiated > all / 8;
    assert!(enough, "most files are no networks");
}
