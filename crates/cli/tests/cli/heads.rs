//! Networks with other ends than a softmax, and classes with names of their own.

use crate::common::Desk;
use serde_json::Value;

/// A desk with the networks of `files/heads`, which `files/heads/heads.py` makes.
fn desk() -> Desk {
    Desk::new().with_files("heads")
}

/// What `classify --json` says of the cat.
#[track_caller]
fn guesses(desk: &Desk, flags: &str) -> Vec<Value> {
    let line = format!("classify cat.png --json --quiet --top 2000 {flags}");
    let report = desk.say(&line).json();
    report["images"][0]["guesses"].as_array().unwrap().clone()
}

fn remarks(report: &Value) -> String {
    let all = report["remarks"].as_array().unwrap();
    let all: Vec<&str> = all.iter().map(|r| r.as_str().unwrap()).collect();
    all.join("\n")
}

#[test]
fn each_kind_of_number_is_printed_as_what_it_is() {
    let desk = desk();
    let number = &guesses(&desk, "--model number.onnx")[0];
    assert_eq!(number["label"], "output");
    assert!(number.get("probability").is_none());
    let said = desk.say("classify cat.png --model number.onnx").ok();
    let logit = number["logit"].as_f64().unwrap();
    assert_eq!(said.out.trim(), format!("output {logit:.2}"));
    assert!(said.err.contains("note: the one number"), "{}", said.err);

    let yes = &guesses(&desk, "--model yes.onnx")[0];
    let (logit, p) = (
        yes["logit"].as_f64().unwrap(),
        yes["probability"].as_f64().unwrap(),
    );
    assert!((p - 1.0 / (1.0 + (-logit).exp())).abs() < 1e-6 && p < 1.0);
    let said = desk.say("classify cat.png --model yes.onnx").ok().out;
    assert!(said.starts_with(&format!("p = {p:.6}")), "{said}");

    let labels = guesses(&desk, "--model labels.onnx");
    let sum: f64 = labels
        .iter()
        .map(|l| l["probability"].as_f64().unwrap())
        .sum();
    assert!((sum - 1.0).abs() > 0.01, "{sum}");

    let numbers = desk
        .say("classify cat.png --model several.onnx --scores none")
        .ok()
        .out;
    assert!(
        !numbers.contains('%') && numbers.starts_with("output 0  "),
        "{numbers}"
    );
    desk.say("classify cat.png --model map.onnx")
        .refused_with(1, &["a score for each pixel"]);
    desk.say("classify cat.png --model yes.onnx --scores softmax")
        .refused_with(1, &["always 1"]);
    desk.say("classify cat.png --scores soft")
        .refused_with(2, &["softmax, sigmoid or none"]);
}

#[test]
fn outputs_are_listed_chosen_and_remarked_on() {
    let desk = desk();
    let said = desk.say("inspect --model tasks.onnx").ok();
    assert!(said.out.contains("age [1, 1], z [1, 3]"), "{}", said.out);
    assert!(
        said.err.contains("note: the network has 2 outputs"),
        "{}",
        said.err
    );
    let facts = desk
        .say("inspect --model tasks.onnx --json --output z")
        .json();
    assert_eq!(facts["head"]["output"], "z");
    assert_eq!(facts["outputs"][0]["name"], "age");
    assert_eq!(facts["classes"], 3);
    desk.say("inspect --model tasks.onnx --output ages")
        .refused_with(1, &["\"age\", \"z\""]);
    let facts = desk.say("inspect --model map.onnx --json").json();
    assert_eq!(facts["head"]["kind"], "map");
    assert_eq!(facts["head"]["scores"], "scores");
    // No remark of a network that the program knows.
    assert_eq!(remarks(&desk.say("inspect --json").json()), "");
}

/// Remarks stand in the report of every command and on its page.
#[test]
fn remarks_are_on_pages_and_in_reports() {
    let desk = desk();
    let commands = [
        "attribute --image cat.png --method gradient,occlusion --target 1",
        "channels --image cat.png --layer mean --no-icons --target 1",
        "classify cat.png --json",
    ];
    for (i, line) in commands.into_iter().enumerate() {
        let report = match line.starts_with("classify") {
            true => desk.say(&format!("{line} --model several.onnx")).json(),
            false => {
                let line = format!("{line} --model several.onnx --out out{i}");
                let said = desk.say(&line).ok();
                assert_eq!(
                    said.err.matches("note: the scores \"z\"").count(),
                    1,
                    "{}",
                    said.err
                );
                let page = match i {
                    0 => format!("out{i}/index.html"),
                    _ => format!("out{i}/channels.html"),
                };
                let page = desk.text(page);
                assert!(page.contains("are assumed to be logits"), "{line}");
                desk.report(&format!("out{i}"))
            }
        };
        let remarks = remarks(&report);
        assert!(remarks.contains("--scores sigmoid or none"), "{remarks}");
        assert!(
            remarks.contains("names in the file are not used"),
            "{remarks}"
        );
        assert_eq!(report["head"]["probabilities"], "softmax");
    }
}

#[test]
fn what_is_explained_follows_the_head() {
    let desk = desk();
    let attribute = |flags: &str| {
        let line = format!("attribute --image cat.png --method gradient --force --out out {flags}");
        desk.say(&line).ok();
        desk.report("out")
    };
    let report = attribute("--model number.onnx");
    assert_eq!(report["results"][0]["target"], "output");
    assert_eq!(report["images"][0]["target"]["kind"], "output");
    let yes = attribute("--model yes.onnx");
    let no = attribute("--model yes.onnx --target none:0");
    let score = |report: &Value| report["results"][0]["score"].as_f64().unwrap();
    assert!((score(&yes) + score(&no)).abs() < 1e-6);
    let p = attribute("--model yes.onnx --probability");
    let sigmoid = 1.0 / (1.0 + (-score(&yes)).exp());
    assert!((score(&p) - sigmoid).abs() < 1e-6 && sigmoid < 1.0);

    let refused = |flags: &str| {
        let line = format!("attribute --image cat.png --method gradient --out no {flags}");
        desk.say(&line).refused(1)
    };
    let said = refused("--model several.onnx --scores none");
    assert!(said.contains("none is the best"), "{said}");
    let said = refused("--model map.onnx");
    assert!(said.contains("a score for each pixel"), "{said}");
    // A function of a layer needs no class.
    let one = attribute("--model several.onnx --scores none --target 3");
    assert_eq!(one["results"][0]["target"], "output 3");
}

#[test]
fn names_are_given_read_from_the_file_or_assumed_aloud() {
    let desk = desk();
    let write = |name: &str, text: &str| std::fs::write(desk.path(name), text).unwrap();
    let label = |flags: &str, index: usize| {
        let all = guesses(&desk, flags);
        let one = all.iter().find(|g| g["index"] == index).unwrap();
        one["label"].as_str().unwrap().to_owned()
    };
    assert_eq!(label("--model classes.onnx", 1), "hen's egg");
    write("names.txt", "wood pigeon\nrook, black\nowl\n");
    write(
        "names.json",
        r#"{"2": "owl", "0": "wood pigeon", "1": "rook"}"#,
    );
    assert_eq!(
        label("--model classes.onnx --labels names.txt", 1),
        "rook, black"
    );
    assert_eq!(label("--model classes.onnx --labels names.json", 1), "rook");
    // A target of several words is one argument.
    let gradient_of = |target: &str, rest: &str| {
        let line = "attribute --model classes.onnx --image cat.png --method gradient --target";
        let arguments = line.split(' ').chain([target]);
        desk.run(arguments.chain(rest.split(' ')))
    };
    gradient_of("wood pigeon", "--labels names.txt --out named").ok();
    assert_eq!(
        desk.report("named")["images"][0]["target"]["classes"][0]["index"],
        0
    );
    gradient_of("hen egg", "--out near").refused_with(1, &["hen's egg"]);

    write("short.txt", "a\nb\n");
    let short = desk
        .say("classify cat.png --model classes.onnx --labels short.txt")
        .refused(1);
    assert!(
        short.contains("short.txt has 2 names, and the network has 3 classes"),
        "{short}"
    );
    let lost = desk
        .say("classify cat.png --model classes.onnx --labels lost.txt")
        .refused(1);
    assert!(lost.contains("lost.txt"), "{lost}");
    write("no.txt", "closed\nopen\n");
    assert_eq!(label("--model yes.onnx --labels no.txt", 0), "open");
    let closed = "attribute --image cat.png --method gradient --model yes.onnx --labels no.txt";
    desk.say(&format!("{closed} --target closed --out c"))
        .refused_with(1, &["none:0"]);

    assert_eq!(label("--model thousand.onnx", 0), "tench");
    assert_eq!(label("--model background.onnx", 0), "background");
    assert_eq!(label("--model background.onnx", 1), "tench");
    for model in ["thousand", "background"] {
        let said = desk
            .say(&format!("classify cat.png --model {model}.onnx"))
            .ok()
            .err;
        assert!(said.contains("it is assumed that 100"), "{said}");
        assert!(said.contains("--labels FILE"), "{said}");
    }
    // Names that were given are no assumption, and numbers have no names at all.
    let names: Vec<String> = (0..1000).map(|i| format!("product {i}")).collect();
    write("products.txt", &names.join("\n"));
    let line = "classify cat.png --model thousand.onnx --labels products.txt";
    let said = desk.say(line).ok();
    assert!(said.out.contains("product ") && !said.err.contains("ImageNet's names"));
    assert_eq!(label("--model thousand.onnx --scores none", 0), "output 0");
}

/// Where the pack of situations is, all of ours pass.
#[test]
fn the_situations_about_heads_and_names_pass() {
    crate::common::situations(&[
        "one-sigmoid",
        "several-labels",
        "several-labels-raw",
        "features-first",
        "age-and-gender",
        "ends-in-argmax",
        "ends-in-percent",
        "old-softmax",
        "own-names",
        "thousand-products",
        "said-by-the-file",
    ]);
}
