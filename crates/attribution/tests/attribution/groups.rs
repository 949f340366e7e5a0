//! Neuron groups: by hand, on a network with every reducer, and on GoogLeNet.

use std::cell::Cell;
use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use burn::tensor::Tensor;
use elucid_attribution::{
    AttributionError, Attributor, Gradient, Groups, LinearApproximation, NeuronGroups, Progress,
    Target,
};
use elucid_factor::reducer::Reduced;
use elucid_factor::{FactorError, Method, Nmf, Reducer, Reduction, Start, Summary};
use elucid_graph::{INPUT, LOGITS};
use elucid_models::photographs;
use elucid_testkit::{device, read_npy, relative_error};
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis, Ix4, array};

use super::shared::{Chelsea, SQUEEZENET as MODEL};

const LAYER: &str = "fire8/concat";

fn prepare(bytes: &[u8]) -> Tensor<4> {
    let picture = elucid_vision::input::decode_image(bytes).unwrap();
    MODEL.prepare(&picture).unwrap().tensor().clone()
}

/// What a reducer is told to find.
#[derive(Debug, Clone)]
struct Told {
    coordinates: Array2<f32>,
    directions: Array2<f32>,
    offset: Option<Array1<f32>>,
}

impl Reducer<f32> for Told {
    fn name(&self) -> &'static str {
        "told"
    }

    fn fit_transform(&self, _: ArrayView2<'_, f32>) -> Result<Reduced<f32>, FactorError> {
        Ok((self.coordinates.clone(), Box::new(self.clone())))
    }
}

impl Reduction<f32> for Told {
    fn directions(&self) -> ArrayView2<'_, f32> {
        self.directions.view()
    }

    fn offset(&self) -> Option<ArrayView1<'_, f32>> {
        self.offset.as_ref().map(|offset| offset.view())
    }

    fn transform(&self, _: ArrayView2<'_, f32>) -> Result<Array2<f32>, FactorError> {
        Ok(self.coordinates.clone())
    }

    fn summary(&self) -> Summary {
        elucid_factor::ChannelReducer::<f32>::nmf(1)
            .fit(ndarray::Array4::ones((1, 1, 1, 1)).view())
            .unwrap()
            .summary()
    }
}

/// A row of three positions with two channels, `s = 2 sum a[0] - 3 a[1, 2] + 0.5 (sum a[1])^2`: by
/// hand, the gradient is 2 everywhere in the first channel, and in the second `sum a[1] = 4`, less 3
/// at the last position.
#[test]
fn a_network_by_hand() {
    let image = elucid_testkit::tensor(vec![1.0, 2.0, 3.0, 0.0, 1.0, 3.0], [1, 2, 1, 3]);
    let network = |x: Tensor<4>| {
        let n = x.dims()[0];
        let first = x.clone().narrow(1, 0, 1).reshape([n, 3]).sum_dim(1);
        let second = x.narrow(1, 1, 1).reshape([n, 3]);
        let last = second.clone().narrow(1, 2, 1);
        let sum = second.sum_dim(1);
        first * 2.0 - last * 3.0 + sum.clone() * sum * 0.5
    };
    let told = |offset| Told {
        // Positions in rows: the first group peaks on the right, the second on the left.
        coordinates: array![[0.0, 2.0], [1.0, 0.5], [3.0, 0.0]],
        directions: array![[1.0, 1.0], [0.5, 0.0]],
        offset,
    };
    for offset in [None, Some(array![0.25, -0.5])] {
        let told = told(offset.clone());
        let found = NeuronGroups::new(2)
            .at(INPUT)
            .reducer_with(move |_, _| Box::new(told.clone()))
            .targets([Target::class(0)])
            .compute(&network, &image)
            .unwrap();
        println!("{found}");
        assert_eq!(found.order(), [1, 0]);
        assert_eq!(found.peaks(0), [[0, 0], [0, 2]]);
        assert!(found.peaks(1).is_empty());
        assert_eq!(found.directions(), array![[0.5, 0.0], [1.0, 1.0]]);
        let effects = &found.effects()[0];
        assert_eq!(effects.scores(), [12.0 - 9.0 + 8.0]);
        // 0.5 * 2 = 1 times the factors 2, 0.5, 0; then (2 + 4, 2 + 4, 2 + 1) times 0, 1, 3.
        let want = [[2.0, 0.5, 0.0], [0.0, 6.0, 9.0]];
        assert_eq!(
            effects.maps().iter().copied().collect::<Vec<_>>(),
            want.concat()
        );
        assert_eq!(effects.values(), array![[2.5, 15.0]]);
        // Activation times gradient: 2 * 6 + 4 * 1 + 1 * 3.
        assert_eq!(effects.total(), [19.0]);
        // 0.25 * 6 - 0.5 * 9
        let mean = if offset.is_some() { -3.0 } else { 0.0 };
        assert_eq!(effects.offset(), [mean]);
        assert_eq!(effects.reconstructed(), [17.5 + mean]);
        assert_eq!(effects.residual(), [1.5 - mean]);
        assert_eq!(found.reducer(), "told");
        let c = offset.map_or([0.0, 0.0], |o| [o[0], o[1]]);
        let want = [1.0, 1.25, 3.0, 0.0, 1.0, 3.0];
        let got = found.reconstruction();
        for (i, (got, want)) in got.iter().zip(want).enumerate() {
            assert!((got - want - c[i / 3]).abs() < 1e-6, "{got}");
        }
    }
}

fn rows(found: &Groups) -> Vec<f64> {
    let effects = found.effects();
    effects.iter().flat_map(|e| e.total().to_vec()).collect()
}

/// Groups, offset and residual make the linear approximation; groups and offset alone what the
/// reconstructed activations give.
#[test]
fn nothing_is_lost() {
    let images = [photographs::chelsea(), photographs::coffee()].map(prepare);
    let batch = Tensor::cat(images.to_vec(), 0);
    let targets = [
        Target::class(285),
        Target::each([Target::difference(285, 281), Target::class(967)]),
    ];
    for method in Method::ALL {
        let found = NeuronGroups::new(4)
            .at(LAYER)
            .reducer(method)
            .targets(targets.clone())
            .compute(&*MODEL, &batch)
            .unwrap();
        println!("{found}");
        assert_eq!(found.factors().dim().0, 2);
        assert_eq!(found.directions().nrows(), 4);
        assert_eq!(found.reducer(), method.name());
        assert!(found.peaks(0).is_sorted_by_key(|peak| peak[1]));
        let sorted: HashSet<usize> = found.order().iter().copied().collect();
        assert_eq!(sorted.len(), 4);
        let has_mean = matches!(method, Method::Pca | Method::Ica);
        assert_eq!(found.offset().is_some(), has_mean);

        let back = found.reconstruction();
        for (effects, target) in found.effects().iter().zip(&targets) {
            let linear = LinearApproximation::at(LAYER);
            let linear = linear.attribute(&*MODEL, &batch, target.clone()).unwrap();
            let gradient = Gradient::at(LAYER);
            let gradient = gradient.attribute(&*MODEL, &batch, target.clone()).unwrap();
            let gradient = gradient
                .values()
                .view()
                .into_dimensionality::<Ix4>()
                .unwrap();
            for image in 0..2 {
                let sum = |x: ndarray::ArrayViewD<'_, f32>| {
                    let x = x.index_axis_move(Axis(0), image);
                    x.iter().map(|&v| f64::from(v)).sum::<f64>()
                };
                let size = linear.values().index_axis(Axis(0), image);
                let size = size.iter().map(|v| f64::from(v.abs())).sum::<f64>();
                let close = |got: f64, want: f64, tolerance: f64| {
                    assert!(
                        (got - want).abs() <= tolerance * size,
                        "{method}, image {image}: {got}, {want}"
                    );
                };
                let groups: f64 = effects.values().row(image).sum();
                let parts = groups + effects.offset()[image] + effects.residual()[image];
                close(parts, effects.total()[image], 1e-13);
                close(parts, sum(linear.values().view()), 1e-6);
                let product = (&back * &gradient).into_dyn();
                close(effects.reconstructed()[image], sum(product.view()), 1e-6);
                let want = effects.reconstructed()[image];
                assert!(
                    (sum(product.view()) - want).abs() <= 1e-5 * want.abs(),
                    "{want}"
                );
                assert_eq!(effects.offset()[image] != 0.0, has_mean);
                // What is left out is no rounding error.
                assert!(effects.residual()[image].abs() > 1e-4 * size);

                let maps = effects.maps();
                let maps = maps.index_axis(Axis(0), image);
                for (map, &value) in maps.outer_iter().zip(effects.values().row(image)) {
                    close(map.iter().map(|&v| f64::from(v)).sum(), value, 1e-6);
                }
                assert_eq!(effects.scores()[image], linear.scores()[image]);
            }
        }
        // The relative error that is reported is that of the reconstruction.
        let at = MODEL.pass().input(&batch).fetch([LAYER]).unwrap();
        let at = at.get(LAYER).unwrap().to_array().unwrap();
        let norm = |x: &ndarray::ArrayD<f32>| {
            let squares: f64 = x.iter().map(|&v| f64::from(v).powi(2)).sum();
            squares.sqrt()
        };
        let error = norm(&(&at - &back.into_dyn())) / norm(&at);
        let reported = found.summary().relative_error;
        assert!(
            (error - reported).abs() < 1e-5,
            "{method}: {error}, {reported}"
        );
    }
}

/// Attributions of one image are its own, whatever the batch; groups are shared.
#[test]
fn gradients_belong_to_their_images() {
    let images = [photographs::chelsea(), photographs::coffee()].map(prepare);
    let targets = [Target::class(285), Target::class(967)];
    let batch = Tensor::cat(
        vec![images[0].clone(), images[1].clone(), images[0].clone()],
        0,
    );
    let each = Target::each([targets[0].clone(), targets[1].clone(), targets[0].clone()]);
    let by = |batch_size| {
        NeuronGroups::new(3)
            .at(LAYER)
            .batch_size(batch_size)
            .targets([each.clone()])
            .compute(&*MODEL, &batch)
            .unwrap()
    };
    let (one, all) = (by(1), by(8));
    assert_eq!(one.order(), all.order());
    assert!(
        relative_error(
            one.effects()[0].maps().iter(),
            all.effects()[0].maps().iter()
        ) < 1e-3
    );
    let values = all.effects()[0].values();
    for group in 0..3 {
        let (first, third) = (values[[0, group]], values[[2, group]]);
        assert!(
            (first - third).abs() < 1e-3 * first.abs().max(0.01),
            "{first} {third}"
        );
    }
    assert_eq!(all.peaks(0), all.peaks(2));
    assert_ne!(all.peaks(0), all.peaks(1));
}

#[test]
fn several_numbers_of_groups_share_the_work() {
    let image = prepare(photographs::chelsea());
    let steps = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&steps);
    let groups = || {
        NeuronGroups::new(9)
            .at(LAYER)
            .seed(5)
            .targets([Target::class(285), Target::class(281)])
    };
    let all = groups()
        .progress(move |p| {
            seen.lock().unwrap().push((p.done, p.total));
            p.continue_()
        })
        .compute_all(&*MODEL, &image, 2..=4)
        .unwrap();
    // Three factorisations and two gradients, not six.
    assert_eq!(
        *steps.lock().unwrap(),
        [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]
    );
    for (found, count) in all.iter().zip(2..) {
        assert_eq!(found.count(), count);
        let mut alone = groups().compute_all(&*MODEL, &image, [count]).unwrap();
        let alone = alone.remove(0);
        assert_eq!(found.factors(), alone.factors());
        for (a, b) in found.effects().iter().zip(alone.effects()) {
            assert_eq!((a.values(), a.maps()), (b.values(), b.maps()));
        }
        assert_eq!(rows(found), rows(&alone));
        assert_eq!((found.seed(), found.rules()), (5, alone.rules()));
    }
    assert_eq!(groups().compute(&*MODEL, &image).unwrap().count(), 9);
    assert!(
        groups()
            .compute_all(&*MODEL, &image, [])
            .unwrap()
            .is_empty()
    );
}

#[test]
fn groups_need_no_target() {
    let image = prepare(photographs::coffee());
    let found = NeuronGroups::new(2).compute(&*MODEL, &image).unwrap();
    assert!(found.effects().is_empty());
    assert_eq!(found.layer(), "fire9/concat");
    assert_eq!(found.image_size(), [227, 227].map(|_| image.dims()[2]));
    assert!(found.factors().iter().all(|&v| v >= 0.0));
}

#[test]
fn the_batch_size_bounds_what_runs_together() {
    let values = (0..5 * 3 * 4).map(|i| (i % 7) as f32).collect();
    let images = elucid_testkit::tensor(values, [5, 3, 2, 2]);
    let most = Cell::new(0);
    let network = |x: Tensor<4>| {
        let [n, ..] = x.dims();
        most.set(most.get().max(n));
        let x = x.reshape([n as i32, -1]);
        (x.clone() * x).sum_dim(1)
    };
    let found = NeuronGroups::new(2)
        .at(INPUT)
        .batch_size(2)
        .targets([Target::class(0)])
        .compute(&network, &images)
        .unwrap();
    assert_eq!((most.get(), found.effects()[0].scores().len()), (2, 5));
}

#[test]
fn what_cannot_be_grouped_is_refused() {
    let image = prepare(photographs::chelsea());
    let refused = |groups: NeuronGroups| groups.compute(&*MODEL, &image).unwrap_err();

    let error = refused(NeuronGroups::new(2).at(INPUT));
    let text = error.to_string();
    assert!(
        matches!(error, AttributionError::NegativeActivations { image: 0, value, .. } if value < 0.0),
        "{text}"
    );
    assert!(text.contains("pca") && text.contains("ReLU"), "{text}");
    let pca = NeuronGroups::new(2)
        .at(INPUT)
        .reducer("PCA".parse().unwrap());
    assert_eq!(pca.compute(&*MODEL, &image).unwrap().count(), 2);

    let error = refused(NeuronGroups::new(1000).at(LAYER));
    let text = error.to_string();
    assert!(
        matches!(error, AttributionError::TooManyGroups { groups: 1000, limit, channels: 512, positions, .. }
            if limit == positions.min(512)),
        "{text}"
    );
    let error = refused(NeuronGroups::new(0).at(LAYER));
    assert!(
        matches!(
            error,
            AttributionError::Parameter {
                parameter: "groups",
                ..
            }
        ),
        "{error}"
    );
    let error = refused(NeuronGroups::new(2).batch_size(0));
    assert!(
        matches!(error, AttributionError::Parameter { .. }),
        "{error}"
    );
    let error = refused(NeuronGroups::new(2).at("fire77"));
    assert!(matches!(error, AttributionError::Graph(_)), "{error}");
    let error = refused(NeuronGroups::new(2).targets([Target::label("Egyptian dog")]));
    assert!(matches!(error, AttributionError::Model(_)), "{error}");
    let text = "pva".parse::<Method>().unwrap_err().to_string();
    assert!(text.contains("nmf, pca, ica, kmeans"), "{text}");
    let stop = NeuronGroups::new(2).progress(Progress::cancel);
    assert!(matches!(
        refused(stop),
        AttributionError::Cancelled { done: 1, .. }
    ));

    // Scores have no positions.
    let flat = |x: Tensor<4>| {
        let n = x.dims()[0];
        x.reshape([n as i32, -1])
    };
    let error = NeuronGroups::new(1)
        .at(LOGITS)
        .compute(&flat, &image)
        .unwrap_err();
    assert!(
        matches!(error, AttributionError::NotSpatial { .. }),
        "{error}"
    );

    // The input's channels do not vary in any direction.
    let grey = Tensor::<4>::ones([1, 3, 8, 8], &device());
    let pca = NeuronGroups::new(1).at(INPUT).reducer(Method::Pca);
    let error = pca.compute(&flat, &grey).unwrap_err();
    assert!(matches!(error, AttributionError::Factor { .. }), "{error}");
}

#[test]
fn six_groups_of_googlenet() {
    let Some(chelsea) = Chelsea::open() else {
        return;
    };
    let (model, folder) = (chelsea.model, chelsea.folder);
    let image = chelsea.input;
    let targets = [Target::class(285), Target::class(282)];
    let groups = || NeuronGroups::new(6).at("mixed4d").targets(targets.clone());
    let found = groups().compute(&model, &image).unwrap();
    println!("{found}");
    let summary = found.summary();
    assert!(
        (summary.relative_error - 0.568_396).abs() < 1e-5,
        "{summary:?}"
    );
    assert_eq!(summary.converged, Some(true));

    // With scikit-learn's factors from the start that fixes them, the order and every attribution.
    let found = groups()
        .reducer_with(|groups, seed| Box::new(Nmf::new(groups).start(Start::Nndsvd).seed(seed)))
        .compute(&model, &image)
        .unwrap();
    println!("{found}");
    let (_, spatial) = read_npy(&folder.join("nmf6_4d_nndsvd_spatial.npy"));
    let (_, channel) = read_npy(&folder.join("nmf6_4d_nndsvd_channel.npy"));
    let peak = |group: usize| {
        let best = (0..14 * 14).max_by(|&a, &b| {
            let at = |i: usize| spatial[i * 6 + group];
            at(a).total_cmp(&at(b))
        });
        let best = best.unwrap();
        [best / 14, best % 14]
    };
    let mut order: Vec<usize> = (0..6).collect();
    order.sort_by_key(|&group| peak(group)[1]);
    assert_eq!(found.order(), order);
    let peaks: Vec<_> = order.iter().map(|&group| peak(group)).collect();
    assert_eq!(found.peaks(0), peaks);
    for (effects, target) in found.effects().iter().zip(&targets) {
        let gradient = Gradient::at("mixed4d");
        let gradient = gradient.attribute(&model, &image, target.clone()).unwrap();
        let gradient: Vec<f32> = gradient.values().iter().copied().collect();
        let want: Vec<f32> = order
            .iter()
            .map(|&group| {
                let mut sum = 0.0;
                for at in 0..14 * 14 {
                    for c in 0..528 {
                        sum += f64::from(spatial[at * 6 + group])
                            * f64::from(channel[group * 528 + c])
                            * f64::from(gradient[c * 196 + at]);
                    }
                }
                sum as f32
            })
            .collect();
        let got: Vec<f32> = effects.values().iter().map(|&v| v as f32).collect();
        let error = relative_error(&got, &want);
        println!("{}: {got:?}, {error:.1e}", effects.target());
        assert!(error < 1e-3, "{}: {error:.1e}", effects.target());
    }
}
