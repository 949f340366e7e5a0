//! What `--force` replaces, and what it leaves alone.

use std::fs;

use crate::common::Desk;

/// An evaluation of two images, of which another command's `--force` would cost the journal.
fn evaluated() -> Desk {
    let desk = Desk::squeezenet();
    let list = "file,class_index\ncat.png,285\ncoffee.png,967\n";
    fs::write(desk.path("list.csv"), list).unwrap();
    let line = "evaluate --data list.csv --methods gradient --metrics sparseness --out out";
    desk.say(line).ok();
    desk
}

const OTHERS: [&str; 5] = [
    "attribute --image cat.png --method gradient",
    "spatial --image cat.png --from fire8/concat --to fire9/concat --rules true",
    "channels --image cat.png --layer fire9 --no-icons",
    "groups --image cat.png --layer fire9 --no-icons",
    "visualize --layer fire2 --channel 0 --size 32 --steps 1",
];

#[test]
fn nothing_replaces_an_evaluation() {
    let desk = evaluated();
    let refused_by_all = |said: &str| {
        let before = desk.tree("out");
        let merges = ["evaluate merge out", "spritemap merge out"];
        for line in OTHERS.iter().chain(&merges) {
            let part = match line.starts_with("evaluate") {
                true => "would destroy what was measured",
                false => said,
            };
            desk.say(&format!("{line} --force --out out"))
                .refused_with(1, &[part]);
            assert_eq!(desk.tree("out"), before, "{line}");
        }
    };
    refused_by_all("holds results of elucid evaluate, which --force of elucid ");
    // Nor one that has no report yet.
    fs::remove_file(desk.path("out/report.json")).unwrap();
    refused_by_all("not finished");
}

#[test]
fn a_merge_replaces_a_merge() {
    let desk = evaluated();
    for again in ["", "--force"] {
        desk.say(&format!("evaluate merge out --out merged {again}"))
            .ok();
        let names = ["journal/merged.jsonl", "report.json"];
        let tree = desk.tree("merged");
        for name in names {
            assert!(tree.contains(&format!("merged/{name}")), "{tree:?}");
        }
        assert!(!tree.iter().any(|name| name.contains(".part")), "{tree:?}");
    }
    // What was measured into it since is no copy.
    fs::write(desk.path("merged/journal/more.jsonl"), "").unwrap();
    desk.say("evaluate merge out --out merged --force")
        .refused_with(1, &["holds a journal"]);
}

#[test]
fn a_command_replaces_its_own_results_only() {
    let desk = Desk::squeezenet();
    let [attribute, .., groups, _] = OTHERS;
    desk.say(&format!("{attribute} --out out")).ok();
    desk.say(&format!("{groups} --force --out out"))
        .refused_with(1, &["results of elucid attribute", "elucid groups"]);
    fs::write(desk.path("out/mine.txt"), "mine").unwrap();
    desk.say(&format!("{attribute} --force --out out")).ok();
    assert!(desk.listing("out").contains(&"mine.txt".to_owned()));
    fs::remove_file(desk.path("out/mine.txt")).unwrap();
    desk.report("out");
    // Somebody else's report is no run of ours.
    fs::write(desk.path("out/report.json"), "{\"files\": [\"map.png\"]}").unwrap();
    desk.say(&format!("{attribute} --force --out out"))
        .refused_with(1, &["no report of elucid"]);
}
