//! Methods that look at attention: their invariants, toys in loops, and what they refuse.

mod decoders;
mod encoders;

use std::sync::{Arc, LazyLock, Mutex};

use burn::tensor::Tensor;
use elucid_attribution::{
    AttentionRollout, Attribution, AttributionError, METHODS, Method, MethodOptions, Place, Target,
    attention_blocks,
};
use elucid_testkit::onnx::{Onnx, floats};
use elucid_testkit::{device, numbers, relative_error};
use elucid_vision::Model;
use ndarray::{Array2, Array4, Axis};

use super::shared::SQUEEZENET;

/// A vision transformer of two blocks for 32 x 32 pixels, with a class token and 16 patches.
static TRANSFORMER: LazyLock<Model> = LazyLock::new(|| {
    let file = include_bytes!("../../../cli/tests/files/vit_tiny.onnx");
    Model::from_bytes(file.to_vec(), &device(), None).unwrap()
});

static IMAGES: LazyLock<Tensor<4>> =
    LazyLock::new(|| elucid_testkit::tensor(numbers(2 * 3 * 32 * 32, 77), [2, 3, 32, 32]) * 2.0);

/// Methods that say the same of every class.
const OF_NO_CLASS: &[&str] = &["attention", "attention-rollout"];

fn methods() -> impl Iterator<Item = &'static Method> {
    let all = METHODS.iter().copied();
    all.filter(|method| method.place == Place::Tokens)
}

fn attribute(
    method: &Method,
    options: &MethodOptions,
    model: &Model,
    images: &Tensor<4>,
    target: Target,
) -> Result<Attribution, AttributionError> {
    method.build(options)?.attribute(model, images, target)
}

fn found(method: &Method, images: &Tensor<4>, target: Target) -> Attribution {
    let found = attribute(method, &MethodOptions::new(), &TRANSFORMER, images, target);
    found.unwrap_or_else(|error| panic!("{}: {error}", method.name))
}

#[test]
fn one_number_for_each_patch_with_true_scores() {
    let classes = [1, 3];
    let scores = TRANSFORMER.classify(&*IMAGES).unwrap().logits().clone();
    let want: Vec<f32> = (0..2).map(|i| scores[[i, classes[i]]]).collect();
    assert_eq!(methods().count(), 5);
    for method in methods() {
        let name = method.name;
        let got = found(method, &IMAGES, Target::each(classes.map(Target::class)));
        assert_eq!(got.values().shape(), [2, 1, 4, 4], "{name}");
        assert_eq!(got.method(), name);
        assert_eq!(got.configuration(), &method.defaults([32, 32]), "{name}");
        let last = attention_blocks(&TRANSFORMER, [32, 32]).unwrap();
        assert_eq!(got.layer(), last[1].name(), "{name}");
        assert!(relative_error(got.scores(), &want) < 1e-5, "{name}");
        assert!(got.values().iter().all(|&v| v >= 0.0), "{name}");
        assert!(got.values().iter().any(|&v| v > 0.0), "{name}");
        let map = got.map().unwrap().upsampled();
        assert_eq!(map.maps().dim(), (2, 32, 32), "{name}");
        let of = |i| got.values().index_axis(Axis(0), i);
        assert!(relative_error(of(0), of(1)) > 1e-3, "{name}");
        let said = got.to_string();
        assert!(said.contains("row of the class token"), "{said}");
        let of_no_class = OF_NO_CLASS.contains(&name);
        assert_eq!(said.contains("whatever the target"), of_no_class, "{said}");
    }
}

#[test]
fn a_batch_gives_what_its_images_give() {
    for method in methods() {
        let targets = [Target::class(1), Target::difference(3, 0)];
        let together = found(method, &IMAGES, Target::each(targets.clone()));
        for (i, target) in targets.into_iter().enumerate() {
            let alone = found(method, &IMAGES.clone().narrow(0, i, 1), target);
            let error = relative_error(
                together.values().index_axis(Axis(0), i),
                alone.values().index_axis(Axis(0), 0),
            );
            assert!(error < 1e-4, "image {i} of {}: {error:.1e}", method.name);
        }
        let by_one = MethodOptions::new().batch_size(1);
        let target = || Target::class(2);
        let apart = attribute(method, &by_one, &TRANSFORMER, &IMAGES, target()).unwrap();
        let together = found(method, &IMAGES, target());
        let error = relative_error(apart.values(), together.values());
        assert!(error < 1e-4, "{}: {error:.1e}", method.name);
    }
}

#[test]
fn what_looks_at_no_target_says_the_same_of_every_class() {
    for method in methods() {
        let of = |class| found(method, &IMAGES, Target::class(class));
        let same = of(0).values() == of(3).values();
        assert_eq!(same, OF_NO_CLASS.contains(&method.name), "{}", method.name);
    }
}

#[test]
fn progress_ends_at_the_end_and_cancels() {
    for method in methods() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        let counting = MethodOptions::new().batch_size(1).progress(move |p| {
            log.lock().unwrap().push((p.done, p.total));
            p.continue_()
        });
        attribute(method, &counting, &TRANSFORMER, &IMAGES, Target::class(0)).unwrap();
        assert_eq!(*seen.lock().unwrap(), [(1, 2), (2, 2)], "{}", method.name);
        let cancelling = MethodOptions::new().batch_size(1).progress(|p| p.cancel());
        let cancelled = attribute(method, &cancelling, &TRANSFORMER, &IMAGES, Target::class(0));
        assert!(matches!(
            cancelled,
            Err(AttributionError::Cancelled { done: 1, .. })
        ));
    }
}

#[test]
fn what_cannot_be_is_refused_with_what_could() {
    let closure = |x: Tensor<4>| x.mean_dims(&[2, 3]).reshape([-1, 3]);
    let swin = elucid_testkit::assets()
        .map(|folder| folder.join("reference/transformers/swin_tiny/swin_tiny_nhwc_legacy17.onnx"));
    let swin = swin.map(|file| Model::open(file, &device()).unwrap());
    for method in methods() {
        let name = method.name;
        let built = method.usual().unwrap();
        let closed = built.attribute(&closure, &*IMAGES, Target::class(0));
        assert!(
            matches!(closed, Err(AttributionError::NeedsModel { .. })),
            "{name}"
        );
        let picture = elucid_testkit::tensor(numbers(3 * 64 * 64, 3), [1, 3, 64, 64]);
        let none = built.attribute(&*SQUEEZENET, &picture, Target::class(0));
        let none = none.unwrap_err().to_string();
        for part in [
            name,
            "squeezenet",
            "softmax",
            "MultiHeadAttention",
            "grad-cam",
        ] {
            assert!(none.contains(part), "no {part} in {none}");
        }
        let layer = method.build(&MethodOptions::new().layer("block1"));
        assert!(
            matches!(layer, Err(AttributionError::UnknownOption { .. })),
            "{name}"
        );
        if let Some(swin) = &swin {
            let picture = elucid_testkit::tensor(numbers(3 * 32 * 48, 3), [1, 3, 32, 48]);
            let windows = built.attribute(swin, &picture, Target::class(0));
            let windows = windows.unwrap_err().to_string();
            assert!(windows.contains("within windows"), "{name}: {windows}");
        }
    }
    let refused = |option: &str, value: &str| {
        let options = MethodOptions::new().set(option, value);
        let method = Method::find("attention").unwrap();
        let found = attribute(method, &options, &TRANSFORMER, &IMAGES, Target::class(0));
        found.unwrap_err().to_string()
    };
    assert!(
        refused("head", "2").contains("head 2 is outside"),
        "{}",
        refused("head", "2")
    );
    assert!(refused("query", "4,0").contains("row 4 is outside"));
    assert!(
        refused("block", "blocks.7").contains("blocks.0") || refused("block", "9").contains("0 \"")
    );
    assert!(refused("mass", "0").contains("above 0"));
    assert!(refused("query", "first").contains("row and column"));
}

#[test]
fn rows_of_a_rollout_add_up_to_one() {
    let target = Target::class(0);
    for heads in ["mean", "max", "min"] {
        let heads = heads.parse().unwrap();
        for discard in [0.0, 0.5] {
            let method = AttentionRollout::new().heads(heads).discard(discard);
            let rolled = method.matrix(&*TRANSFORMER, &*IMAGES, &target).unwrap();
            assert_eq!(rolled.dim(), (2, 17, 17));
            for sum in rolled.sum_axis(Axis(2)) {
                assert!((sum - 1.0).abs() < 1e-5, "{heads} {discard}: {sum}");
            }
        }
    }
}

/// A transformer under construction: two heads of three numbers.
struct Toy {
    onnx: Onnx,
    weights: u32,
}

const HEADS: usize = 2;

const SIZE: usize = 3;

const WIDTH: usize = HEADS * SIZE;

const GRID: [usize; 2] = [2, 3];

const PATCHES: usize = GRID[0] * GRID[1];

impl Toy {
    /// Patches of a picture of 8 x 12 pixels, as tokens `patches`, `[1, 6, 6]`.
    fn new() -> Self {
        let onnx = Onnx::image([1, 3, 8, 12]);
        let mut toy = Self { onnx, weights: 1 };
        let kernel = toy.weight(&[WIDTH, 3, 4, 4]);
        toy.onnx = toy
            .onnx
            .node("Conv", &["x", &kernel], &["map"])
            .ints("strides", &[4, 4])
            .list("flat", &[1, WIDTH as i64, PATCHES as i64])
            .node("Reshape", &["map", "flat"], &["columns"])
            .node("Transpose", &["columns"], &["patches"])
            .ints("perm", &[0, 2, 1]);
        toy
    }

    fn weight(&mut self, shape: &[usize]) -> String {
        self.weights += 1;
        let name = format!("weight{}", self.weights);
        let values = numbers(shape.iter().product(), self.weights * 31);
        let shape: Vec<i64> = shape.iter().map(|&size| size as i64).collect();
        let values = values.into_iter().map(|v| v * 0.7).collect();
        self.onnx = std::mem::take(&mut self.onnx).tensor(floats(&name, &shape, values));
        name
    }

    fn node(&mut self, op: &str, inputs: &[&str], output: &str) {
        self.onnx = std::mem::take(&mut self.onnx).node(op, inputs, &[output]);
    }

    fn ints(&mut self, name: &str, values: &[i64]) {
        self.onnx = std::mem::take(&mut self.onnx).ints(name, values);
    }

    fn int(&mut self, name: &str, value: i64) {
        self.onnx = std::mem::take(&mut self.onnx).int(name, value);
    }

    /// Heads `[1, 2, tokens, 3]` of a linear layer, with the axes in this order.
    fn heads(&mut self, name: &str, from: &str, tokens: usize, perm: [i64; 4]) {
        let matrix = self.weight(&[WIDTH, WIDTH]);
        let [made, split, shape] = ["made", "split", "shape"].map(|part| format!("{name}.{part}"));
        self.node("MatMul", &[from, &matrix], &made);
        let sizes = [1, tokens as i64, HEADS as i64, SIZE as i64];
        self.onnx = std::mem::take(&mut self.onnx).list(&shape, &sizes);
        self.node("Reshape", &[&made, &shape], &split);
        self.node("Transpose", &[&split], name);
        self.ints("perm", &perm);
    }

    /// A block called `name`, of `queries` tokens `from` that attend to `keys` tokens `to`: what they attend to is
    /// added to them. Its weights are called `name.weights`.
    fn attend(&mut self, name: &str, [from, to]: [&str; 2], [queries, keys]: [usize; 2]) {
        let part = |part: &str| format!("{name}.{part}");
        self.heads(&part("q"), from, queries, [0, 2, 1, 3]);
        self.heads(&part("k"), to, keys, [0, 2, 3, 1]);
        self.heads(&part("v"), to, keys, [0, 2, 1, 3]);
        self.node("MatMul", &[&part("q"), &part("k")], &part("products"));
        let scale = self.weight(&[1]);
        self.node("Mul", &[&part("products"), &scale], &part("scores"));
        self.node("Softmax", &[&part("scores")], &part("weights"));
        self.int("axis", -1);
        self.node("MatMul", &[&part("weights"), &part("v")], &part("heads"));
        self.node("Transpose", &[&part("heads")], &part("turned"));
        self.ints("perm", &[0, 2, 1, 3]);
        let sizes = [1, queries as i64, WIDTH as i64];
        self.onnx = std::mem::take(&mut self.onnx).list(&part("size"), &sizes);
        self.node(
            "Reshape",
            &[&part("turned"), &part("size")],
            &part("joined"),
        );
        let matrix = self.weight(&[WIDTH, WIDTH]);
        self.node("MatMul", &[&part("joined"), &matrix], &part("projected"));
        self.node("Add", &[from, &part("projected")], name);
    }

    fn model(&self) -> Model {
        Model::from_bytes(self.onnx.bytes(), &device(), None).unwrap()
    }
}

fn picture(images: usize) -> Tensor<4> {
    elucid_testkit::tensor(numbers(images * 3 * 8 * 12, 5), [images, 3, 8, 12])
}

/// `Ā` of a block: the mean over heads of what is positive of gradient times weights, in a loop.
fn cared(weights: &Array4<f32>, gradients: &Array4<f32>) -> Array2<f64> {
    let (_, heads, queries, keys) = weights.dim();
    Array2::from_shape_fn((queries, keys), |(q, k)| {
        let each = (0..heads).map(|h| {
            let product = f64::from(weights[[0, h, q, k]]) * f64::from(gradients[[0, h, q, k]]);
            product.max(0.0)
        });
        each.sum::<f64>() / heads as f64
    })
}
