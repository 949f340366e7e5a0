//! Results in files.

use elucid::prelude::*;
use elucid::results;
use elucid_testkit::{device, numbers, tensor};
use ndarray::ArrayD;

const SIDE: usize = 48;

fn found() -> Attribution {
    let model = Model::find("squeezenet", &device(), None).unwrap();
    let images = tensor(numbers(2 * 3 * SIDE * SIDE, 5), [2, 3, SIDE, SIDE]);
    let rules = Rules::preset("guided").unwrap();
    let method = IntegratedGradients::adaptive(0.2)
        .max_evaluations(40)
        .rules(&rules)
        .seed(9);
    method
        .at("fire5/concat")
        .attribute(&model, &images, Target::class(285))
        .unwrap()
}

/// Everything that is known of a result is in its file.
#[test]
fn attributions_are_kept_whole() {
    let folder = tempfile::tempdir().unwrap();
    let found = found();
    let path = folder.path().join("found.json");
    found.save(&path).unwrap();
    let again = results::open(&path).unwrap();
    assert_eq!(again.values(), found.values());
    assert_eq!(again.scores(), found.scores());
    assert_eq!(again.configuration(), found.configuration());
    assert_eq!(again.configuration().get("quadrature"), Some("adaptive"));
    assert_eq!(again.to_string(), found.to_string());
    assert_eq!(
        (again.method(), again.layer()),
        (found.method(), found.layer())
    );
    assert_eq!((again.seed(), again.rules()), (9, found.rules()));
    assert_eq!(again.rule_uses(), found.rule_uses());
    assert_eq!(again.completeness(), found.completeness());
    assert_eq!(again.version(), env!("CARGO_PKG_VERSION"));
    let maps = |found: &Attribution| found.map().unwrap().upsampled();
    assert_eq!(maps(&again).maps(), maps(&found).maps());

    found.save(folder.path().join("found.npy")).unwrap();
    let values: ArrayD<f32> = ndarray_npy::read_npy(folder.path().join("found.npy")).unwrap();
    assert_eq!(&values, found.values());
    found.save(folder.path().join("found.png")).unwrap();
    for i in 0..2 {
        let picture = image::open(folder.path().join(format!("found-{i}.png"))).unwrap();
        assert_eq!(
            (picture.width(), picture.height()),
            (SIDE as u32, SIDE as u32)
        );
    }
    let small = found.map().unwrap();
    small.save(folder.path().join("small.npy")).unwrap();
    let maps: ArrayD<f32> = ndarray_npy::read_npy(folder.path().join("small.npy")).unwrap();
    assert_eq!(maps, small.maps().clone().into_dyn());
}

#[test]
fn wrong_files_say_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let found = found();
    let message = found.save(at("found.txt")).unwrap_err().to_string();
    assert!(message.contains(".npy, .json or .png"), "{message}");
    let message = found
        .map()
        .unwrap()
        .save(at("map.json"))
        .unwrap_err()
        .to_string();
    assert!(message.contains("save the attribution"), "{message}");
    assert!(found.save(at("no/such/folder.json")).is_err());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);

    found.save(at("found.json")).unwrap();
    let text = std::fs::read_to_string(at("found.json")).unwrap();
    for (right, wrong, part) in [
        ("\"shape\":[2,", "\"shape\":[3,", "for 3 images"),
        (
            "\"reduction\":\"abs-sum\"",
            "\"reduction\":\"most\"",
            "reduction",
        ),
        ("\"seed\":9,", "", "seed"),
    ] {
        assert!(text.contains(right), "{right}");
        std::fs::write(at("wrong.json"), text.replacen(right, wrong, 1)).unwrap();
        let message = results::open(at("wrong.json")).unwrap_err().to_string();
        assert!(
            message.contains(part) && message.contains("wrong.json"),
            "{message}"
        );
    }
    assert!(results::open(at("absent.json")).is_err());
}
