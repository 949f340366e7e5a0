//! The tables of the example `evaluation`, on results small enough to work out by hand.

#[path = "../examples/evaluation/study.rs"]
mod study;

use std::fs;

/// The cells of the row of `method` in the table whose first line begins with `head`.
fn row(text: &str, head: &str, method: &str) -> Vec<String> {
    let table = text.split("\n\n").find(|block| block.starts_with(head));
    let lines = table.expect("a table").lines();
    let mut rows = lines.map(|line| line.split('|').map(|cell| cell.trim().to_owned()));
    let row = rows.find_map(|cells| {
        let cells: Vec<String> = cells.collect();
        (cells[1] == method).then_some(cells)
    });
    row.expect("the method's row")
}

#[test]
fn alpha_is_chosen_on_the_other_half() {
    let folder = tempfile::tempdir().unwrap();
    let results = folder.path().join("results");
    fs::create_dir(&results).unwrap();
    // Images 0 and 2 are best with alpha 1, images 1 and 3 with alpha 2: each half gets the other's
    // choice, and errs always. With alpha chosen on the same images it would never err.
    let head = "file,class,predicted,probability,method,pointing:15,localisation-energy:alpha=1,\
                localisation-energy:alpha=2,seconds\n";
    let lines = [
        "a,7,7,0.5,gradient,1,0,1,0.1",
        "b,7,7,0.5,gradient,0,1,0,0.1",
        "c,8,7,0.5,gradient,1,0,1,0.1",
        "d,8,7,0.5,gradient,1,1,0,0.1",
        "a,7,7,0.5,\"lime:a=1,b=2\",1,1,1,2",
        "b,7,7,0.5,\"lime:a=1,b=2\",1,1,1,2",
    ];
    fs::write(
        results.join("results.csv"),
        format!("{head}{}\n", lines.join("\n")),
    )
    .unwrap();
    // One image is difficult: its two boxes cover 20 of 100 pixels, of which 5 twice.
    let boxes = "file,width,height,class_index,xmin,ymin,xmax,ymax\n\
                 a,10,10,7,0,0,10,10\n\
                 b,10,10,7,0,0,5,3\nb,10,10,7,0,2,10,3\n\
                 c,10,10,8,0,0,10,10\nd,10,10,8,0,0,10,10\n";
    fs::write(folder.path().join("boxes.csv"), boxes).unwrap();

    let [results, data] = [&results, folder.path()].map(|path| path.to_str().unwrap());
    let text = study::tables(&[results], data).unwrap();
    assert!(text.starts_with("### 4 images\n"), "{text}");
    assert!(text.contains("### 2 images\n"), "{text}");

    let gradient = row(&text, "| method | pointing", "gradient");
    // Class 7 has one hit of two, class 8 two of two; the difficult image is a miss.
    assert!(gradient[2].starts_with("0.750 ("), "{text}");
    assert!(gradient[3].starts_with("0.000 ("), "{text}");
    assert_eq!(gradient[4], "0.10");
    assert!(text.contains("1 difficult"), "{text}");

    let gradient = row(&text, "| method | energy", "gradient");
    assert!(gradient[2].starts_with("1.000 ("), "{text}");
    assert_eq!(gradient[3], "1, 2");
    assert_eq!(gradient[4], "0.439");
}

#[test]
fn wrong_results_say_which_file() {
    let folder = tempfile::tempdir().unwrap();
    let name = folder.path().to_str().unwrap();
    let error = study::tables(&[name], "").unwrap_err().to_string();
    assert!(error.contains("results.csv"), "{error}");
    fs::write(folder.path().join("results.csv"), "file,class\na,1\n").unwrap();
    let error = study::tables(&[name], "").unwrap_err().to_string();
    assert!(error.contains("no column is called method"), "{error}");
}
