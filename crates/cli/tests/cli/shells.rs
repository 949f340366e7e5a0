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

/// What bash offers for the last of these words.
#[cfg(unix)]
fn offered(desk: &Desk, words: &[&str]) -> Vec<String> {
    // What may only be called where bash itself asks does nothing here.
    let ask = r#"compopt() { :; }; source script.bash; COMP_WORDS=(elucid "$@"); COMP_CWORD=$#
        _elucid elucid "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
        printf '%s\n' "${COMPREPLY[@]}""#;
    let mut bash = Command::new("bash");
    let asked = bash.args(["-c", ask, "bash"]).args(words);
    let answer = asked.current_dir(desk.path("")).output().unwrap();
    let said = String::from_utf8(answer.stderr).unwrap();
    assert_eq!(said, "", "{words:?}");
    let offered = String::from_utf8(answer.stdout).unwrap();
    offered.lines().map(str::to_owned).collect()
}

#[cfg(unix)]
#[test]
fn names_are_offered_where_there_are_some_and_files_where_there_may_be() {
    if Command::new("bash").arg("--version").output().is_err() {
        eprintln!("SKIPPED: there is no bash; this test checked nothing");
        return;
    }
    let desk = Desk::new();
    let script = desk.say("completions bash").ok().out;
    assert!(!script.contains("of-study"));
    fs::write(desk.path("script.bash"), script).unwrap();
    let offered = |words: &[&str]| offered(&desk, words);
    for (words, expected) in [
        (
            &["attribute", "--method", "grad-cam"][..],
            "grad-cam-plus-plus",
        ),
        (&["evaluate", "--methods", "ri"], "rise"),
        (&["evaluate", "--metrics", "point"], "pointing"),
        (&["channels", "--method", "lin"], "linear"),
        (&["methods", "ri"], "rise"),
        (&["models", "pull", "squeeze"], "squeezenet1_1"),
        (&["attribute", "--colormap", "vi"], "viridis"),
        (&["attribute", "--normalise", "range"], "range"),
        (&["attribute", "--reduce", "l"], "l2"),
        (&["attribute", "--image", "cat"], "cat.png"),
        (&["attribute", "--model", "cat"], "cat.png"),
        (&["attribute", "--feed", "cat"], "cat.png"),
        (&["evaluate", "--maps", "cat"], "cat.png"),
    ] {
        let found = offered(words);
        assert!(
            found.iter().any(|name| name == expected),
            "{words:?}: {found:?}"
        );
    }
    // What is typed, and no file that happens to begin so. (Where a file alone can follow, bash itself offers them.)
    for words in [
        &["attribute", "--target", "cat"][..],
        &["attribute", "--layer", "cat"],
        &["attribute", "--batch-size", "cat"],
    ] {
        assert_eq!(offered(words), ["cat"], "{words:?}");
    }
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
    let theirs = desk.text("there/other.1");
    assert_eq!(theirs, "theirs");
    // Whole or not at all: a file is no folder.
    desk.say("man cat.png").refused(1);
    desk.say("man cat.png/man1").refused(1);
    desk.say("man").refused(2);
}
