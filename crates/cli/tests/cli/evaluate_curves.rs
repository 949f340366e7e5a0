//! `elucid evaluate` with curves: kept, drawn, and in the page.

use std::fs;

use crate::common::{Desk, has};

const DATA: &str = "file,class_index\ncat.png,285\ncoffee.png,967\nboth.png,285\n";
const METRICS: &str = "sparseness,deletion-fast:steps=6,road:percentages=30+60";

fn desk() -> Desk {
    let desk = Desk::squeezenet();
    fs::write(desk.path("data.csv"), DATA).unwrap();
    desk
}

/// The rows of a file of CSV without quotes.
fn rows(desk: &Desk, file: &str) -> Vec<Vec<String>> {
    let text = desk.text(file);
    let lines = text.lines().skip(1);
    lines
        .map(|line| line.split(',').map(str::to_owned).collect())
        .collect()
}

#[test]
fn curves_are_kept_drawn_and_in_the_page() {
    let desk = desk();
    let evaluate =
        format!("evaluate --data data.csv --methods gradient,grad-cam --metrics {METRICS}");
    desk.say(&format!("{evaluate} --save-curves --out out --quiet"))
        .ok();
    let stems = ["curves-deletion-faststeps6_", "curves-roadpercentages3060_"];
    let listing = desk.listing("out");
    for (stem, count) in stems.iter().zip([1, 2]) {
        for ending in [".svg", ".png", ".pdf"] {
            let here = listing.iter();
            let here = here.filter(|name| name.starts_with(stem) && name.ends_with(ending));
            assert_eq!(here.count(), count, "{stem} {ending} in {listing:?}");
        }
    }
    let report = desk.json("out/report.json");
    let files: Vec<String> = serde_json::from_value(report["files"].clone()).unwrap();
    for name in listing
        .iter()
        .filter(|name| name.starts_with("curves") && name.contains('.'))
    {
        assert!(files.contains(name), "{name}");
    }
    // At the first place nothing is deleted: all methods have the mean probability of the label there.
    let table = rows(&desk, "out/curves.csv");
    let first: Vec<&str> = (table.iter())
        .filter(|row| row[0] == "deletion-fast:steps=6" && row[4] == "0")
        .map(|row| row[5].as_str())
        .collect();
    assert_eq!(first.len(), 4);
    assert!(first.iter().all(|mean| *mean == first[0]), "{first:?}");
    assert_eq!(table.len(), 4 * 7 + 2 * 4 * 2);
    let page = desk.text("out/index.html");
    assert_eq!(page.matches("<svg").count(), 3);
    has(
        &page,
        &[
            "share of the pixels taken away",
            "mean of 3 images",
            ">grad-cam</text>",
        ],
    );

    // The same without, and again with them: the plots are those of before.
    desk.say(&format!("{evaluate} --out other --quiet")).ok();
    assert!(
        !desk
            .listing("other")
            .iter()
            .any(|name| name.starts_with("curves"))
    );
    let svg = listing.iter().find(|name| name.ends_with(".svg")).unwrap();
    let before = fs::read(desk.path("out").join(svg)).unwrap();
    desk.say(&format!(
        "{evaluate} --resume --save-curves --out other --quiet"
    ))
    .ok();
    assert_eq!(fs::read(desk.path("other").join(svg)).unwrap(), before);
    desk.say("evaluate table out --quiet").ok();
    assert_eq!(fs::read(desk.path("out").join(svg)).unwrap(), before);

    // A file that is gone is left out, and said.
    let curves = desk.tree("out/curves");
    fs::remove_file(desk.path(&curves[0])).unwrap();
    let said = desk.say("evaluate table out --quiet").ok();
    has(&said.out, &["curves are left out", "cannot read"]);
}

#[test]
fn shards_that_keep_curves_have_them_in_their_merge() {
    let desk = desk();
    for shard in ["1/2", "2/2"] {
        let out = shard.replace('/', "-");
        desk.say(&format!(
            "evaluate --data data.csv --methods gradient --metrics deletion-fast:steps=4 --save-curves \
             --shard {shard} --out {out} --quiet"
        ))
        .ok();
    }
    desk.say("evaluate merge 1-2 2-2 --out all --quiet").ok();
    let table = rows(&desk, "all/curves.csv");
    assert!(table.iter().all(|row| row[3] == "3"), "{table:?}");
    assert_eq!(table.len(), 3 * 5);
    desk.report("all");
}

#[test]
fn metrics_without_curves_are_refused() {
    let desk = desk();
    let ended = desk.say(
        "evaluate --data data.csv --methods gradient --metrics sparseness,pointing --save-curves --out out",
    );
    let line = ended.refused(1);
    has(&line, &["curves", "insertion", "road"]);
    assert!(!desk.path("out").exists());
}
