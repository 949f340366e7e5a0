//! The pages of channels and of groups in a real browser.

use elucid_render::{
    ChannelView, ChannelWidget, GroupView, GroupWidget, Picture, SpriteMap, group_color,
};
use elucid_testkit::browser::key;
use ndarray::{Array1, Array2, Array3, array};
use serde_json::json;

use crate::page::{HOSTILE, Page, contrast, plain};

const COUNT: usize = 40;

/// Channel `c` of the first view has rank `(c + 3) % COUNT`.
fn values() -> Array1<f32> {
    Array1::from_shape_fn(COUNT, |c| 2.5 - 0.125 * ((c + 3) % COUNT) as f32 - 0.0625)
}

fn channel_at(rank: usize) -> usize {
    (rank + COUNT - 3) % COUNT
}

pub fn channels() -> ChannelWidget {
    let sprites: Vec<Picture> = (0..COUNT).map(|c| plain(10, 10, 6 * c as u8)).collect();
    let map = SpriteMap::from_pictures("mixed", &sprites).unwrap();
    let maps = Array3::from_shape_fn((COUNT, 3, 5), |(c, y, x)| {
        if (y, x) == (c % 3, c % 5) { -2.0 } else { 0.0 }
    });
    ChannelWidget::new(&plain(60, 100, 99), HOSTILE, HOSTILE)
        .view(ChannelView::new(HOSTILE, values()).maps(maps))
        .view(ChannelView::new("Path", values().mapv(|v| -0.5 * v)).description(HOSTILE))
        .sprites(&map)
        .fact("Model", HOSTILE)
}

#[track_caller]
fn expect_channel(page: &Page, channel: Option<usize>) {
    let Some(channel) = channel else {
        assert_eq!(page.text(".channel"), "No channel chosen");
        assert_eq!(page.count(".tile.chosen"), 0);
        assert_eq!(
            page.run("return document.querySelector('.map').hidden"),
            true
        );
        return;
    };
    assert_eq!(page.text(".channel"), format!("Channel {channel}"));
    assert_eq!(
        page.run("return document.querySelector('.map').hidden"),
        false
    );
    let chosen =
        "return [...document.querySelectorAll('.tile.chosen')].map((t) => t.dataset.channel)";
    let tiles = format!(".tile[data-channel=\"{channel}\"]");
    let chosen: Vec<String> = serde_json::from_value(page.run(chosen)).unwrap();
    assert_eq!(
        chosen,
        vec![channel.to_string(); page.count(&tiles) as usize]
    );
    // Six columns and seven rows of sprites.
    let position =
        page.run("return document.querySelector('.portrait .sprite').style.backgroundPosition");
    let position: Vec<f64> = position
        .as_str()
        .unwrap()
        .split(' ')
        .map(|share| share.trim_end_matches('%').parse().unwrap())
        .collect();
    let expected = [(channel % 6) as f64 / 5.0, (channel / 6) as f64 / 6.0];
    assert!(
        position
            .iter()
            .zip(expected)
            .all(|(got, share)| (got - 100.0 * share).abs() < 0.01)
    );
}

#[test]
fn bars_and_sprites_show_each_other() {
    let Some(page) = Page::open(|path| channels().save(path)) else {
        return;
    };
    expect_channel(&page, None);
    assert_eq!(page.text("h2"), HOSTILE);
    for rank in [0, 3, 20, COUNT - 1] {
        page.hover(".bars", 0, (rank as f64 + 0.5) / COUNT as f64, 0.5);
        expect_channel(&page, Some(channel_at(rank)));
        let rank_text = page.text(".rank");
        assert_eq!(rank_text, format!("rank {} of {COUNT}", rank + 1));
    }
    // The last rank of the first view is the first of the other.
    let ranks = "return [...document.querySelectorAll('.bars')].map((b) => b.ariaValueNow)";
    assert_eq!(page.run(ranks), json!(["40", "1"]));
    page.leave();
    expect_channel(&page, None);

    // Four at either end of both views.
    assert_eq!(page.count(".tile"), 16);
    assert_eq!(page.text(".gap small"), "32 more");
    // Spoken as it is seen, and what the number is.
    assert_eq!(
        page.text(".tile"),
        format!("+2.44, channel {}, rank 1 of {COUNT}", channel_at(0))
    );
    page.hover(".tile", 1, 0.5, 0.3);
    expect_channel(&page, Some(channel_at(1)));
    let c = channel_at(1);
    assert_eq!(page.pixel(".map", 0.01, 0.99), [0; 3], "nothing there");
    let cell = |i: usize, n: usize| (i as f64 + 0.5) / n as f64;
    let [r, _, b] = page.pixel(".map", cell(c % 5, 5), cell(c % 3, 3));
    assert!(r > 200 && b < 120, "negative is red: {r} {b}");
    assert!(page.text(".where").contains("\u{2212}2.00"));
    page.leave();
    expect_channel(&page, None);

    // The large sprite is really that of its channel.
    page.hover(".tile", 0, 0.5, 0.3);
    let (x, y) = page.browser.point_in(".portrait", 0, 0.5, 0.5);
    page.hover(".tile", 0, 0.5, 0.3);
    let shot = image::load_from_memory(&page.browser.screenshot())
        .unwrap()
        .to_rgb8();
    let level = 6 * channel_at(0) as i32;
    let seen = i32::from(shot.get_pixel(x as u32, y as u32)[0]);
    assert!((seen - level).abs() <= 2, "{seen} instead of {level}");
    page.expect_quiet();
}

#[test]
fn channels_by_keyboard_and_finger() {
    let Some(page) = Page::open(|path| channels().save(path)) else {
        return;
    };
    page.focus(".bars");
    expect_channel(&page, Some(channel_at(0)));
    page.browser.keys(&[key::RIGHT, key::RIGHT].concat());
    expect_channel(&page, Some(channel_at(2)));
    let spoken = page.run("return document.querySelector('.bars').ariaValueText");
    let spoken = spoken.as_str().unwrap().to_owned();
    assert_eq!(
        spoken,
        format!("channel {}, +2.19, rank 3 of {COUNT}", channel_at(2))
    );
    page.browser
        .keys(&[key::END, key::ENTER, key::TAB].concat());
    expect_channel(&page, Some(channel_at(COUNT - 1)));
    page.browser.keys(key::ESCAPE);
    expect_channel(&page, None);
    page.browser.keys(key::TAB);
    expect_channel(&page, Some(channel_at(1)));
    page.browser.keys(&[key::ENTER].concat());
    let pressed = "return document.activeElement.ariaPressed";
    assert_eq!(page.run(pressed), "true");
    page.browser.keys(key::ESCAPE);

    page.tap(".tile", 6);
    expect_channel(&page, Some(channel_at(COUNT - 2)));
    page.tap(".bars", 1);
    expect_channel(&page, Some(channel_at(COUNT - 1 - 20)));
    page.tap(".bars", 1);
    expect_channel(&page, None);

    let scale = page.text("#scale");
    page.browser.click_on("input[value=root] + span");
    assert_ne!(page.text("#scale"), scale);
    page.expect_quiet();
}

#[test]
fn channel_pages_fit_every_screen() {
    for top in [5, 18] {
        let Some(page) = Page::open(|path| channels().top(top).save(path)) else {
            return;
        };
        assert_eq!(page.count(".view:first-child .tile"), 2 * top as u64);
        page.expect_fits();
        page.expect_quiet();
    }
    // Zeros, one channel, no sprites.
    let bare =
        ChannelWidget::new(&plain(9, 9, 9), "l", "s").view(ChannelView::new("zero", array![0.0]));
    let Some(page) = Page::open(|path| bare.save(path)) else {
        return;
    };
    page.hover(".bars", 0, 0.5, 0.5);
    assert_eq!(page.text(".channel"), "Channel 0");
    assert_eq!((page.count(".tile"), page.count(".sprite")), (1, 0));
    page.expect_fits();
    page.expect_quiet();
}

/// Group `n` is active in column `n` alone, and twice as much in the lower row.
fn factors(groups: usize) -> Array3<f32> {
    Array3::from_shape_fn(
        (groups, 2, 6),
        |(n, y, x)| {
            if x == n { 1.0 + y as f32 } else { 0.0 }
        },
    )
}

pub fn groups() -> GroupWidget {
    let view = |n: usize| {
        let values = Array2::from_shape_fn((n, 2), |(group, t)| {
            (1.0 + group as f32) * if t == 0 { 1.0 } else { -0.5 }
        });
        GroupView::new(factors(n))
            .icons((0..n).map(|i| plain(8, 8, 20 * i as u8)))
            .attributions([HOSTILE, "tabby"], values)
            .residual([0.5, -12.0])
            .error(0.5684)
    };
    GroupWidget::new(&plain(60, 120, 200), HOSTILE)
        .view(view(6))
        .view(view(3))
        .fact("Reducer", HOSTILE)
}

#[track_caller]
fn expect_group(page: &Page, group: Option<usize>, groups: usize) {
    let chosen = "return [...document.querySelectorAll('tr.group')].findIndex((r) => r.classList.contains('chosen'))";
    assert_eq!(page.run(chosen), group.map_or(-1, |group| group as i64));
    let hidden = page.run("return document.querySelector('.shade').hidden");
    assert_eq!(hidden, group.is_none());
    for other in 0..groups {
        let across = (other as f64 + 0.5) / 6.0;
        let expected = match group {
            Some(group) if group != other => [0; 3],
            _ => group_color(other, groups),
        };
        let got = page.pixel(".groups", across, 0.95);
        assert!(
            got.iter().zip(expected).all(|(a, b)| a.abs_diff(b) <= 4),
            "group {other}: {got:?}, expected {expected:?}"
        );
        if let Some(group) = group {
            let level = if group == other { 255_u8 } else { 0 };
            let got = page.pixel(".shade", across, 0.95);
            assert!(got.iter().all(|v| v.abs_diff(level) <= 4), "{got:?}");
        }
    }
}

#[test]
fn groups_are_chosen_by_pointing() {
    let Some(page) = Page::open(|path| groups().save(path)) else {
        return;
    };
    expect_group(&page, None, 6);
    assert!(page.text(".error").contains("56.8 %"));
    for group in [0, 3, 5] {
        page.hover(".icon", group, 0.5, 0.5);
        expect_group(&page, Some(group), 6);
        // A place in either picture is the group that is strongest there.
        page.hover(".panel", group % 2, (group as f64 + 0.5) / 6.0, 0.8);
        expect_group(&page, Some(group), 6);
    }
    assert!(page.text("#announcement").starts_with("Group 6, "));
    page.leave();
    expect_group(&page, None, 6);

    // Solid where it adds, dashed where it takes away, as wide as it is large.
    let edges = "return [...document.querySelectorAll('tbody .edge')].map((edge) => [
        edge.className, getComputedStyle(edge).backgroundImage.startsWith('repeating'), edge.offsetHeight,
    ])";
    let edges = page.run(edges);
    assert_eq!(edges[0][0], "edge plus");
    assert_eq!((&edges[0][1], &edges[1][1]), (&json!(false), &json!(true)));
    assert_eq!(edges[13][0], "edge minus");
    let tall = |i: usize| edges[i][2].as_f64().unwrap();
    assert!((tall(10) / tall(13) - 0.5).abs() < 0.1, "6 of 12");
    let values = "return [...document.querySelectorAll('tbody tr:last-child .value')].map((e) => e.textContent)";
    assert_eq!(page.run(values), json!(["+21.5", "\u{2212}22.5"]));
    let names = "return [...document.querySelectorAll('thead th')].map((e) => e.textContent)";
    assert_eq!(page.run(names), json!(["Group", HOSTILE, "tabby"]));
    page.expect_quiet();
}

#[test]
fn groups_by_keyboard_finger_and_slider() {
    let Some(page) = Page::open(|path| groups().save(path)) else {
        return;
    };
    page.focus(".icon");
    expect_group(&page, Some(0), 6);
    page.browser
        .keys(&[key::TAB, key::TAB, key::ENTER, key::TAB].concat());
    expect_group(&page, Some(2), 6);
    page.browser.keys(key::ESCAPE);
    expect_group(&page, None, 6);

    page.tap(".icon", 4);
    expect_group(&page, Some(4), 6);
    page.tap(".icon", 1);
    expect_group(&page, Some(1), 6);
    page.tap(".icon", 1);
    expect_group(&page, None, 6);

    assert_eq!(page.text("output"), "6 groups");
    page.focus("input[name=view]");
    page.browser.keys(key::RIGHT);
    assert_eq!(page.text("output"), "3 groups");
    assert_eq!(page.count("tr.group"), 3);
    expect_group(&page, None, 3);
    page.hover(".icon", 2, 0.5, 0.5);
    expect_group(&page, Some(2), 3);
    page.leave();

    // Cells instead of a smooth picture: the same colour up to the edge.
    let edge = 1.05 / 6.0;
    let smooth = page.pixel(".groups", edge, 0.95);
    page.browser.click_on("input[name=smooth]");
    assert_eq!(page.pixel(".groups", edge, 0.95), group_color(1, 3));
    assert_ne!(smooth, group_color(1, 3));
    page.expect_quiet();
}

#[test]
fn numbers_and_names_stay_in_their_columns() {
    let view = GroupView::new(factors(2))
        .icons([plain(8, 30, 40), plain(30, 8, 90)])
        .attributions(
            ["cat", "tabby", "Donaudampfschifffahrtsgesellschaft"],
            array![[0.01, -123.0, 1.5e-4], [-0.0099, 1e-17, 12.0]],
        )
        .residual([0.0, 0.01, -0.5]);
    let widget = GroupWidget::new(&plain(60, 120, 200), "l").view(view);
    let Some(page) = Page::open(|path| widget.save(path)) else {
        return;
    };
    for width in [320, 390, 700, 900, 1280] {
        page.browser.resize(width, 900);
        page.hover(".icon", 1, 0.5, 0.5);
        let misplaced = page.run(
            "
            const box = (element) => {
              const range = document.createRange();
              range.selectNodeContents(element);
              return range.getBoundingClientRect();
            };
            const beyond = (element) => {
              const [text, cell] = [box(element), element.closest('td, th').getBoundingClientRect()];
              return text.left < cell.left - 0.5 || text.right > cell.right + 0.5;
            };
            const covers = (value) => {
              const edge = value.previousSibling.getBoundingClientRect();
              const text = box(value);
              return edge.right > text.left && edge.bottom > text.top + 1 && edge.top < text.bottom;
            };
            const values = [...document.querySelectorAll('td .value')];
            const texts = [...values, ...document.querySelectorAll('thead th')];
            return [...texts.filter(beyond), ...values.filter(covers)].map((e) => e.textContent);",
        );
        assert_eq!(misplaced, json!([]), "{width} pixels");
    }
    assert_eq!(page.text("td .value"), "+0.0100");
    // Icons are square, whatever their pictures are.
    let sides = "return [...document.querySelectorAll('.icon')].map((e) => [e.offsetWidth, e.offsetHeight])";
    assert_eq!(page.run(sides), json!([[72, 72], [72, 72]]));
    page.expect_quiet();
}

#[test]
fn group_pages_fit_every_screen() {
    let Some(page) = Page::open(|path| groups().save(path)) else {
        return;
    };
    page.expect_fits();
    page.expect_quiet();
    let bare = GroupWidget::new(&plain(9, 30, 9), "l").view(GroupView::new(factors(6)));
    let Some(page) = Page::open(|path| bare.save(path)) else {
        return;
    };
    page.hover(".icon", 5, 0.5, 0.5);
    assert_eq!(page.count(".icon.chosen"), 1);
    assert_eq!(page.count("table"), 0);
    page.expect_fits();
    page.expect_quiet();
}

/// Bars and swatches stand out by 3 : 1, numbers by 4.5 : 1, also of what is not chosen.
#[test]
fn what_is_read_stands_out() {
    for scheme in ["light", "dark"] {
        let Some(page) = Page::open(|path| groups().save(path)) else {
            return;
        };
        page.browser.emulate("prefers-color-scheme", scheme);
        for colour in ["--plus", "--minus", "--plus-chosen", "--minus-chosen"] {
            let contrast = contrast(&page, ":root", colour);
            assert!(contrast >= 3.0, "{scheme}, {colour}: {contrast:.2}");
        }
        page.tap(".icon", 0);
        let value = "tr.group:not(.chosen) .value";
        assert!(page.count(".any-chosen") > 0 && page.count(value) > 0);
        let contrast = contrast(&page, value, "color");
        assert!(contrast >= 4.5, "{scheme}: {contrast:.2}");
        assert_eq!(page.count("table > caption"), 1);
        page.expect_quiet();
    }
}

/// Where a system replaces all colours, what is chosen and what a colour means still shows.
#[test]
fn forced_colours_leave_what_is_chosen() {
    let Some(page) = Page::open(|path| channels().save(path)) else {
        return;
    };
    page.browser.emulate("forced-colors", "active");
    let kept = "return [...document.querySelectorAll('canvas, .swatch')]
        .every((e) => getComputedStyle(e).forcedColorAdjust === 'none')";
    assert_eq!(page.run(kept), true);
    assert!(page.count("canvas, .swatch") > 0);
    let chosen = "
        const background = (checked) => {
            const input = [...document.querySelectorAll('.choice input')].find((i) => i.checked === checked);
            return input && getComputedStyle(input.nextElementSibling).backgroundColor;
        };
        return [background(true), background(false)];";
    let backgrounds: (Option<String>, Option<String>) =
        serde_json::from_value(page.run(chosen)).unwrap();
    assert!(
        backgrounds.0.is_some() && backgrounds.0 != backgrounds.1,
        "{backgrounds:?}"
    );
}

/// What sticks to the top hides nothing that is jumped to.
#[test]
fn nothing_that_has_the_focus_is_hidden() {
    let Some(page) = Page::open(|path| channels().save(path)) else {
        return;
    };
    let padding =
        page.run("return parseFloat(getComputedStyle(document.documentElement).scrollPaddingTop)");
    let sticky = page.run(
        "return Math.max(0, ...[...document.querySelectorAll('.status')].map((e) => e.offsetHeight))",
    );
    assert!(padding.as_f64().unwrap() >= sticky.as_f64().unwrap() && padding.as_f64() > Some(50.0));
    // On paper nothing sticks, and nothing is dark.
    page.browser.emulate("prefers-color-scheme", "dark");
    page.browser
        .devtools("Emulation.setEmulatedMedia", json!({ "media": "print" }));
    let print = "
        const style = (s) => getComputedStyle(document.querySelector(s));
        return [style('body').backgroundColor, style('.inspector').position];";
    assert_eq!(page.run(print), json!(["rgb(255, 255, 255)", "static"]));
}

/// As of every slider, a page up is more and a page down is less.
#[test]
fn pages_of_a_slider_go_up_and_down() {
    let Some(page) = Page::open(|path| channels().save(path)) else {
        return;
    };
    page.focus(".bars");
    let now =
        || page.run("return Number(document.querySelector('.bars').getAttribute('aria-valuenow'))");
    let start = now().as_f64().unwrap();
    page.browser.keys(key::PAGE_UP);
    let above = now().as_f64().unwrap();
    page.browser.keys(key::PAGE_DOWN);
    page.browser.keys(key::PAGE_DOWN);
    assert!(above > start, "{above} after {start}");
    assert!(now().as_f64().unwrap() < above);
}
