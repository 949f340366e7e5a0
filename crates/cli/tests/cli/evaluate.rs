//! `elucid evaluate` and `elucid evaluate merge`: what they count, keep, go on with and refuse.

use std::collections::BTreeMap;
use std::fs;

use crate::common::{Desk, Ended};
use ndarray::Array2;
use serde_json::Value;

/// Boxes as shares of the pictures' sides. The last two lie in corners where nothing is.
const BOXES: &str = "\
    file,width,height,class_index,xmin,ymin,xmax,ymax\n\
    cat.png,100,100,285,20,10,80,95\n\
    coffee.png,100,100,967,20,20,75,80\n\
    both.png,100,100,285,0,0,50,100\n\
    both.png,100,100,967,55,10,70,90\n\
    both.png,100,100,967,72,10,98,90\n\
    cat.png,100,100,967,0,0,4,4\n\
    coffee.png,100,100,285,96,96,100,100\n";

const METHODS: &str = "gradient,grad-cam:layer=fire9";

const FILES: [&str; 12] = [
    "examples",
    "failures.csv",
    "images.csv",
    "index.html",
    "journal",
    "notes.csv",
    "report.json",
    "results.csv",
    "settings.json",
    "skipped.csv",
    "summary.csv",
    "summary.md",
];

fn desk() -> Desk {
    let desk = Desk::squeezenet();
    fs::write(desk.path("boxes.csv"), BOXES).unwrap();
    desk
}

fn evaluate(desk: &Desk, arguments: &str) -> Ended {
    desk.say(&format!("evaluate --resize squash {arguments}"))
}

/// The usual run into `out`.
fn usual(desk: &Desk, arguments: &str) -> Ended {
    evaluate(
        desk,
        &format!(
            "--data boxes.csv --methods {METHODS} --metrics pointing:15,localisation-energy \
             --batch-size 2 {arguments}"
        ),
    )
}

/// Cells of a file without quotes.
fn cells(desk: &Desk, file: &str) -> Vec<Vec<String>> {
    let text = fs::read_to_string(desk.path(file)).unwrap();
    assert!(!text.contains('"'), "{text}");
    let line = |line: &str| line.split(',').map(str::to_owned).collect();
    text.lines().map(line).collect()
}

/// Results without the times, which differ from run to run.
fn timeless(desk: &Desk, folder: &str) -> Vec<Vec<String>> {
    let mut rows = cells(desk, &format!("{folder}/results.csv"));
    rows.iter_mut().for_each(|row| drop(row.pop()));
    rows
}

fn text(desk: &Desk, file: &str) -> String {
    fs::read_to_string(desk.path(file)).unwrap()
}

fn json(desk: &Desk, file: &str) -> Value {
    serde_json::from_str(&text(desk, file)).unwrap()
}

/// The pointing game by hand: whether a pixel with its centre in a box lies nearer than 15 to where
/// the map is largest.
fn points(map: &Array2<f32>, boxes: &[[f32; 4]]) -> f64 {
    let mut peak = (0, 0);
    for (at, &value) in map.indexed_iter() {
        if value > map[peak] {
            peak = at;
        }
    }
    let (y, x) = (peak.0 as f32, peak.1 as f32);
    for [x0, y0, x1, y1] in boxes.iter().map(|b| b.map(|v| v / 100.0 * 224.0)) {
        for row in 0..224 {
            for column in 0..224 {
                let (r, c) = (row as f32, column as f32);
                let inside = (x0..x1).contains(&(c + 0.5)) && (y0..y1).contains(&(r + 0.5));
                if inside && (r - y).powi(2) + (c - x).powi(2) < 225.0 {
                    return 1.0;
                }
            }
        }
    }
    0.0
}

#[test]
fn pointing_is_as_by_hand() {
    let desk = desk();
    let ended = usual(&desk, "--out out").ok();
    assert_eq!(desk.listing("out"), FILES);
    let options = &json(&desk, "out/settings.json")["metric_options"];
    assert_eq!(options["pointing:15"]["tolerance"], "15");
    assert_eq!(options["pointing:15"]["ties"], "first");
    assert_eq!(options["localisation-energy"]["alpha"], "0.6");

    // The items in the order of the file, and the map of each made by another command.
    let mut items: Vec<(String, usize, Vec<[f32; 4]>)> = Vec::new();
    for row in cells(&desk, "boxes.csv").iter().skip(1) {
        let corners = [4, 5, 6, 7].map(|i: usize| row[i].parse().unwrap());
        let (file, class) = (row[0].clone(), row[3].parse().unwrap());
        match items
            .iter_mut()
            .find(|item| item.0 == file && item.1 == class)
        {
            Some(item) => item.2.push(corners),
            None => items.push((file, class, vec![corners])),
        }
    }
    assert_eq!(items.len(), 6);
    let rows = cells(&desk, "out/results.csv");
    assert_eq!(
        rows[0],
        [
            "file",
            "class",
            "predicted",
            "probability",
            "method",
            "pointing:15",
            "localisation-energy",
            "seconds"
        ]
    );
    let names = ["gradient", "grad-cam:layer=fire9", "centre", "random"];
    assert_eq!(rows.len(), 1 + items.len() * names.len());
    let (mut hits, mut classes) = (Vec::new(), BTreeMap::<usize, Vec<f64>>::new());
    for (i, (file, class, boxes)) in items.iter().enumerate() {
        let lines = &rows[1 + 4 * i..5 + 4 * i];
        for (line, name) in lines.iter().zip(names) {
            assert_eq!(
                (line[0].as_str(), line[1].as_str(), line[4].as_str()),
                (file.as_str(), class.to_string().as_str(), name)
            );
        }
        desk.say(&format!(
            "attribute --resize squash --image {file} --method gradient --target {class} \
             --out map{i} --quiet"
        ))
        .ok();
        let map: Array2<f32> =
            ndarray_npy::read_npy(desk.path(format!("map{i}/saliency.npy"))).unwrap();
        let expected = points(&map, boxes);
        assert_eq!(
            lines[0][5].parse::<f64>().unwrap(),
            expected,
            "{file} {class}"
        );
        let centre = Array2::from_shape_fn((224, 224), |(y, x)| {
            -(y as f32 - 111.5).powi(2) - (x as f32 - 111.5).powi(2)
        });
        assert_eq!(lines[2][5].parse::<f64>().unwrap(), points(&centre, boxes));
        hits.push(expected);
        classes.entry(*class).or_default().push(expected);
        let report = json(&desk, &format!("map{i}/report.json"));
        let best = &report["images"][0]["predictions"][0];
        assert_eq!(lines[0][2], best["index"].to_string());
        let probability: f64 = lines[0][3].parse().unwrap();
        assert!((probability - best["probability"].as_f64().unwrap()).abs() < 1e-5);
    }
    assert!(hits.contains(&0.0) && hits.contains(&1.0), "{hits:?}");

    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let per_class: Vec<f64> = classes.values().map(|values| mean(values)).collect();
    let summary = cells(&desk, "out/summary.csv");
    assert_eq!(
        summary[0],
        [
            "method",
            "metric",
            "over",
            "better",
            "mean",
            "low",
            "high",
            "images",
            "not_applicable",
            "failed"
        ]
    );
    assert_eq!(summary.len(), 1 + 4 * 3);
    for (line, over, expected) in [
        (&summary[1], "classes", mean(&per_class)),
        (&summary[2], "images", mean(&hits)),
    ] {
        assert_eq!(line[..4], ["gradient", "pointing:15", over, "larger"]);
        let number = |i: usize| line[i].parse::<f64>().unwrap();
        assert!((number(4) - expected).abs() < 1e-12, "{line:?}");
        assert!(number(5) <= expected && expected <= number(6) && number(5) < number(6));
        assert_eq!(line[7..], ["6", "0", "0"]);
    }
    assert_eq!(
        summary[3][1..4],
        ["localisation-energy", "images", "smaller"]
    );

    // The network is right about the two plain photographs under their own labels.
    let report = json(&desk, "out/report.json");
    let labels = rows.iter().skip(1).step_by(4);
    let correct = labels.filter(|row| row[1] == row[2]).count();
    assert_eq!(report["accuracy"]["correct"], correct);
    assert_eq!(report["accuracy"]["images"], 6);
    assert!(correct >= 2);
    assert_eq!(report["settings"]["methods"][1]["layer"], "fire9/concat");
    assert_eq!(report["images"]["measured"], 6);
    for file in report["files"].as_array().unwrap() {
        assert!(desk.path("out").join(file.as_str().unwrap()).is_file());
    }
    let table = text(&desk, "out/summary.md");
    for part in ["| gradient |", "| centre |", "pointing:15, classes", "95 %"] {
        assert!(table.contains(part), "no {part} in {table}");
    }
    for part in [
        "top-1 accuracy",
        "grad-cam:layer=fire9",
        "random",
        "out/index.html",
    ] {
        assert!(ended.out.contains(part), "no {part} in {}", ended.out);
    }
    // The three best and the three worst of each method.
    let page = text(&desk, "out/index.html");
    assert_eq!(page.matches("data:image/png;base64,").count(), 12);
    assert!(!page.contains("no longer there"));
    assert_eq!(
        desk.listing("out/examples"),
        ["grad-cam_layer_fire9", "gradient"]
    );
    assert_eq!(desk.listing("out/examples/gradient").len(), 6);
}

#[test]
fn a_run_that_ended_early_goes_on_to_the_same_results() {
    let desk = desk();
    usual(&desk, "--out whole").ok();
    let expected = timeless(&desk, "whole");
    let summary = text(&desk, "whole/summary.csv");
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
        assert_eq!(text(&desk, "part/summary.csv"), summary, "{length}");
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
    assert_eq!(text(&desk, "grows/summary.csv"), summary);
    assert!(!text(&desk, "grows/index.html").contains("no longer there"));
}

#[test]
fn shards_are_the_whole() {
    let desk = desk();
    // Batches of one, so that an image meets the same batch in its shard.
    let run = |arguments: &str| {
        evaluate(
            &desk,
            &format!(
                "--data boxes.csv --methods {METHODS} --metrics pointing:15,localisation-energy \
                 --batch-size 1 {arguments}"
            ),
        )
    };
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
        let [merged, whole] = ["merged", "whole"].map(|f| text(&desk, &format!("{f}/{file}")));
        assert_eq!(merged, whole, "{file}");
    }
    let pictures = |folder: &str| {
        let page = text(&desk, &format!("{folder}/index.html"));
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
    let report = json(&desk, "merged/report.json");
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
    let [journal] = &desk.listing("part1/journal")[..] else {
        panic!("one journal");
    };
    let journal = format!("part1/journal/{journal}");
    let records = text(&desk, &journal);
    let kept: Vec<&str> = records.lines().take(6).collect();
    fs::write(desk.path(&journal), kept.join("\n") + "\n").unwrap();
    refused(
        "part1 part2 part3 part4",
        &["1 images are missing in part1: cat.png"],
    );
    let ended = desk
        .say("evaluate merge part1 part2 part4 --out some --allow-missing")
        .ok();
    assert!(ended.err.contains("missing shards: 3/4"), "{}", ended.err);
    let report = json(&desk, "some/report.json");
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
    let skipped = text(&desk, "out/skipped.csv");
    assert_eq!(skipped.lines().count(), 3, "{skipped}");
    assert!(skipped.contains("absent.png,285,") && skipped.contains("broken.png,3,"));
    let report = json(&desk, "out/report.json");
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
    assert!(text(&desk, "out/summary.md").contains("not applicable"));
    // Skipped images are done; they are not tried again.
    let ended = evaluate(&desk, &format!("{run} --out out --resume")).ok();
    assert!(
        ended.err.contains("4 of 4 images are done"),
        "{}",
        ended.err
    );
    assert_eq!(text(&desk, "out/skipped.csv"), skipped);

    fs::write(desk.path("labels.csv"), "file,label\nbroken.png,285\n").unwrap();
    let message = evaluate(&desk, &format!("{run} --out none")).refused(1);
    assert!(message.contains("no image could be read"), "{message}");
}

/// A photograph that is lost on the way fails, and only who measures is told how to try again.
#[test]
fn what_is_gone_fails_and_is_tried_again() {
    let desk = desk();
    usual(&desk, "--out out").ok();
    let [journal] = &desk.listing("out/journal")[..] else {
        panic!("one journal");
    };
    // Who worked, the first two images, and one of four cells.
    let journal = format!("out/journal/{journal}");
    let records = text(&desk, &journal);
    let kept: Vec<&str> = records.lines().take(3).collect();
    fs::write(desk.path(&journal), kept.join("\n") + "\n").unwrap();
    fs::rename(desk.path("coffee.png"), desk.path("away.png")).unwrap();
    let ended = usual(&desk, "--out out --resume");
    assert_eq!(ended.code, Some(3), "{}", ended.err);
    for part in [
        "coffee.png: cannot be read any more",
        "coffee.png: skipped",
        "6 values failed",
        "--resume --retry-failed",
    ] {
        assert!(ended.err.contains(part), "no {part} in {}", ended.err);
    }
    let report = json(&desk, "out/report.json");
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

#[test]
fn boxes_that_the_crop_cuts_off_are_noted() {
    let desk = Desk::squeezenet();
    // The photograph is wider than high: its left edge is cut off.
    fs::write(
        desk.path("boxes.csv"),
        "file,width,height,class_index,xmin,ymin,xmax,ymax\n\
         cat.png,1000,1000,285,0,0,10,1000\ncoffee.png,1000,1000,967,200,200,800,800\n",
    )
    .unwrap();
    let ended = desk
        .say("evaluate --resize crop:256 --data . --methods grad-cam --metrics pointing --out out")
        .ok();
    assert!(ended.err.contains("nothing of the boxes"), "{}", ended.err);
    assert!(text(&desk, "out/notes.csv").contains("cat.png,285,"));
    let rows = cells(&desk, "out/results.csv");
    assert_eq!((rows[1][5].as_str(), rows[4][5].as_str()), ("", "1"));
    let page = text(&desk, "out/index.html");
    assert!(
        page.contains("n = 1"),
        "the mean rests on one of two images"
    );
}

#[test]
fn the_prediction_can_be_explained() {
    let desk = desk();
    let run = |target: &str| {
        usual(
            &desk,
            &format!("--limit 6 --target {target} --out {target}"),
        )
        .ok();
        timeless(&desk, target)
    };
    let (labels, predictions) = (run("label"), run("prediction"));
    let mut differ = 0;
    for (a, b) in labels.iter().zip(&predictions).skip(1) {
        assert_eq!(a[..5], b[..5]);
        match a[1] == a[2] {
            true => assert_eq!(a, b),
            false => differ += usize::from(a != b),
        }
    }
    assert!(differ > 0);
}

#[test]
fn folders_are_classes_and_every_metric_runs() {
    let desk = Desk::squeezenet();
    for (class, file) in [("285_cat", "cat.png"), ("espresso", "coffee.png")] {
        fs::create_dir_all(desk.path("photos").join(class)).unwrap();
        fs::copy(desk.path(file), desk.path("photos").join(class).join(file)).unwrap();
    }
    evaluate(
        &desk,
        "--data photos --methods integrated-gradients:steps=4 --limit 1 \
         --metrics insertion-fast,completeness,random-logit,complexity --out out",
    )
    .ok();
    let rows = cells(&desk, "out/results.csv");
    assert_eq!(rows[1][..2], ["285_cat/cat.png", "285"]);
    assert!(
        rows[1][5..9].iter().all(|cell| !cell.is_empty()),
        "{rows:?}"
    );
    // Maps without a method have a curve and an entropy, and nothing to attribute again.
    let applicable = rows[2][5..9].iter().map(|cell| !cell.is_empty());
    assert_eq!(applicable.collect::<Vec<_>>(), [true, false, false, true]);
}

#[test]
fn a_refusal_leaves_nothing_behind() {
    let desk = desk();
    fs::write(
        desk.path("bad.csv"),
        "file,label\ncat.png,Egyptian cat\ncat.png,espreso\n",
    )
    .unwrap();
    fs::create_dir(desk.path("empty")).unwrap();
    let before = desk.listing(".");
    let run = |arguments: &str, code: i32, part: &str| {
        let message = evaluate(&desk, &format!("{arguments} --out out")).refused(code);
        assert!(message.contains(part), "no {part} in {message}");
        assert_eq!(desk.listing("."), before, "{arguments}");
    };
    let one = "--data boxes.csv --methods gradient --metrics pointing";
    run(
        "--data boxes.csv --methods gradient --metrics pionting",
        2,
        "did you mean pointing",
    );
    run(
        "--data boxes.csv --methods gradeint --metrics pointing",
        2,
        "did you mean gradient",
    );
    run(
        "--data boxes.csv --methods gradient --metrics pointing:-3",
        2,
        "tolerance",
    );
    run("--data boxes.csv --methods gradient", 2, "--metrics");
    run("--methods gradient --metrics pointing", 2, "--data");
    run("", 2, "--data");
    for shard in ["0/3", "4/3", "1", "a/b"] {
        run(&format!("{one} --shard {shard}"), 2, "K/N");
    }
    run(&format!("{one} --shard 7/7"), 2, "holds none of 6 images");
    run(&format!("{one} --limit 0"), 2, "--limit");
    run(&format!("{one} --batch-size 0"), 2, "--batch-size");
    run(&format!("{one} --target 285"), 2, "label");
    run(&format!("{one} --smooth 2"), 2, "from 0 to 1");
    run(&format!("{one} --no-such-option 3"), 2, "no-such-option");
    run(&format!("{one} --layer nothing"), 1, "nothing");
    run(
        "--data bad.csv --methods gradient --metrics pointing",
        1,
        "bad.csv, line 3",
    );
    run(
        "--data bad.csv --methods gradient --metrics pointing",
        1,
        "espresso",
    );
    run(
        "--data none.csv --methods gradient --metrics pointing",
        1,
        "none.csv",
    );
    run(
        "--data empty --methods gradient --metrics pointing",
        1,
        "empty",
    );
    desk.say("evaluate merge --out out").refused(2);
    desk.say("evaluate merge empty").refused(2);
    desk.say("evaluate merge empty --out out").refused(1);
    assert_eq!(desk.listing("."), before);
}

#[test]
fn only_the_same_evaluation_goes_on() {
    let desk = desk();
    let run = |arguments: &str| {
        evaluate(
            &desk,
            &format!("--metrics pointing --batch-size 2 --limit 2 --out out {arguments}"),
        )
    };
    run("--data boxes.csv --methods gradient").ok();
    let before = desk.listing("out");
    let results = text(&desk, "out/results.csv");
    let message = run("--data boxes.csv --methods gradient").refused(1);
    assert!(message.contains("--resume"), "{message}");
    fs::write(
        desk.path("other.csv"),
        BOXES.replace("20,10,80,95", "20,10,80,96"),
    )
    .unwrap();
    for (arguments, part) in [
        (
            "--data boxes.csv --methods gradient --smooth 0.02",
            "smooth is 0.02 and was 0",
        ),
        (
            "--data boxes.csv --methods gradient --seed 3",
            "seed is 3 and was 0",
        ),
        (
            "--data boxes.csv --methods gradient --shard 1/2",
            "shard.count is 2 and was 1",
        ),
        (
            "--data boxes.csv --methods gradient --target prediction",
            "target is prediction",
        ),
        (
            "--data boxes.csv --methods gradient --scale 1/255",
            "input.scale",
        ),
        ("--data other.csv --methods gradient", "data.sha256"),
    ] {
        let message = run(&format!("{arguments} --resume")).refused(1);
        assert!(message.contains(part), "no {part} in {message}");
    }
    let message = evaluate(
        &desk,
        "--metrics pointing --limit 1 --data boxes.csv --methods gradient --resume --out out",
    )
    .refused(1);
    assert!(message.contains("limit is 1 and was 2"), "{message}");
    assert_eq!(desk.listing("out"), before);
    assert_eq!(text(&desk, "out/results.csv"), results);
    // A folder of something else is not touched.
    fs::create_dir(desk.path("mine")).unwrap();
    fs::write(desk.path("mine/notes.txt"), "mine").unwrap();
    let message = evaluate(
        &desk,
        "--metrics pointing --data boxes.csv --methods gradient --resume --out mine",
    )
    .refused(1);
    assert!(message.contains("no evaluation"), "{message}");
    assert_eq!(desk.listing("mine"), ["notes.txt"]);
}

/// Values of a column of the results, by image, for one method.
fn column(desk: &Desk, folder: &str, method: &str, column: usize) -> Vec<f64> {
    let rows = cells(desk, &format!("{folder}/results.csv")).into_iter();
    let rows = rows.filter(|row| row[4] == method);
    rows.map(|row| row[column].parse().unwrap()).collect()
}

#[test]
fn methods_are_compared_on_the_same_images() {
    let desk = desk();
    usual(&desk, "--out out").ok();
    let ended = desk.say("evaluate compare out").ok();
    assert!(
        ended.out.contains("of 12 comparisons tell methods apart"),
        "{}",
        ended.out
    );
    let lines = cells(&desk, "out/comparisons.csv");
    assert_eq!(lines.len(), 1 + 2 * 6, "four rows make six pairs");
    // Smaller errors are better: gradient against centre, of all ways to sign six differences.
    let line = lines.iter().find(|l| {
        (l[0].as_str(), l[1].as_str(), l[2].as_str())
            == ("localisation-energy", "gradient", "centre")
    });
    let line = line.unwrap();
    let [gradient, centre] = ["gradient", "centre"].map(|method| column(&desk, "out", method, 6));
    let differences: Vec<f64> = centre.iter().zip(&gradient).map(|(c, g)| c - g).collect();
    let sum: f64 = differences.iter().sum();
    let far = (0..64).filter(|signs| {
        let signed = (differences.iter().enumerate())
            .map(|(i, d)| if signs >> i & 1 == 1 { -d } else { *d });
        signed.sum::<f64>().abs() >= sum.abs() - 1e-9
    });
    let p = far.count() as f64 / 64.0;
    let number = |i: usize| line[i].parse::<f64>().unwrap();
    assert_eq!(line[3], "6");
    assert!((number(4) - sum / 6.0).abs() < 1e-9, "{line:?}");
    assert!(number(5) <= number(4) && number(4) <= number(6));
    assert_eq!(number(9), p);
    assert!(number(10) >= number(9));

    let ended = desk
        .say("evaluate compare out --with centre --metrics pointing:15")
        .ok();
    assert!(ended.out.contains("of 3 comparisons"), "{}", ended.out);
    for (arguments, part) in [
        ("--with middle", "no method middle"),
        ("--metrics road", "no metric road"),
    ] {
        let message = desk
            .say(&format!("evaluate compare out {arguments}"))
            .refused(1);
        assert!(message.contains(part), "{message}");
    }
    desk.say("evaluate compare nothing").refused(1);
}

#[test]
fn a_dry_run_measures_nothing() {
    let desk = desk();
    let before = desk.listing(".");
    let ended = evaluate(
        &desk,
        "--data boxes.csv --methods gradient,rise:masks=4000 --metrics pointing --dry-run --out out",
    )
    .ok();
    let line = ended
        .out
        .lines()
        .find(|line| line.starts_with("rise"))
        .unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words[1..3], ["6", "4000"], "{}", ended.out);
    assert!(ended.out.contains("nothing was measured"), "{}", ended.out);
    assert_eq!(desk.listing("."), before);
}

#[test]
fn folders_of_earlier_versions_are_refused() {
    let desk = desk();
    usual(&desk, "--limit 2 --out out").ok();
    let settings = text(&desk, "out/settings.json").replace("\"schema\": 2,", "");
    fs::write(desk.path("out/settings.json"), settings).unwrap();
    let message = usual(&desk, "--limit 2 --out out --resume").refused(1);
    assert!(message.contains("an earlier version"), "{message}");
    let message = desk.say("evaluate merge out --out merged").refused(1);
    assert!(message.contains("an earlier version"), "{message}");
}
