//! Descriptions in JSON: our own, `preprocessor_config.json` of Hugging Face, timm's `config.json`, and
//! what trainers write into a file's metadata.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::{Described, Preparation, strict};
use crate::input::{InputError, Resize};

/// Most bytes of a description.
const MAX_BYTES: u64 = 1 << 20;

/// The keys of a description of our own.
const OWN_KEYS: [&str; 10] = [
    "size",
    "channel_order",
    "scale",
    "mean",
    "std",
    "resize",
    "rgb",
    "transparency",
    "layout",
    "input",
];

/// A description and the file that it is from.
pub(crate) type Said = (String, Described);

/// What files beside `network` say: `NAME.json` in our own words, Hugging Face's or timm's, else
/// `preprocessor_config.json`, else a `config.json` of timm's. Exports to a folder `onnx` have them one
/// folder up.
pub(crate) fn beside(network: &Path) -> Result<Option<Said>, InputError> {
    let own = network.with_extension("json");
    let folder = network.parent().unwrap_or(Path::new(""));
    let mut folders = vec![folder.to_owned()];
    if folder.file_name().is_some_and(|name| name == "onnx") {
        folders.extend(folder.parent().map(Path::to_owned));
    }
    let mut candidates: Vec<(PathBuf, bool)> = vec![(own.clone(), true)];
    for (name, is_meant) in [("preprocessor_config.json", true), ("config.json", false)] {
        candidates.extend(folders.iter().map(|folder| (folder.join(name), is_meant)));
    }
    let mut silent = None;
    for (path, is_meant) in candidates {
        let Some(object) = read(&path, is_meant)? else {
            continue;
        };
        let described =
            understood(&object, path == own).map_err(|reason| InputError::Preparation {
                file: path.display().to_string(),
                reason,
            })?;
        // Its name alone: a result says the same wherever the folder lies.
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        match described {
            Some(described) => return Ok(Some((file.into_owned(), described))),
            None if path == own => silent = Some(says_nothing(&file)),
            None => {}
        }
    }
    Ok(silent)
}

/// A file that is called as one that says how pictures are prepared, and says nothing of them.
fn says_nothing(file: &str) -> Said {
    let remark = format!(
        "{file} beside the network has none of the keys that say how pictures are prepared, {}, and is \
         left alone",
        OWN_KEYS.join(", ")
    );
    let described = Described {
        remarks: vec![remark],
        ..Described::default()
    };
    (file.to_owned(), described)
}

/// The object in a file, if there is one. What is `meant` to say how pictures are prepared must hold one.
fn read(path: &Path, is_meant: bool) -> Result<Option<Map<String, Value>>, InputError> {
    let refused = |reason: String| match is_meant {
        true => Err(InputError::Preparation {
            file: path.display().to_string(),
            reason,
        }),
        false => Ok(None),
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return refused(format!("it cannot be read: {error}")),
    };
    let mut text = String::new();
    match file.take(MAX_BYTES + 1).read_to_string(&mut text) {
        Ok(bytes) if bytes as u64 > MAX_BYTES => {
            return refused(format!("it has more than {MAX_BYTES} bytes"));
        }
        Ok(_) => {}
        Err(error) => return refused(format!("it cannot be read: {error}")),
    }
    // Some editors begin a file with the mark of its encoding.
    let text = text.trim_start_matches('\u{feff}');
    match strict::read(text) {
        Ok(Value::Object(object)) => Ok(Some(object)),
        Ok(other) => {
            let what = match other {
                Value::Array(_) => "a list",
                Value::Null => "null",
                Value::Bool(_) => "true or false",
                Value::Number(_) => "a number",
                _ => "a text",
            };
            refused(format!(
                "it holds {what}, expected an object with keys such as \"mean\""
            ))
        }
        Err(error) => refused(format!("it is no JSON of one meaning: {error}")),
    }
}

/// What an object says in any of the ways that are known; nothing if it is about something else.
fn understood(object: &Map<String, Value>, is_own: bool) -> Result<Option<Described>, String> {
    if let Some(Value::Object(config)) = object.get("pretrained_cfg") {
        return timm(config).map(Some);
    }
    let has = |keys: &[&str]| keys.iter().any(|key| object.contains_key(*key));
    if has(&[
        "image_mean",
        "do_normalize",
        "do_rescale",
        "rescale_factor",
        "do_resize",
    ]) {
        return hugging_face(object).map(Some);
    }
    if has(&["input_size", "crop_pct"]) && has(&["mean", "std"]) {
        return timm(object).map(Some);
    }
    match is_own && has(&OWN_KEYS) {
        true => own(object).map(Some),
        false => Ok(None),
    }
}

fn own(object: &Map<String, Value>) -> Result<Described, String> {
    if let Some(key) = object.keys().find(|key| !OWN_KEYS.contains(&key.as_str())) {
        return Err(format!("\"{key}\" is none of {}", OWN_KEYS.join(", ")));
    }
    let parsed = |key: &str| -> Result<Option<String>, String> {
        match object.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(format!("\"{key}\" must be a text")),
        }
    };
    let scale = match object.get("scale") {
        Some(Value::String(text)) => {
            let (above, below) = text.split_once('/').unwrap_or((text, "1"));
            let number = |t: &str| {
                t.trim()
                    .parse::<f32>()
                    .map_err(|e| format!("\"scale\": {e}"))
            };
            Some(number(above)? / number(below)?)
        }
        other => other.map(|value| number(value, "scale")).transpose()?,
    };
    let drawn = match object.get("rgb") {
        None | Some(Value::Null) => None,
        Some(value) => Some(whole(value).ok_or("\"rgb\" must be three channels, counted from 0")?),
    };
    Ok(Described {
        preparation: Preparation {
            size: object
                .get("size")
                .map(|value| size(value, "size"))
                .transpose()?,
            order: parsed("channel_order")?
                .map(|text| text.parse().map_err(|e| format!("\"channel_order\": {e}")))
                .transpose()?,
            scale,
            mean: numbers_at(object, "mean")?,
            std: numbers_at(object, "std")?,
            resize: parsed("resize")?
                .map(|text| text.parse().map_err(|e| format!("\"resize\": {e}")))
                .transpose()?,
            drawn,
            transparency: parsed("transparency")?
                .map(|text| text.parse().map_err(|e| format!("\"transparency\": {e}")))
                .transpose()?,
        },
        layout: parsed("layout")?.map(|text| text.parse()).transpose()?,
        input: parsed("input")?,
        is_own: true,
        remarks: Vec::new(),
    })
}

/// An image processor of Hugging Face's.
fn hugging_face(object: &Map<String, Value>) -> Result<Described, String> {
    let is_on = |key: &str| object.get(key).and_then(Value::as_bool).unwrap_or(true);
    let [normalises, rescales] = ["do_normalize", "do_rescale"].map(is_on);
    let scale = match (rescales, object.get("rescale_factor")) {
        (false, _) => 1.0,
        (true, Some(factor)) => number(factor, "rescale_factor")?,
        (true, None) => 1.0 / 255.0,
    };
    let values = |key: &str, none: f32| match normalises {
        true => Ok(numbers_at(object, key)?.or(Some(vec![none]))),
        false => Ok::<_, String>(Some(vec![none])),
    };
    let crop = match (object.get("crop_size"), object.get("do_center_crop")) {
        (Some(crop), Some(Value::Bool(true)) | None) => Some(size(crop, "crop_size")?),
        _ => None,
    };
    let shortest = match object.get("size") {
        Some(Value::Object(sizes)) => sizes.get("shortest_edge").and_then(Value::as_u64),
        Some(Value::Number(side)) if crop.is_some() => side.as_u64(),
        _ => None,
    };
    let whole = match object.get("size") {
        Some(value) if shortest.is_none() => Some(size(value, "size")?),
        _ => None,
    };
    let share = object.get("crop_pct").and_then(Value::as_f64);
    let square = |side: u64| usize::try_from(side).ok().map(|side| [side, side]);
    let (fitted, resize) = match (crop, shortest, whole) {
        (Some(crop), Some(short), _) => (Some(crop), Some(short_side(short as f64)?)),
        // ConvNeXt's own: a share of the shorter side is kept.
        (None, Some(short), _) => {
            let before = (short as f64 / share.unwrap_or(1.0)).floor();
            (square(short), Some(short_side(before)?))
        }
        (Some(crop), None, Some(whole)) if crop == whole => (Some(crop), Some(Resize::Squash)),
        (Some(crop), None, Some(whole)) => {
            (Some(crop), Some(short_side(whole[0].min(whole[1]) as f64)?))
        }
        (Some(crop), None, None) => (Some(crop), None),
        (None, None, whole) => (whole, whole.map(|_| Resize::Squash)),
    };
    let mut remarks = Vec::new();
    if let Some(filter @ (0 | 1 | 3 | 4 | 5)) = object.get("resample").and_then(Value::as_u64) {
        let names = ["nearest", "Lanczos", "", "bicubic", "box", "Hamming"];
        remarks.push(filter_remark(names[filter as usize]));
    }
    Ok(Described {
        preparation: Preparation {
            size: fitted,
            scale: Some(scale),
            mean: values("image_mean", 0.0)?,
            std: values("image_std", 1.0)?,
            resize,
            ..Preparation::default()
        },
        remarks,
        ..Described::default()
    })
}

/// What timm calls a pretrained configuration.
fn timm(config: &Map<String, Value>) -> Result<Described, String> {
    let size = match config.get("input_size") {
        None | Some(Value::Null) => None,
        Some(value) => {
            let [_, height, width] =
                whole(value).ok_or("\"input_size\" must be [channels, height, width]")?;
            Some([height, width])
        }
    };
    let share = config.get("crop_pct").and_then(Value::as_f64);
    let mode = config.get("crop_mode").and_then(Value::as_str);
    let resize = match (mode.unwrap_or("center"), size) {
        ("squash", _) => Some(Resize::Squash),
        ("border", _) => Some(Resize::Pad),
        (_, Some([h, w])) => Some(short_side(
            (h.max(w) as f64 / share.unwrap_or(0.875)).floor(),
        )?),
        (_, None) => None,
    };
    let interpolation = config.get("interpolation").and_then(Value::as_str);
    let other = interpolation.filter(|name| !matches!(*name, "bilinear" | "random" | ""));
    Ok(Described {
        preparation: Preparation {
            size,
            scale: Some(1.0 / 255.0),
            mean: numbers_at(config, "mean")?,
            std: numbers_at(config, "std")?,
            resize,
            ..Preparation::default()
        },
        remarks: other.map(filter_remark).into_iter().collect(),
        ..Described::default()
    })
}

/// What the metadata of a network's file say: timm's configuration, or Ultralytics' own.
pub(crate) fn in_metadata(
    metadata: &BTreeMap<String, String>,
) -> Result<Option<Described>, InputError> {
    let refused = |reason| InputError::Preparation {
        file: "the file's metadata".to_owned(),
        reason,
    };
    let get = |key: &str| metadata.get(key).map(String::as_str);
    if let Some(Value::Object(config)) = get("pretrained_cfg").and_then(literal) {
        return timm(&config).map(Some).map_err(refused);
    }
    if get("mean").is_some() && get("std").is_some() {
        let values = metadata.iter();
        let parsed = values.map(|(k, v)| (k.clone(), literal(v).unwrap_or(v.clone().into())));
        return timm(&parsed.collect()).map(Some).map_err(refused);
    }
    let trainer = ["author", "description"].map(|key| get(key).unwrap_or_default().to_lowercase());
    let is_ultralytics = trainer.iter().any(|text| text.contains("ultralytics"))
        || (get("task").is_some() && get("imgsz").is_some());
    if !is_ultralytics {
        return Ok(None);
    }
    let stated = get("imgsz").and_then(literal);
    let size = stated
        .map(|value| size(&value, "imgsz"))
        .transpose()
        .map_err(refused)?;
    let classifies = get("task") == Some("classify");
    let short = size.map(|[h, w]| h.max(w) as f64);
    let resize = match (classifies, short) {
        (false, _) => Some(Resize::Pad),
        (true, Some(short)) => Some(short_side(short).map_err(refused)?),
        (true, None) => None,
    };
    let mut remarks = Vec::new();
    if !classifies {
        remarks.push(
            "the trainer pads pictures with grey, here they are padded with black".to_owned(),
        );
    }
    Ok(Some(Described {
        preparation: Preparation {
            size,
            scale: Some(1.0 / 255.0),
            mean: Some(vec![0.0]),
            std: Some(vec![1.0]),
            resize,
            ..Preparation::default()
        },
        remarks,
        ..Described::default()
    }))
}

/// A value that Python or JSON wrote.
fn literal(text: &str) -> Option<Value> {
    let json = serde_json::from_str(text).ok();
    let brackets = |text: &str| text.replace('(', "[").replace(')', "]").replace('\'', "\"");
    json.or_else(|| serde_json::from_str(&brackets(text)).ok())
}

fn filter_remark(name: &str) -> String {
    format!("the preparation asks for {name} resizing, pictures are resized bilinearly")
}

fn short_side(short: f64) -> Result<Resize, String> {
    match (1.0..=f64::from(u32::MAX)).contains(&short) {
        true => Ok(Resize::ShortSideCrop {
            short: short as u32,
        }),
        false => Err(format!("a shorter side of {short} pixels")),
    }
}

fn number(value: &Value, key: &str) -> Result<f32, String> {
    let number = value.as_f64().map(|v| v as f32);
    number.ok_or_else(|| format!("\"{key}\" must be a number"))
}

/// One number or several.
fn numbers_at(object: &Map<String, Value>, key: &str) -> Result<Option<Vec<f32>>, String> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Array(values)) => {
            let values = values.iter().map(|value| number(value, key));
            values.collect::<Result<_, _>>().map(Some)
        }
        Some(value) => number(value, key).map(|value| Some(vec![value])),
    }
}

/// Three whole numbers, 0 and more.
fn whole(value: &Value) -> Option<[usize; 3]> {
    let numbers = value.as_array()?.iter();
    let numbers = numbers.map(|number| usize::try_from(number.as_u64()?).ok());
    numbers.collect::<Option<Vec<usize>>>()?.try_into().ok()
}

/// `[height, width]`, one number for a square, or an object with `height` and `width`.
fn size(value: &Value, key: &str) -> Result<[usize; 2], String> {
    let side = |value: Option<&Value>| {
        let side = value.and_then(Value::as_u64);
        side.and_then(|side| usize::try_from(side).ok())
            .ok_or_else(|| format!("\"{key}\" must be a height and a width in pixels"))
    };
    match value {
        Value::Array(sides) if sides.len() == 2 => Ok([side(sides.first())?, side(sides.get(1))?]),
        Value::Object(sides) => Ok([side(sides.get("height"))?, side(sides.get("width"))?]),
        all => side(Some(all)).map(|side| [side, side]),
    }
}
