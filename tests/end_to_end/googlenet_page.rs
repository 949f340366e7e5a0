//! GoogLeNet's page in a real browser, against the arrays that PyTorch computed.

use std::path::Path;

use crate::page::{FROM, Page, TO};
use elucid::prelude::*;
use elucid_testkit::assets;
use ndarray::{Array3, Array4, Axis, concatenate, s};

const GRID: (usize, usize) = (14, 14);

fn reference(assets: &Path, file: &str) -> Array4<f32> {
    let path = assets.join("reference/googlenet/chelsea").join(file);
    ndarray_npy::read_npy(path).unwrap()
}

/// Both hints of one layer, `[2, H, W]`.
fn hints(model: &Model, photo: &Photo, layer: &str, rules: &Rules) -> Array3<f32> {
    let map = |class: &str| {
        let method = LinearApproximation::at(layer).rules(rules);
        method
            .attribute(model, photo, Target::label(class))
            .unwrap()
            .map()
            .unwrap()
            .maps()
            .clone()
    };
    let (a, b) = (map("Egyptian cat"), map("tiger cat"));
    concatenate(Axis(0), &[a.view(), b.view()]).unwrap()
}

#[test]
fn cells_show_what_the_reference_says() {
    let Some(assets) = assets() else {
        return;
    };
    let device = elucid::device::auto().device;
    // The photograph has the input's size already: no resizing stands between the pixels and the
    // reference arrays.
    let spec = InputSpec::caffe([224, 224])
        .unwrap()
        .with_resize(Resize::Squash)
        .unwrap();
    let model = Model::open_with(assets.join("models/googlenet.onnx"), &device, spec).unwrap();
    let photo = model
        .read_image(assets.join("images/chelsea_224.png"))
        .unwrap();
    let (from, to) = ("inception_4c/output", "inception_4d/output");

    let seen = Picture::from_image(photo.picture().clone()).unwrap();
    let scores = model.classify(&photo).unwrap();
    let mut widget = SpatialWidget::new(&seen, from, to)
        .predictions(scores.top(5).into_iter().map(|g| (g.label, g.probability)))
        .classes(["Egyptian cat", "tiger cat"]);
    for name in ["true", "smooth"] {
        let rules = Rules::preset(name).unwrap();
        let maps = SpatialAttribution::between(from, to).rules(&rules);
        let maps = maps.compute(&model, &photo).unwrap().remove(0);
        let hints = SpatialHints {
            from: hints(&model, &photo, from, &rules),
            to: hints(&model, &photo, to, &rules),
        };
        let view = SpatialView::new(name, maps.maps().clone()).hints(hints);
        widget = widget.view(if rules.is_empty() {
            view
        } else {
            view.replaced_gradients()
        });
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("page.html");
    widget.save(&path).unwrap();
    let Some(page) = Page::open(&path) else {
        return;
    };

    let largest = |map: ndarray::ArrayView2<'_, f32>| {
        let cells = map.indexed_iter().max_by(|a, b| a.1.total_cmp(b.1));
        cells.map(|(at, _)| at).unwrap()
    };
    let files = [
        "spatial_spatial_4c_4d.npy",
        "spatial_spatial_4c_4d_smooth.npy",
    ];
    for (view, file) in files.into_iter().enumerate() {
        let want = reference(&assets, file);
        for (y, x) in [(0, 0), (2, 11), (5, 4), (8, 9), (13, 3)] {
            page.hover(view, TO, (y, x), GRID);
            let source = largest(want.slice(s![y, x, .., ..]));
            assert_eq!(
                page.map(view, FROM).brightest(),
                source,
                "{file}, from {y}, {x}"
            );
            page.hover(view, FROM, (y, x), GRID);
            let effect = largest(want.slice(s![.., .., y, x]));
            assert_eq!(
                page.map(view, TO).brightest(),
                effect,
                "{file}, to {y}, {x}"
            );
        }
    }
    page.hover(1, TO, (5, 4), GRID);
    page.screenshot("googlenet_page.png");
    page.expect_quiet();
}
