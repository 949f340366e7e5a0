//! `--threads`: how many compute changes no number by more than rounding.

use std::path::Path;

use crate::common::Desk;
use ndarray::{Array2, Array4};
use ndarray_npy::read_npy;

fn close<'a>(a: impl IntoIterator<Item = &'a f32>, b: impl IntoIterator<Item = &'a f32>) {
    let (a, b): (Vec<f32>, Vec<f32>) = (
        a.into_iter().copied().collect(),
        b.into_iter().copied().collect(),
    );
    assert_eq!(a.len(), b.len());
    let largest = a.iter().fold(0.0_f32, |most, v| most.max(v.abs()));
    assert!(largest > 0.0);
    for (a, b) in a.iter().zip(&b) {
        assert!((a - b).abs() <= 1e-4 * largest, "{a} and {b} of {largest}");
    }
}

fn map(folder: &Path) -> Array2<f32> {
    read_npy(folder.join("saliency.npy")).unwrap()
}

#[test]
fn numbers_do_not_depend_on_threads() {
    let desk = Desk::squeezenet().with("RAYON_NUM_THREADS", "5");
    for method in ["gradient", "grad-cam", "rise"] {
        for (threads, said) in [("1", "1 thread)"), ("3", "3 threads)")] {
            let masks = if method == "rise" { "--masks 16" } else { "" };
            let line = format!(
                "attribute --image cat.png --method {method} {masks} --device cpu --threads {threads} \
                 --out {method}{threads}"
            );
            let said_of = desk.say(&line).ok().err;
            assert!(said_of.contains(said), "{said_of}");
            let report = desk.report(&format!("{method}{threads}"));
            assert_eq!(report["threads"].to_string(), threads);
            assert!(report["device"].as_str().unwrap().contains(said));
        }
        let [one, three] = ["1", "3"].map(|n| map(&desk.path(format!("{method}{n}"))));
        close(&one, &three);
    }
    for threads in ["1", "3"] {
        let line = format!(
            "groups --image cat.png --layer fire9 --groups 3 --no-icons --threads {threads} --out {threads}"
        );
        desk.say(&line).ok();
    }
    let [one, three] = ["1", "3"].map(|n| read_npy(desk.path(n).join("effects.npy")).unwrap());
    let (one, three): (Array4<f32>, Array4<f32>) = (one, three);
    close(&one, &three);
    // Without the flag as many as rayon says.
    let report = desk.say("classify cat.png --json --device cpu").json();
    assert_eq!(report["device"], "cpu (flex, 5 threads)");
}

#[test]
fn numbers_of_threads_are_checked() {
    let desk = Desk::squeezenet();
    for threads in ["0", "-1", "1.5", "many", "1025", "99999999999999999999"] {
        for command in [
            "classify cat.png",
            "inspect",
            "attribute --image cat.png --method gradient --out out",
            "profile",
        ] {
            desk.say(&format!("{command} --threads={threads}"))
                .refused_with(2, &["--threads"]);
        }
    }
    let facts = desk
        .say("profile --repeat 1 --threads 2 --json --device cpu")
        .json();
    assert_eq!(facts["threads"], 2);
    for command in ["methods", "metrics", "devices", "models list"] {
        desk.say(&format!("{command} --threads 2")).refused(2);
    }
}

#[test]
fn convolutions_are_computed_by_their_definition_where_that_is_asked_for() {
    let desk = Desk::squeezenet();
    for (flag, out) in [("", "with"), ("--no-winograd", "without")] {
        let line =
            format!("attribute --image cat.png --method gradient --device cpu {flag} --out {out}");
        desk.say(&line).ok();
        assert_eq!(desk.report(out)["winograd"], flag.is_empty());
    }
    let [with, without] = ["with", "without"].map(|out| map(&desk.path(out)));
    assert_ne!(with, without, "another way, which rounds otherwise");
    close(&with, &without);
}
