//! Class activation maps and what hides tokens, on transformers, against arrays that were computed in
//! double precision: `reference/transformers` of the reference files, whose README has the formulas.

use elucid_attribution::{
    AblationCam, Attributor, FEATURES, Method, MethodOptions, Network, ReciproCam, ReciproMask,
    ReciproValue, ScoreCam, ScoreWeights, Target,
};
use elucid_testkit::{read_npy, relative_error};
use elucid_vision::Model;
use ndarray::{Array2, Axis};

use super::gated_references::{self, Compared, Opened, References, files_of, layer, open};

/// Largest deviation, relative to the array's largest value.
const TOLERANCE: f32 = 1e-4;

/// The name of a method, of its arrays, and the options that these are made with.
type Cam = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
);

/// The methods of which there are arrays.
const CAMS: &[Cam] = &[
    ("grad-cam", "grad_cam", &[]),
    ("grad-cam-plus-plus", "grad_cam_plus_plus", &[]),
    ("hires-cam", "hires_cam", &[]),
    ("layer-cam", "layer_cam", &[]),
    ("x-grad-cam", "xgrad_cam", &[]),
    ("eigen-cam", "eigen_cam", &[]),
    ("eigen-cam", "eigen_cam_centred", &[("centred", "true")]),
];

/// All CAMs of one network, at all layers of which there are arrays, in all of its files.
fn compare(references: &References, network: &str) -> Vec<Compared> {
    let input = references.input(network);
    let layers = references.manifest["networks"][network]["layers"].as_object();
    let stages: Vec<(&str, &str)> = match layers {
        Some(layers) => layers
            .keys()
            .map(|stage| (stage.as_str(), stage.as_str()))
            .collect(),
        None => vec![("cam_norm1_last", "norm1_last")],
    };
    let row = |(name, array, options): &Cam| Compared {
        what: match options {
            [] => Method::find(name).unwrap().title.to_owned(),
            _ => format!("{}, centred", Method::find(name).unwrap().title),
        },
        arrays: format!("{network}/*/*/{array}"),
        worst: 0.0,
        bound: match (*name, network) {
            // It divides by 2 + g sum(x), which activations of both signs bring down to 4e-4 in one of these
            // arrays: numbers that are off by 1e-6 then move the map by 1e-2.
            ("grad-cam-plus-plus", "swin_tiny") => 1e-2,
            ("grad-cam-plus-plus", "vit_tiny") => 1e-3,
            _ => TOLERANCE,
        },
    };
    let mut found: Vec<Compared> = CAMS.iter().map(row).collect();
    for (file, tensors) in references.files(network) {
        let model = open(&file);
        for (folder, stage) in &stages {
            let at = layer(tensors, stage);
            for class in references.classes(network) {
                for ((name, array, options), row) in CAMS.iter().zip(&mut found) {
                    let path = format!("{network}/{class}/{folder}/{array}.npy");
                    // What cancels to rounding is said there.
                    if references.manifest["files"][&path].get("note").is_some() {
                        continue;
                    }
                    let (_, want) = read_npy(&references.folder.join(&path));
                    let options = options.iter();
                    let options = options
                        .fold(MethodOptions::new().layer(&at), |all, (option, value)| {
                            all.set(option, value)
                        });
                    let method = Method::find(name).unwrap().build(&options).unwrap();
                    let map = method
                        .attribute(&model, &input, Target::class(class))
                        .unwrap()
                        .map();
                    let error = relative_error(map.unwrap().maps(), &want);
                    println!("{error:.1e} {path}, {}", file.display());
                    row.worst = row.worst.max(error);
                }
            }
        }
    }
    found
}

/// All arrays, for the table of agreement.
pub fn all(references: &References) -> Vec<Compared> {
    let networks = ["vit_tiny", "swin_tiny", "convnext_tiny"];
    let cams = networks
        .iter()
        .flat_map(|network| compare(references, network));
    cams.chain(shown_alone(references)).collect()
}

fn check_cams(networks: &[&str]) {
    let Some(references) = References::open() else {
        return;
    };
    for network in networks {
        gated_references::check(&compare(references, network));
    }
}

#[test]
fn cams_of_tokens_in_five_spellings() {
    check_cams(&["vit_tiny"]);
}

#[test]
fn cams_of_windows_and_of_channels_last() {
    check_cams(&["swin_tiny", "convnext_tiny"]);
}

/// ReciproCAM's two forms over all classes and files.
fn shown_alone(references: &References) -> Vec<Compared> {
    let forms = [
        ("norm_only", false, ""),
        ("skip_masked", true, ", the path around it masked"),
    ];
    let rows = forms.map(|(array, residual, said)| {
        let method = ReciproCam::at_features().residual(residual);
        let method = method.value(ReciproValue::Score);
        references.of_all_classes(
            &format!("ReciproCAM{said}"),
            &format!("reciprocam_{array}"),
            &method,
            |_| true,
        )
    });
    rows.into()
}

/// The arrays hold the logits of all classes under each mask.
#[test]
fn one_token_after_the_other_shown() {
    let network = "vit_tiny";
    for Opened {
        references,
        tensors,
        model,
        input,
        ..
    } in files_of(network)
    {
        let [norm, block] = ["norm1_last", "block1"].map(|stage| layer(tensors, stage));
        // In front of the last block, by default.
        assert_eq!(Network::layer(&model, FEATURES).unwrap(), block);
        for (array, residual) in [("norm_only", false), ("skip_masked", true)] {
            let path = format!("{network}/reciprocam_{array}.npy");
            let (shape, want) = read_npy(&references.folder.join(&path));
            assert_eq!(shape, [5, 4, 4]);
            for class in 0..5 {
                let want = &want[16 * class..16 * (class + 1)];
                for at in [&norm, &block, FEATURES] {
                    let method = ReciproCam::at(at).residual(residual);
                    let scores = method.clone().value(ReciproValue::Score);
                    let found = scores.attribute(&model, &input, Target::class(class));
                    let found = found.unwrap();
                    let error = relative_error(found.values(), want);
                    assert!(error < TOLERANCE, "{error:.1e} {path} {class} at {at}");
                    assert_eq!(found.values().shape(), [1, 1, 4, 4]);
                    assert_eq!(
                        (found.layer(), found.evaluations()),
                        (norm.as_str(), &[16][..])
                    );
                    assert_eq!(found.configuration().get("mask"), Some("gaussian"));
                    // What nothing scores is the same for all positions.
                    let raised = method.attribute(&model, &input, Target::class(class));
                    let raised = raised.unwrap();
                    let nothing = want[0] - raised.values()[[0, 0, 0, 0]];
                    let want: Vec<f32> = want.iter().map(|v| v - nothing).collect();
                    assert!(relative_error(raised.values(), &want) < TOLERANCE);
                    assert_eq!(raised.evaluations(), [17]);
                }
            }
        }
    }
}

/// Behind a readout that is the mean of the tokens it does matter what the path around the block has.
#[test]
fn a_masked_path_around_a_block_is_another_map() {
    let Some(references) = References::open() else {
        return;
    };
    let network = "vit_tiny";
    let input = references.input(network);
    let (file, tensors) = references.files(network).swap_remove(0);
    let (model, at) = (open(&file), layer(tensors, "norm1_last"));
    // The last block's patches, which a class token's logit does not read.
    let last = Target::position(&layer(tensors, "last"), 1, 2);
    let maps = [false, true].map(|residual| {
        let method = ReciproCam::at(&at).residual(residual);
        let found = method.attribute(&model, &input, last.clone()).unwrap();
        found.values().clone()
    });
    assert!(relative_error(&maps[0], &maps[1]) > 1e-2);

    let conv = layer(tensors, "block0");
    let none = ReciproCam::at(&conv).residual(true);
    assert!(none.attribute(&model, &input, Target::class(0)).is_ok());
    let images = super::shared::refused_option("recipro-cam", "mask", "all");
    assert!(
        images.contains("single (one position) or gaussian"),
        "{images}"
    );
}

/// Score-CAM and Ablation-CAM on tokens as loops: the masks of the one are patches, and the other lays
/// its map out as tokens again, with the class token in front.
#[test]
fn score_cam_and_ablation_cam_of_tokens_as_loops() {
    let Some(references) = References::open() else {
        return;
    };
    let network = "vit_tiny";
    let input = references.input(network);
    let logit = |model: &Model, feeds: Vec<(&str, elucid_graph::Activation)>, class: usize| {
        let pass = feeds
            .into_iter()
            .fold(model.pass(), |pass, (name, value)| pass.feed(name, value));
        let fetched = pass.fetch([elucid_graph::LOGITS]).unwrap();
        fetched
            .get(elucid_graph::LOGITS)
            .unwrap()
            .to_array()
            .unwrap()[[0, class]]
    };
    for (file, tensors) in references.files(network) {
        let (model, at) = (open(&file), layer(tensors, "norm1_last"));
        let fetched = model.pass().input(&input).fetch([&at]).unwrap();
        let value = fetched.get(&at).unwrap().to_array().unwrap();
        let tokens = value.index_axis(Axis(0), 0).to_owned();
        let class = 3;
        let own = logit(
            &model,
            vec![(elucid_graph::INPUT, input.clone().into())],
            class,
        );
        let attribute = |method: &dyn Attributor| {
            let found = method
                .attribute(&model, &input, Target::class(class))
                .unwrap();
            found.values().iter().copied().collect::<Vec<f32>>()
        };

        let mut want = Vec::new();
        for channel in 0..32 {
            let mut without = value.clone();
            (1..17).for_each(|token| without[[0, token, channel]] = 0.0);
            let shared = without.into_shared();
            let fed = elucid_graph::Activation::from_array(&shared, &elucid_testkit::device());
            let feeds = vec![
                (elucid_graph::INPUT, input.clone().into()),
                (at.as_str(), fed),
            ];
            let weight = own - logit(&model, feeds, class);
            want.extend((1..17).map(|token| weight * tokens[[token, channel]]));
        }
        let error = relative_error(&attribute(&AblationCam::at(&at)), &want);
        assert!(
            error < TOLERANCE,
            "{error:.1e} Ablation-CAM, {}",
            file.display()
        );

        let mut want = Vec::new();
        for channel in 0..32 {
            let grid = Array2::from_shape_fn((4, 4), |(y, x)| tokens[[1 + 4 * y + x, channel]]);
            let grid = elucid_attribution::Saliency::new(grid.insert_axis(Axis(0)), [32, 32]);
            let mask = grid.upsampled().maps().index_axis(Axis(0), 0).to_owned();
            let low = mask.iter().copied().fold(f32::INFINITY, f32::min);
            let high = mask.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let mask = mask.mapv(|v| (v - low) / (high - low));
            let mask = elucid_testkit::tensor(mask.iter().copied().collect(), [1, 1, 32, 32]);
            let fed = (input.clone() * mask).into();
            let weight = logit(&model, vec![(elucid_graph::INPUT, fed)], class);
            want.extend((1..17).map(|token| weight * tokens[[token, channel]]));
        }
        let method = ScoreCam::at(&at).weights(ScoreWeights::Score);
        let error = relative_error(&attribute(&method), &want);
        assert!(
            error < TOLERANCE,
            "{error:.1e} Score-CAM, {}",
            file.display()
        );
    }
}

/// Each position shown alone, on a transformer whose tokens are the pixels of a map, is what the masks
/// say.
#[test]
fn masks_are_cut_at_the_border() {
    for Opened {
        tensors,
        model,
        input,
        ..
    } in files_of("swin_tiny")
    {
        let at = layer(tensors, "norm");
        let fetched = model.pass().input(&input).fetch([&at]).unwrap();
        let value = fetched.get(&at).unwrap().clone();
        let layout = model.layout(&at).unwrap();
        let map = layout.map_of(&value).unwrap();
        let [_, _, h, w] = map.dims();
        for mask in [ReciproMask::Single, ReciproMask::Gaussian] {
            let method = ReciproCam::at(&at).mask(mask).value(ReciproValue::Score);
            let found = method.attribute(&model, &input, Target::class(1)).unwrap();
            assert_eq!(
                (found.layer(), found.values().shape()),
                (at.as_str(), &[1, 1, h, w][..])
            );
            for (y, x) in ndarray::indices((h, w)) {
                let near = |a: usize, b: usize| match a.abs_diff(b) {
                    0 => 2.0,
                    1 => 1.0,
                    _ => 0.0,
                };
                let shows = |i: usize, j: usize| match mask {
                    ReciproMask::Single => f32::from(u8::from((i, j) == (y, x))),
                    ReciproMask::Gaussian => near(i, y) * near(j, x) / 16.0,
                };
                let shows = ndarray::indices((h, w))
                    .into_iter()
                    .map(|(i, j)| shows(i, j));
                let shows = elucid_testkit::tensor(shows.collect(), [1, 1, h, w]);
                let shown = map.clone() * shows;
                let fed = match layout {
                    elucid_graph::Layout::ChannelsLast => shown.permute([0, 2, 3, 1]),
                    _ => shown,
                };
                let pass = model.pass().input(&input).feed(&at, fed);
                let logits = pass.fetch([elucid_graph::LOGITS]).unwrap();
                let logits = logits
                    .get(elucid_graph::LOGITS)
                    .unwrap()
                    .to_array()
                    .unwrap();
                let (got, want) = (found.values()[[0, 0, y, x]], logits[[0, 1]]);
                assert!(
                    (got - want).abs() < 1e-5 * want.abs().max(1.0),
                    "{got} {want}"
                );
            }
        }
    }
}
