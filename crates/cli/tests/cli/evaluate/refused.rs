//! What `elucid evaluate` refuses, and that it leaves nothing behind.

use std::fs;

use super::{desk, evaluate, usual};

#[test]
fn a_refusal_leaves_nothing_behind() {
    let desk = desk();
    fs::write(
        desk.path("bad.csv"),
        "file,label\ncat.png,Egyptian cat\ncat.png,espreso\n",
    )
    .unwrap();
    fs::write(desk.path("bad.tar"), "no archive").unwrap();
    fs::create_dir(desk.path("empty")).unwrap();
    let before = desk.listing(".");
    let run = |arguments: &str, code: i32, part: &str| {
        let message = evaluate(&desk, &format!("{arguments} --out out")).refused(code);
        assert!(message.contains(part), "no {part} in {message}");
        assert_eq!(desk.listing("."), before, "{arguments}");
    };
    let one = "--data boxes.csv --methods gradient --metrics pointing";
    run(
        "--data boxes.csv --methods gradient --metrics pionting",
        2,
        "did you mean pointing",
    );
    run(
        "--data boxes.csv --methods gradeint --metrics pointing",
        2,
        "did you mean gradient",
    );
    run(
        "--data boxes.csv --methods gradient --metrics pointing:-3",
        2,
        "tolerance",
    );
    run("--data boxes.csv --methods gradient", 2, "--metrics");
    run("--methods gradient --metrics pointing", 2, "--data");
    run("", 2, "--data");
    for shard in ["0/3", "4/3", "1", "a/b"] {
        run(&format!("{one} --shard {shard}"), 2, "K/N");
    }
    run(&format!("{one} --shard 7/7"), 2, "holds none of 6 images");
    run(&format!("{one} --limit 0"), 2, "--limit");
    run(&format!("{one} --batch-size 0"), 2, "--batch-size");
    run(&format!("{one} --target 285"), 2, "label");
    run(&format!("{one} --smooth 2"), 2, "from 0 to 1");
    run(&format!("{one} --no-such-option 3"), 2, "no-such-option");
    run(&format!("{one} --layer nothing"), 1, "nothing");
    run(
        "--data bad.csv --methods gradient --metrics pointing",
        1,
        "bad.csv, line 3",
    );
    run(
        "--data bad.csv --methods gradient --metrics pointing",
        1,
        "espresso",
    );
    run(&format!("{one} --object-masks none"), 1, "cannot read none");
    run(
        &format!("{one} --object-masks empty"),
        1,
        "have no mask in empty: ",
    );
    run(
        "--data bad.tar --methods gradient --metrics pointing",
        1,
        "the archive bad.tar: ",
    );
    run(
        "--data none.csv --methods gradient --metrics pointing",
        1,
        "none.csv",
    );
    run(
        "--data empty --methods gradient --metrics pointing",
        1,
        "empty",
    );
    desk.say("evaluate merge --out out").refused(2);
    desk.say("evaluate merge empty").refused(2);
    desk.say("evaluate merge empty --out out").refused(1);
    assert_eq!(desk.listing("."), before);
}

#[test]
fn only_the_same_evaluation_goes_on() {
    let desk = desk();
    let few = "--metrics pointing --batch-size 2 --limit 2 --out out";
    let run = |arguments: &str| evaluate(&desk, &format!("{few} {arguments}"));
    run("--data boxes.csv --methods gradient").ok();
    let before = desk.listing("out");
    let results = desk.text("out/results.csv");
    let message = run("--data boxes.csv --methods gradient").refused(1);
    assert!(message.contains("--resume"), "{message}");
    fs::write(
        desk.path("other.csv"),
        desk.text("boxes.csv").replace("20,10,80,95", "20,10,80,96"),
    )
    .unwrap();
    for (arguments, part) in [
        (
            "--data boxes.csv --methods gradient --smooth 0.02",
            "smooth is 0.02 and was 0",
        ),
        (
            "--data boxes.csv --methods gradient --seed 3",
            "seed is 3 and was 0",
        ),
        (
            "--data boxes.csv --methods gradient --shard 1/2",
            "shard.count is 2 and was 1",
        ),
        (
            "--data boxes.csv --methods gradient --target prediction",
            "target is prediction",
        ),
        (
            "--data boxes.csv --methods gradient --scale 1/255",
            "input.scale",
        ),
        ("--data other.csv --methods gradient", "data.sha256"),
    ] {
        let message = run(&format!("{arguments} --resume")).refused(1);
        assert!(message.contains(part), "no {part} in {message}");
    }
    let message = evaluate(
        &desk,
        "--metrics pointing --limit 1 --data boxes.csv --methods gradient --resume --out out",
    )
    .refused(1);
    assert!(message.contains("limit is 1 and was 2"), "{message}");
    assert_eq!(desk.listing("out"), before);
    assert_eq!(desk.text("out/results.csv"), results);
    // A folder of something else is not touched.
    fs::create_dir(desk.path("mine")).unwrap();
    fs::write(desk.path("mine/notes.txt"), "mine").unwrap();
    let message = evaluate(
        &desk,
        "--metrics pointing --data boxes.csv --methods gradient --resume --out mine",
    )
    .refused(1);
    assert!(message.contains("no evaluation"), "{message}");
    assert_eq!(desk.listing("mine"), ["notes.txt"]);
}

#[test]
fn folders_of_earlier_versions_are_refused() {
    let desk = desk();
    usual(&desk, "--limit 2 --out out").ok();
    let settings = desk.text("out/settings.json").replace("\"schema\": 2,", "");
    fs::write(desk.path("out/settings.json"), settings).unwrap();
    let message = usual(&desk, "--limit 2 --out out --resume").refused(1);
    assert!(message.contains("an earlier version"), "{message}");
    let message = desk.say("evaluate merge out --out merged").refused(1);
    assert!(message.contains("an earlier version"), "{message}");
}
