//! What axes are.

use elucid_graph::{Layout, Pattern};
use elucid_vision::Model;

use crate::blocks::toy::Toy;
use elucid_testkit::device;

#[test]
fn tokens_of_patches() {
    let found = Toy::new(&[1, 3, 32, 48])
        .weight("patches", &[6, 3, 8, 8])
        .ints("flat", &[1, 6, 24])
        .weight("class", &[1, 2, 6])
        .weight("positions", &[1, 26, 6])
        .weight("w", &[6, 6])
        .ints("from", &[2])
        .ints("to", &[26])
        .ints("axis", &[1])
        .ints("back", &[1, 4, 6, 6])
        .with("Conv", &["x", "patches"], "map", |a| {
            a.with("strides", vec![8, 8])
        })
        .node("Reshape", &["map", "flat"], "f")
        .with("Transpose", &["f"], "t", |a| a.with("perm", vec![0, 2, 1]))
        .with("Concat", &["class", "t"], "tokens", |a| a.with("axis", 1))
        .node("Add", &["tokens", "positions"], "placed")
        .node("MatMul", &["placed", "w"], "mixed")
        .node("Slice", &["mixed", "from", "to", "axis"], "patches_only")
        .node("Reshape", &["patches_only", "back"], "last")
        .with("Transpose", &["last"], "y", |a| {
            a.with("perm", vec![0, 3, 1, 2])
        })
        .build(&["y"]);
    let grid = [4, 6];
    assert_eq!(found.layout("map"), Layout::ChannelsFirst);
    assert_eq!(found.layout("f"), Layout::Unknown);
    assert_eq!(found.layout("t"), Layout::Tokens { prefix: 0, grid });
    for name in ["tokens", "placed", "mixed"] {
        assert_eq!(
            found.layout(name),
            Layout::Tokens { prefix: 2, grid },
            "{name}"
        );
    }
    assert_eq!(
        found.layout("patches_only"),
        Layout::Tokens { prefix: 0, grid }
    );
    assert_eq!(found.layout("last"), Layout::ChannelsLast);
    assert_eq!(found.layout("y"), Layout::ChannelsFirst);
    let model = Model::from_graph(found.graph.clone(), &device(), None).unwrap();
    assert_eq!(model.layout("last").unwrap(), Layout::ChannelsLast);
    assert!(model.layout("lost").is_err());
    assert_eq!(model.blocks().unwrap().of_node(0), None);
    let block = found.only();
    let Pattern::TokenGrid {
        map,
        prefix,
        grid: found_grid,
    } = block.pattern()
    else {
        panic!()
    };
    assert_eq!((*map, *prefix, *found_grid), (found.value("map"), 2, grid));
    assert_eq!(block.output(), found.value("tokens"));
}

#[test]
fn windows_come_back_and_shifted_ones_do_not() {
    let window = |toy: Toy, from: &str, to: &str| {
        let [parts, moved, inside, bent, apart, back] =
            ["parts", "moved", "inside", "bent", "apart", "back"]
                .map(|part| format!("{to}.{part}"));
        toy.node("Reshape", &[from, "split"], &parts)
            .with("Transpose", &[&parts], &moved, |a| {
                a.with("perm", vec![0, 1, 3, 2, 4, 5])
            })
            .node("Reshape", &[&moved, "windows"], &inside)
            .node("Relu", &[&inside], &bent)
            .node("Reshape", &[&bent, "unwindowed"], &apart)
            .with("Transpose", &[&apart], &back, |a| {
                a.with("perm", vec![0, 1, 3, 2, 4, 5])
            })
            .node("Reshape", &[&back, "whole"], to)
    };
    let toy = Toy::new(&[1, 3, 8, 8])
        .weight("c", &[5, 3, 1, 1])
        .ints("split", &[1, 2, 4, 2, 4, 5])
        .ints("windows", &[4, 16, 5])
        .ints("unwindowed", &[1, 2, 2, 4, 4, 5])
        .ints("whole", &[1, 8, 8, 5])
        .ints("zero", &[0])
        .ints("three", &[3])
        .ints("eight", &[8])
        .ints("axis", &[1])
        .node("Conv", &["x", "c"], "map")
        .with("Transpose", &["map"], "last", |a| {
            a.with("perm", vec![0, 2, 3, 1])
        });
    let toy = window(toy, "last", "plain")
        .node("Slice", &["plain", "three", "eight", "axis"], "lower")
        .node("Slice", &["plain", "zero", "three", "axis"], "upper")
        .with("Concat", &["lower", "upper"], "rolled", |a| {
            a.with("axis", 1)
        });
    let found = window(toy, "rolled", "shifted")
        .node("Add", &["plain", "shifted"], "y")
        .build(&["y"]);
    assert_eq!(found.layout("last"), Layout::ChannelsLast);
    assert_eq!(found.layout("plain.inside"), Layout::Unknown);
    assert_eq!(found.layout("plain"), Layout::ChannelsLast);
    assert_eq!(found.layout("rolled"), Layout::Unknown);
    assert_eq!(found.layout("shifted"), Layout::Unknown);
    assert_eq!(found.layout("y"), Layout::ChannelsLast);
}
