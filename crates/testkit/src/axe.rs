//! The accessibility checker axe-core, run within a page that is open.

use std::io::Write as _;

use serde_json::{Value, json};

use crate::browser::Browser;

/// A copy of `axe.min.js`, of which the file is named by `ELUCID_AXE`.
pub struct Axe(String);

/// What axe-core says of a page.
#[derive(Debug)]
pub struct Findings {
    /// Of serious or critical impact, one line for each element: rule, element, and what would be right.
    pub violations: Vec<String>,
    /// The rules that found something to look at, and nothing wrong with it.
    pub passes: Vec<String>,
}

impl Axe {
    /// Reads the script. Without `ELUCID_AXE` this says so and returns `None`.
    pub fn load() -> Option<Self> {
        let Some(path) = std::env::var_os("ELUCID_AXE") else {
            let _ = writeln!(
                std::io::stderr(),
                "SKIPPED: no axe.min.js in ELUCID_AXE (scripts/tool axe prints one); this test checked nothing"
            );
            return None;
        };
        match std::fs::read_to_string(&path) {
            Ok(script) => Some(Axe(script)),
            Err(error) => panic!("ELUCID_AXE, {}: {error}", path.display()),
        }
    }

    /// Checks the open page as it is shown, once nothing moves in it.
    pub fn check(&self, browser: &Browser) -> Findings {
        browser.settle();
        // As text that is run in the page, and only once: the page's own rules for scripts hold for what is linked.
        browser.run(
            "if (!window.axe) window.eval(arguments[0])",
            json!([&self.0]),
        );
        let script = "
            const done = arguments[arguments.length - 1];
            const grave = ['serious', 'critical'];
            axe.run(document).then((found) => done([
                found.violations
                    .filter((rule) => grave.includes(rule.impact))
                    .flatMap((rule) => rule.nodes.map((node) =>
                        `${rule.id} (${rule.impact}): ${node.target.join(' ')}: ${node.failureSummary}`)),
                found.passes.map((rule) => rule.id),
            ]), (error) => done(String(error)));";
        match browser.run_async(script, json!([])) {
            Value::String(error) => panic!("axe-core: {error}"),
            found => {
                let (violations, passes) = serde_json::from_value(found).expect("two lists");
                Findings { violations, passes }
            }
        }
    }
}
