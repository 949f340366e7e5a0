//! Passes that cannot run and names that mean nothing.

use super::{E, M, images, open, refused};
use burn::tensor::Tensor;
use elucid_graph::LOGITS;
use elucid_testkit::device;
use elucid_testkit::onnx::{Onnx, small_network};

#[test]
fn passes_that_cannot_run() {
    let model = open(&small_network()).unwrap();
    let image = images([2, 3, 12, 12]);
    let pass = || model.pass();
    let with_image = || model.pass().input(&image);

    refused!(
        pass().fetch(["y"]),
        E::NotCut { .. },
        "\"y\"",
        "nothing",
        "\"x\" is not fed"
    );
    refused!(
        with_image().fetch(["relu2"]),
        E::UnknownLayer { .. },
        "relu2",
        "nearest",
        "relu1"
    );
    refused!(with_image().fetch(["w1"]), E::UnknownLayer { .. }, "w1");
    refused!(with_image().fetch([""]), E::UnknownLayer { .. }, "\"\"");
    refused!(
        with_image().feed("relu2", image.clone()).fetch(["y"]),
        E::UnknownLayer { .. },
        "relu1"
    );
    refused!(
        with_image().input(&image).fetch(["y"]),
        E::Malformed { .. },
        "\"x\" is fed twice"
    );
    let block = images([1, 6, 6, 6]);
    refused!(
        pass()
            .feed("block", block.clone())
            .feed("block/output", block.clone())
            .fetch(["y"]),
        E::Malformed { .. },
        "\"block/output\" is fed twice",
    );
    assert!(pass().feed("block", block.clone()).fetch(["y"]).is_ok());
    refused!(
        pass().feed("block", block.clone()).fetch(["relu1"]),
        E::NotCut { .. },
        "relu1",
        "block/output",
        "\"x\""
    );
    refused!(
        pass().feed("block/1x1", images([1, 2, 6, 6])).fetch(["y"]),
        E::NotCut { .. },
        "through"
    );
    let fetched = with_image().fetch(["relu1"]).unwrap();
    refused!(fetched.get("y"), E::UnknownLayer { .. }, "relu1");

    for shape in [
        [2, 4, 12, 12],
        [2, 1, 12, 12],
        [0, 3, 12, 12],
        [2, 3, 0, 12],
        [2, 3, 12, 0],
    ] {
        let tensor = Tensor::<4>::zeros(shape, &device());
        refused!(
            pass().input(&tensor).fetch(["y"]),
            E::Shape { .. },
            "\"x\"",
            "[N, 3, H, W]"
        );
    }
    for (name, shape, expected) in [("x", [2, 3], "[N, 3, H, W]"), ("flat", [2, 7], "[N, 6]")] {
        let values = Tensor::<2>::zeros(shape, &device());
        refused!(
            pass().feed(name, values).fetch(["y"]),
            E::Shape { .. },
            expected
        );
    }
    refused!(
        pass()
            .feed("flat", Tensor::<1>::zeros([6], &device()))
            .fetch(["y"]),
        E::Shape { .. }
    );
    for size in [[1, 1], [1, 2], [2, 2]] {
        let small = images([1, 3, size[0], size[1]]);
        let fits = model.layers_for(size);
        assert_eq!(
            pass().input(&small).fetch(["y"]).is_ok(),
            fits.is_ok(),
            "{size:?}"
        );
    }
    refused!(model.layers_for([0, 12]), E::Operator { .. }, "Conv");
    refused!(
        model.layers_for([usize::MAX, 12]),
        E::TooLarge { .. } | E::Operator { .. },
        "Conv"
    );
    // Two feeds of different batches meet at the concat.
    refused!(
        pass()
            .feed("block/1x1", images([1, 2, 6, 6]))
            .feed("block/pool", images([2, 4, 6, 6]))
            .fetch(["y"]),
        E::Operator { .. },
        "Concat",
    );
    // A batch that nobody can hold.
    let exact = Onnx::image([1, 3, 8, 8])
        .weight("w", &[192, 4])
        .node("Flatten", &["x"], &["f"])
        .node("Gemm", &["f", "w"], &["y"]);
    let exact = open(&exact).unwrap();
    refused!(
        exact.pass().input(&images([1, 3, 9, 8])).fetch(["y"]),
        E::Operator { .. },
        "Gemm",
        "216"
    );
}

#[test]
fn ambiguous_names() {
    let model = Onnx::image([1, 3, 8, 8])
        .node("Relu", &["x"], &["block/a"])
        .node("Tanh", &["x"], &["block/b"])
        .node("Add", &["block/a", "block/b"], &["y"]);
    let model = open(&model).unwrap();
    refused!(
        model.layer("block"),
        E::AmbiguousLayer { .. },
        "block/a",
        "block/b"
    );
    assert_eq!(model.layer("a").unwrap().name(), "block/a");
    assert_eq!(model.layer("make_block/a").unwrap().name(), "block/a");
    refused!(model.logits(), M::NoLogits { .. }, "\"y\"", "[1, 3, 8, 8]");
    refused!(model.classify(&images([1, 3, 8, 8])), M::NoLogits { .. });
    let net = open(&small_network()).unwrap();
    assert_eq!(net.layer(LOGITS).unwrap().name(), "scores");
    assert_eq!(net.classes().unwrap(), 5);
    refused!(net.class("5"), M::UnknownClass { .. }, "0 to 4");
    refused!(net.class("tabby"), M::UnknownClass { .. }, "no class names");
}
