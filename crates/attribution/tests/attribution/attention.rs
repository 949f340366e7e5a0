//! Methods that look at attention: their invariants, toys in loops, and what they refuse.

use std::sync::{Arc, LazyLock, Mutex};

use burn::tensor::Tensor;
use elucid_attribution::{
    AttentionKind, AttentionMap, AttentionMaps, AttentionQuery, AttentionRollout, Attribution,
    AttributionError, Attributor, BlockAttention, Chefer, METHODS, Method, MethodOptions, Place,
    Target, attention_blocks,
};
use elucid_graph::{INPUT, LOGITS};
use elucid_testkit::onnx::{Onnx, floats};
use elucid_testkit::{device, numbers, relative_error};
use elucid_vision::Model;
use ndarray::{Array2, Array3, Array4, Axis, s};

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

/// An encoder, and two decoder blocks whose queries were learned: what a DETR is made of.
fn detr() -> Model {
    const QUERIES: usize = 4;
    let mut toy = Toy::new();
    toy.attend("encoder", ["patches"; 2], [PATCHES; 2]);
    let queries = toy.weight(&[1, QUERIES, WIDTH]);
    toy.attend("cross0", [&queries, "encoder"], [QUERIES, PATCHES]);
    toy.attend("self1", ["cross0"; 2], [QUERIES; 2]);
    toy.attend("cross1", ["self1", "encoder"], [QUERIES, PATCHES]);
    let classes = toy.weight(&[WIDTH, 5]);
    toy.node("MatMul", &["cross1", &classes], "y");
    toy.model()
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

/// Equations 8 and 9 of the ICCV paper.
fn normalised(relevance: &Array2<f64>) -> Array2<f64> {
    let eye = Array2::<f64>::eye(relevance.nrows());
    let mut rest = relevance - &eye;
    for mut row in rest.rows_mut() {
        let sum = row.sum();
        if sum != 0.0 {
            row /= sum;
        }
    }
    rest + eye
}

#[test]
fn a_decoder_is_followed_from_queries_to_patches() {
    let model = detr();
    let kinds: Vec<_> = attention_blocks(&model, [8, 12]).unwrap();
    let kinds: Vec<_> = kinds
        .iter()
        .map(|block| (block.name().to_owned(), block.kind()))
        .collect();
    let named = |name: &str, kind| (format!("{name}.weights"), kind);
    assert_eq!(
        kinds,
        [
            named("encoder", AttentionKind::Tokens),
            named("cross0", AttentionKind::Cross),
            named("self1", AttentionKind::Queries),
            named("cross1", AttentionKind::Cross),
        ]
    );
    let image = picture(1);
    for place in [[2, 3], [0, 1]] {
        let target = Target::element("y", &place);
        let maps = AttentionMaps::with_gradients(&model, &image, &target).unwrap();
        let of: Vec<Array2<f64>> = maps
            .blocks()
            .iter()
            .map(|block| cared(block.weights(), block.gradients().unwrap()))
            .collect();
        let [encoder, cross0, self1, cross1] = of.try_into().unwrap();
        let patches = Array2::eye(PATCHES) + &encoder;
        // Nothing has passed among queries before the first block.
        let first = cross0.dot(&normalised(&patches));
        let queries = Array2::eye(4) + &self1;
        let passed = &first + &self1.dot(&first);
        let want = passed
            + normalised(&queries)
                .t()
                .dot(&cross1)
                .dot(&normalised(&patches));
        let got = Chefer::new().matrix(&model, &image, &target).unwrap();
        assert_eq!(got.dim(), (1, 4, PATCHES));
        let wanted: Vec<f32> = want.iter().map(|&v| v as f32).collect();
        assert!(wanted.iter().any(|&v| v > 1e-3), "{wanted:?}");
        let error = relative_error(&got, &wanted);
        assert!(error < 1e-5, "{error:.1e}");
        // The box that is explained is the row.
        let map = Chefer::new().attribute(&model, &image, target).unwrap();
        assert_eq!(map.values().shape(), [1, 1, 2, 3]);
        let row = got.slice(s![0, place[0], ..]);
        let error = relative_error(map.values(), row);
        assert!(error < 1e-6, "{error:.1e}");
    }
    let rollout = AttentionRollout::new().attribute(&model, &image, Target::element("y", &[0, 1]));
    let rollout = rollout.unwrap_err().to_string();
    assert!(
        rollout.contains("cross0.weights") && rollout.contains("chefer"),
        "{rollout}"
    );
}

/// Patches and queries in loops: `R_ii`, `R_qq`, `R_qi`, `R_iq`, as the table of the module writes them.
#[derive(Clone)]
struct Streams {
    ii: Array2<f64>,
    qq: Array2<f64>,
    qi: Array2<f64>,
    iq: Array2<f64>,
}

impl Streams {
    fn new(queries: usize) -> Self {
        Self {
            ii: Array2::eye(PATCHES),
            qq: Array2::eye(queries),
            qi: Array2::zeros((queries, PATCHES)),
            iq: Array2::zeros((PATCHES, queries)),
        }
    }

    /// With a block from queries to patches.
    fn cross(&self, a: &Array2<f64>) -> Self {
        let between = normalised(&self.qq).t().dot(a).dot(&normalised(&self.ii));
        Self {
            qi: &self.qi + &between,
            qq: &self.qq + &a.dot(&self.iq),
            ..self.clone()
        }
    }

    /// With a block from patches to queries.
    fn back(&self, a: &Array2<f64>) -> Self {
        let between = normalised(&self.ii).t().dot(a).dot(&normalised(&self.qq));
        Self {
            iq: &self.iq + &between,
            ii: &self.ii + &a.dot(&self.qi),
            ..self.clone()
        }
    }

    fn among_queries(&self, a: &Array2<f64>) -> Self {
        Self {
            qq: &self.qq + &a.dot(&self.qq),
            qi: &self.qi + &a.dot(&self.qi),
            ..self.clone()
        }
    }

    fn among_patches(&self, a: &Array2<f64>) -> Self {
        Self {
            ii: &self.ii + &a.dot(&self.ii),
            iq: &self.iq + &a.dot(&self.iq),
            ..self.clone()
        }
    }

    /// With both of two blocks that do not depend on each other.
    fn both(&self, cross: &Array2<f64>, back: &Array2<f64>) -> Self {
        let (one, other) = (self.cross(cross), self.back(back));
        Self {
            ii: other.ii,
            qq: one.qq,
            qi: one.qi,
            iq: other.iq,
        }
    }
}

/// A decoder of two ways, as Segment Anything has one: patches attend to queries, too.
fn two_ways() -> Model {
    const QUERIES: usize = 4;
    let mut toy = Toy::new();
    let queries = toy.weight(&[1, QUERIES, WIDTH]);
    toy.attend("cross0", [&queries, "patches"], [QUERIES, PATCHES]);
    toy.attend("back0", ["patches", "cross0"], [PATCHES, QUERIES]);
    toy.attend("self1", ["cross0"; 2], [QUERIES; 2]);
    toy.attend("tokens1", ["back0"; 2], [PATCHES; 2]);
    // Each of both reads what was before the other.
    toy.attend("cross1", ["self1", "tokens1"], [QUERIES, PATCHES]);
    toy.attend("back1", ["tokens1", "self1"], [PATCHES, QUERIES]);
    toy.attend("cross2", ["cross1", "back1"], [QUERIES, PATCHES]);
    toy.attend("back2", ["back1", "cross2"], [PATCHES, QUERIES]);
    let classes = toy.weight(&[WIDTH, 5]);
    toy.node("MatMul", &["cross2", &classes], "y");
    let classes = toy.weight(&[WIDTH, 5]);
    toy.node("MatMul", &["back2", &classes], "z");
    toy.onnx = std::mem::take(&mut toy.onnx).output("z");
    toy.model()
}

/// Equations 10 and 11 of the ICCV paper, in both directions.
#[test]
fn a_decoder_of_two_ways_is_followed_in_both() {
    let model = two_ways();
    let kinds = attention_blocks(&model, [8, 12]).unwrap();
    let kinds: Vec<AttentionKind> = kinds.iter().map(|block| block.kind()).collect();
    use AttentionKind::{Back, Cross, Queries, Tokens};
    assert_eq!(
        kinds,
        [Cross, Back, Queries, Tokens, Cross, Back, Cross, Back]
    );
    let image = picture(1);
    for output in ["y", "z"] {
        let target = Target::element(output, &[2, 3]);
        let maps = AttentionMaps::with_gradients(&model, &image, &target).unwrap();
        let of = |name: &str| {
            let named = |block: &&BlockAttention| block.block().name() == format!("{name}.weights");
            let block = maps.blocks().iter().find(named).unwrap();
            cared(block.weights(), block.gradients().unwrap())
        };
        let before = Streams::new(4)
            .cross(&of("cross0"))
            .back(&of("back0"))
            .among_queries(&of("self1"))
            .among_patches(&of("tokens1"))
            .both(&of("cross1"), &of("back1"))
            .cross(&of("cross2"));
        let want = match output {
            "y" => before.qi.clone(),
            _ => before.back(&of("back2")).ii,
        };
        // Equation 11 counts: without it the queries' relevance would not have changed.
        assert!(before.iq.iter().any(|&v| v > 1e-4));
        let got = Chefer::new().matrix(&model, &image, &target).unwrap();
        let wanted: Vec<f32> = want.iter().map(|&v| v as f32).collect();
        assert!(wanted.iter().any(|&v| v > 1e-3), "{wanted:?}");
        assert_eq!(got.len(), wanted.len(), "{output}");
        let error = relative_error(&got, &wanted);
        assert!(error < 1e-5, "{output}: {error:.1e}");
        let map = Chefer::new().attribute(&model, &image, target).unwrap();
        assert_eq!(map.values().shape(), [1, 1, 2, 3]);
        let error = relative_error(map.values(), got.slice(s![0, 2, ..]));
        assert!(error < 1e-6, "{output}: {error:.1e}");
    }
    let rollout = AttentionRollout::new().attribute(&model, &image, Target::element("z", &[2, 3]));
    let rollout = rollout.unwrap_err().to_string();
    assert!(rollout.contains("cross0.weights"), "{rollout}");
}

/// The gradient at a block's weights is what a little more of one of them does to the score.
#[test]
fn gradients_at_attention_are_differences() {
    let model = detr();
    let image = picture(1);
    let target = Target::element("y", &[2, 3]);
    let maps = AttentionMaps::with_gradients(&model, &image, &target).unwrap();
    for block in maps.blocks() {
        let name = block.block().name();
        let score = |weights: &Array4<f32>| -> f64 {
            let fed: Vec<f32> = weights.iter().copied().collect();
            let (a, b, c, d) = weights.dim();
            let fed = elucid_testkit::tensor(fed, [a, b, c, d]);
            let made = model
                .pass()
                .input(&image)
                .feed(name, fed)
                .fetch(["y"])
                .unwrap();
            let made = made.get("y").unwrap().to_array().unwrap();
            f64::from(made[[0, 2, 3]])
        };
        let gradients = block.gradients().unwrap();
        let (_, heads, queries, keys) = gradients.dim();
        for place in [[0, 0, 2, 1], [0, heads - 1, queries - 1, keys - 1]] {
            let moved = |by: f32| {
                let mut weights = block.weights().clone();
                weights[place] += by;
                score(&weights)
            };
            let difference = (moved(0.02) - moved(-0.02)) / 0.04;
            let got = f64::from(gradients[place]);
            let far = (difference - got).abs();
            assert!(
                far < 2e-2 * got.abs().max(0.1),
                "{name} {place:?}: {got}, not {difference}"
            );
        }
    }
}

/// An encoder of two blocks with so many tokens in front, of which `readout` is read.
fn encoder(front: usize, readout: &str) -> Model {
    let mut toy = Toy::new();
    let tokens = front + PATCHES;
    let mut from = "patches".to_owned();
    if front > 0 {
        let learned = toy.weight(&[1, front, WIDTH]);
        toy.node("Concat", &[&learned, "patches"], "tokens");
        toy.int("axis", 1);
        from = "tokens".to_owned();
    }
    for block in ["first", "second"] {
        toy.attend(block, [&from; 2], [tokens; 2]);
        from = block.to_owned();
    }
    match readout {
        "class" => {
            toy.onnx = toy.onnx.list("zero", &[0]);
            toy.node("Gather", &[&from, "zero"], "read");
            toy.int("axis", 1);
        }
        _ => {
            toy.onnx = toy
                .onnx
                .list("start", &[front as i64])
                .list("end", &[tokens as i64])
                .list("axes", &[1]);
            toy.node("Slice", &[&from, "start", "end", "axes"], "kept");
            toy.node("ReduceMean", &["kept"], "read");
            toy.ints("axes", &[1]);
        }
    }
    let classes = toy.weight(&[WIDTH, 5]);
    toy.onnx = toy.onnx.list("scores", &[1, 5]);
    toy.node("MatMul", &["read", &classes], "made");
    toy.node("Reshape", &["made", "scores"], "y");
    toy.model()
}

/// Rows of a rollout, in loops.
fn rolled(maps: &AttentionMaps, image: usize) -> Array2<f64> {
    let mut rolled: Option<Array2<f64>> = None;
    for block in maps.blocks() {
        let (_, heads, tokens, _) = block.weights().dim();
        let step = Array2::from_shape_fn((tokens, tokens), |(q, k)| {
            let mean = (0..heads)
                .map(|h| f64::from(block.weights()[[image, h, q, k]]))
                .sum::<f64>();
            (mean / heads as f64 + f64::from(u8::from(q == k))) / 2.0
        });
        rolled = Some(match rolled {
            Some(before) => step.dot(&before),
            None => step,
        });
    }
    rolled.unwrap()
}

#[test]
fn tokens_in_front_are_never_drawn_and_the_readout_is_found() {
    for (front, readout, said) in [
        (1, "class", "row of the class token"),
        (3, "class", "row of the class token"),
        (3, "mean", "mean of the rows of what is read"),
        (0, "mean", "mean of the rows of what is read"),
    ] {
        let model = encoder(front, readout);
        let images = picture(2);
        let maps = AttentionMaps::of(&model, &images).unwrap();
        assert_eq!(maps.blocks().len(), 2);
        let found = AttentionRollout::new().attribute(&model, &images, Target::class(1));
        let found = found.unwrap();
        assert_eq!(found.values().shape(), [2, 1, 2, 3]);
        assert!(found.to_string().contains(said), "{found}");
        for image in 0..2 {
            let rolled = rolled(&maps, image);
            let row = match readout {
                "class" => rolled.row(0).to_owned(),
                _ => rolled.slice(s![front.., ..]).mean_axis(Axis(0)).unwrap(),
            };
            let want: Vec<f32> = row.slice(s![front..]).iter().map(|&v| v as f32).collect();
            let error = relative_error(found.values().index_axis(Axis(0), image), &want);
            assert!(error < 1e-5, "{front} {readout}: {error:.1e}");
        }
    }
}

/// Chefer's rules where there is no decoder, against the matrix in loops.
#[test]
fn chefer_of_an_encoder_is_the_product_in_loops() {
    for (front, readout) in [(2, "class"), (0, "mean")] {
        let model = encoder(front, readout);
        let image = picture(1);
        let target = Target::class(3);
        let maps = AttentionMaps::with_gradients(&model, &image, &target).unwrap();
        let mut want = Array2::<f64>::eye(front + PATCHES);
        for block in maps.blocks() {
            let step = cared(block.weights(), block.gradients().unwrap());
            want = &want + &step.dot(&want);
        }
        let got: Array3<f32> = Chefer::new().matrix(&model, &image, &target).unwrap();
        let wanted: Vec<f32> = want.iter().map(|&v| v as f32).collect();
        let error = relative_error(&got, &wanted);
        assert!(error < 1e-5, "{error:.1e}");
        let map = Chefer::new().attribute(&model, &image, target).unwrap();
        let row = match readout {
            "class" => want.row(0).to_owned(),
            _ => want.slice(s![front.., ..]).mean_axis(Axis(0)).unwrap(),
        };
        let want: Vec<f32> = row.slice(s![front..]).iter().map(|&v| v as f32).collect();
        let error = relative_error(map.values(), &want);
        assert!(error < 1e-5, "{error:.1e}");
    }
}

/// A block behind the scores that are explained is no part of them.
#[test]
fn blocks_behind_the_target_are_left_out() {
    let first = attention_blocks(&TRANSFORMER, [32, 32]).unwrap().remove(0);
    let target = Target::channel(first.name(), 0);
    let maps = AttentionMaps::with_gradients(&TRANSFORMER, &*IMAGES, &target);
    match maps {
        Ok(maps) => assert_eq!(maps.blocks().len(), 1),
        Err(error) => assert!(error.to_string().contains(first.name()), "{error}"),
    }
    let all = AttentionMaps::of(&TRANSFORMER, &*IMAGES).unwrap();
    assert_eq!(all.blocks().len(), 2);
    for name in [INPUT, LOGITS] {
        assert!(TRANSFORMER.layer(name).is_ok());
    }
}

/// Without biases a patch of zeros is a key of zeros. So of a picture with one patch that is not, this patch attends
/// to itself otherwise than to all others, which it attends to alike.
#[test]
fn a_patch_is_drawn_where_it_lies_in_the_picture() {
    let model = encoder(0, "mean");
    for (row, column) in [(0, 0), (0, 2), (1, 0), (1, 1)] {
        let is_inside = |y: usize, x: usize| y / 4 == row && x / 4 == column;
        let pixels = (0..3 * 8 * 12).map(|i| f32::from(u8::from(is_inside(i / 12 % 8, i % 12))));
        let image = elucid_testkit::tensor(pixels.collect(), [1, 3, 8, 12]);
        let method = AttentionMap::last()
            .block("first.weights")
            .query(AttentionQuery::Patch([row, column]));
        let found = method.attribute(&model, &image, Target::class(0)).unwrap();
        let map = found.map().unwrap();
        let of = |y: usize, x: usize| map.maps()[[0, y, x]];
        let elsewhere = of(1 - row, (column + 1) % 3);
        for y in 0..2 {
            for x in 0..3 {
                let differs = (of(y, x) - elsewhere).abs() > 1e-3;
                assert_eq!(differs, (y, x) == (row, column), "{map:?}");
            }
        }
        let drawn = map.upsampled();
        let most = drawn.maps().indexed_iter().max_by(|a, b| {
            let far = |v: &f32| (v - elsewhere).abs();
            far(a.1).total_cmp(&far(b.1))
        });
        let ((_, y, x), _) = most.unwrap();
        assert!(is_inside(y, x), "{y}, {x} for patch {row}, {column}");
    }
}
