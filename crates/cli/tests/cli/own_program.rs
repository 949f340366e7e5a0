//! A program that knows a method of its own, which is the same program otherwise.

use std::process::ExitCode;

use elucid::attribution::{Method, Occlusion, Place};
use elucid_cli::Program;

use crate::common::Desk;

const COARSE: Method = Method::new("coarse", "Occlusion of quarters", "this test", |options| {
    options.apply(Occlusion::new().window(80).stride(80))
})
.options(<Occlusion as elucid::attribution::Configurable>::OPTIONS);

/// Its options are flags, its title is on the page, and the report states what ran.
#[test]
fn a_method_of_ones_own_is_known() {
    assert_eq!(COARSE.place, Place::Input);
    let desk = Desk::squeezenet();
    let at = |name: &str| desk.path(name).display().to_string();
    let line = format!(
        "own attribute --quiet --model squeezenet --image {} --method coarse,gradient --baseline white \
         --out {}",
        at("cat.png"),
        at("own")
    );
    let ended = Program::new().method(COARSE).run_from(line.split(' '));
    assert_eq!(format!("{ended:?}"), format!("{:?}", ExitCode::SUCCESS));
    let report = desk.report("own");
    let results = report["results"].as_array().unwrap();
    assert_eq!(results.len(), 2);
    assert_eq!(results[0]["method"], "coarse");
    let options = serde_json::json!({ "baseline": "white", "stride": "80", "window": "80" });
    assert_eq!(results[0]["options"], options);
    let page = desk.text("own/index.html");
    assert!(page.contains("Occlusion of quarters"));
}
