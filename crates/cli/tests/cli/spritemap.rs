//! `elucid spritemap`: what it makes and keeps, how it goes on after whatever ended it, and who works on one map together.

use std::fs;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{Desk, Ended, send};
use elucid::render::{Picture, SpriteMap};
use serde_json::Value;

/// Few steps of a layer close to the input, at a size that takes little time.
const QUICK: &str = "--size 32 --steps 4";

/// A layer of 16 channels, of which nine are asked for.
const MAP: &str = "spritemap --layer fire2/squeeze1x1 --channels 0-4,9-12";

/// What a finished folder holds; a merge has no journal.
const FILES: [&str; 4] = [
    "report.json",
    "settings.json",
    "sprites.json",
    "sprites.png",
];

fn spritemap(desk: &Desk, arguments: &str) -> Ended {
    desk.say(&format!("{MAP} {QUICK} --batch-size 2 {arguments}"))
}

fn map(desk: &Desk, folder: &str) -> SpriteMap {
    SpriteMap::open(desk.path(format!("{folder}/sprites.png"))).unwrap()
}

/// The names and texts of a folder's journals.
fn journals(desk: &Desk, folder: &str) -> Vec<(String, String)> {
    let names = desk.tree(&format!("{folder}/journal"));
    let names = names.into_iter().filter(|name| name.ends_with(".jsonl"));
    names
        .map(|name| {
            let text = desk.text(&name);
            (name, text)
        })
        .collect()
}

fn status(desk: &Desk, folder: &str) -> Value {
    desk.say(&format!("spritemap status --json {folder}"))
        .json()["folders"][0]
        .clone()
}

#[test]
fn a_map_is_the_same_in_one_piece_in_shards_and_in_turns() {
    let desk = Desk::squeezenet();
    let ended = spritemap(&desk, "--out whole").ok();
    assert!(ended.out.contains("9 of 16 channels"), "{}", ended.out);
    let mut files = FILES.to_vec();
    files.extend(["journal", "sprites"]);
    files.sort_unstable();
    assert_eq!(desk.listing("whole"), files);
    let whole = map(&desk, "whole");
    assert_eq!(whole.layer(), "fire2/squeeze1x1");
    assert_eq!((whole.columns(), whole.size(), whole.count()), (4, 32, 16));
    assert_eq!(whole.present(), [0, 1, 2, 3, 4, 9, 10, 11, 12]);
    assert!(
        whole.made_by().contains("fft, 4 steps"),
        "{}",
        whole.made_by()
    );
    // The pictures that the other command makes.
    desk.say(&format!(
        "visualize {QUICK} --layer fire2/squeeze1x1 --channel 9 --out one"
    ))
    .ok();
    let one = elucid::vision::input::open_image(desk.path("one/channel_9.png")).unwrap();
    assert_eq!(
        whole.sprite(9),
        Some(Picture::from_image(one.into_rgb8()).unwrap())
    );

    for shard in 1..=3 {
        let batch = 1 + shard % 2 * 5;
        let ended = desk.say(&format!(
            "{MAP} {QUICK} --batch-size {batch} --shard {shard}/3 --out part{shard}"
        ));
        ended.ok();
    }
    assert_eq!(map(&desk, "part2").present(), [1, 4, 11]);
    let merged = desk.say("spritemap merge part3 part1 part2 --out merged");
    merged.ok();
    assert_eq!(desk.listing("merged"), FILES);
    assert_eq!(map(&desk, "merged"), whole);
    for file in ["sprites.png", "sprites.json"] {
        let [merged, whole] =
            ["merged", "whole"].map(|f| fs::read(desk.path(f).join(file)).unwrap());
        assert_eq!(merged, whole, "{file}");
    }
    let report = desk.json("merged/report.json");
    assert_eq!(report["planned"], 9);
    assert_eq!(report["settings"]["merged_from"], 3);

    // A new folder is begun; a map that is complete stays as it is.
    spritemap(&desk, "--resume --out fresh").ok();
    assert_eq!(map(&desk, "fresh"), whole);
    let before = fs::read(desk.path("fresh/sprites.png")).unwrap();
    let ended = spritemap(&desk, "--resume --out fresh").ok();
    assert!(
        ended.err.contains("9 of 9 channels are done"),
        "{}",
        ended.err
    );
    assert_eq!(fs::read(desk.path("fresh/sprites.png")).unwrap(), before);

    // Merging what does not belong together.
    let refused = |folders: &str, parts: &[&str]| {
        let before = desk.listing(".");
        let message = desk
            .say(&format!("spritemap merge {folders} --out no"))
            .refused(1);
        for part in parts {
            assert!(message.contains(part), "no {part} in {message}");
        }
        assert_eq!(desk.listing("."), before);
    };
    refused(
        "part1 part3",
        &[
            "missing shards: 2/3",
            "3 channels are missing: 1, 4, 11",
            "--allow-missing",
        ],
    );
    refused("part1 part2 part1 part3", &["both shard 1/3"]);
    refused(
        "part1 whole",
        &["other settings", "shard.count is 1 and was 3"],
    );
    refused("part1 nothing", &["nothing/settings.json"]);
    spritemap(&desk, "--seed 1 --shard 2/3 --out other").ok();
    refused("part1 other part3", &["icons.seed is 1 and was 0"]);

    // Settings that nobody wrote.
    let stated = desk.text("part1/settings.json");
    for (what, wrong, says) in [
        ("\"index\": 1,", "\"index\": 0,", "no shard 0/3"),
        ("\"count\": 3", "\"count\": 0", "no shard 1/0"),
        ("\"count\": 16", "\"count\": 99999999999999", "65536"),
    ] {
        assert!(stated.contains(what), "no {what} in {stated}");
        let settings = stated.replace(what, wrong);
        fs::create_dir_all(desk.path("odd")).unwrap();
        fs::write(desk.path("odd/settings.json"), settings).unwrap();
        refused("odd", &[says]);
    }

    // A map with holes is filled in by the same command.
    let ended = desk
        .say("spritemap merge part1 part3 --out holes --allow-missing")
        .ok();
    assert!(ended.err.contains("1, 4, 11"), "{}", ended.err);
    assert_eq!(map(&desk, "holes").present(), [0, 2, 3, 9, 10, 12]);
    spritemap(&desk, "--resume --out holes").ok();
    assert_eq!(map(&desk, "holes"), whole);
}

#[test]
fn only_the_same_map_goes_on() {
    let desk = Desk::squeezenet();
    let run =
        |arguments: &str| desk.say(&format!("spritemap --channels 0-1 --out out {arguments}"));
    let usual = "--layer fire2/squeeze1x1 --size 32 --steps 2";
    run(usual).ok();
    let before = desk.listing("out");
    let picture = fs::read(desk.path("out/sprites.png")).unwrap();
    run(usual).refused_with(1, &["--resume"]);
    for (arguments, part) in [
        (
            "--layer fire2/squeeze1x1 --size 32 --steps 3",
            "icons.steps is 3 and was 2",
        ),
        (
            "--layer fire2/squeeze1x1 --size 33 --steps 2",
            "size is 33 and was 32",
        ),
        (
            "--layer fire3/squeeze1x1 --size 32 --steps 2",
            "layer is fire3/squeeze1x1",
        ),
        (
            "--layer fire2/squeeze1x1 --size 32 --steps 2 --param pixel",
            "icons.param is pixel",
        ),
        (
            "--layer fire2/squeeze1x1 --size 32 --steps 2 --transforms none",
            "transforms is none",
        ),
        (
            "--layer fire2/squeeze1x1 --size 32 --steps 2 --learning-rate 0.1",
            "learning_rate is 0.1",
        ),
        (
            "--layer fire2/squeeze1x1 --size 32 --steps 2 --seed 1",
            "icons.seed is 1",
        ),
        (
            "--layer fire2/squeeze1x1 --size 32 --steps 2 --shard 1/2",
            "shard.count is 2",
        ),
        (
            "--layer fire2/squeeze1x1 --size 32 --steps 2 --scale 1/255",
            "input.scale",
        ),
    ] {
        run(&format!("{arguments} --resume")).refused_with(1, &[part]);
    }
    desk.say(&format!("spritemap --out out {usual} --resume"))
        .refused_with(1, &["channels is not given and was 0, 1"]);
    assert_eq!(desk.listing("out"), before);
    assert_eq!(fs::read(desk.path("out/sprites.png")).unwrap(), picture);

    // A folder of something else, and one whose map is another.
    fs::create_dir(desk.path("mine")).unwrap();
    fs::write(desk.path("mine/notes.txt"), "mine").unwrap();
    desk.say(&format!("spritemap --out mine {usual} --resume"))
        .refused_with(1, &["no sprite map"]);
    assert_eq!(desk.listing("mine"), ["notes.txt"]);
    let other = SpriteMap::new("fire2/squeeze1x1", 16, 16).unwrap();
    other.save(desk.path("out/sprites.png")).unwrap();
    run(&format!("{usual} --resume")).refused_with(1, &["is not the map"]);
}

/// A copy of a folder's settings and journals, of which so many lines are left, with `torn` behind them.
fn cut(desk: &Desk, from: &str, to: &str, lines: usize, torn: &str) {
    fs::create_dir_all(desk.path(to).join("journal")).unwrap();
    let copied = desk.tree(&format!("{from}/sprites")).into_iter();
    for file in copied.chain([format!("{from}/settings.json")]) {
        let place = desk.path(file.replacen(from, to, 1));
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::copy(desk.path(&file), place).unwrap();
    }
    let [(name, text)] = &journals(desk, from)[..] else {
        panic!("one journal");
    };
    let left: String = text.split_inclusive('\n').take(lines).collect();
    let place = desk.path(name.replacen(from, to, 1));
    fs::write(place, left + torn).unwrap();
}

/// What a crash leaves is gone on with: settings only, some batches, a line that was being written, sprites that the disk lost.
#[test]
fn what_a_crash_leaves_goes_on() {
    let desk = Desk::squeezenet();
    spritemap(&desk, "--out whole").ok();
    let whole = map(&desk, "whole");
    for (lines, torn, done) in [
        (0, "", 0),
        (0, "{\"sha", 0),
        (1, "", 0),
        (2, "", 2),
        (4, "{\"sha256\":\"0123456789abcdef\",\"rec", 6),
        (5, "\0\0\0", 8),
    ] {
        cut(&desk, "whole", "part", lines, torn);
        fs::write(desk.path("part/.elucid-abc.part"), "x").unwrap();
        assert_eq!(
            status(&desk, "part")["missing"].as_array().unwrap().len(),
            9 - done
        );
        let ended = spritemap(&desk, "--out part --resume").ok();
        let said = ended
            .err
            .contains(&format!("{done} of 9 channels are done"));
        assert_eq!(said, done > 0, "{}", ended.err);
        assert_eq!(map(&desk, "part"), whole);
        assert_eq!(status(&desk, "part")["missing"], serde_json::json!([]));
        fs::remove_dir_all(desk.path("part")).unwrap();
    }

    // Sprites that are gone, or are not what was written, are made again, and it is said which.
    cut(&desk, "whole", "part", 9, "");
    let sprites = desk.tree("part/sprites");
    fs::remove_file(desk.path(&sprites[0])).unwrap();
    fs::write(desk.path(&sprites[2]), "no picture").unwrap();
    let lost = status(&desk, "part")["lost"].to_string();
    for part in [&sprites[0], &sprites[2], "not the file that was written"] {
        assert!(lost.contains(part), "no {part} in {lost}");
    }
    desk.say("spritemap merge part --out no --quiet")
        .refused_with(1, &["4 channels are missing: 0, 1, 4, 9"]);
    let ended = spritemap(&desk, "--out part --resume").ok();
    for part in [&sprites[0], &sprites[2], "5 of 9 channels are done"] {
        assert!(ended.err.contains(part), "no {part} in {}", ended.err);
    }
    assert_eq!(map(&desk, "part"), whole);
    assert_eq!(status(&desk, "part")["lost"], serde_json::json!([]));

    // A line before the last that is not what was written is damage, and nothing is guessed.
    cut(&desk, "whole", "damaged", 9, "");
    let (name, text) = journals(&desk, "damaged").remove(0);
    fs::write(
        desk.path(&name),
        text.replacen("\"channels\":[0,1]", "\"channels\":[0,2]", 1),
    )
    .unwrap();
    spritemap(&desk, "--out damaged --resume").refused_with(1, &[&name, "line 2"]);

    // What versions without a journal left is named.
    let settings = desk.text("whole/settings.json");
    fs::create_dir(desk.path("old")).unwrap();
    fs::write(
        desk.path("old/settings.json"),
        settings.replacen("\"schema\": 2", "\"x\": 2", 1),
    )
    .unwrap();
    spritemap(&desk, "--out old --resume").refused_with(1, &["an earlier version"]);
}

/// Other devices and builds round otherwise, which an optimisation amplifies.
#[test]
fn what_others_computed_is_mixed_only_where_it_may_be() {
    let desk = Desk::squeezenet();
    for shard in 1..=2 {
        spritemap(&desk, &format!("--shard {shard}/2 --out part{shard}")).ok();
    }
    let stated = desk.text("part2/settings.json");
    let other = stated.replacen("cpu (flex)", "a GPU", 1);
    assert_ne!(other, stated);
    fs::write(desk.path("part2/settings.json"), other).unwrap();
    let differs = ["device is a GPU and was cpu (flex)", "--allow-mixed"];
    desk.say("spritemap merge part1 part2 --out no")
        .refused_with(1, &differs);
    desk.say("spritemap merge part1 part2 --out mixed --allow-mixed")
        .ok();
    assert_eq!(map(&desk, "mixed").present().len(), 9);
    let differs = ["device is cpu (flex) and was a GPU", "--allow-mixed"];
    spritemap(&desk, "--shard 2/2 --out part2 --resume").refused_with(1, &differs);
    spritemap(&desk, "--shard 2/2 --out part2 --resume --allow-mixed").ok();
    spritemap(&desk, "--shard 2/2 --out part2 --allow-mixed").refused_with(2, &["--resume"]);
}

/// A whole layer, a channel at a time.
const WORK: &str = "spritemap --layer fire2/squeeze1x1 --size 32 --steps 8 --batch-size 1";

fn worker(desk: &Desk, out: &str) -> Child {
    let flags = ["--resume", "--quiet", "--out", out];
    let mut command = desk.command(WORK.split_whitespace().chain(flags));
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// Waits until so many channels are done, and says whether that came before the end.
fn wait_for_channels(desk: &Desk, out: &str, wanted: usize, child: &mut Child) -> bool {
    let started = Instant::now();
    loop {
        let is_begun = desk.path(out).join("settings.json").exists();
        let done = match is_begun {
            true => 16 - status(desk, out)["missing"].as_array().unwrap().len(),
            false => 0,
        };
        if done >= wanted {
            return true;
        }
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        assert!(
            started.elapsed() < Duration::from_secs(120),
            "nothing is made"
        );
        thread::sleep(Duration::from_millis(5));
    }
}

/// A worker that is killed leaves what is gone on with, and its share to others.
#[test]
fn kill_9_loses_no_sprite_that_was_made() {
    let desk = Desk::squeezenet();
    desk.say(&format!("{WORK} --out whole")).ok();
    let mut before = 0;
    for wanted in [1, 3, 7, 12] {
        let mut child = worker(&desk, "part");
        wait_for_channels(&desk, "part", wanted, &mut child);
        child.kill().unwrap();
        child.wait().unwrap();
        let state = status(&desk, "part");
        let done = 16 - state["missing"].as_array().unwrap().len();
        assert!(done >= before.max(wanted.min(16)), "{state}");
        assert_eq!(state["lost"], serde_json::json!([]));
        before = done;
    }
    let ended = worker(&desk, "part").wait_with_output().unwrap();
    assert!(ended.status.success());
    assert_eq!(map(&desk, "part"), map(&desk, "whole"));
}

#[test]
fn several_workers_make_one_map() {
    let desk = Desk::squeezenet();
    desk.say(&format!("{WORK} --out whole")).ok();
    let mut workers = [0, 1, 2].map(|_| worker(&desk, "shared"));
    // One is killed in the middle; the others take its share.
    wait_for_channels(&desk, "shared", 4, &mut workers[0]);
    workers[0].kill().unwrap();
    workers[0].wait().unwrap();
    for worker in &mut workers[1..] {
        assert!(worker.wait().unwrap().success());
    }
    assert_eq!(map(&desk, "shared"), map(&desk, "whole"));
    let report = desk.json("shared/report.json");
    assert_eq!(report["planned"], 16);
    assert_eq!(report["made_by"], serde_json::json!([]));
    // Nothing was made twice but what the killed one was at.
    let made = journals(&desk, "shared")
        .iter()
        .map(|(_, text)| text.matches("{\"sprites\"").count())
        .sum::<usize>();
    assert!((16..=17).contains(&made), "{made}");
    assert_eq!(status(&desk, "shared")["workers"], serde_json::json!([]));
}

#[cfg(unix)]
#[test]
fn signals_end_it_with_75_and_it_goes_on() {
    let desk = Desk::squeezenet();
    desk.say(&format!("{WORK} --out whole")).ok();
    for signal in ["TERM", "INT"] {
        let mut child = worker(&desk, signal);
        assert!(wait_for_channels(&desk, signal, 1, &mut child));
        send(signal, &child);
        let ended = child.wait_with_output().unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(75), "{said}");
        assert!(
            said.contains("--resume") && said.contains(" of 16 channels are done"),
            "{said}"
        );
        // What there is has been drawn.
        let done = map(&desk, signal).present().len();
        assert!(done >= 1);
        assert_eq!(
            16 - done,
            status(&desk, signal)["missing"].as_array().unwrap().len()
        );
        assert!(!desk.path(signal).join("report.json").exists());
        let ended = worker(&desk, signal).wait_with_output().unwrap();
        assert!(ended.status.success());
        assert_eq!(map(&desk, signal), map(&desk, "whole"));
    }
}
