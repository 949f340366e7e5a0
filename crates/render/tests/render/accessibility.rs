//! Every kind of page under the accessibility checker axe-core: no violation of serious or critical impact.

use std::path::Path;

use elucid_render::{Gallery, GallerySection, RenderError};
use elucid_testkit::axe::Axe;
use elucid_testkit::browser::key;

use crate::page::Page;
use crate::{browser, browser_attention, browser_channels_groups};

/// The page as it is shown, in both colour schemes, on wide windows and narrow ones.
#[track_caller]
fn expect_no_barrier(axe: &Axe, page: &Page) {
    for scheme in ["light", "dark"] {
        page.browser.emulate("prefers-color-scheme", scheme);
        for width in [390, 1280] {
            page.browser.resize(width, 1000);
            let found = axe.check(&page.browser);
            assert!(
                found.violations.is_empty(),
                "{scheme}, {width} pixels:\n{}",
                found.violations.join("\n")
            );
            // What was looked at, whatever the page.
            for rule in ["color-contrast", "document-title", "html-has-lang"] {
                assert!(
                    found.passes.iter().any(|passed| passed == rule),
                    "{rule} is not among {:?}",
                    found.passes
                );
            }
        }
    }
}

/// The page as it comes, and after each of the steps, which use it.
#[track_caller]
fn expect_no_barriers(
    save: impl FnOnce(&Path) -> Result<(), RenderError>,
    steps: &[&dyn Fn(&Page)],
) {
    let Some(axe) = Axe::load() else { return };
    let Some(page) = Page::open(save) else {
        return;
    };
    expect_no_barrier(&axe, &page);
    for step in steps {
        page.browser.resize(1280, 1000);
        step(&page);
        expect_no_barrier(&axe, &page);
    }
}

/// Chooses the cell, bar or icon that the element shows when it has the focus, and keeps it.
fn keep(selector: &str) -> impl Fn(&Page) {
    let selector = selector.to_owned();
    move |page| {
        page.focus(&selector);
        page.browser.keys(key::ENTER);
    }
}

#[test]
fn spatial_pages_are_for_everybody() {
    expect_no_barriers(|path| browser::widget().save(path), &[&keep(".panel")]);
}

#[test]
fn attention_pages_are_for_everybody() {
    expect_no_barriers(
        |path| browser_attention::widget().save(path),
        &[&keep("#picker"), &keep(".token")],
    );
}

#[test]
fn channel_pages_are_for_everybody() {
    expect_no_barriers(
        |path| browser_channels_groups::channels().save(path),
        &[&keep(".bars"), &keep(".tile")],
    );
}

#[test]
fn group_pages_are_for_everybody() {
    expect_no_barriers(
        |path| browser_channels_groups::groups().save(path),
        &[&keep(".icon")],
    );
}

#[test]
fn galleries_are_for_everybody() {
    expect_no_barriers(|path| browser::gallery().save(path), &[]);
}

#[test]
fn tables_are_for_everybody() {
    let section = GallerySection::new("Means")
        .text("With their intervals.")
        .heads(["pointing, 15 px", "insertion"])
        .numbers("Grad-CAM", ["0.953 (0.936 to 0.968)", "0.41"])
        .numbers("gradient", ["0.939 (0.921 to 0.956)", "0.33"]);
    let page = Gallery::new("An evaluation").section(section);
    expect_no_barriers(|path| page.save(path), &[]);
}

#[test]
fn the_checker_finds_what_is_planted() {
    let Some(axe) = Axe::load() else { return };
    let planted = "<!doctype html><html lang=en><title>t</title><main><h1>t</h1>
        <img src=\"data:image/gif;base64,R0lGODlhAQABAAAAACw=\">
        <p style=\"background: #fff; color: #ddd\">faint</p><input></main></html>";
    let page = Page::open(|path| {
        std::fs::write(path, planted).unwrap();
        Ok(())
    });
    let Some(page) = page else { return };
    let found = axe.check(&page.browser).violations;
    for rule in ["image-alt", "color-contrast", "label"] {
        assert!(
            found.iter().any(|line| line.starts_with(rule)),
            "{rule} is not among {found:?}"
        );
    }
}
