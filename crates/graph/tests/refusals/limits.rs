//! Sizes beyond any memory.

use super::{E, HUGE, open, refused};
use elucid_testkit::onnx::{Onnx, bools, floats};

#[test]
fn sizes_beyond_any_memory() {
    let x = || Onnx::image([1, 3, 8, 8]);
    let wide = [1, 3, HUGE, 8];
    let tensor = |dims: &[i64]| {
        x().tensor(floats("w", dims, vec![0.0]))
            .node("Add", &["x", "w"], &["y"])
    };
    for dims in [
        &[HUGE][..],
        &[HUGE, HUGE],
        &[1 << 31, 1 << 31, 1 << 31],
        &[0, HUGE],
        &[1 << 31],
    ] {
        refused!(
            open(&tensor(dims)),
            E::TooLarge { .. },
            "\"w\"",
            dims[dims.len() - 1]
        );
    }
    refused!(
        open(&tensor(&[-1])),
        E::Malformed { .. },
        "\"w\"",
        "negative"
    );
    refused!(
        open(&tensor(&[4])),
        E::Malformed { .. },
        "\"w\"",
        "[4]",
        "4 values"
    );
    refused!(
        open(&tensor(&vec![1; 100_000])),
        E::Malformed { .. },
        "\"w\"",
        "100000 dimensions"
    );
    let mut raw = x().node("Relu", &["x"], &["y"]);
    let mut w = floats("w", &[1 << 29], Vec::new());
    w.raw_data = Some(vec![0; 12].into());
    raw.graph().initializer.push(w);
    refused!(open(&raw), E::Malformed { .. }, "\"w\"", "12");

    let fill = |dims: &[i64]| {
        x().list("s", dims)
            .node("ConstantOfShape", &["s"], &["c"])
            .node("Add", &["x", "c"], &["y"])
    };
    for dims in [&wide[..], &[HUGE, 0], &[1 << 29], &[1 << 15, 1 << 15]] {
        refused!(
            open(&fill(dims)),
            E::TooLarge { .. },
            "ConstantOfShape \"make_c\""
        );
    }
    refused!(
        open(&fill(&[-4])),
        E::Operator { .. },
        "ConstantOfShape",
        "negative"
    );
    refused!(
        open(&fill(&[1; 500])),
        E::Operator { .. },
        "ConstantOfShape",
        "500"
    );
    // Each alone is allowed, together they are not.
    let mut many = x().list("s", &[1 << 26]);
    for i in 0..9 {
        many = many
            .node("ConstantOfShape", &["s"], &[&format!("c{i}")])
            .value(bools("", 1));
    }
    refused!(
        open(&many.node("Relu", &["x"], &["y"])),
        E::TooLarge { .. },
        "computed constants"
    );
    let doubled = (0..40).fold(x().tensor(bools("d0", 1024)), |m, i| {
        m.node(
            "Concat",
            &[&format!("d{i}"), &format!("d{i}")],
            &[&format!("d{}", i + 1)],
        )
        .int("axis", 0)
    });
    refused!(
        open(&doubled.node("Relu", &["x"], &["y"])),
        E::TooLarge { .. }
    );
    let outer = x()
        .weight("a", &[1 << 15, 1])
        .weight("b", &[1, 1 << 15])
        .node("Mul", &["a", "b"], &["c"])
        .node("Relu", &["x"], &["y"]);
    refused!(open(&outer), E::TooLarge { .. }, "Mul \"make_c\"");

    for op in ["Reshape", "Expand"] {
        let sized = |dims: &[i64]| x().list("s", dims).node(op, &["x", "s"], &["y"]);
        refused!(
            open(&sized(&[HUGE, 3, 8, 8])),
            E::Operator { .. } | E::TooLarge { .. },
            op
        );
        refused!(open(&sized(&[1, 3, -8, -8])), E::Operator { .. }, op);
        refused!(open(&sized(&[1; 1000])), E::Operator { .. }, op, "1000");
    }
    let pad = |pads: &[i64]| x().list("p", pads).node("Pad", &["x", "p"], &["y"]);
    refused!(
        open(&pad(&[0, 0, HUGE, 0, 0, 0, HUGE, 0])),
        E::TooLarge { .. },
        "Pad"
    );
    refused!(
        open(&pad(&[0, 0, i64::MAX, 0, 0, 0, i64::MAX, 0])),
        E::Operator { .. } | E::TooLarge { .. },
        "Pad"
    );
    assert!(open(&pad(&[0, 0, -1, 0, 0, 0, 0, 0])).is_ok());
    for cut in [-9, i64::MIN] {
        refused!(
            open(&pad(&[0, 0, cut, 0, 0, 0, 0, 0])),
            E::Operator { .. },
            "cut off"
        );
    }
    refused!(open(&pad(&[1, 1])), E::Operator { .. }, "2 pads for 4 axes");
    refused!(
        open(&pad(&[0, 0, 8, 0, 0, 0, 0, 0]).text("mode", "reflect")),
        E::Operator { .. },
        "Reflect"
    );
    refused!(
        open(&pad(&[0; 8]).text("mode", "mirror")),
        E::Operator { .. },
        "mirror"
    );
    let gather = x()
        .list("i", &vec![0; 1 << 12])
        .node("Gather", &["x", "i"], &["g"])
        .int("axis", 2);
    let gather = gather
        .node("Gather", &["g", "i"], &["h"])
        .int("axis", 3)
        .node("Gather", &["h", "i"], &["y"])
        .int("axis", 1);
    refused!(open(&gather), E::TooLarge { .. }, "Gather");
    let kernel = x()
        .list("s", &[1, 3, 4096, 4096])
        .node("ConstantOfShape", &["s"], &["w"])
        .node("Conv", &["x", "w"], &["y"])
        .ints("pads", &[2100, 2100, 2100, 2100]);
    refused!(open(&kernel), E::TooLarge { .. }, "Conv");
    let matrix = x()
        .weight("a", &[1 << 16, 1])
        .weight("b", &[1, 1 << 16])
        .node("MatMul", &["a", "b"], &["y"]);
    refused!(open(&matrix), E::TooLarge { .. }, "MatMul");
}
