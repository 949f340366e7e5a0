//! `elucid metrics`: what it says of every metric.

use crate::common::{Desk, has};
use elucid::metrics::{METRICS, metric};
use serde_json::json;

#[test]
fn every_metric_is_listed() {
    let desk = Desk::new();
    let text = desk.say("metrics").ok().out;
    let all = desk.say("metrics --json").json();
    let all = all["metrics"].as_array().unwrap();
    assert_eq!(all.len(), METRICS.len());
    for (info, facts) in METRICS.iter().zip(all) {
        let category = info.category.unwrap().name();
        let row = text
            .lines()
            .find(|line| line.split_whitespace().next() == Some(info.name))
            .unwrap_or_else(|| panic!("no {} in {text}", info.name));
        assert!(row.contains(category), "{row}");
        assert_eq!(facts["name"], info.name);
        assert_eq!(facts["also"], json!(info.others));
        assert_eq!(facts["title"], info.title);
        assert_eq!(facts["category"], category);
        assert_eq!(facts["reference"], info.reference);
        assert_eq!(facts["takes_seed"], info.random);
        let better = facts["better"].as_str().unwrap();
        assert_eq!(
            format!("{better} is better"),
            info.usual().unwrap().direction().to_string()
        );
        let needs = |word: &str| facts["needs"].as_array().unwrap().contains(&json!(word));
        assert_eq!(needs("boxes"), info.needs.truth);
        assert_eq!(needs("scores"), info.needs.scores);
        assert_eq!(needs("model"), info.needs.model);
        assert_eq!(needs("attribution"), info.needs.attribution);
        assert_eq!(needs("method"), info.needs.attributor);

        let one = desk.say(&format!("metrics {} --json", info.name)).json();
        assert_eq!(one["metrics"], json!([facts]));
        let text = desk.say(&format!("metrics {}", info.name)).ok().out;
        has(&text, &[info.title, info.reference, category, better]);
        let usual = info.defaults([224, 224]);
        for (i, option) in info.options.iter().enumerate() {
            let listed = &facts["options"][i];
            assert_eq!(listed["name"], option.name);
            assert_eq!(listed["default"], json!(usual.get(option.name)));
            assert_eq!(listed["help"], option.help);
            assert_eq!(listed["values"], option.values);
            assert!(text.contains(option.help), "{text}");
        }
        // What it says of its spelling is read as it stands.
        let written = text
            .lines()
            .find_map(|line| line.strip_prefix("written as"))
            .unwrap();
        for spelling in written.trim().split(" or ") {
            let read = metric(spelling, &Default::default()).unwrap();
            assert_eq!(read.configuration([224, 224]), usual, "{spelling}");
        }
    }
    let text = desk.say("metrics road").ok().out;
    assert!(text.contains("faithfulness"), "{text}");
    desk.say("metrics raod")
        .refused_with(2, &["did you mean road"]);
}
