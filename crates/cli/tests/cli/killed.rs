//! `elucid evaluate` under signals: what is killed loses at most what it was computing, and nobody's numbers change.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::{Desk, send};

/// How often an evaluation is killed; `ELUCID_KILLS` for more.
const KILLS: usize = 20;

fn desk() -> Desk {
    Desk::squeezenet().boxed(&[
        "cat.png,100,100,967,0,0,4,4",
        "coffee.png,100,100,285,96,96,100,100",
    ])
}

fn command(desk: &Desk, out: &str) -> Command {
    let line = format!(
        "evaluate --resize squash --data boxes.csv --methods gradient,grad-cam,smooth-grad:samples=4 \
         --metrics pointing:15,sparseness,deletion:pixels=12544 --batch-size 2 --resume --quiet --out {out}"
    );
    let mut command = desk.command(line.split_whitespace());
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

/// Results without the times, and the summary, which says all that is said of them.
fn results(desk: &Desk, out: &str) -> (Vec<String>, String) {
    let read = |name: &str| fs::read_to_string(desk.path(out).join(name)).unwrap();
    let lines = read("results.csv");
    let lines = lines
        .lines()
        .map(|line| line.rsplit_once(',').unwrap().0.to_owned());
    (lines.collect(), read("summary.csv"))
}

fn status(desk: &Desk, out: &str) -> Value {
    let ended = desk.run(["evaluate", "status", "--json", out]);
    ended.json()["folders"][0].clone()
}

fn done(desk: &Desk, out: &str) -> usize {
    match desk.path(out).join("images.csv").exists() {
        true => status(desk, out)["cells_done"].as_u64().unwrap() as usize,
        false => 0,
    }
}

fn wait(child: &mut Child) -> Option<i32> {
    child.wait().unwrap().code()
}

#[test]
fn kill_9_at_any_time_loses_nothing_that_was_measured() {
    let kills = std::env::var("ELUCID_KILLS").map_or(KILLS, |kills| kills.parse().unwrap());
    let desk = desk();
    let started = Instant::now();
    let mut whole = command(&desk, "whole").spawn().unwrap();
    assert_eq!(wait(&mut whole), Some(0));
    // On a machine that was busy just then, no kill need wait longer.
    let lasts = started.elapsed().min(Duration::from_secs(10));
    let expected = results(&desk, "whole");
    let (mut killed, mut rounds, mut before) = (0, 0, 0);
    // Numbers without a pattern, the same each time.
    let mut random = 12345_u64;
    while killed < kills {
        let out = format!("part{rounds}");
        let mut child = command(&desk, &out).spawn().unwrap();
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let share = (random >> 40) as f64 / (1_u64 << 24) as f64;
        thread::sleep(lasts.mul_f64(1.1 * share));
        child.kill().unwrap();
        let ended = child.wait().unwrap();
        killed += usize::from(ended.code().is_none());
        let now = done(&desk, &out);
        assert!(
            now >= before,
            "{before} cells were measured, and {now} are left"
        );
        before = now;
        if ended.success() || killed >= kills {
            let mut last = command(&desk, &out).spawn().unwrap();
            assert_eq!(wait(&mut last), Some(0));
            assert_eq!(results(&desk, &out), expected, "after {killed} kills");
            (rounds, before) = (rounds + 1, 0);
        }
    }
}

/// Until an evaluation has measured something.
fn wait_for_cells(desk: &Desk, out: &str) {
    let journal = desk.path(out).join("journal");
    let has_cells = |folder: &Path| {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let texts = entries.filter_map(|entry| fs::read_to_string(entry.path()).ok());
        texts.into_iter().any(|text| text.contains("{\"cell\""))
    };
    let started = Instant::now();
    while !has_cells(&journal) {
        assert!(
            started.elapsed() < Duration::from_secs(120),
            "nothing is measured"
        );
        thread::sleep(Duration::from_millis(5));
    }
}

#[cfg(unix)]
#[test]
fn signals_end_it_with_75_and_it_goes_on() {
    let desk = desk();
    let mut whole = command(&desk, "whole").spawn().unwrap();
    assert_eq!(wait(&mut whole), Some(0));
    for signal in ["TERM", "INT"] {
        let out = format!("part{signal}");
        let child = command(&desk, &out).spawn().unwrap();
        wait_for_cells(&desk, &out);
        send(signal, &child);
        let ended = child.wait_with_output().unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(75), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(
            said.contains("--resume") && said.contains(" cells are measured"),
            "{said}"
        );
        let status = status(&desk, &out);
        let measured = status["cells_done"].as_u64().unwrap();
        assert!(
            measured > 0 && measured < status["cells"].as_u64().unwrap(),
            "{status}"
        );
        assert_eq!(status["workers"].as_array().unwrap().len(), 0);
        assert!(!desk.path(&out).join("results.csv").exists());
        // Tables of what there is, at any time.
        desk.run(["evaluate", "table", &out]).ok();
        let (lines, _) = results(&desk, &out);
        assert!(lines.len() > 1 && lines.len() < 1 + 6 * 5);
        let mut last = command(&desk, &out).spawn().unwrap();
        assert_eq!(wait(&mut last), Some(0));
        assert_eq!(results(&desk, &out), results(&desk, "whole"));
    }
}

#[test]
fn a_second_process_helps() {
    let desk = desk();
    let mut whole = command(&desk, "whole").spawn().unwrap();
    assert_eq!(wait(&mut whole), Some(0));
    let mut workers = [0, 1].map(|_| command(&desk, "shared").spawn().unwrap());
    for worker in &mut workers {
        assert_eq!(wait(worker), Some(0));
    }
    assert_eq!(results(&desk, "shared"), results(&desk, "whole"));
    assert_eq!(done(&desk, "shared"), 6 * 5);
}

/// A worker that was killed leaves its lease; others of this machine know that it is gone.
#[cfg(target_os = "linux")]
#[test]
fn the_images_of_a_killed_worker_are_free_at_once() {
    let desk = desk();
    let mut child = command(&desk, "out").spawn().unwrap();
    wait_for_cells(&desk, "out");
    child.kill().unwrap();
    child.wait().unwrap();
    let workers = status(&desk, "out")["workers"].clone();
    assert_eq!(workers[0]["is_stale"], true, "{workers}");
    let started = Instant::now();
    let mut last = command(&desk, "out").spawn().unwrap();
    assert_eq!(wait(&mut last), Some(0));
    assert!(started.elapsed() < Duration::from_secs(300));
    assert_eq!(done(&desk, "out"), 6 * 5);
}
