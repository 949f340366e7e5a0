//! Files beside a network that say how its pictures are prepared, and say it wrongly; what cannot be held by
//! a network's channels; inputs that are taken for something.

use burn::tensor::Device;
use elucid_testkit::onnx::Onnx;
use elucid_vision::input::{InputError, Resize, Transparency, decode_image};
use elucid_vision::{Model, ModelError, Opening, Origin, Preparation};
use image::{DynamicImage, ImageFormat, Rgba, RgbaImage};
use ndarray::{ArrayD, IxDyn};

/// A mean over all pixels of each channel.
fn network(shape: [i64; 4]) -> Onnx {
    Onnx::image(shape)
        .weight("w", &[4, 3, 1, 1])
        .node("Conv", &["x", "w"], &["c"])
        .node("GlobalAveragePool", &["c"], &["p"])
        .node("Flatten", &["p"], &["y"])
}

fn opened(network: &Onnx) -> Result<Model, ModelError> {
    Opening::new().bytes(network.bytes(), &Device::flex())
}

/// `net.onnx` with a file beside it.
fn beside(network: &Onnx, name: &str, text: &[u8]) -> Result<Model, ModelError> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("net.onnx");
    std::fs::write(&file, network.bytes()).unwrap();
    std::fs::write(folder.path().join(name), text).unwrap();
    Opening::new().open(file, &Device::flex())
}

fn remarks(model: &Model) -> String {
    let all: Vec<&str> = model.remarks().iter().map(|remark| remark.text()).collect();
    all.join("\n")
}

#[test]
fn what_is_no_description_is_refused_by_its_file() {
    let fixed = network([1, 3, 8, 8]);
    for (name, text, reason) in [
        ("net.json", "[]", "a list"),
        ("net.json", "null", "null"),
        ("net.json", "3.5", "a number"),
        ("net.json", "\"scale\"", "a text"),
        ("net.json", "true", "true or false"),
        ("preprocessor_config.json", "[1]", "a list"),
        (
            "net.json",
            "{\"scale\": 1, \"scale\": 2}",
            "\"scale\" stands there twice",
        ),
        (
            "preprocessor_config.json",
            "{\"size\": {\"height\": 8, \"height\": 9}}",
            "\"height\" stands there twice",
        ),
        ("net.json", "{\"scale\": 1} {}", "no JSON"),
        ("net.json", "{\"mean\": [1, 2]}", "2 numbers"),
        ("net.json", "{\"scale\": 0}", "scale 0"),
        ("net.json", "{\"rgb\": [0, 1, -1]}", "three channels"),
        ("net.json", "{\"rgb\": [0, 1, 1.5]}", "three channels"),
        ("net.json", "{\"rgb\": [0, 1, 3]}", "channels 0 to 2"),
        ("net.json", "{\"size\": 9}", "fixed to 8 x 8"),
        ("net.json", "{\"size\": [8, 16]}", "a size of 8 x 16"),
        ("net.json", "{\"layout\": \"hwc\"}", "hwc"),
        ("net.json", "{\"input\": \"picture\"}", "\"picture\""),
        (
            "net.json",
            "{\"transparency\": \"grey\"}",
            "white, black and dropped",
        ),
    ] {
        let error = beside(&fixed, name, text.as_bytes())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(name) && error.contains(reason),
            "{text}: {error}"
        );
    }
}

#[test]
fn a_description_is_taken_as_editors_write_it() {
    let text = [
        &b"\xef\xbb\xbf"[..],
        b"{\"scale\": \"1/255\", \"size\": [8, 8]}",
    ]
    .concat();
    let model = beside(&network([1, 3, 8, 8]), "net.json", &text).unwrap();
    assert_eq!(model.prepared_by(), &Origin::Beside("net.json".to_owned()));
    assert_eq!(model.input_spec().scale(), 1.0 / 255.0);
    assert!(!remarks(&model).contains("nobody says"));
}

#[test]
fn a_file_that_says_nothing_of_pictures_is_remarked_on() {
    for text in ["{}", "{\"means\": [1, 2, 3]}"] {
        let model = beside(&network([1, 3, 8, 8]), "net.json", text.as_bytes()).unwrap();
        let said = remarks(&model);
        assert!(
            said.contains("net.json beside the network has none of the keys"),
            "{said}"
        );
        assert!(
            said.contains("nobody says how pictures are prepared"),
            "{said}"
        );
    }
    // Others are about anything.
    let model = beside(&network([1, 3, 8, 8]), "config.json", b"[]").unwrap();
    assert!(!remarks(&model).contains("config.json"));
}

/// Processors are often written for another size than the export's.
#[test]
fn a_processor_for_another_size_is_remarked_on() {
    let text = br#"{"image_mean": [0.5], "image_std": [0.5], "size": {"height": 16, "width": 16}}"#;
    let name = "preprocessor_config.json";
    let model = beside(&network([1, 3, 8, 8]), name, text).unwrap();
    assert_eq!(model.input_spec().size(), [8, 8]);
    let said = remarks(&model);
    assert!(
        said.contains(name) && said.contains("16 x 16") && said.contains("8 x 8"),
        "{said}"
    );
    let open = beside(&network([1, 3, -1, -1]), name, text).unwrap();
    assert_eq!(open.input_spec().size(), [16, 16]);
    assert!(!remarks(&open).contains("16 x 16 pixels, and"));
}

/// Half red over half green, from opaque to transparent.
fn veil() -> RgbaImage {
    RgbaImage::from_fn(4, 4, |x, y| match x < 2 {
        true => Rgba([200, 0, 0, 85 * y as u8]),
        false => Rgba([0, 100, 0, 255]),
    })
}

#[test]
fn transparent_pixels_become_what_was_said() {
    let plain = |transparency| Preparation {
        scale: Some(1.0),
        mean: Some(vec![0.0]),
        std: Some(vec![1.0]),
        resize: Some(Resize::Squash),
        transparency,
        ..Preparation::default()
    };
    let opened = |transparency| {
        let opening = Opening::new().adjusted_by(plain(transparency));
        opening
            .bytes(network([1, 3, 4, 4]).bytes(), &Device::flex())
            .unwrap()
    };
    let picture = DynamicImage::from(veil());
    for (transparency, words, ground) in [
        (None, "laid over white", Some(255.0)),
        (Some(Transparency::White), "laid over white", Some(255.0)),
        (Some(Transparency::Black), "laid over black", Some(0.0)),
        // Pillow's convert("RGB").
        (Some(Transparency::Dropped), "opacity is dropped", None),
    ] {
        let photo = opened(transparency).prepare(&picture).unwrap();
        let remark = photo.remark().unwrap().to_string();
        assert!(
            remark.contains(words) && remark.contains("transparency"),
            "{remark}"
        );
        let seen = photo.tensor().clone().into_data();
        let seen = seen.as_slice::<f32>().unwrap();
        for (x, y) in [(0, 0), (1, 1), (0, 2), (1, 3), (3, 0)] {
            let Rgba([r, g, b, a]) = *veil().get_pixel(x, y);
            for (c, value) in [r, g, b].into_iter().enumerate() {
                let (value, share) = (f32::from(value), f32::from(a) / 255.0);
                let want = ground.map_or(value, |ground| value * share + ground * (1.0 - share));
                let got = seen[c * 16 + (y * 4 + x) as usize];
                assert!(
                    (got - want).abs() <= 0.5,
                    "{transparency:?} {x} {y}: {got} {want}"
                );
            }
        }
        assert_eq!(photo.picture().get_pixel(1, 1).0.map(f32::from)[0], seen[5]);
    }
    // What is opaque everywhere needs no word, nor what four channels hold.
    let opaque = DynamicImage::from(RgbaImage::from_pixel(4, 4, Rgba([1, 2, 3, 255])));
    assert!(opened(None).prepare(&opaque).unwrap().remark().is_none());
    let four = Onnx::image([1, 4, 4, 4])
        .node("GlobalAveragePool", &["x"], &["p"])
        .node("Flatten", &["p"], &["y"]);
    let four = Opening::new().bytes(four.bytes(), &Device::flex()).unwrap();
    assert!(four.prepare(&picture).unwrap().remark().is_none());
    for name in ["white", "black", "dropped"] {
        assert_eq!(name.parse::<Transparency>().unwrap().to_string(), name);
    }
}

/// A TIFF of one strip of one channel, little-endian.
fn tiff(bits: u16, format: u16, pixels: &[u8]) -> Vec<u8> {
    let mut bytes = b"II*\0\x08\0\0\0".to_vec();
    let strip = 8 + 2 + 10 * 12 + 4;
    let entries: [(u16, u16, u32, u32); 10] = [
        (256, 3, 1, 2),
        (257, 3, 1, 2),
        (258, 3, 1, bits.into()),
        (259, 3, 1, 1),
        (262, 3, 1, 1),
        (273, 4, 1, strip),
        (277, 3, 1, 1),
        (278, 3, 1, 2),
        (279, 4, 1, pixels.len() as u32),
        (339, 3, 1, format.into()),
    ];
    bytes.extend(10_u16.to_le_bytes());
    for (tag, kind, count, value) in entries {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(kind.to_le_bytes());
        bytes.extend(count.to_le_bytes());
        bytes.extend(value.to_le_bytes());
    }
    bytes.extend([0; 4]);
    bytes.extend(pixels);
    bytes
}

#[test]
fn pixels_of_other_kinds_are_refused_with_what_would_be_right() {
    assert!(decode_image(&tiff(8, 1, &[1, 2, 3, 4])).is_ok());
    for (bits, format) in [(32, 3), (32, 2), (64, 3)] {
        let pixels = vec![0; 4 * usize::from(bits) / 8];
        match decode_image(&tiff(bits, format, &pixels)) {
            Err(error @ InputError::PixelKind { .. }) => {
                let message = error.to_string();
                assert!(
                    message.contains("8 and 16 bits") && message.contains(".npy"),
                    "{message}"
                );
            }
            other => panic!("{bits} {format}: {other:?}"),
        }
    }
    // What is damaged is damaged.
    let mut bytes = Vec::new();
    let picture = DynamicImage::from(veil());
    picture
        .write_to(&mut std::io::Cursor::new(&mut bytes), ImageFormat::Png)
        .unwrap();
    let cut = decode_image(&bytes[..bytes.len() / 2]);
    assert!(matches!(cut, Err(InputError::Decode { .. })), "{cut:?}");
}

#[test]
fn an_input_has_one_value() {
    let network = Onnx::image([1, 3, 4, 4])
        .input("meta", &[1, 3])
        .node("GlobalAveragePool", &["x"], &["p"])
        .node("Flatten", &["p"], &["f"])
        .node("Add", &["f", "meta"], &["y"]);
    let value = || ArrayD::<f32>::zeros(IxDyn(&[1, 3]));
    let once = Opening::new().feed("meta", value());
    assert!(once.bytes(network.bytes(), &Device::flex()).is_ok());
    let twice = once
        .feed("meta", value())
        .bytes(network.bytes(), &Device::flex());
    let error = twice.unwrap_err().to_string();
    assert!(error.contains("\"meta\" is fed twice"), "{error}");
}

/// Sizes that fit both ways, in a network that shows neither.
#[test]
fn a_layout_that_nothing_shows_is_remarked_on() {
    let flat = |shape: [i64; 4]| {
        Onnx::image(shape)
            .node("Flatten", &["x"], &["f"])
            .weight("w", &[shape[1..].iter().product(), 4])
            .node("MatMul", &["f", "w"], &["y"])
    };
    let said = |network: &Onnx| remarks(&opened(network).unwrap());
    let open = said(&flat([1, 3, 8, 3]));
    assert!(
        open.contains("[1, 3, 8, 3]") && open.contains("Opening::layout(nhwc)"),
        "{open}"
    );
    assert!(!said(&flat([1, 3, 8, 8])).contains("channels last as well"));
    // A convolution shows it.
    assert!(!said(&network([1, 3, 8, 3])).contains("channels last as well"));
    let told = Opening::new().layout(elucid_vision::InputLayout::ChannelsFirst);
    let told = told
        .bytes(flat([1, 3, 8, 3]).bytes(), &Device::flex())
        .unwrap();
    assert!(!remarks(&told).contains("channels last as well"));
}

/// Whole numbers, decisions and constants are no scores: the message names what makes them and what to do.
#[test]
fn outputs_without_scores_say_what_makes_them() {
    let behind = |build: fn(Onnx) -> Onnx| {
        let network = Onnx::image([1, 3, 4, 4])
            .weight("w", &[4, 3, 1, 1])
            .node("Conv", &["x", "w"], &["c"])
            .node("GlobalAveragePool", &["c"], &["p"])
            .node("Flatten", &["p"], &["z"])
            .list("two", &[2])
            .list("k", &[2]);
        opened(&build(network)).unwrap()
    };
    type Ending = fn(Onnx) -> Onnx;
    let no_scores: [(&str, Ending, &str); 6] = [
        (
            "ArgMin",
            |n| n.node("ArgMin", &["z"], &["y"]).int("axis", 1),
            "Opening::logits(\"z\")",
        ),
        (
            "Neg",
            |n| {
                n.node("ArgMax", &["z"], &["a"])
                    .int("axis", 1)
                    .node("Neg", &["a"], &["y"])
            },
            "Opening::logits(\"z\")",
        ),
        (
            "Equal",
            |n| {
                n.node("ArgMax", &["z"], &["a"])
                    .int("axis", 1)
                    .node("Equal", &["a", "two"], &["y"])
            },
            "Opening::logits(\"z\")",
        ),
        (
            "NonZero",
            |n| n.node("NonZero", &["z"], &["y"]),
            "Opening::logits(\"z\")",
        ),
        (
            "Shape",
            |n| n.node("Shape", &["z"], &["y"]),
            "Opening::logits(\"z\")",
        ),
        (
            "depend on the picture",
            |n| n.weight("v", &[1, 4]).node("Identity", &["v"], &["y"]),
            "Opening::logits",
        ),
    ];
    for (what, build, advice) in no_scores {
        let model = behind(build);
        let error = model.classes().unwrap_err().to_string();
        assert!(
            error.contains("\"y\"") && error.contains(what) && error.contains(advice),
            "{error}"
        );
        assert!(!error.contains("no layer is called"), "{error}");
        assert!(model.logits().is_err() && model.layer("@logits").is_err());
        let named = model.head().no_best().unwrap();
        assert_eq!(named, error);
    }
}
