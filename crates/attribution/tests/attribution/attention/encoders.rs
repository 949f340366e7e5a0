//! Encoders: tokens in front, the readout, and where patches lie.

use elucid_attribution::{
    AttentionMap, AttentionMaps, AttentionQuery, AttentionRollout, Attributor, Chefer, Target,
    attention_blocks,
};
use elucid_graph::{INPUT, LOGITS};
use elucid_testkit::relative_error;
use elucid_vision::Model;
use ndarray::{Array2, Array3, Axis, s};

use super::{IMAGES, PATCHES, TRANSFORMER, Toy, WIDTH, cared, picture};

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
