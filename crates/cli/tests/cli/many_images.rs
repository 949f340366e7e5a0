//! Several pictures at a time: folders, patterns, standard input, and what cannot be read.

use std::fs::{self, File};
use std::process::{Command, Output};

use crate::common::{Desk, has};
use serde_json::Value;

/// A desk with a folder of two photographs and a file that is none, which ends like one.
fn desk() -> Desk {
    let desk = Desk::squeezenet();
    fs::create_dir(desk.path("photos")).unwrap();
    for name in ["cat.png", "coffee.png"] {
        fs::copy(desk.path(name), desk.path("photos").join(name)).unwrap();
    }
    fs::write(desk.path("photos/broken.png"), "no picture").unwrap();
    fs::write(desk.path("photos/notes.txt"), "no picture either").unwrap();
    desk
}

/// Runs a command with a file as standard input.
fn with_input(desk: &Desk, line: &str, file: &str) -> Output {
    let mut command: Command = desk.command(line.split_whitespace());
    let input = File::open(desk.path(file)).unwrap();
    command.stdin(input).output().unwrap()
}

#[test]
fn folders_are_classified_and_what_cannot_be_read_is_named() {
    let desk = desk();
    for images in ["photos", "photos/*.png"] {
        let ended = desk.run(["classify", images, "--top", "1"]);
        assert_eq!(ended.code, Some(3), "{}", ended.err);
        let lines: Vec<&str> = ended.out.lines().collect();
        assert_eq!(lines[0], "photos/cat.png:");
        assert!(lines[1].contains("Egyptian cat"), "{}", ended.out);
        assert_eq!(lines[3], "photos/coffee.png:");
        let remark = "skipped photos/broken.png: ";
        assert!(ended.err.contains(remark), "{}", ended.err);
        let last = ended.err.lines().last().unwrap();
        let said = "1 of 3 pictures were skipped: photos/broken.png";
        assert_eq!(last, said);
    }
    let ended = desk.run(["classify", "photos", "--json", "--quiet"]);
    assert_eq!(ended.code, Some(3));
    let report: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(report["images"].as_array().unwrap().len(), 2);
    assert_eq!(report["skipped"][0]["file"], "photos/broken.png");
    let reason = report["skipped"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("broken.png"), "{reason}");
    // Nothing but what cannot be read is a failure.
    desk.run(["classify", "photos/b*.png", "photos/broken.png"])
        .refused_with(1, &["none of 2 pictures"]);
    desk.run(["classify", "photos/*.gif"])
        .refused_with(1, &["photos/*.gif"]);
}

#[test]
fn one_picture_comes_from_standard_input() {
    let desk = desk();
    let plain = desk.say("classify cat.png --top 3 --quiet").ok().out;
    let ended = with_input(&desk, "classify - --top 3 --quiet", "cat.png");
    assert!(ended.status.success());
    assert_eq!(String::from_utf8(ended.stdout).unwrap(), plain);

    let line = "attribute --image - --method gradient --target 285 --out out";
    let ended = with_input(&desk, line, "cat.png");
    assert!(ended.status.success(), "{ended:?}");
    desk.say("attribute --image cat.png --method gradient --target 285 --out file")
        .ok();
    let map = |folder: &str| fs::read(desk.path(folder).join("saliency.npy")).unwrap();
    assert_eq!(map("out"), map("file"));
    let [piped, file] = ["out", "file"].map(|folder| desk.report(folder)["images"][0].clone());
    assert_eq!(piped["file"], "-");
    assert_eq!(piped["sha256"], file["sha256"]);

    // The same in commands of one photograph.
    let line = "groups --image - --layer fire9 --groups 2 --no-icons --out groups";
    assert!(with_input(&desk, line, "cat.png").status.success());
    assert_eq!(desk.report("groups")["image"]["sha256"], file["sha256"]);

    for (line, file, code) in [
        ("classify -", "photos/broken.png", 1),
        ("classify - -", "cat.png", 2),
        (
            "attribute --image - - --method gradient --out no",
            "cat.png",
            2,
        ),
    ] {
        let ended = with_input(&desk, line, file);
        assert_eq!(ended.status.code(), Some(code), "{ended:?}");
        let said = String::from_utf8(ended.stderr).unwrap();
        assert!(
            said.lines().last().unwrap().starts_with("error: "),
            "{said}"
        );
    }
    assert!(!desk.path("no").exists());
}

#[test]
fn attributions_of_a_folder_stand_side_by_side() {
    let desk = desk();
    let line = "attribute --image photos both.png --method gradient,grad-cam --out out";
    let ended = desk.say(line);
    assert_eq!(ended.code, Some(3), "{}", ended.err);
    assert!(
        ended.err.contains("skipped photos/broken.png"),
        "{}",
        ended.err
    );
    let report = desk.report("out");
    let files = report["images"].as_array().unwrap().iter();
    let files: Vec<&str> = files.map(|image| image["file"].as_str().unwrap()).collect();
    assert_eq!(files, ["photos/cat.png", "photos/coffee.png", "both.png"]);
    assert_eq!(report["skipped"][0]["file"], "photos/broken.png");
    assert_eq!(report["results"].as_array().unwrap().len(), 6);
    for folder in ["gradient_cat", "grad-cam_both"] {
        assert!(desk.path("out").join(folder).is_dir(), "{folder}");
    }
    let page = desk.text("out/index.html");
    has(&page, &["coffee.png", "broken.png could not be read"]);

    // Where results lie does not depend on what could be read.
    let ended = desk.say("attribute --image photos/b*.png cat.png --method gradient --out one");
    assert_eq!(ended.code, Some(3), "{}", ended.err);
    assert!(desk.path("one/gradient_cat/saliency.npy").exists());
    // One that cannot be read, and no other.
    desk.say("attribute --image photos/broken.png --method gradient --out none")
        .refused(1);
    assert!(!desk.path("none").exists());
}
