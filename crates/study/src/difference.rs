//! What differs between two settings, in words.

use serde::Serialize;
use serde_json::Value;

/// The first place at which `ours` differs from `theirs`, in words: `seed is 3 and was 0`; nothing where they agree
/// but for what `except` names. Places are keys joined by dots; of lists of named things, the name.
pub fn difference<S: Serialize>(ours: &S, theirs: &S, except: &[&str]) -> Option<String> {
    // What cannot be written down differs from everything.
    let value = |settings: &S| serde_json::to_value(settings);
    match (value(ours), value(theirs)) {
        (Ok(ours), Ok(theirs)) => first("", &ours, &theirs, except),
        (Err(error), _) | (_, Err(error)) => Some(format!("settings cannot be written: {error}")),
    }
}

fn first(place: &str, a: &Value, b: &Value, except: &[&str]) -> Option<String> {
    if a == b || except.contains(&place) {
        return None;
    }
    let inside = |key: &str| match place {
        "" => key.to_owned(),
        place => format!("{place}.{key}"),
    };
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let mut keys: Vec<&String> = a.keys().chain(b.keys()).collect();
            keys.sort();
            keys.dedup();
            keys.into_iter().find_map(|key| {
                let value = |object: &serde_json::Map<String, Value>| {
                    object.get(key).cloned().unwrap_or_default()
                };
                first(&inside(key), &value(a), &value(b), except)
            })
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            let mut pairs = a.iter().zip(b).enumerate();
            pairs.find_map(|(i, (a, b))| {
                let named = a.get("name").and_then(Value::as_str);
                let place = match named {
                    Some(name) if b.get("name") == a.get("name") => inside(name),
                    _ => inside(&i.to_string()),
                };
                first(&place, a, b, except)
            })
        }
        (a, b) => Some(format!("{place} is {} and was {}", short(a), short(b))),
    }
}

/// A value as people would write it; of methods their names.
fn short(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "not given".to_owned(),
        Value::Array(values) => values.iter().map(short).collect::<Vec<_>>().join(", "),
        Value::Object(object) => object.get("name").map_or(value.to_string(), short),
        // All of them were single precision.
        Value::Number(number) if number.is_f64() => number
            .as_f64()
            .map_or(String::new(), |v| (v as f32).to_string()),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn differences_are_named() {
        let a = json!({ "seed": 1, "model": { "name": "x", "sha256": "1" },
            "methods": [{ "name": "rise", "options": { "masks": "10" } }] });
        let said = |b: Value, except: &[&str]| difference(&a, &b, except);
        assert_eq!(said(a.clone(), &[]), None);
        let mut b = a.clone();
        b["methods"][0]["options"]["masks"] = json!("20");
        assert_eq!(
            said(b, &[]).unwrap(),
            "methods.rise.options.masks is 10 and was 20"
        );
        let mut b = a.clone();
        b["methods"] = json!([{ "name": "rise" }, { "name": "gradient" }]);
        assert_eq!(
            said(b, &[]).unwrap(),
            "methods is rise and was rise, gradient"
        );
        let mut b = a.clone();
        b["model"]["name"] = json!("y");
        assert_eq!(said(b.clone(), &["model.name"]), None);
        assert_eq!(said(b, &[]).unwrap(), "model.name is x and was y");
    }
}
