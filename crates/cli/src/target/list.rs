//! Several targets between commas, of which some have commas themselves.

use std::ops::Deref;

use super::parse;

/// Targets as they were typed.
#[derive(Debug, Clone, Default)]
pub struct TargetList(Vec<String>);

impl Deref for TargetList {
    type Target = [String];

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

/// Splits at the commas between targets, and refuses what is none.
pub fn parse_list(text: &str) -> Result<TargetList, String> {
    let mut targets: Vec<String> = Vec::new();
    let mut parts = text.split(',');
    while let Some(part) = parts.next() {
        let mut target = part.to_owned();
        let mut missing = numbers_of(part).saturating_sub(1);
        while missing > 0 || target.rfind('[') > target.rfind(']') {
            let Some(part) = parts.next() else { break };
            target = format!("{target},{part}");
            missing = missing.saturating_sub(1);
        }
        targets.push(parse(&target)?);
    }
    Ok(TargetList(targets))
}

/// How many numbers a target has whose first part this is, behind a word.
fn numbers_of(part: &str) -> usize {
    let word = part
        .rsplit_once('@')
        .and_then(|(_, place)| place.split_once(':'));
    match word.map(|(word, _)| word.trim()) {
        Some("box" | "detected" | "d-rise") => 4,
        Some("at") => 2,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_belong_to_boxes_and_indices() {
        let text = "285,1@box:0,2,4,6,a:b,out[5,2],1@at:3,4,logsumexp";
        let targets = parse_list(text).unwrap();
        let split = [
            "285",
            "1@box:0,2,4,6",
            "a:b",
            "out[5,2]",
            "1@at:3,4",
            "logsumexp",
        ];
        assert_eq!(*targets, split);
        for wrong in ["285,", "1@box:0,2", "1@at:3"] {
            assert!(parse_list(wrong).is_err(), "{wrong}");
        }
    }
}
