//! What ended early, failed or was shared out goes on to the same results.

use std::fs;

use super::{FILES, METHODS, cells, desk, evaluate, timeless, usual};
use crate::common::{Desk, has};

/// Leaves so many records of the one journal in a folder; its name, and what it held.
fn cut_journal(desk: &Desk, folder: &str, records: usize) -> (String, String) {
    let [journal] = &desk.listing(&format!("{folder}/journal"))[..] else {
        panic!("one journal");
    };
    let journal = format!("{folder}/journal/{journal}");
    let all = desk.text(&journal);
    let kept: Vec<&str> = all.lines().take(records).collect();
    fs::write(desk.path(&journal), kept.join("\n") + "\n").unwrap();
    (journal, all)
}

#[test]
fn a_run_that_ended_early_goes_on_to_the_same_results() {
    let desk = desk();
    usual(&desk, "--out whole").ok();
    let expected = timeless(&desk, "whole");
    let summary = desk.text("whole/summary.csv");
    usual(&desk, "--out part").ok();
    let [journal] = &desk.listing("part/journal")[..] else {
        panic!("one journal");
    };
    let journal = desk.path("part/journal").join(journal);
    let bytes = fs::read(&journal).unwrap();
    let ends: Vec<usize> = (bytes.iter().enumerate())
        .filter(|(_, byte)| **byte == b'\n')
        .map(|(i, _)| i + 1)
        .collect();
    // A session, and for each of three batches the images and four cells.
    assert_eq!(ends.len(), 1 + 3 * 5);
    // Nothing, a torn session, no image, a torn cell, a batch and a half, all but a byte.
    for length in [
        0,
        7,
        ends[0],
        ends[2] + 9,
        ends[8],
        ends[11],
        bytes.len() - 1,
    ] {
        for file in FILES.iter().filter(|file| file.contains('.')) {
            if !["settings.json", "images.csv"].contains(file) {
                fs::remove_file(desk.path("part").join(file)).unwrap();
            }
        }
        for other in desk.listing("part/journal") {
            fs::remove_file(desk.path("part/journal").join(other)).unwrap();
        }
        fs::write(&journal, &bytes[..length]).unwrap();
        let ended = usual(&desk, "--out part --resume").ok();
        let said = ended.err.contains("of 6 images are done");
        assert_eq!(said, length > ends[2], "{length}: {}", ended.err);
        assert_eq!(timeless(&desk, "part"), expected, "{length}");
        assert_eq!(desk.text("part/summary.csv"), summary, "{length}");
        assert_eq!(desk.listing("part"), FILES);
        // What was written is neither changed nor measured again.
        assert_eq!(fs::read(&journal).unwrap(), &bytes[..length]);
        let others = desk.listing("part/journal").into_iter();
        let others =
            others.map(|name| fs::read_to_string(desk.path("part/journal").join(name)).unwrap());
        let cells: usize = others.map(|text| text.matches("{\"cell\"").count()).sum();
        let torn = usize::from(length == bytes.len() - 1);
        assert_eq!(cells, 12 + torn, "{length}");
    }
    // What is complete is only summed up again; an empty folder is begun; a limit may grow.
    let ended = usual(&desk, "--out whole --resume").ok();
    assert!(
        ended.err.contains("6 of 6 images are done"),
        "{}",
        ended.err
    );
    assert_eq!(timeless(&desk, "whole"), expected);
    usual(&desk, "--out grows --resume --limit 3").ok();
    assert_eq!(timeless(&desk, "grows"), expected[..13]);
    usual(&desk, "--out grows --resume").ok();
    assert_eq!(timeless(&desk, "grows"), expected);
    assert_eq!(desk.text("grows/summary.csv"), summary);
    assert!(!desk.text("grows/index.html").contains("no longer there"));
}

#[test]
fn shards_are_the_whole() {
    let desk = desk();
    // Batches of one, so that an image meets the same batch in its shard.
    let all = format!(
        "--data boxes.csv --methods {METHODS} --metrics pointing:15,localisation-energy --batch-size 1"
    );
    let run = |arguments: &str| evaluate(&desk, &format!("{all} {arguments}"));
    run("--out whole").ok();
    for shard in 1..=2 {
        run(&format!("--shard {shard}/2 --out half{shard}")).ok();
    }
    desk.say("evaluate merge half1 half2 --out halves").ok();
    assert_eq!(timeless(&desk, "halves"), timeless(&desk, "whole"));
    for shard in 1..=4 {
        run(&format!("--shard {shard}/4 --out part{shard}")).ok();
    }
    assert_eq!(cells(&desk, "part1/images.csv").len(), 3);
    assert_eq!(cells(&desk, "part3/images.csv").len(), 2);
    desk.say("evaluate merge part2 part1 part4 part3 --out merged")
        .ok();
    assert_eq!(timeless(&desk, "merged"), timeless(&desk, "whole"));
    for file in ["summary.csv", "images.csv", "skipped.csv"] {
        let [merged, whole] = ["merged", "whole"].map(|f| desk.text(format!("{f}/{file}")));
        assert_eq!(merged, whole, "{file}");
    }
    let pictures = |folder: &str| {
        let page = desk.text(format!("{folder}/index.html"));
        assert!(!page.contains("no longer there"));
        let pictures = page.split("data:image/png;base64,").skip(1);
        let pictures = pictures.map(|rest| rest.split('"').next().unwrap().to_owned());
        pictures.collect::<Vec<_>>()
    };
    assert_eq!(pictures("merged"), pictures("whole"));
    assert_eq!(pictures("halves"), pictures("whole"));
    // Its tables may be made again, with the pictures that are with the shards.
    desk.say("evaluate table merged").ok();
    assert_eq!(pictures("merged"), pictures("whole"));
    let report = desk.json("merged/report.json");
    assert_eq!(report["command"], "evaluate merge");
    for file in report["files"].as_array().unwrap() {
        assert!(desk.path("merged").join(file.as_str().unwrap()).is_file());
    }
    // A merge takes the place of a merge, and of nothing that was measured.
    desk.say("evaluate merge part1 part2 part3 part4 --out merged --force")
        .ok();
    assert_eq!(timeless(&desk, "merged"), timeless(&desk, "whole"));
    for (out, said) in [
        ("part2", "among the folders that are merged"),
        ("whole", "an evaluation that is no merge"),
    ] {
        let before = (desk.listing(out), timeless(&desk, out));
        let message = desk
            .say(&format!(
                "evaluate merge part1 part2 part3 part4 --out {out} --force"
            ))
            .refused(1);
        assert!(message.contains(said), "{message}");
        assert_eq!((desk.listing(out), timeless(&desk, out)), before);
    }

    let refused = |folders: &str, parts: &[&str]| {
        let message = desk
            .say(&format!("evaluate merge {folders} --out no"))
            .refused(1);
        for part in parts {
            assert!(message.contains(part), "no {part} in {message}");
        }
    };
    refused(
        "part1 part3 part4",
        &["missing shards: 2/4", "--allow-missing"],
    );
    refused(
        "part1 part2 part1 part3 part4",
        &["both shard 1/4", "count twice"],
    );
    refused(
        "part1 whole",
        &["other settings", "shard.count is 1 and was 4"],
    );
    refused("part1 nothing", &["nothing/settings.json"]);
    run("--seed 5 --shard 2/4 --out other").ok();
    refused("part1 other part3 part4", &["seed is 5 and was 0"]);

    // Of the first shard the second image is lost.
    let (journal, records) = cut_journal(&desk, "part1", 6);
    refused(
        "part1 part2 part3 part4",
        &["1 images are missing in part1: cat.png"],
    );
    let ended = desk
        .say("evaluate merge part1 part2 part4 --out some --allow-missing")
        .ok();
    assert!(ended.err.contains("missing shards: 3/4"), "{}", ended.err);
    let report = desk.json("some/report.json");
    assert_eq!(report["images"]["measured"], 4);
    // A merge has holes and is nothing to go on with.
    let message = run("--out some --resume").refused(1);
    assert!(message.contains("merged_from is 0 and was 3"), "{message}");
    // What stands twice counts once, and what was changed is found.
    fs::write(desk.path(&journal), records.clone() + &records).unwrap();
    desk.say("evaluate merge part1 part2 part3 part4 --out again")
        .ok();
    assert_eq!(timeless(&desk, "again"), timeless(&desk, "whole"));
    fs::write(
        desk.path(&journal),
        records.replacen("gradient", "gradeint", 1),
    )
    .unwrap();
    refused("part1 part2 part3 part4", &[&journal, "line 3"]);
}

#[test]
fn what_cannot_be_read_is_skipped_and_named() {
    let desk = Desk::squeezenet();
    fs::write(desk.path("broken.png"), "no picture").unwrap();
    fs::write(
        desk.path("labels.csv"),
        "file,label\nabsent.png,285\ncat.png,Egyptian cat\n\"broken.png\",3\ncoffee.png,espresso\n",
    )
    .unwrap();
    let run = "--data labels.csv --methods gradient --metrics sparseness,pointing --batch-size 1";
    let ended = evaluate(&desk, &format!("{run} --out out")).ok();
    for file in ["absent.png", "broken.png"] {
        assert!(
            ended.err.contains(&format!("{file}: skipped")),
            "{}",
            ended.err
        );
    }
    let skipped = desk.text("out/skipped.csv");
    assert_eq!(skipped.lines().count(), 3, "{skipped}");
    assert!(skipped.contains("absent.png,285,") && skipped.contains("broken.png,3,"));
    let report = desk.json("out/report.json");
    assert_eq!(report["images"]["skipped"], 2);
    assert_eq!(report["skipped"][1]["file"], "broken.png");
    assert_eq!(report["accuracy"]["top1"], 1.0);
    // There are no boxes to point to, which is no error.
    let rows = cells(&desk, "out/results.csv");
    assert_eq!(rows.len(), 1 + 2 * 3);
    assert!(
        rows.iter()
            .skip(1)
            .all(|row| row[6].is_empty() && !row[5].is_empty())
    );
    let summary = cells(&desk, "out/summary.csv");
    assert_eq!(summary[2][4..], ["", "", "", "0", "2", "0"]);
    assert!(desk.text("out/summary.md").contains("not applicable"));
    // Skipped images are done; they are not tried again.
    let ended = evaluate(&desk, &format!("{run} --out out --resume")).ok();
    assert!(
        ended.err.contains("4 of 4 images are done"),
        "{}",
        ended.err
    );
    assert_eq!(desk.text("out/skipped.csv"), skipped);

    fs::write(desk.path("labels.csv"), "file,label\nbroken.png,285\n").unwrap();
    let message = evaluate(&desk, &format!("{run} --out none")).refused(1);
    assert!(message.contains("no image could be read"), "{message}");
}

/// A photograph that is lost on the way fails, and only who measures is told how to try again.
#[test]
fn what_is_gone_fails_and_is_tried_again() {
    let desk = desk();
    usual(&desk, "--out out").ok();
    // Who worked, the first two images, and one of four cells.
    cut_journal(&desk, "out", 3);
    fs::rename(desk.path("coffee.png"), desk.path("away.png")).unwrap();
    let ended = usual(&desk, "--out out --resume");
    assert_eq!(ended.code, Some(3), "{}", ended.err);
    let gone = [
        "coffee.png: cannot be read any more",
        "coffee.png: skipped",
        "6 values failed",
        "--resume --retry-failed",
    ];
    has(&ended.err, &gone);
    let report = desk.json("out/report.json");
    assert_eq!(report["values_failed"], 6);
    assert_eq!(report["failures"].as_array().unwrap().len(), 6);
    for command in ["table out", "merge out --out merged"] {
        let ended = desk.say(&format!("evaluate {command}"));
        assert_eq!(ended.code, Some(3), "{}", ended.err);
        assert!(ended.err.contains("6 values failed"), "{}", ended.err);
        assert!(!ended.err.contains("--retry-failed"), "{}", ended.err);
    }
    let again = desk.say("evaluate status out --stale-after 1").ok();
    assert!(again.out.contains("6 values failed"), "{}", again.out);
    fs::rename(desk.path("away.png"), desk.path("coffee.png")).unwrap();
    usual(&desk, "--out out --resume --retry-failed").ok();
    assert_eq!(cells(&desk, "out/results.csv").len(), 1 + 6 * 4);
}
