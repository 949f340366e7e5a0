//! Relevance rules by the modules of the program that was exported.

use burn::tensor::{Device, Tensor, TensorData};
use elucid_attribution::relevance::{Flat, RelevanceRules};
use elucid_attribution::{Attributor, Lrp, Target};
use elucid_rules::OpKind;
use elucid_vision::Model;

const MODULES: &[u8] = include_bytes!("../../../cli/tests/files/modules.onnx");

#[test]
fn patterns_of_relevance_rules_match_modules() {
    let device = Device::flex();
    let model = Model::from_bytes(MODULES, &device, None).unwrap();
    let values: Vec<f32> = (0..3 * 64)
        .map(|i| ((i * 37 + 11) % 64) as f32 / 32.0 - 1.0)
        .collect();
    let x = Tensor::<4>::from_data(TensorData::new(values, [1, 3, 8, 8]), &device);
    let of = |rules: RelevanceRules| {
        let rules = rules.then(RelevanceRules::epsilon());
        let found = Lrp::new(rules).attribute(&model, &x, Target::class(1));
        found.map(|found| found.values().clone())
    };
    let flat = |pattern: &str| of(RelevanceRules::new().on_layers(pattern, Flat));
    let in_module = flat("layer1.*").unwrap();
    assert_eq!(in_module, flat("layer1.0.conv1").unwrap());
    assert_eq!(in_module, flat("conv2d_1").unwrap(), "by the value's name");
    assert_ne!(in_module, of(RelevanceRules::new()).unwrap());
    let both = of(RelevanceRules::new().on(OpKind::Conv, Flat)).unwrap();
    assert_ne!(
        in_module, both,
        "the first convolution stands in no such module"
    );
}
