use std::fs;
use std::io::{Cursor, Write as _};
use std::path::PathBuf;

use elucid_models::{manifest, photographs, sha256};
use image::codecs::png::PngEncoder;
use image::{
    ExtendedColorType, GrayAlphaImage, GrayImage, ImageBuffer, ImageEncoder, ImageFormat, Luma,
    LumaA, Rgb, Rgba, RgbaImage,
};
use ndarray::Array3;
use proptest::prelude::*;

use super::raster::Raster;
use super::resample::{Axis, resample};
use super::*;

/// The resizing of the whole picture in plain loops: rows, then columns, rounded in between.
fn naive(picture: &RgbImage, width: u32, height: u32) -> RgbImage {
    fn line(input: &[f64], length: u32) -> Vec<f64> {
        let scale = input.len() as f64 / f64::from(length);
        let support = scale.max(1.0);
        let mut output = Vec::new();
        for position in 0..length {
            let centre = (f64::from(position) + 0.5) * scale;
            let (mut sum, mut weights) = (0.0, 0.0);
            for (i, value) in input.iter().enumerate() {
                let distance = (i as f64 + 0.5 - centre).abs() / support;
                if distance < 1.0 {
                    sum += (1.0 - distance) * value;
                    weights += 1.0 - distance;
                }
            }
            output.push((sum / weights).round());
        }
        output
    }
    let (w, h) = picture.dimensions();
    let mut result = RgbImage::new(width, height);
    for c in 0..3 {
        let rows: Vec<Vec<f64>> = (0..h)
            .map(|y| {
                let row: Vec<f64> = (0..w).map(|x| f64::from(picture[(x, y)][c])).collect();
                line(&row, width)
            })
            .collect();
        for x in 0..width {
            let column: Vec<f64> = rows.iter().map(|row| row[x as usize]).collect();
            for (y, value) in line(&column, height).into_iter().enumerate() {
                result[(x, y as u32)][c] = value as u8;
            }
        }
    }
    result
}

fn noise(width: u32, height: u32, seed: u32) -> RgbImage {
    let mut state = seed | 1;
    RgbImage::from_fn(width, height, |_, _| {
        Rgb(std::array::from_fn(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        }))
    })
}

fn raster(picture: &RgbImage) -> Raster<u8> {
    Raster {
        width: picture.width(),
        height: picture.height(),
        channels: 3,
        values: picture.as_raw().clone(),
    }
}

fn png(picture: &DynamicImage) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

fn shown(bytes: &[u8], spec: &InputSpec) -> RgbImage {
    spec.prepare(&decode_image(bytes).unwrap()).unwrap().shown
}

/// SHA-256 of the pixels that Pillow 13.0.0 makes of the same files:
/// `im.resize((round(256 * w / h), 256), BILINEAR)`, then the centre 224 x 224, `tobytes()`.
const PILLOW: [(&str, &str); 2] = [
    (
        "chelsea",
        "35d403d5e2412d1e84236015130110754ac076d859d8d870faa9dc0262a55426",
    ),
    (
        "coffee",
        "9f13b650be016e3aac65dc70c085ff907df78ddd39f5ade8c00fb77cd1f7a98e",
    ),
];

#[test]
fn the_crop_is_pillows_to_the_bit() {
    let files = [photographs::chelsea(), photographs::coffee()];
    for (bytes, (name, expected)) in files.into_iter().zip(PILLOW) {
        let shown = shown(bytes, &InputSpec::default());
        assert_eq!(sha256::of_bytes(shown.as_raw()), expected, "{name}");
    }
}

#[test]
fn the_crop_of_jpegs_is_pillows_within_the_decoders_difference() {
    let assets = std::env::var_os("ELUCID_ASSETS").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")),
        PathBuf::from,
    );
    let images = assets.join("images");
    if !images.is_dir() {
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: no photographs in {}; set ELUCID_ASSETS",
            images.display()
        );
        return;
    }
    for (file, crop) in [
        ("chelsea.png", "chelsea_224.png"),
        ("coffee.png", "coffee_224.png"),
        ("rocket.jpg", "rocket_224.png"),
        ("china.jpg", "china_224.png"),
        ("flower.jpg", "flower_224.png"),
        ("tract_grace_hopper.jpg", "grace_hopper_224.png"),
    ] {
        let picture = open_image(images.join(file)).unwrap();
        let shown = InputSpec::default().prepare(&picture).unwrap().shown;
        let expected = open_image(images.join(crop)).unwrap().to_rgb8();
        let differences: Vec<u8> = shown
            .as_raw()
            .iter()
            .zip(expected.as_raw())
            .map(|(a, b)| a.abs_diff(*b))
            .collect();
        let most = differences.iter().copied().max().unwrap();
        let mean = differences.iter().map(|d| f64::from(*d)).sum::<f64>() / 150_528.0;
        println!("{file}: at most {most}, mean {mean:.4}");
        if file.ends_with("png") {
            assert_eq!(most, 0, "{file}");
        } else {
            assert!(most <= 3 && mean < 0.25, "{file}: {most}, {mean}");
        }
    }
}

#[test]
fn a_window_is_a_part_of_the_whole() {
    let picture = raster(&noise(61, 37, 3));
    let whole = resample(&picture, &Axis::whole(90), &Axis::whole(25));
    let window = resample(&picture, &Axis::centre(90, 31), &Axis::centre(25, 10));
    let rows = window.values.chunks(3 * 31).enumerate();
    for (y, row) in rows {
        let from = 3 * ((y + 7) * 90 + 29);
        assert_eq!(row, &whole.values[from..from + 3 * 31], "row {y}");
    }
    // The same numbers in floating point, without rounding in between.
    let floats = Raster {
        width: 61,
        height: 37,
        channels: 3,
        values: picture.values.iter().map(|v| f32::from(*v)).collect(),
    };
    let floats = resample(&floats, &Axis::whole(90), &Axis::whole(25));
    for (float, byte) in floats.values.iter().zip(&whole.values) {
        assert!(
            (float - f32::from(*byte)).abs() <= 1.1,
            "{float} and {byte}"
        );
    }
}

#[test]
fn the_same_size_changes_nothing() {
    let picture = noise(23, 17, 5);
    let spec = InputSpec::new([17, 23]).unwrap();
    for resize in [Resize::Squash, Resize::Pad] {
        let spec = spec.clone().with_resize(resize).unwrap();
        let prepared = spec.prepare(&picture.clone().into()).unwrap();
        assert_eq!(prepared.shown, picture);
    }
}

#[test]
fn strips_cost_no_more_than_their_window() {
    for (w, h) in [(1, 60_000), (60_000, 1)] {
        let strip = DynamicImage::ImageLuma8(GrayImage::from_pixel(w, h, Luma([7])));
        let shown = InputSpec::default().prepare(&strip).unwrap().shown;
        assert!(shown.as_raw().iter().all(|v| *v == 7));
    }
}

#[test]
fn padding_is_even_and_black() {
    let white = |w, h| DynamicImage::from(RgbImage::from_pixel(w, h, Rgb([255; 3])));
    let spec = InputSpec::new([8, 8])
        .unwrap()
        .with_resize(Resize::Pad)
        .unwrap();
    // 9 x 3 becomes 8 x floor(2.67) = 8 x 2, three rows of black on either side.
    let shown = spec.prepare(&white(9, 3)).unwrap().shown;
    for (_, y, pixel) in shown.enumerate_pixels() {
        let inside = (3..5).contains(&y);
        assert_eq!(pixel.0, [if inside { 255 } else { 0 }; 3], "row {y}");
    }
    // 5 x 8 leaves three columns: one at the left, two at the right.
    let shown = spec.prepare(&white(5, 8)).unwrap().shown;
    for (x, _, pixel) in shown.enumerate_pixels() {
        let inside = (1..6).contains(&x);
        assert_eq!(pixel.0, [if inside { 255 } else { 0 }; 3], "column {x}");
    }
    let tensor = spec.prepare(&white(9, 3)).unwrap().tensor;
    assert_eq!(tensor[[0, 0, 0, 0]], -0.485 / 0.229);
}

#[test]
fn caffes_input_is_bgr_minus_the_means() {
    let picture = RgbImage::from_pixel(4, 4, Rgb([10, 20, 30]));
    let spec = InputSpec::caffe([2, 2]).unwrap();
    let tensor = spec.prepare(&picture.into()).unwrap().tensor;
    assert_eq!(tensor.dim(), (1, 3, 2, 2));
    assert_eq!(tensor[[0, 0, 1, 1]], 30.0 - 104.0);
    assert_eq!(tensor[[0, 1, 1, 1]], 20.0 - 117.0);
    assert_eq!(tensor[[0, 2, 1, 1]], 10.0 - 123.0);
}

#[test]
fn every_manifest_entry_is_valid() {
    for entry in manifest::all() {
        let spec = InputSpec::from_manifest(&entry.input).unwrap();
        let sides = [entry.input.height, entry.input.width];
        assert_eq!(spec.size(), sides.map(|side| side as usize));
        assert_eq!(spec.order(), entry.input.order);
        assert_eq!(spec.scale(), entry.input.scale);
        assert_eq!(spec.mean(), entry.input.mean);
        assert_eq!(spec.std(), entry.input.std);
        assert_eq!(spec.resize(), entry.input.resize);
    }
}

#[test]
fn the_short_side_follows_the_size() {
    let spec = InputSpec::default().with_size([448, 300]).unwrap();
    assert_eq!(spec.resize(), Resize::ShortSideCrop { short: 512 });
    let spec = spec.with_size([1, 1]).unwrap();
    assert_eq!(spec.resize(), Resize::ShortSideCrop { short: 1 });
    assert!(spec.with_size([4096, 4096]).is_ok());
}

#[test]
fn bad_parameters_are_refused() {
    for size in [[0, 5], [5, 0], [4097, 5], [5, usize::MAX]] {
        let error = InputSpec::new(size).unwrap_err();
        assert!(matches!(error, InputError::Size { .. }), "{error}");
    }
    let spec = InputSpec::default();
    for short in [0, 223, 65_536, u32::MAX] {
        let error = spec
            .clone()
            .with_resize(Resize::ShortSideCrop { short })
            .unwrap_err();
        assert!(error.to_string().contains("224 to 65535"), "{error}");
    }
    for (scale, mean, std) in [
        (0.0, 0.0, 1.0),
        (f32::NAN, 0.0, 1.0),
        (f32::INFINITY, 0.0, 1.0),
        (1.0, f32::NAN, 1.0),
        (1.0, 0.0, 0.0),
        (1.0, 0.0, f32::INFINITY),
        (1.0, 0.0, 1e-40),
        (f32::MAX, 0.0, 1.0),
    ] {
        let error = spec
            .clone()
            .with_normalisation(scale, [mean, 0.0, 0.0], [1.0, std, 1.0])
            .unwrap_err();
        assert!(matches!(error, InputError::Normalisation { .. }));
    }
    let empty = DynamicImage::new_rgb8(0, 3);
    assert!(matches!(
        spec.prepare(&empty),
        Err(InputError::NoPixels { .. })
    ));
    let error = spec.to_rgb(Array3::zeros((4, 2, 2)).view()).unwrap_err();
    assert!(error.to_string().contains("[4, 2, 2]"), "{error}");
}

#[test]
fn tensors_outside_the_range_are_clamped() {
    let mut tensor = Array3::zeros((3, 1, 4));
    tensor[[0, 0, 0]] = f32::INFINITY;
    tensor[[0, 0, 1]] = f32::NEG_INFINITY;
    tensor[[0, 0, 2]] = f32::NAN;
    tensor[[0, 0, 3]] = 200.4;
    let spec = InputSpec::caffe([2, 2])
        .unwrap()
        .with_normalisation(1.0, [0.0; 3], [1.0; 3])
        .unwrap();
    let picture = spec.to_rgb(tensor.view()).unwrap();
    let blue: Vec<u8> = picture.pixels().map(|p| p[2]).collect();
    assert_eq!(blue, [255, 0, 0, 200]);
}

#[test]
fn orientation_is_obeyed() {
    // Stored as a row of red, green, blue; EXIF's table of where the first row and column lie.
    let stored = RgbImage::from_fn(3, 1, |x, _| {
        let mut pixel = [0; 3];
        pixel[x as usize] = 255;
        Rgb(pixel)
    });
    for (orientation, size, first_is_red) in [
        (1u8, (3, 1), true),
        (2, (3, 1), false),
        (3, (3, 1), false),
        (4, (3, 1), true),
        (5, (1, 3), true),
        (6, (1, 3), true),
        (7, (1, 3), false),
        (8, (1, 3), false),
    ] {
        // A little-endian TIFF header and one entry: tag 0x0112, SHORT, count 1.
        let mut exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
        exif.extend([orientation, 0, 0, 0, 0, 0, 0, 0]);
        let mut file = Vec::new();
        let mut encoder = PngEncoder::new(&mut file);
        encoder.set_exif_metadata(exif).unwrap();
        encoder
            .write_image(stored.as_raw(), 3, 1, ExtendedColorType::Rgb8)
            .unwrap();
        let picture = decode_image(&file).unwrap().to_rgb8();
        assert_eq!(picture.dimensions(), size, "orientation {orientation}");
        let red = picture.as_raw()[..3] == [255, 0, 0];
        assert_eq!(red, first_is_red, "orientation {orientation}");
    }
}

#[test]
fn kinds_of_pictures() {
    let spec = InputSpec::new([1, 1])
        .unwrap()
        .with_resize(Resize::Squash)
        .unwrap();
    let pixel = |picture: DynamicImage| {
        let through_file = shown(&png(&picture), &spec)[(0, 0)].0;
        let direct = spec.prepare(&picture).unwrap().shown[(0, 0)].0;
        assert_eq!(through_file, direct);
        direct
    };
    let grey = GrayImage::from_pixel(2, 2, Luma([9]));
    assert_eq!(pixel(grey.into()), [9; 3]);
    let grey_alpha = GrayAlphaImage::from_pixel(2, 2, LumaA([0, 0]));
    assert_eq!(pixel(grey_alpha.into()), [255; 3]);
    let clear = RgbaImage::from_pixel(2, 2, Rgba([1, 2, 3, 0]));
    assert_eq!(pixel(clear.into()), [255; 3]);
    let half = RgbaImage::from_pixel(2, 2, Rgba([0, 100, 255, 51]));
    assert_eq!(pixel(half.into()), [204, 224, 255]);
    let opaque = RgbaImage::from_pixel(2, 2, Rgba([1, 2, 3, 255]));
    assert_eq!(pixel(opaque.into()), [1, 2, 3]);
    let deep = ImageBuffer::from_pixel(2, 2, Luma([257 * 77u16]));
    assert_eq!(pixel(DynamicImage::ImageLuma16(deep)), [77; 3]);
    let deep = ImageBuffer::from_pixel(2, 2, Rgb([0u16, 257 * 77, u16::MAX]));
    assert_eq!(pixel(DynamicImage::ImageRgb16(deep)), [0, 77, 255]);
    let deep = ImageBuffer::from_pixel(2, 2, Rgba([0u16, 0, 0, u16::MAX / 5]));
    assert_eq!(pixel(DynamicImage::ImageRgba16(deep)), [204; 3]);

    let floats = [f32::NAN, 0.5, f32::INFINITY];
    let floats = DynamicImage::ImageRgb32F(ImageBuffer::from_pixel(2, 2, Rgb(floats)));
    assert_eq!(
        spec.prepare(&floats).unwrap().shown[(0, 0)].0,
        [0, 128, 255]
    );

    let colour = DynamicImage::from(RgbImage::from_pixel(2, 2, Rgb([250, 128, 4])));
    for format in [
        ImageFormat::Gif,
        ImageFormat::Bmp,
        ImageFormat::WebP,
        ImageFormat::Jpeg,
    ] {
        let mut file = Cursor::new(Vec::new());
        colour.write_to(&mut file, format).unwrap();
        let got = shown(file.get_ref(), &spec)[(0, 0)].0;
        for (a, b) in got.into_iter().zip([250u8, 128, 4]) {
            assert!(a.abs_diff(b) <= 4, "{format:?}: {got:?}");
        }
    }
}

#[test]
fn files_that_are_no_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        let error = open_image(&path).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
        error
    };
    assert!(matches!(file("empty.png", b""), InputError::Empty { .. }));
    let error = file("text.png", b"once upon a time");
    assert!(error.to_string().contains("PNG, JPEG"), "{error}");
    assert!(matches!(error, InputError::Format { .. }));
    // A format that is known but not supported.
    let error = file("picture.hdr", b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n");
    assert!(matches!(error, InputError::Format { .. }), "{error}");

    let coffee = photographs::coffee();
    for length in [8, 20, 40, 1000, coffee.len() / 2] {
        let error = file("cut.png", &coffee[..length]);
        assert!(matches!(error, InputError::Decode { .. }), "{error}");
    }

    let mut huge = coffee[..100].to_vec();
    huge[16..24].copy_from_slice(&[0, 0, 0xEA, 0x60, 0, 0, 0xEA, 0x60]);
    let checksum = crc(&huge[12..29]);
    huge[29..33].copy_from_slice(&checksum.to_be_bytes());
    let error = file("huge.png", &huge);
    assert!(matches!(error, InputError::TooManyPixels { .. }), "{error}");
    assert!(error.to_string().contains("60000 x 60000"), "{error}");

    let error = open_image(folder.path().join("absent.png")).unwrap_err();
    assert!(matches!(error, InputError::Read { .. }));
    assert!(error.to_string().contains("absent.png"), "{error}");
    assert!(open_image(folder.path()).is_err());
}

#[test]
fn a_jpeg_that_is_cut_short() {
    let mut file = Cursor::new(Vec::new());
    DynamicImage::from(noise(64, 64, 1))
        .write_to(&mut file, ImageFormat::Jpeg)
        .unwrap();
    let whole = file.into_inner();
    for length in [3, 30, 200, whole.len() / 2, whole.len() - 3] {
        let error = decode_image(&whole[..length]).map(|_| length).unwrap_err();
        assert!(error.to_string().contains("cut short"), "{error}");
    }
    let trailing = [whole.as_slice(), b"something else"].concat();
    assert!(decode_image(&trailing).is_ok());
}

/// The checksum of a PNG chunk.
fn crc(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xEDB8_8320 * (crc & 1));
        }
    }
    !crc
}

fn any_resize() -> impl Strategy<Value = Resize> {
    prop_oneof![
        Just(Resize::Squash),
        Just(Resize::Pad),
        (40u32..300).prop_map(|short| Resize::ShortSideCrop { short }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn resizing_is_the_naive_one(
        w in 1u32..40, h in 1u32..40, width in 1u32..60, height in 1u32..60, seed: u32,
    ) {
        let picture = noise(w, h, seed);
        let fast = resample(&raster(&picture), &Axis::whole(width), &Axis::whole(height));
        let slow = naive(&picture, width, height);
        // A tie may go the other way in each of the two roundings.
        for (a, b) in fast.values.iter().zip(slow.as_raw()) {
            prop_assert!(a.abs_diff(*b) <= 2, "{} and {}", a, b);
        }
    }

    #[test]
    fn any_picture_gives_a_finite_input_and_comes_back(
        w in 1u32..200, h in 1u32..200,
        height in 1usize..40, width in 1usize..40,
        resize in any_resize(), bgr: bool, kind in 0..6, seed: u32,
    ) {
        let rgb = DynamicImage::from(noise(w, h, seed));
        let picture = match kind {
            0 => rgb,
            1 => rgb.to_luma8().into(),
            2 => rgb.to_luma_alpha16().into(),
            3 => rgb.to_rgba8().into(),
            4 => rgb.to_rgb16().into(),
            _ => rgb.to_rgba32f().into(),
        };
        let order = if bgr { ChannelOrder::Bgr } else { ChannelOrder::Rgb };
        let spec = InputSpec::new([height, width])
            .unwrap()
            .with_order(order)
            .with_resize(resize)
            .unwrap();
        let prepared = spec.prepare(&picture).unwrap();
        prop_assert_eq!(prepared.tensor.dim(), (1, 3, height, width));
        prop_assert_eq!(
            prepared.shown.dimensions(),
            (width as u32, height as u32)
        );
        prop_assert!(prepared.tensor.iter().all(|x| x.is_finite()));
        let back = spec
            .to_rgb(prepared.tensor.index_axis(ndarray::Axis(0), 0))
            .unwrap();
        // What has more than 8 bits is stretched where it hardly differs.
        prop_assert!(matches!(kind, 2 | 4 | 5) || back == prepared.shown);
    }

    #[test]
    fn bytes_of_any_kind_do_not_panic(
        mut bytes in prop::collection::vec(any::<u8>(), 0..300), start in 0..5,
    ) {
        let magic: &[u8] = match start {
            0 => b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
            1 => b"GIF89a",
            2 => b"BM",
            3 => b"RIFF\x20\0\0\0WEBPVP8 ",
            _ => b"\xff\xd8\xff",
        };
        bytes.splice(0..0, magic.iter().copied());
        let _ = decode_image(&bytes);
    }
}

fn spec_of(channels: usize, size: [usize; 2]) -> InputSpec {
    let spec = InputSpec::plain(size, channels).unwrap();
    spec.with_resize(Resize::Squash).unwrap()
}

#[test]
fn one_channel_is_pillows_l() {
    // Of Image.new("RGB", (2, 2), rgb).convert("L"), Pillow 13.
    for (rgb, l) in [
        ([255, 0, 0], 76),
        ([0, 255, 0], 150),
        ([0, 0, 255], 29),
        ([12, 200, 77], 130),
        ([255, 255, 255], 255),
    ] {
        let picture = RgbImage::from_pixel(2, 2, Rgb(rgb)).into();
        let prepared = spec_of(1, [2, 2]).prepare(&picture).unwrap();
        assert_eq!(prepared.tensor.dim(), (1, 1, 2, 2));
        assert_eq!(prepared.tensor[[0, 0, 1, 1]], l as f32 * (1.0 / 255.0));
        assert_eq!(prepared.shown[(0, 0)].0, [l; 3]);
    }
}

#[test]
fn four_channels_keep_the_opacity() {
    let picture = RgbaImage::from_pixel(2, 2, Rgba([10, 20, 30, 51]));
    let spec = spec_of(4, [2, 2])
        .with_normalisation(1.0, [0.0; 4], [1.0; 4])
        .unwrap();
    let prepared = spec.prepare(&picture.clone().into()).unwrap();
    let pixel: Vec<f32> = (0..4).map(|c| prepared.tensor[[0, c, 0, 1]]).collect();
    assert_eq!(pixel, [10.0, 20.0, 30.0, 51.0]);
    // What is seen lies over white.
    assert_eq!(prepared.shown[(0, 0)].0, [206, 208, 210]);
    let turned = spec.clone().with_order(ChannelOrder::Bgr);
    let turned = turned.prepare(&picture.into()).unwrap().tensor;
    assert_eq!(turned[[0, 0, 0, 0]], 30.0);
    assert_eq!(turned[[0, 3, 0, 0]], 51.0);
    let opaque = RgbImage::from_pixel(2, 2, Rgb([1, 2, 3]));
    assert_eq!(
        spec.prepare(&opaque.into()).unwrap().tensor[[0, 3, 0, 0]],
        255.0
    );
    let two = spec_of(2, [1, 1]).prepare(&DynamicImage::new_luma_a8(1, 1));
    assert_eq!(two.unwrap().tensor.dim(), (1, 2, 1, 1));
}

#[test]
fn what_is_resized_with_opacity_is_weighed_by_it() {
    // Red that nobody sees and blue that everybody sees: their mean is blue, half opaque.
    let picture = RgbaImage::from_fn(2, 1, |x, _| match x {
        0 => Rgba([255, 0, 0, 0]),
        _ => Rgba([0, 0, 255, 255]),
    });
    let spec = spec_of(4, [1, 1])
        .with_normalisation(1.0, [0.0; 4], [1.0; 4])
        .unwrap();
    let pixel = spec.prepare(&picture.into()).unwrap().tensor;
    let pixel: Vec<f32> = pixel.iter().copied().collect();
    assert_eq!(pixel, [0.0, 0.0, 255.0, 128.0]);
}

#[test]
fn sixteen_bits_keep_their_depth() {
    let deep = ImageBuffer::from_fn(2, 1, |x, _| Luma([if x == 0 { 1000u16 } else { 1003 }]));
    let picture = DynamicImage::ImageLuma16(deep);
    let prepared = spec_of(1, [1, 2]).prepare(&picture).unwrap();
    let difference = prepared.tensor[[0, 0, 0, 1]] - prepared.tensor[[0, 0, 0, 0]];
    assert!((difference - 3.0 / 65_535.0).abs() < 1e-9, "{difference}");
    // Something can be seen.
    assert_eq!(prepared.shown[(0, 0)].0, [0; 3]);
    assert_eq!(prepared.shown[(1, 0)].0, [255; 3]);
    // On the values as they are stored.
    let native = spec_of(1, [1, 2])
        .with_normalisation(1.0 / 4095.0, [0.0], [1.0])
        .unwrap();
    assert_eq!(native.white(), 4095.0);
    let tensor = native.prepare(&picture).unwrap().tensor;
    assert!((tensor[[0, 0, 0, 0]] - 1000.0 / 4095.0).abs() < 1e-7);
    // A picture of 8 bits is put on that scale.
    let white = GrayImage::from_pixel(2, 1, Luma([255]));
    let tensor = native.prepare(&white.into()).unwrap().tensor;
    assert!((tensor[[0, 0, 0, 0]] - 1.0).abs() < 1e-6);
    assert_eq!(native.range(), [vec![0.0], vec![1.0]]);
}

#[test]
fn arrays_are_taken_as_they_are() {
    let spec = spec_of(5, [2, 3]);
    let array = Array3::from_shape_fn((5, 2, 3), |(c, y, x)| (c * 100 + y * 10 + x) as f32);
    let prepared = spec.take(array.clone().into_dyn(), "x.npy").unwrap();
    assert_eq!(prepared.tensor.index_axis(Axis(0), 0), array);
    let batch = array.clone().insert_axis(Axis(0)).into_dyn();
    assert_eq!(spec.take(batch, "x.npy").unwrap(), prepared);
    let drawn = spec.clone().with_drawn([4, 1, 0]).unwrap();
    let shown = drawn.take(array.clone().into_dyn(), "x.npy").unwrap().shown;
    assert_eq!(
        shown[(0, 0)].0,
        [(400.0 / 412.0 * 255.0_f32).round() as u8, 62, 0]
    );
    assert!(spec.clone().with_drawn([5, 0, 0]).is_err());
    for shape in [vec![2, 3, 5], vec![5, 3, 2], vec![2, 5, 2, 3], vec![30]] {
        let error = spec.take(ArrayD::zeros(shape), "x.npy").unwrap_err();
        assert!(error.to_string().contains("[5, 2, 3]"), "{error}");
    }
    let mut nan = array;
    nan[[0, 0, 0]] = f32::NAN;
    assert!(spec.take(nan.into_dyn(), "x.npy").is_err());
    let picture = DynamicImage::new_rgb8(3, 2);
    let error = spec.prepare(&picture).unwrap_err();
    assert!(error.to_string().contains("[5, H, W]"), "{error}");
}

#[test]
fn black_and_white_go_through_the_preparation() {
    let spec = InputSpec::default();
    let black = spec.of_grey(0.0);
    for (got, want) in black.iter().zip([-2.117_904, -2.035_714, -1.804_444]) {
        assert!((got - want).abs() < 1e-6);
    }
    let negative = spec_of(1, [1, 1])
        .with_normalisation(-1.0, [0.0], [1.0])
        .unwrap();
    assert_eq!(negative.of_grey(1.0), [-255.0]);
    assert_eq!(negative.range(), [vec![-255.0], vec![0.0]]);
}
