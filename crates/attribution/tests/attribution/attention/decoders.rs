//! Decoders: followed from their queries to patches.

use elucid_attribution::{
    AttentionKind, AttentionMaps, AttentionRollout, Attributor, BlockAttention, Chefer, Target,
    attention_blocks,
};
use elucid_testkit::relative_error;
use elucid_vision::Model;
use ndarray::{Array2, Array4, s};

use super::{PATCHES, Toy, WIDTH, cared, picture};

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
