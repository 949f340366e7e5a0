//! The example `spatial_attribution`, and its page in a real browser.

mod page;

use std::path::{Path, PathBuf};
use std::process::Command;

use page::{FROM, Page, TO};

/// Cargo builds the examples of a package before it runs the tests, and puts them beside those.
fn example() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let build = test.parent().and_then(Path::parent).unwrap();
    let name = format!("spatial_attribution{}", std::env::consts::EXE_SUFFIX);
    let program = build.join("examples").join(name);
    assert!(
        program.is_file(),
        "{} is missing: cargo build --examples",
        program.display()
    );
    program
}

/// Runs the example in `folder` and gives its page.
fn run(folder: &Path, arguments: &[&str]) -> PathBuf {
    let ended = Command::new(example())
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    let (out, err) = (
        String::from_utf8_lossy(&ended.stdout),
        String::from_utf8_lossy(&ended.stderr),
    );
    assert!(ended.status.success(), "{out}{err}");
    let path = out
        .lines()
        .last()
        .and_then(|line| line.strip_prefix("open "))
        .unwrap();
    folder.join(path)
}

#[test]
fn the_page_shows_what_came_from_where() {
    let folder = tempfile::tempdir().unwrap();
    let path = run(folder.path(), &[]);
    assert!(path.ends_with("elucid-output/spatial_attribution/spatial_attribution.html"));
    let size = std::fs::metadata(&path).unwrap().len();
    assert!(size < 5 << 20, "the page has {size} bytes");
    let Some(page) = Page::open(&path) else {
        return;
    };
    assert_eq!(
        page.views(),
        ["True gradient", "Smooth max-pooling", "Smooth and blurred"]
    );
    let idle: Vec<_> = (0..3)
        .map(|view| [page.map(view, FROM), page.map(view, TO)])
        .collect();
    let (shallow, deep) = ((27, 27), (13, 13));
    assert_eq!((idle[0][FROM].height, idle[0][FROM].width), shallow);
    assert_eq!((idle[0][TO].height, idle[0][TO].width), deep);

    // Four blocks of 3x3 convolutions let a cell see four cells in each direction, and a pool
    // halves the grid.
    let reach = 2 * 4 + 2;
    for cell in [(1, 11), (11, 1), (3, 2), (6, 6)] {
        page.hover(0, TO, cell, deep);
        for (view, idle) in idle.iter().enumerate() {
            let map = page.map(view, FROM);
            assert_ne!(map, idle[FROM], "view {view} follows cell {cell:?}");
            let (y, x) = map.brightest();
            let near = |at: usize, cell: usize| at.abs_diff(2 * cell + 1) <= reach;
            assert!(
                near(y, cell.0) && near(x, cell.1),
                "{cell:?} comes from {y}, {x}"
            );
        }
    }
    page.hover(1, FROM, (2, 24), shallow);
    for (view, idle) in idle.iter().enumerate() {
        let map = page.map(view, TO);
        assert_ne!(map, idle[TO], "view {view} follows the left side");
        let (y, x) = map.brightest();
        assert!(
            y < 7 && x > 5,
            "a cell at the top right contributes to {y}, {x}"
        );
    }
    page.screenshot("example_page.png");
    page.leave();
    for (view, idle) in idle.iter().enumerate() {
        assert_eq!([page.map(view, FROM), page.map(view, TO)], *idle);
    }
    page.expect_quiet();
}

#[test]
fn a_second_run_leaves_the_first_alone() {
    let folder = tempfile::tempdir().unwrap();
    let quick = [
        "--from",
        "fire8/concat",
        "--to",
        "fire9/concat",
        "--classes",
        "espresso",
    ];
    let first = run(folder.path(), &quick);
    let before = std::fs::metadata(&first).unwrap().modified().unwrap();
    let second = run(folder.path(), &quick);
    assert_ne!(first, second);
    assert!(second.is_file());
    assert_eq!(
        std::fs::metadata(&first).unwrap().modified().unwrap(),
        before
    );

    let out = folder.path().join("mine");
    let named = [&quick[..], &["--out", out.to_str().unwrap()]].concat();
    assert!(run(folder.path(), &named).starts_with(&out));
    let again = Command::new(example())
        .args(&named)
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(!again.status.success());
    let said = String::from_utf8_lossy(&again.stderr);
    assert!(
        said.starts_with("error: ") && said.lines().count() == 1,
        "{said}"
    );
}
