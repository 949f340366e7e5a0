//! `elucid profile`: that every operator is there once, with what it computes. Times depend on the machine,
//! and nothing here does on them.

use serde_json::Value;

use crate::common::Desk;

fn sum(operators: &[Value], way: &str, field: &str) -> f64 {
    let costs = operators.iter().filter_map(|o| o[way][field].as_f64());
    costs.sum()
}

fn is_near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1.0)
}

#[test]
fn every_operator_of_a_network_is_there_once_with_its_arithmetic() {
    let desk = Desk::squeezenet();
    let report = desk.say("profile --repeat 2 --json --quiet").json();
    assert_eq!(report["schema"], 1);
    assert_eq!(report["command"], "profile");
    assert_eq!(report["shape"], serde_json::json!([1, 3, 224, 224]));
    assert_eq!(report["repeats"], 2);
    assert!(report.get("backward").is_none());
    let operators = report["operators"].as_array().unwrap();
    let layers = desk.say("inspect --json --quiet").json();
    let mut known: Vec<&str> = layers["layers"].as_array().unwrap()[1..]
        .iter()
        .map(|layer| layer["name"].as_str().unwrap())
        .collect();
    let mut found: Vec<&str> = operators
        .iter()
        .map(|o| o["layer"].as_str().unwrap())
        .collect();
    known.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, known);
    // 64 channels of 111 x 111 positions, of 3 x 3 x 3 numbers each, and a bias.
    let first = &operators[0];
    assert_eq!(first["layer"], "conv1");
    assert_eq!(first["shape"], serde_json::json!([1, 64, 111, 111]));
    let positions = 64 * 111 * 111;
    assert_eq!(first["forward"]["flops"], positions * (27 * 2 + 1));
    let numbers = 3 * 224 * 224 + 64 * 27 + 64 + positions;
    assert_eq!(first["forward"]["bytes"], 4 * numbers);

    let forward = &report["forward"];
    for field in ["flops", "bytes", "milliseconds"] {
        let whole = match field {
            "milliseconds" => &forward["operators_milliseconds"],
            field => &forward[field],
        };
        let whole = whole.as_f64().unwrap();
        let kinds = report["kinds"].as_array().unwrap();
        assert!(is_near(sum(operators, "forward", field), whole), "{field}");
        assert!(is_near(sum(kinds, "forward", field), whole), "{field}");
    }
    assert!(is_near(sum(operators, "forward", "share"), 1.0));
    let kinds = report["kinds"].as_array().unwrap();
    let count: u64 = kinds.iter().map(|k| k["operators"].as_u64().unwrap()).sum();
    assert_eq!(count, operators.len() as u64);
    assert!(forward["planning_milliseconds"].as_f64().unwrap() > 0.0);
}

#[test]
fn the_gradient_goes_through_every_operator_below_the_scores() {
    let desk = Desk::new();
    let report = desk
        .say("profile --backward --repeat 1 --batch 2 --size 96x64 --json --quiet")
        .json();
    assert_eq!(report["shape"], serde_json::json!([2, 3, 96, 64]));
    assert_eq!(report["layers"], serde_json::json!(["loss3/classifier"]));
    let operators = report["operators"].as_array().unwrap();
    for operator in operators {
        let (forward, backward) = (&operator["forward"], &operator["backward"]);
        assert!(
            backward["milliseconds"].as_f64().unwrap() > 0.0,
            "{operator}"
        );
        assert_eq!(forward["flops"], backward["flops"], "{operator}");
    }
    let whole = report["backward"]["operators_milliseconds"].as_f64();
    assert!(is_near(
        sum(operators, "backward", "milliseconds"),
        whole.unwrap()
    ));
    assert!(is_near(sum(operators, "backward", "share"), 1.0));
}

#[test]
fn people_get_tables_and_the_slowest_first() {
    let desk = Desk::squeezenet();
    let said = desk.say("profile --repeat 1 --top 3 --backward").ok().out;
    let mut lines = said.lines();
    let head = lines.next().unwrap();
    for column in [
        "layer", "operator", "shape", "ms", "share", "GFLOP/s", "MB", "back: ms",
    ] {
        assert!(head.contains(column), "no {column} in {head}");
    }
    assert_eq!(lines.position(str::is_empty), Some(3), "{said}");
    assert!(
        said.contains("a pass: ") && said.contains("its gradient: "),
        "{said}"
    );
    assert!(said.lines().any(|line| line.starts_with("all ")), "{said}");

    let report = desk.say("profile --repeat 1 --top 4 --json --quiet").json();
    let operators = report["operators"].as_array().unwrap();
    let times: Vec<f64> = operators
        .iter()
        .map(|o| o["forward"]["milliseconds"].as_f64().unwrap())
        .collect();
    assert_eq!(times.len(), 4);
    assert!(times.is_sorted_by(|a, b| a >= b), "{times:?}");
}

#[test]
fn a_photograph_and_a_layer_can_be_chosen() {
    let desk = Desk::new();
    let report = desk
        .say("profile --image cat.png --layer inception_4a --repeat 1 --json --quiet")
        .json();
    assert_eq!(report["shape"], serde_json::json!([1, 3, 160, 160]));
    let operators = report["operators"].as_array().unwrap();
    assert_eq!(operators.last().unwrap()["layer"], "inception_4a/output");
    let refused = desk.say("profile --image cat.png --size 64").refused(2);
    assert!(refused.contains("--size"), "{refused}");
    for wrong in ["--batch 0", "--repeat 0", "--size 0", "--size 64x"] {
        desk.say(&format!("profile {wrong}")).refused(2);
    }
    desk.say("profile --layer inception_4z")
        .refused_with(1, &["inception_4a"]);
}

#[test]
fn more_pictures_than_memory_holds_are_refused() {
    let desk = Desk::new();
    desk.say("profile --batch 60000 --repeat 1")
        .refused_with(2, &["--memory-limit"]);
}
