//! `elucid evaluate` with maps: kept, and made by other programs.

use std::fs;

use ndarray::{Array2, Array3, Array4, Axis};
use ndarray_npy::{read_npy, write_npy};

use crate::common::{Desk, Ended};

const BOXES: &str = "\
    file,width,height,class_index,xmin,ymin,xmax,ymax\n\
    cat.png,100,100,285,20,10,80,95\n\
    coffee.png,100,100,967,20,20,75,80\n\
    both.png,100,100,285,0,0,50,100\n";

const PHOTOS: [(&str, usize); 3] = [("cat", 285), ("coffee", 967), ("both", 285)];

fn desk() -> Desk {
    let desk = Desk::squeezenet();
    fs::write(desk.path("boxes.csv"), BOXES).unwrap();
    desk
}

fn evaluate(desk: &Desk, arguments: &str) -> Ended {
    desk.say(&format!(
        "evaluate --resize squash --data boxes.csv --metrics pointing:15,sparseness,sensitivity-max:samples=1 \
         --batch-size 2 {arguments}"
    ))
}

/// The lines of a method, without the time.
fn rows(desk: &Desk, folder: &str, method: &str) -> Vec<Vec<String>> {
    let text = desk.text(format!("{folder}/results.csv"));
    let cells = text
        .lines()
        .map(|line| line.split(',').map(str::to_owned).collect());
    let rows = cells.filter(|row: &Vec<String>| row[4] == method);
    rows.map(|row| row[5..row.len() - 1].to_vec()).collect()
}

#[test]
fn maps_of_another_program_stand_in_the_table() {
    let desk = desk();
    fs::create_dir(desk.path("captum")).unwrap();
    let mut all = Vec::new();
    for (name, class) in PHOTOS {
        desk.say(&format!(
            "attribute --resize squash --image {name}.png --method gradient --target {class} --out map-{name} --quiet"
        ))
        .ok();
        let map: Array2<f32> = read_npy(desk.path(format!("map-{name}/saliency.npy"))).unwrap();
        // Two channels that add up to it, exactly.
        let halves = map.mapv(|value| value / 2.0);
        let channels = ndarray::stack(Axis(0), &[halves.view(), halves.view()]).unwrap();
        write_npy(desk.path(format!("captum/{name}.npy")), &channels).unwrap();
        all.push(channels.insert_axis(Axis(0)));
    }
    let views: Vec<_> = all.iter().map(|map| map.view()).collect();
    let together: Array4<f32> = ndarray::concatenate(Axis(0), &views).unwrap();
    write_npy(desk.path("zennit.npy"), &together).unwrap();
    let flags = "--methods gradient --maps captum --maps other=zennit.npy";
    let ended = evaluate(&desk, &format!("{flags} --out out")).ok();
    for name in ["captum", "other"] {
        assert!(
            ended.err.contains(&format!(
                "{name}: the channels of each map, up to 2, are added up"
            )),
            "{}",
            ended.err
        );
        let (theirs, ours) = (rows(&desk, "out", name), rows(&desk, "out", "gradient"));
        assert_eq!(theirs.len(), 3);
        for (theirs, ours) in theirs.iter().zip(&ours) {
            assert_eq!(theirs[..2], ours[..2]);
            assert!(
                theirs[2].is_empty() && !ours[2].is_empty(),
                "{theirs:?} {ours:?}"
            );
        }
    }
    let page = desk.text("out/index.html");
    assert!(
        page.contains("Maps of another program."),
        "it has a section"
    );
    assert!(!page.contains("program at ."));
    // Gone on with, and by themselves.
    evaluate(&desk, &format!("{flags} --out out --resume")).ok();
    let alone = evaluate(&desk, "--maps captum=captum --out alone").ok();
    assert!(alone.out.contains("captum"), "{}", alone.out);
    assert_eq!(rows(&desk, "alone", "captum"), rows(&desk, "out", "captum"));
    desk.run([
        "evaluate",
        "compare",
        "out",
        "--with",
        "captum",
        "--metrics",
        "sparseness",
    ])
    .ok();

    let refused = |flags: &str, code: i32, parts: &[&str]| {
        let message = evaluate(&desk, &format!("{flags} --out refused")).refused(code);
        for part in parts {
            assert!(message.contains(part), "{flags}: no {part} in {message}");
        }
        assert!(!desk.path("refused").exists(), "{flags}");
    };
    refused("--maps =captum", 2, &["NAME=DIR"]);
    refused("--resize-maps --methods gradient", 2, &["--maps"]);
    refused("--maps captum=nowhere", 1, &["nowhere"]);
    refused(
        "--methods gradient --maps gradient=captum",
        1,
        &["two methods called gradient"],
    );
    refused(
        "--maps captum --maps captum=zennit.npy",
        1,
        &["two methods called captum"],
    );
    refused("", 2, &["--methods"]);
    write_npy(
        desk.path("zennit.npy"),
        &together.slice(ndarray::s![..2, .., .., ..]),
    )
    .unwrap();
    refused("--maps zennit.npy", 1, &["[2, 2, 224, 224]", "N = 3"]);
    write_npy(
        desk.path("captum/both.npy"),
        &Array3::<f64>::ones((3, 7, 7)),
    )
    .unwrap();
    refused(
        "--maps captum",
        1,
        &[
            "both.npy: the map has 7 x 7 pixels",
            "224 x 224",
            "--resize-maps",
        ],
    );
    evaluate(&desk, "--maps captum --resize-maps --out resized").ok();
    fs::remove_file(desk.path("captum/both.npy")).unwrap();
    refused(
        "--maps captum",
        1,
        &["1 of 3 images have no map in captum", "both.png (both.npy"],
    );
    // As long as nobody asks for it.
    evaluate(&desk, "--maps captum --limit 2 --out part").ok();
}

#[test]
fn maps_are_kept_and_listed() {
    let desk = desk();
    let flags = "--methods gradient,grad-cam --save-maps";
    evaluate(&desk, &format!("{flags} --out out")).ok();
    assert_eq!(desk.listing("out/maps"), ["grad-cam", "gradient"]);
    // Two batches of three images.
    let files = desk.listing("out/maps/gradient");
    assert_eq!(files.len(), 2);
    assert!(files[0].starts_with("0000000-0000001-"), "{files:?}");
    let said = desk.say("evaluate status out").ok().out;
    assert!(said.contains("gradient: 3 maps are kept, "), "{said}");
    let status = desk.say("evaluate status out --json").json();
    let methods = status["folders"][0]["methods"].as_array().unwrap();
    let numbers = |name: &str| -> Vec<u64> {
        methods
            .iter()
            .map(|method| method[name].as_u64().unwrap())
            .collect()
    };
    assert_eq!(numbers("maps"), [3, 3, 0, 0]);
    assert_eq!(numbers("maps_lost"), [0; 4]);
    // Three maps of 224 x 224 numbers of four bytes, and what the files say of them.
    let bytes = numbers("maps_bytes")[0];
    assert!((602_112..603_500).contains(&bytes), "{bytes}");
    fs::remove_file(desk.path("out/maps/gradient").join(&files[0])).unwrap();
    let said = desk.say("evaluate status out").ok().out;
    assert!(
        said.contains("3 maps are kept, ") && said.contains(", 2 of them are lost"),
        "{said}"
    );
    evaluate(&desk, &format!("{flags} --out out --resume")).ok();
    assert_eq!(desk.listing("out/maps/gradient"), files);
    // Of a merge, maps lie with the shards.
    for shard in [1, 2] {
        evaluate(
            &desk,
            &format!("{flags} --shard {shard}/2 --out part{shard}"),
        )
        .ok();
    }
    desk.say("evaluate merge part1 part2 --out merged").ok();
    let said = desk.say("evaluate status merged").ok().out;
    assert!(
        said.contains("gradient: 3 maps are kept, ") && !said.contains("lost"),
        "{said}"
    );
}
