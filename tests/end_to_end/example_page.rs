//! The example `spatial_attribution`, and its page in a real browser.

use std::path::{Path, PathBuf};

use crate::examples;
use crate::page::{FROM, Page, TO};

const EXAMPLE: &str = "spatial_attribution";

/// Runs the example in `folder` and gives its page.
fn run(folder: &Path, arguments: &[&str]) -> PathBuf {
    examples::page(EXAMPLE, folder, arguments).1
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
    let grid = (10, 10);
    for side in [FROM, TO] {
        assert_eq!((idle[0][side].height, idle[0][side].width), grid);
    }

    // The widest branch of the block is a 5x5 convolution, and a max-pool of 3x3 does not see farther
    // even when its gradient is blurred.
    let reach = 2;
    let near = |found: (usize, usize), cell: (usize, usize)| {
        found.0.abs_diff(cell.0) <= reach && found.1.abs_diff(cell.1) <= reach
    };
    for cell in [(1, 8), (8, 1), (3, 2), (5, 5)] {
        page.hover(0, TO, cell, grid);
        for (view, idle) in idle.iter().enumerate() {
            let map = page.map(view, FROM);
            assert_ne!(map, idle[FROM], "view {view} follows cell {cell:?}");
            let found = map.brightest();
            assert!(near(found, cell), "{cell:?} comes from {found:?}");
        }
    }
    let cell = (4, 2);
    page.hover(1, FROM, cell, grid);
    for (view, idle) in idle.iter().enumerate() {
        let map = page.map(view, TO);
        assert_ne!(map, idle[TO], "view {view} follows the left side");
        let found = map.brightest();
        assert!(near(found, cell), "{cell:?} contributes to {found:?}");
    }
    page.screenshot("example_page.png");
    page.leave();
    for (view, idle) in idle.iter().enumerate() {
        assert_eq!([page.map(view, FROM), page.map(view, TO)], *idle);
    }
    page.expect_quiet();
}

#[test]
fn squeezenet_is_one_flag_away() {
    let folder = tempfile::tempdir().unwrap();
    let page = run(folder.path(), &["--model", "squeezenet"]);
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains("fire5/concat") && page.contains("fire9/concat"));
}

#[test]
fn a_second_run_leaves_the_first_alone() {
    let folder = tempfile::tempdir().unwrap();
    let quick = ["--from", "mixed4d", "--to", "mixed4e", "--classes", "cat"];
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
    let again = examples::run(EXAMPLE, folder.path(), &named);
    assert!(!again.status.success());
    let said = String::from_utf8_lossy(&again.stderr);
    assert!(
        said.starts_with("error: ") && said.lines().count() == 1,
        "{said}"
    );
}
