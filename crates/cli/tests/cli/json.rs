//! Every command with `--json`: standard output is one JSON object that says its command and the version of its form.

use std::fs;

use elucid::models::Embedded;
use serde_json::Value;

use crate::commands::TRANSFORMER;
use crate::common::{Desk, has};

/// Every command, as it is called, with the name that its report has.
const COMMANDS: [(&str, &str); 21] = [
    ("devices", "devices"),
    ("methods", "methods"),
    ("methods grad-cam", "methods"),
    ("metrics", "metrics"),
    ("models list", "models list"),
    ("models path googlenet", "models path"),
    ("models pull googlenet", "models pull"),
    ("inspect", "inspect"),
    ("classify cat.png coffee.png", "classify"),
    ("profile --repeat 1", "profile"),
    (
        "attribute --image cat.png --method gradient --out json-attribute",
        "attribute",
    ),
    (
        "spatial --image cat.png --from fire7 --to fire9 --out json-spatial",
        "spatial",
    ),
    (
        "channels --image cat.png --layer fire9 --no-icons --out json-channels",
        "channels",
    ),
    (
        "groups --image cat.png --layer fire9 --no-icons --out json-groups",
        "groups",
    ),
    (
        "visualize --layer fire9 --channel 3 --size 16 --steps 1 --out json-visualize",
        "visualize",
    ),
    (
        "spritemap --layer fire9 --channels 3 --size 16 --steps 1 --out json-spritemap",
        "spritemap",
    ),
    (
        "spritemap merge json-spritemap --out json-merged",
        "spritemap merge",
    ),
    ("spritemap status json-spritemap", "spritemap status"),
    (
        "evaluate --data data.csv --methods gradient --metrics sparseness --dry-run --out none",
        "evaluate dry-run",
    ),
    (
        "evaluate --data data.csv --methods gradient,grad-cam --metrics sparseness --out json-evaluate",
        "evaluate",
    ),
    ("evaluate table json-evaluate", "evaluate"),
];

/// What is done with evaluations, after one is there.
const ABOUT: [(&str, &str); 3] = [
    ("evaluate status json-evaluate", "evaluate status"),
    ("evaluate compare json-evaluate", "evaluate compare"),
    (
        "evaluate merge json-evaluate --out json-all",
        "evaluate merge",
    ),
];

#[track_caller]
fn check(desk: &Desk, line: &str, command: &str) -> Value {
    let report = desk.say(&format!("{line} --json")).json();
    assert_eq!(report["command"], command, "{line}");
    let version = report["schema"].as_u64();
    assert!(
        version.is_some_and(|version| version > 0),
        "{line}: {report}"
    );
    report
}

#[test]
fn every_command_prints_json_and_nothing_else() {
    let desk = Desk::squeezenet();
    fs::write(
        desk.path("data.csv"),
        "file,class_index\ncat.png,285\ncoffee.png,967\n",
    )
    .unwrap();
    // A model that lies where those of this machine are looked for.
    fs::create_dir_all(desk.path("assets/models")).unwrap();
    let network = Embedded::find("squeezenet").unwrap().bytes();
    fs::write(desk.path("assets/models/googlenet.onnx"), network).unwrap();
    let assets = desk.path("assets").display().to_string();
    let desk = desk.with("ELUCID_ASSETS", assets);
    for (line, command) in COMMANDS.iter().chain(&ABOUT) {
        if *command == "models pull" {
            continue;
        }
        let report = check(&desk, line, command);
        // What is printed is what lies in the folder.
        if let Some((_, folder)) = line.split_once("--out ")
            && folder != "none"
        {
            let written = desk.json(format!("{folder}/report.json"));
            assert_eq!(written, report, "{line}");
        }
    }
    let compared = check(&desk, ABOUT[1].0, ABOUT[1].1);
    assert_eq!(compared["comparisons"].as_array().unwrap().len(), 6);
}

#[test]
fn attention_prints_json_and_nothing_else() {
    let desk = Desk::new();
    fs::write(desk.path("vit_tiny.onnx"), TRANSFORMER).unwrap();
    let line = "attention --model vit_tiny.onnx --image cat.png --out json";
    let report = check(&desk, line, "attention");
    assert!(report["files"].as_array().unwrap().len() > 1);
}

/// A command that is added needs a line above, and a form.
#[test]
fn no_command_is_forgotten() {
    let desk = Desk::new();
    let called = |line: &str| {
        let all = COMMANDS.iter().chain(&ABOUT).map(|(called, _)| *called);
        all.chain(["attention"])
            .any(|called| called.starts_with(line))
    };
    let commands = |line: &str| -> Vec<String> {
        let help = desk.say(&format!("{line} --help")).ok().out;
        let (_, list) = help.split_once("Commands:\n").unwrap_or_default();
        let list = list.lines().take_while(|line| !line.is_empty());
        let names = list.filter_map(|line| line.split_whitespace().next().map(str::to_owned));
        names.filter(|name| name != "help").collect()
    };
    let all = commands("");
    assert!(all.len() > 15, "{all:?}");
    for command in all {
        // They print texts of other kinds.
        if ["completions", "man"].contains(&command.as_str()) {
            continue;
        }
        let below = commands(&command);
        for line in below
            .iter()
            .map(|below| format!("{command} {below}"))
            .chain([command.clone()])
        {
            let is_group = line == "models";
            assert!(
                is_group || called(&line),
                "elucid {line} --json is not tried"
            );
            if !is_group {
                has(&desk.say(&format!("{line} --help")).ok().out, &["--json"]);
            }
        }
    }
}
