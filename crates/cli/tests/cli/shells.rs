//! Completions and manual pages: of every command, with its flags.

use std::fs;
use std::process::Command;

use crate::common::Desk;

/// The commands that `elucid --help` lists.
fn commands(desk: &Desk) -> Vec<String> {
    let help = desk.say("--help").ok().out;
    let (_, listed) = help.split_once("Commands:\n").unwrap();
    let (listed, _) = listed.split_once("\n\n").unwrap();
    let names = listed
        .lines()
        .filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next());
    let names = names.filter(|name| *name != "help");
    names.map(str::to_owned).collect()
}

#[test]
fn every_shell_completes_every_command() {
    let desk = Desk::new();
    let commands = commands(&desk);
    assert!(commands.len() > 15, "{commands:?}");
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = desk.say(&format!("completions {shell}")).ok().out;
        let flags = ["fuse", "retry-failed", "memory-limit"];
        for word in commands.iter().map(String::as_str).chain(flags) {
            assert!(script.contains(word), "{shell} knows no {word}");
        }
        let is_here = Command::new(shell).arg("--version").output().is_ok();
        if is_here && ["bash", "zsh", "fish"].contains(&shell) {
            let file = desk.path(format!("script.{shell}"));
            fs::write(&file, script).unwrap();
            let read = Command::new(shell).arg("-n").arg(&file).output().unwrap();
            assert!(read.status.success(), "{shell}: {read:?}");
        }
    }
    desk.say("completions tcsh").refused_with(2, &["bash"]);
}

#[test]
fn every_command_has_a_page() {
    let desk = Desk::new();
    fs::create_dir(desk.path("there")).unwrap();
    fs::write(desk.path("there/other.1"), "theirs").unwrap();
    fs::write(desk.path("there/elucid.1"), "of a version before").unwrap();
    for folder in ["new/man1", "there"] {
        desk.say(&format!("man {folder}")).ok();
        let names = desk.listing(folder);
        for command in commands(&desk) {
            let page = format!("elucid-{command}.1");
            assert!(names.contains(&page), "no {page} in {names:?}");
        }
        for page in [
            "elucid.1",
            "elucid-evaluate-merge.1",
            "elucid-models-pull.1",
        ] {
            assert!(names.contains(&page.to_owned()), "no {page} in {names:?}");
        }
        for name in names.iter().filter(|name| *name != "other.1") {
            let page = fs::read_to_string(desk.path(folder).join(name)).unwrap();
            assert!(page.contains(".TH "), "{name}: {page}");
            assert!(page.contains(".SH SYNOPSIS"), "{name}: {page}");
        }
        let page = fs::read_to_string(desk.path(folder).join("elucid-attribute.1")).unwrap();
        assert!(
            page.contains("fuse") && page.contains("integrated"),
            "{page}"
        );
        assert!(!names.iter().any(|name| name.contains("help")), "{names:?}");
        assert!(!names.iter().any(|name| name.contains("part")), "{names:?}");
    }
    let theirs = fs::read_to_string(desk.path("there/other.1")).unwrap();
    assert_eq!(theirs, "theirs");
    // Whole or not at all: a file is no folder.
    desk.say("man cat.png").refused(1);
    desk.say("man cat.png/man1").refused(1);
    desk.say("man").refused(2);
}
