//! `elucid evaluate` from a file, in parts, on a sample, and with more methods and metrics later.

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;

use crate::common::{Desk, Ended};

fn desk() -> Desk {
    Desk::squeezenet().boxed(&["pets.png,100,100,967,5,10,70,90"])
}

fn settings(desk: &Desk, folder: &str) -> Value {
    desk.json(format!("{folder}/report.json"))["settings"].clone()
}

/// Every value that there is, by file, class, method and metric.
fn values(desk: &Desk, folder: &str) -> BTreeMap<[String; 4], String> {
    let text = desk.text(format!("{folder}/results.csv"));
    let mut lines = text
        .lines()
        .map(|line| line.split(',').map(str::to_owned).collect());
    let head: Vec<String> = lines.next().unwrap();
    let mut values = BTreeMap::new();
    for row in lines {
        let row: Vec<String> = row;
        for column in 5..row.len() - 1 {
            if !row[column].is_empty() {
                let key = [&row[0], &row[1], &row[4], &head[column]].map(String::clone);
                values.insert(key, row[column].clone());
            }
        }
    }
    values
}

#[test]
fn a_file_says_what_flags_say() {
    let desk = desk();
    fs::create_dir(desk.path("there")).unwrap();
    for file in ["boxes.csv", "cat.png", "coffee.png", "both.png", "pets.png"] {
        fs::rename(desk.path(file), desk.path("there").join(file)).unwrap();
    }
    // Paths are taken from the file's folder.
    fs::write(
        desk.path("there/study.toml"),
        "data = \"boxes.csv\"\nout = \"out\"\nresize = \"squash\"\nsmooth = 0.02\nlimit = 3\nquiet = true\n\
         batch-size = 1\nresume = false\nmethods = [\"gradient\", { name = \"smooth-grad\", noise = 0.1, samples = 2 }]\n\
         metrics = [\"sparseness\", { name = \"pointing\", tolerance = 15 }]\n",
    )
    .unwrap();
    let ended = desk.say("evaluate --study there/study.toml").ok();
    assert!(ended.err.is_empty(), "{}", ended.err);
    let flags = "evaluate --data there/boxes.csv --resize squash --smooth 0.02 --batch-size 1 \
                 --methods gradient,smooth-grad:noise=0.1,samples=2 --metrics sparseness,pointing:tolerance=15";
    desk.say(&format!("{flags} --limit 3 --out flags")).ok();
    assert_eq!(values(&desk, "there/out"), values(&desk, "flags"));
    assert_eq!(
        settings(&desk, "there/out")["methods"][1]["smooth"],
        0.02_f32
    );
    // Flags take the place of keys.
    desk.say(
        "evaluate --study=there/study.toml --limit 2 --methods gradient --out other --smooth=0",
    )
    .ok();
    let settings = settings(&desk, "other");
    assert_eq!(
        (&settings["limit"], &settings["methods"][0]["smooth"]),
        (&2.into(), &0.0.into())
    );
    assert_eq!(settings["methods"].as_array().unwrap().len(), 1);
    // What flags say, as a file, says the same.
    let written = desk
        .say(&format!("{flags} --limit 3 --out again --write-study"))
        .ok()
        .out;
    for line in [
        "smooth = 0.02",
        "limit = 3",
        "batch-size = 1",
        "model = \"squeezenet\"",
        "out = \"again\"",
    ] {
        assert!(written.contains(line), "no {line} in {written}");
    }
    assert!(!desk.path("again").exists());
    fs::write(desk.path("written.toml"), &written).unwrap();
    desk.say("evaluate --study written.toml").ok();
    assert_eq!(values(&desk, "again"), values(&desk, "flags"));
}

#[test]
fn parts_have_methods_of_their_own() {
    let desk = desk();
    let top =
        "data = \"boxes.csv\"\nresize = \"squash\"\nmetrics = [\"sparseness\"]\nbatch-size = 1\n";
    fs::write(
        desk.path("study.toml"),
        format!(
            "{top}out = \"out\"\n[[part]]\nmethods = [\"gradient\"]\n\n[[part]]\nmethods = [\"grad-cam\", \"gradient\"]\n\
             metrics = [\"pointing:15\"]\nimages = [\"both.png\", 0]\n"
        ),
    )
    .unwrap();
    let dry = desk.say("evaluate --study study.toml --dry-run").ok().out;
    let cells = |method: &str| {
        let line = dry
            .lines()
            .find(|line| line.starts_with(&format!("{method} ")))
            .unwrap();
        line.split_whitespace().nth(1).unwrap().to_owned()
    };
    assert_eq!(
        (cells("gradient"), cells("grad-cam")),
        ("5".to_owned(), "3".to_owned())
    );
    desk.say("evaluate --study study.toml").ok();
    desk.say(
        "evaluate --data boxes.csv --resize squash --batch-size 1 --methods gradient,grad-cam \
         --metrics sparseness,pointing:15 --out whole",
    )
    .ok();
    let mut expected = values(&desk, "whole");
    expected.retain(|[file, _, method, metric], _| match metric.as_str() {
        "sparseness" => method != "grad-cam",
        _ => ["both.png", "cat.png"].contains(&file.as_str()),
    });
    assert_eq!(values(&desk, "out"), expected);
    let table = desk.text("out/summary.md");
    assert!(
        !table.contains("not applicable"),
        "what nobody asked for is blank: {table}"
    );
    let status = desk.say("evaluate status out --json").json();
    assert_eq!(
        status["folders"][0]["cells"],
        status["folders"][0]["cells_done"]
    );
    assert_eq!(status["folders"][0]["cells"], 5 * 3 + 3);
    // The rest is added later, and nothing is measured twice.
    let more = "evaluate --data boxes.csv --resize squash --batch-size 1 --methods gradient,grad-cam \
                --metrics sparseness,pointing:15 --out out --resume";
    desk.say(more).ok();
    assert_eq!(values(&desk, "out"), values(&desk, "whole"));
    // A flag takes the place of the key in every part.
    desk.say("evaluate --study study.toml --methods layer-cam --out flags")
        .ok();
    assert!(
        values(&desk, "flags").keys().all(|[_, _, method, _]| {
            ["layer-cam", "centre", "random"].contains(&method.as_str())
        })
    );

    let refused = |text: &str, code: i32, parts: &[&str]| {
        fs::write(desk.path("wrong.toml"), format!("out = \"wrong\"\n{text}")).unwrap();
        let message = desk.say("evaluate --study wrong.toml").refused(code);
        for part in parts {
            assert!(message.contains(part), "{text}: no {part} in {message}");
        }
        assert!(!desk.path("wrong").exists());
    };
    let right = format!("{top}methods = [\"gradient\"]\n");
    refused(
        "metods = [\"gradient\"]",
        1,
        &["no flag \"metods\"", "did you mean methods?"],
    );
    refused("data = ", 1, &["wrong.toml, line 2"]);
    refused("", 2, &["--data"]);
    refused(&format!("{right}seed = -1"), 2, &["--seed"]);
    refused(&format!("{right}quiet = 3"), 1, &["quiet is true or false"]);
    refused(
        &format!("{right}seed = 1979-05-27"),
        1,
        &["seed is neither text nor a number"],
    );
    refused(
        &format!("{right}write-study = true"),
        1,
        &["no flag \"write-study\""],
    );
    refused(
        &format!("{top}methods = [\"gradeint\"]"),
        2,
        &["did you mean gradient"],
    );
    refused(
        &format!("{top}methods = [3]"),
        1,
        &["methods is a list of names"],
    );
    refused(&format!("{right}part = 3"), 1, &["[[part]]"]);
    refused(
        &format!("{right}[[part]]\nimage = [0]"),
        1,
        &["key of a part \"image\"", "did you mean images?"],
    );
    refused(
        &format!("{right}[[part]]\nimages = [7]"),
        1,
        &["no image 7 of 5"],
    );
    refused(
        &format!("{right}[[part]]\nimages = [\"x.png\"]"),
        1,
        &["part 1: there is no image x.png"],
    );
    refused(
        &format!("{right}[[part]]\nsample = 1\nlimit = 1"),
        1,
        &["exclude each other"],
    );
    refused(&format!("{top}[[part]]\nlimit = 1"), 2, &["--methods"]);
    let none = desk.say("evaluate --study none.toml").refused(1);
    assert!(none.contains("none.toml"), "{none}");
}

#[test]
fn a_sample_has_images_of_every_class() {
    let desk = desk();
    let run = |flags: &str| -> Ended {
        desk.say(&format!(
            "evaluate --data boxes.csv --resize squash --methods gradient --metrics sparseness --batch-size 2 {flags}"
        ))
    };
    run("--sample 3 --out a").ok();
    let classes = |folder: &str| {
        let text = desk.text(format!("{folder}/images.csv"));
        let mut classes: Vec<String> = (text.lines().skip(1))
            .map(|line| line.rsplit(',').next().unwrap().to_owned())
            .collect();
        classes.sort();
        classes
    };
    // Of two cats and three coffees.
    let found = classes("a");
    assert!(
        found.len() == 3 && found.contains(&"285".to_owned()) && found.contains(&"967".to_owned()),
        "{found:?}"
    );
    run("--sample 3 --out a --resume").ok();
    desk.say("evaluate table a").ok();
    for shard in [1, 2] {
        run(&format!("--sample 3 --shard {shard}/2 --out part{shard}")).ok();
    }
    desk.say("evaluate merge part1 part2 --out merged").ok();
    assert_eq!(values(&desk, "merged").len(), values(&desk, "a").len());
    let other = run("--sample 4 --out a --resume").refused(1);
    assert!(other.contains("sample is 4 and was 3"), "{other}");
    let other = run("--out a --resume").refused(1);
    assert!(other.contains("sample is not given and was 3"), "{other}");
    run("--sample 3 --limit 3 --out b").refused(2);
    run("--sample 0 --out b").refused(2);
}
