//! What `elucid evaluate` measures, and how its methods compare.

use std::collections::BTreeMap;
use std::fs;

use ndarray::Array2;

use super::{FILES, cells, desk, evaluate, timeless, usual};
use crate::common::{Desk, has};

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
    let options = &desk.json("out/settings.json")["metric_options"];
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
        let report = desk.json(format!("map{i}/report.json"));
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
    let report = desk.json("out/report.json");
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
    let table = desk.text("out/summary.md");
    let parts = ["| gradient |", "| centre |", "pointing:15, classes", "95 %"];
    has(&table, &parts);
    let parts = ["top-1 accuracy", "grad-cam:layer=fire9", "random"];
    has(&ended.out, &parts);
    has(&ended.out, &["out/index.html"]);
    // The three best and the three worst of each method.
    let page = desk.text("out/index.html");
    assert_eq!(page.matches("data:image/png;base64,").count(), 12);
    assert!(!page.contains("no longer there"));
    assert_eq!(
        desk.listing("out/examples"),
        ["grad-cam_layer_fire9", "gradient"]
    );
    assert_eq!(desk.listing("out/examples/gradient").len(), 6);
}

#[test]
fn metrics_that_differ_in_options_are_explained_once() {
    let desk = desk();
    evaluate(
        &desk,
        "--data boxes.csv --methods gradient --limit 2 --out out --metrics \
         pointing:15,pointing:0,localisation-energy:alpha=0.2,localisation-energy:alpha=0.4,mass-accuracy",
    )
    .ok();
    let (table, page) = (desk.text("out/summary.md"), desk.text("out/index.html"));
    for text in [&table, &page] {
        for said in [
            "pointing, classes \u{2191} (2 columns): ",
            "pointing, images \u{2191} (2 columns): ",
            "localisation-energy \u{2193} (2 columns): ",
            "mass-accuracy \u{2191}: ",
        ] {
            assert_eq!(text.matches(said).count(), 1, "{said} in {text}");
        }
    }
    // The heads of the table have all, the two pictures the first of each.
    assert_eq!(page.matches("pointing:0").count(), 2);
    assert_eq!(page.matches("pointing:15").count(), 2 + 2);
    assert_eq!(page.matches("alpha=0.4").count(), 1);
    assert_eq!(page.matches("alpha=0.2").count(), 1 + 2);
    assert!(page.contains("stands the first; results.csv has the others"));
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
    assert!(desk.text("out/notes.csv").contains("cat.png,285,"));
    let rows = cells(&desk, "out/results.csv");
    assert_eq!((rows[1][5].as_str(), rows[4][5].as_str()), ("", "1"));
    let page = desk.text("out/index.html");
    assert!(
        page.contains("n = 1"),
        "the mean rests on one of two images"
    );
}

#[test]
fn the_prediction_can_be_explained() {
    let desk = desk();
    let run = |target: &str| {
        let flags = format!("--limit 6 --target {target} --out {target}");
        usual(&desk, &flags).ok();
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
fn folders_are_compared_together() {
    let desk = desk();
    usual(&desk, "--out out").ok();
    let other = |methods: &str, metrics: &str, rest: &str| {
        evaluate(
            &desk,
            &format!("--data boxes.csv --methods {methods} --metrics {metrics} {rest}"),
        )
    };
    other(
        "deconvnet",
        "pointing:15,localisation-energy",
        "--limit 4 --out few",
    )
    .ok();
    // By hand: gradient of the one folder against deconvnet of the other, on the images that both have.
    let ended = desk
        .say("evaluate compare out few --metrics localisation-energy --with deconvnet --csv both.csv")
        .ok();
    assert!(ended.out.contains("of 4 comparisons"), "{}", ended.out);
    assert!(!desk.path("out/comparisons.csv").exists());
    let line = |file: &str, method: &str| {
        let lines = cells(&desk, file).into_iter();
        lines.into_iter().find(|line| line[1] == method).unwrap()
    };
    let mean = |folder: &str, method: &str, images: &[usize]| {
        let values = column(&desk, folder, method, 6);
        images.iter().map(|&image| values[image]).sum::<f64>() / images.len() as f64
    };
    let difference =
        |images: &[usize]| mean("few", "deconvnet", images) - mean("out", "gradient", images);
    let near = |line: &[String], images: &[usize]| {
        assert_eq!(line[3], images.len().to_string());
        let value: f64 = line[4].parse().unwrap();
        assert!((value - difference(images)).abs() < 1e-9, "{line:?}");
    };
    near(&line("both.csv", "gradient"), &[0, 1, 2, 3]);
    // Some of the images, by number, range and name.
    let images = cells(&desk, "few/images.csv");
    let file = &images[1][1];
    let named = (0..4).filter(|&image| image == 2 || images[image + 1][1] == *file);
    for (images, chosen) in [
        ("1-3", vec![1, 2, 3]),
        ("3,1-1", vec![1, 3]),
        (&format!("2,{file}"), named.collect()),
    ] {
        desk.say(&format!(
            "evaluate compare out few --with deconvnet --metrics localisation-energy --csv some.csv --images {images}"
        ))
        .ok();
        near(&line("some.csv", "gradient"), &chosen);
    }
    let message = desk.say("evaluate compare out few --images 6-9").refused(1);
    assert!(message.contains("no images 6-9"), "{message}");
    let message = desk
        .say("evaluate compare out few --with deconvnet --images 4,5")
        .refused(1);
    assert!(message.contains("image in common"), "{message}");

    other("gradient", "pointing:15", "--seed 5 --out seed").ok();
    let message = desk.say("evaluate compare out seed").refused(1);
    assert!(message.contains("seed is 5"), "{message}");
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
