//! The tables of the example `evaluation`, on results small enough to work out by hand.

use std::fs;

use common::study;

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
        "a,7,7,0.5,centre,0,0,1,0",
        "b,7,7,0.5,centre,0,1,0,0",
        "c,8,7,0.5,centre,0,0,1,0",
        "d,8,7,0.5,centre,0,1,0,0",
        "a,7,7,0.5,\"lime:a=1,b=2\",1,1,1,2",
        "b,7,7,0.5,\"lime:a=1,b=2\",1,1,1,2",
    ];
    // The boxes of one picture cover 20 of its 100 pixels, of which 5 twice: it is difficult.
    let boxes = [
        "a,10,10,7,0,0,10,10",
        "b,10,10,7,0,0,5,3",
        "b,10,10,7,0,2,10,3",
        "c,10,10,8,0,0,10,10",
        "d,10,10,8,0,0,10,10",
    ];
    // As many of each as it takes to choose a parameter and to show the difficult ones.
    let many = |head: &str, lines: &[&str]| {
        let each = (0..32).flat_map(|i| lines.iter().map(move |line| format!("{i}{line}\n")));
        format!("{head}{}", each.collect::<String>())
    };
    fs::write(results.join("results.csv"), many(head, &lines)).unwrap();
    let head = "file,width,height,class_index,xmin,ymin,xmax,ymax\n";
    fs::write(folder.path().join("boxes.csv"), many(head, &boxes)).unwrap();

    let [results, data] = [&results, folder.path()].map(|path| path.to_str().unwrap());
    let text = study::tables(&[results], data).unwrap();
    assert!(text.starts_with("### 128 images\n"), "{text}");
    assert!(text.contains("### 64 images\n"), "{text}");

    let gradient = row(&text, "| method | pointing", "gradient");
    // Class 7 has one hit of two, class 8 two of two, which is better than the centre's none on all of the 128;
    // the difficult images are misses, as they are for the centre.
    assert!(gradient[2].starts_with("**0.750 ("), "{text}");
    assert!(gradient[3].starts_with("0.000 ("), "{text}");
    assert!(text.contains("32 difficult"), "{text}");
    let centre = row(&text, "| method | pointing", "centre");
    assert!(centre[2].starts_with("0.000 ("), "{text}");

    let gradient = row(&text, "| method | energy", "gradient");
    assert!(gradient[2].starts_with("1.000 ("), "{text}");
    assert_eq!(gradient[3], "1, 2");
    assert_eq!(gradient[4], "0.439");
    // The other 64 images are too few to choose a parameter.
    assert_eq!(text.matches("| method | energy").count(), 1, "{text}");
}

/// What the network makes of changed pictures is asked of fewer images than where the maps lie.
#[test]
fn effects_have_tables_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let lines = [
        "file,class,predicted,probability,method,pointing:15,insertion:pixels=2,deletion:pixels=2,seconds",
        "a,7,7,0.5,gradient,1,0.25,0.5,0.1",
        "b,7,7,0.5,gradient,0,,,0.1",
        "c,8,7,0.5,gradient,1,0.75,failed,0.1",
        "a,7,7,0.5,centre,0,0.125,0.75,0",
        "b,7,7,0.5,centre,0,,,0",
        "c,8,7,0.5,centre,0,0.125,0.25,0",
        "a,7,7,0.5,rise,1,0.5,0.5,2",
    ];
    fs::write(folder.path().join("results.csv"), lines.join("\n")).unwrap();
    let text = study::tables(&[folder.path().to_str().unwrap()], "").unwrap();
    let heads: Vec<&str> = text.lines().filter(|line| line.starts_with('#')).collect();
    let expected = [
        "### 3 images",
        "### 1 images",
        "### 2 images",
        "### 1 images",
    ];
    assert_eq!(heads, expected, "{text}");

    let where_it_lies = row(&text, "| method | pointing", "gradient");
    assert!(where_it_lies[2].starts_with("0.750 ("), "{text}");
    assert_eq!(where_it_lies.len(), 4, "{text}");
    let effect = row(&text, "| method | insertion ↑ | deletion ↓ |", "gradient");
    assert!(effect[2].starts_with("0.500 ("), "{text}");
    assert!(effect[3].starts_with("0.500 ("), "{text}");
    let centre = row(&text, "| method | insertion ↑ | deletion ↓ |", "centre");
    assert!(centre[3].starts_with("0.500 ("), "{text}");
    // The one image of the last table, on which all three were measured.
    let (_, last) = text.rsplit_once("### 1 images").unwrap();
    let rise = row(last, "| method | insertion", "rise");
    assert!(rise[2].starts_with("0.500 ("), "{text}");
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
