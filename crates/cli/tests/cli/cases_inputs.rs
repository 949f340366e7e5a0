//! The cases of inputs, small pictures and layouts, where the folder of cases lies beside the
//! checkout: small networks whose right answers can be worked out by hand, with the program that
//! judges them.

const CASES: [&str; 14] = [
    "grey-channel",
    "grey-icons",
    "channels-last",
    "channels-last-free",
    "four-channels",
    "picture-and-numbers",
    "sixteen-bits",
    "normalised-inside",
    "black-baseline",
    "small-picture",
    "orientation",
    "company",
    "swin",
    "bias-behind-transpose",
];

#[test]
fn every_case_passes() {
    crate::common::situations(&CASES);
}
