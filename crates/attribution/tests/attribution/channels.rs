//! Channel attribution against the notebook's numbers, against networks worked out by hand and
//! against finite differences.

use std::cell::Cell;
use std::sync::LazyLock;

use burn::tensor::Tensor;
use elucid_attribution::{
    AttributionError, Attributor, ChannelAttribution, ChannelMethod, ChannelValues, ClassRef,
    LinearApproximation, Network, PathFactors, Progress, Quadrature, Side, Target,
};
use elucid_graph::{INPUT, LOGITS};
use elucid_models::photographs;
use elucid_testkit::{read_npy, relative_error};

use super::shared::{Chelsea, SQUEEZENET as MODEL};

static CAT: LazyLock<Tensor<4>> = LazyLock::new(|| prepare(photographs::chelsea()));

const LAYER: &str = "fire9/concat";

fn prepare(bytes: &[u8]) -> Tensor<4> {
    let picture = elucid_vision::input::decode_image(bytes).unwrap();
    MODEL.prepare(&picture).unwrap().tensor().clone()
}

fn compute(method: ChannelMethod, target: Target) -> ChannelValues {
    let found = ChannelAttribution::at(LAYER).method(method);
    found.compute(&*MODEL, &*CAT, target).unwrap().remove(0)
}

#[test]
fn as_the_notebook_on_googlenet() {
    let Some(chelsea) = Chelsea::open() else {
        return;
    };
    let (model, folder) = (chelsea.model, chelsea.folder);
    let images = chelsea.input.repeat_dim(0, 2);
    let sums = [[1.501_758_5, 17.263_288_5], [0.771_623_7, 17.953_346_25]];
    let changes = [17.299_371_7, 17.923_110_96];
    let methods = [
        (ChannelMethod::Linear, "channel_linear_4d.npy"),
        (ChannelMethod::path(), "channel_path100_4d.npy"),
    ];
    for (m, (method, file)) in methods.into_iter().enumerate() {
        let target = Target::each([Target::difference(282, Side::None), Target::class(285)]);
        let found = ChannelAttribution::at("mixed4d").method(method);
        let found = found.compute(&model, &images, target).unwrap();
        for (i, (found, class)) in found.iter().zip([282, 285]).enumerate() {
            println!("{found}");
            let (_, want) = read_npy(&folder.join(format!("{class}/{file}")));
            assert_eq!(found.values().len(), want.len());
            let error = relative_error(found.values(), &want);
            println!("{class}/{file}: {error:.1e}");
            assert!(error < 1e-4, "{class}/{file}: {error:.1e}");
            let complete = found.completeness();
            assert!((complete.sum - sums[i][m]).abs() < 1e-3, "{complete:?}");
            assert!(
                (complete.expected - changes[i]).abs() < 1e-3,
                "{complete:?}"
            );
            assert_eq!(found.layer(), "inception_4d/output");
            assert_eq!(found.target(), class.to_string());
            assert_eq!(found.maps().unwrap().dim(), (528, 14, 14));
            assert_eq!(found.side_scores()[1], 0.0);

            // argsort(-attr)[:4] and argsort(attr)[:4][::-1]
            let mut order: Vec<usize> = (0..want.len()).collect();
            order.sort_by(|&a, &b| want[b].total_cmp(&want[a]));
            let channels = |list: Vec<elucid_attribution::ChannelValue>| {
                list.into_iter().map(|v| v.channel).collect::<Vec<_>>()
            };
            println!("top {:?}, bottom {:?}", found.top(4), found.bottom(4));
            assert_eq!(channels(found.top(4)), order[..4]);
            assert_eq!(channels(found.bottom(4)), order[order.len() - 4..]);
        }
    }
}

/// `[N, C, 2, 2]`, sums over positions `s[c]`.
fn toy(channels: usize) -> (Tensor<4>, Vec<f32>) {
    let values: Vec<f32> = (0..channels * 4)
        .map(|i| ((i * 7 + 3) % 11) as f32 / 10.0)
        .collect();
    let sums = values.chunks(4).map(|c| c.iter().sum()).collect();
    (elucid_testkit::tensor(values, [1, channels, 2, 2]), sums)
}

fn sums(images: Tensor<4>) -> Tensor<2> {
    let [n, c, h, w] = images.dims();
    images.reshape([n, c, h * w]).sum_dim(2).reshape([n, c])
}

/// `(s[0] + ... + s[C-1])^degree / degree`, whose derivative by every number is the sum to the power
/// `degree - 1`.
fn power(degree: i32) -> impl Fn(Tensor<4>) -> Tensor<2> {
    move |images| {
        let sum = sums(images).sum_dim(1);
        sum.powi_scalar(degree) / degree as f32
    }
}

fn values(network: &dyn Network, images: &Tensor<4>, method: ChannelMethod, seed: u64) -> Vec<f32> {
    let found = ChannelAttribution::at(INPUT).method(method).seed(seed);
    let found = found.compute(network, images, Target::class(0)).unwrap();
    found[0].values().to_vec()
}

#[test]
fn a_quadratic_score_by_hand() {
    let (images, s) = toy(3);
    let sum: f32 = s.iter().sum();
    for (method, share) in [
        (ChannelMethod::Linear, 1.0),
        // Left ends of n steps: the mean of t is (n - 1) / 2n.
        (ChannelMethod::path(), 99.0 / 200.0),
        (
            ChannelMethod::Path {
                quadrature: Quadrature::Right,
                steps: 4,
            },
            5.0 / 8.0,
        ),
        (ChannelMethod::adaptive_path(0.001), 0.5),
    ] {
        let found = ChannelAttribution::at(INPUT).method(method);
        let found = found.compute(&power(2), &images, Target::class(0)).unwrap();
        for (&got, s) in found[0].values().iter().zip(&s) {
            let want = share * s * sum;
            assert!((got - want).abs() < 1e-4 * want, "{method}: {got}, {want}");
        }
        let complete = found[0].completeness();
        let change = f64::from(sum * sum / 2.0);
        assert!((complete.expected - change).abs() < 1e-4, "{complete:?}");
        let want = f64::from(share * sum * sum);
        assert!((complete.sum - want).abs() < 1e-3, "{complete:?}");
    }
}

/// Mean over seeds, and its standard error.
fn over_seeds(
    degree: i32,
    channels: usize,
    factors: PathFactors,
) -> (Vec<f64>, Vec<f64>, Vec<f32>) {
    const SEEDS: u64 = 400;
    let (images, s) = toy(channels);
    let method = ChannelMethod::StochasticPath {
        quadrature: Quadrature::Left,
        steps: 20,
        factors,
    };
    let network = power(degree);
    let (mut sum, mut squares) = (vec![0.0; channels], vec![0.0; channels]);
    for seed in 0..SEEDS {
        for (c, v) in values(&network, &images, method, seed)
            .into_iter()
            .enumerate()
        {
            sum[c] += f64::from(v);
            squares[c] += f64::from(v).powi(2);
        }
    }
    let n = SEEDS as f64;
    let mean: Vec<f64> = sum.iter().map(|v| v / n).collect();
    let errors = squares.iter().zip(&mean);
    let errors = errors.map(|(q, m)| ((q / n - m * m).max(0.0) / n).sqrt());
    let errors = errors.collect();
    (mean, errors, s)
}

/// With `t` at `0, 1/20, ..., 19/20`, `R` of mean `m` and variance `v`, all `R` independent:
/// `E[(sum t R s)] = m mean(t) sum s`, and `E[(sum t R s)^2] = mean(t^2) ((m sum s)^2 + v sum s^2)`.
#[test]
fn the_mean_over_seeds_is_what_it_should_be() {
    let t: Vec<f64> = (0..20).map(|i| f64::from(i) / 20.0).collect();
    let mean_t = t.iter().sum::<f64>() / 20.0;
    let mean_t2 = t.iter().map(|t| t * t).sum::<f64>() / 20.0;
    for (factors, m, v) in [
        (PathFactors::Unbiased, 1.0, 1.0 / 6.0),
        (PathFactors::Notebook, 2.0 / 3.0, 1.0 / 6.0 / 2.25),
    ] {
        for channels in [1, 3, 7] {
            for degree in [1, 2, 3] {
                let (mean, errors, s) = over_seeds(degree, channels, factors);
                let sum: f64 = s.iter().map(|&s| f64::from(s)).sum();
                let squares: f64 = s.iter().map(|&s| f64::from(s).powi(2)).sum();
                let gradient = match degree {
                    1 => 1.0,
                    2 => m * mean_t * sum,
                    _ => mean_t2 * ((m * sum).powi(2) + v * squares),
                };
                for ((got, error), s) in mean.iter().zip(&errors).zip(&s) {
                    let want = f64::from(*s) * gradient;
                    assert!(
                        (got - want).abs() <= 4.0 * error + 1e-5 * want,
                        "{factors:?}, degree {degree}, {channels} channels: {got} +- {error}, {want}"
                    );
                    // The deviation must be small enough to tell the two kinds of factors apart.
                    assert!(*error < 0.03 * want, "{got} +- {error}");
                }
            }
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_bits() {
    let (images, _) = toy(5);
    let network = power(3);
    let of = |seed| values(&network, &images, ChannelMethod::stochastic_path(), seed);
    assert_eq!(of(7), of(7));
    assert_ne!(of(7), of(8));

    // The size of batches changes nothing but rounding; a batch of images nothing at all.
    let pair = Tensor::cat(vec![images.clone(), images.clone() * 0.5], 0);
    let by = |batch_size| {
        ChannelAttribution::at(INPUT)
            .method(ChannelMethod::notebook())
            .batch_size(batch_size)
            .compute(&network, &pair, Target::class(0))
            .unwrap()
    };
    let (one, many) = (by(1), by(64));
    for (one, many) in one.iter().zip(&many) {
        assert!(relative_error(one.values(), many.values()) < 1e-5);
    }
    let alone = values(&network, &(images * 0.5), ChannelMethod::notebook(), 0);
    assert!(relative_error(many[1].values(), &alone) < 1e-5);
    assert_eq!(one[0].evaluations(), 100);
}

#[test]
fn a_score_without_curvature_has_one_answer() {
    let (images, s) = toy(4);
    for name in ChannelMethod::NAMES {
        let method: ChannelMethod = name.parse().unwrap();
        let got = values(&power(1), &images, method, 3);
        assert!(relative_error(&got, &s) < 1e-5, "{method}: {got:?}");
    }
    assert!(matches!(
        "strait".parse::<ChannelMethod>(),
        Err(AttributionError::Parameter { .. })
    ));
}

/// Never more rows at once than asked for, whatever the number of images and steps.
#[test]
fn the_batch_size_bounds_what_runs_together() {
    let (images, _) = toy(3);
    let images = images.repeat_dim(0, 5);
    let most = Cell::new(0);
    let score = power(2);
    let network = |x: Tensor<4>| {
        most.set(most.get().max(x.dims()[0]));
        score(x)
    };
    for method in ChannelMethod::NAMES {
        let found = ChannelAttribution::at(INPUT)
            .method(method.parse().unwrap())
            .batch_size(2)
            .compute(&network, &images, Target::class(0))
            .unwrap();
        assert_eq!((found.len(), most.get()), (5, 2), "{method}");
    }
}

/// The gradient of `log sum exp` is that of the logits, weighted by their softmax: here by central
/// differences along each of some channels.
#[test]
fn log_sum_exp_by_softmax_weighted_differences() {
    let linear = |target| compute(ChannelMethod::Linear, target);
    let found = linear(Target::difference(Side::LogSumExp, Side::None));
    let at = MODEL.pass().input(&*CAT).fetch([LAYER]).unwrap();
    let at = at.get(LAYER).unwrap().tensor::<4>().unwrap();
    let logits = |at: Tensor<4>| -> Vec<f64> {
        let pass = MODEL.pass().feed(LAYER, at).fetch([LOGITS]).unwrap();
        let logits = pass.get(LOGITS).unwrap().to_array().unwrap();
        logits.iter().map(|&l| f64::from(l)).collect()
    };
    let here = logits(at.clone());
    let top = here.iter().fold(f64::MIN, |a, &b| a.max(b));
    let powers: Vec<f64> = here.iter().map(|l| (l - top).exp()).collect();
    let all: f64 = powers.iter().sum();
    let channels: Vec<usize> = [found.top(4), found.bottom(4)]
        .concat()
        .into_iter()
        .map(|v| v.channel)
        .collect();
    let largest = found.top(1)[0].value.abs();
    for channel in channels {
        let moved = |by: f32| {
            let [_, c, _, _] = at.dims();
            let parts = (0..c).map(|i| {
                let part = at.clone().narrow(1, i, 1);
                if i == channel { part * by } else { part }
            });
            logits(Tensor::cat(parts.collect(), 1))
        };
        let step = 1e-2;
        let (up, down) = (moved(1.0 + step), moved(1.0 - step));
        let want: f64 = (0..here.len())
            .map(|k| powers[k] / all * (up[k] - down[k]) / (2.0 * f64::from(step)))
            .sum();
        let got = found.values()[channel];
        assert!(
            (f64::from(got) - want).abs() < 2e-3 * f64::from(largest),
            "channel {channel}: {got}, {want}"
        );
    }

    // Differences are differences.
    let class = linear(Target::class(285));
    let both = linear(Target::difference(285, Side::LogSumExp));
    let want = &class.values() - &found.values();
    assert!(relative_error(both.values(), &want) < 1e-5);
    let [a, b] = both.side_scores();
    assert_eq!((a, b), (class.score(), found.score()));
    assert_eq!(both.score(), a - b);
    let sum = top + all.ln();
    assert!((f64::from(b) - sum).abs() < 1e-4, "{b}, {sum}");
}

#[test]
fn sides_of_a_difference() {
    let linear = |target| compute(ChannelMethod::Linear, target);
    let (cat, tabby) = (linear(Target::class(285)), linear(Target::class(281)));
    let alone = linear(Target::difference(285, Side::None));
    assert_eq!(alone.values(), cat.values());
    assert_eq!(alone.target(), "285");
    let against = linear(Target::difference(Side::None, 285));
    assert_eq!(against.values(), cat.values().mapv(|v| -v));
    assert_eq!(against.side_scores(), [0.0, cat.score()]);
    assert_eq!(against.target(), "-(285)");
    let both = linear(Target::difference(285, 281));
    let want = &cat.values() - &tabby.values();
    assert!(relative_error(both.values(), &want) < 1e-5);

    // As typed.
    let typed = |text: &str| text.parse::<Target>().unwrap().to_string();
    assert_eq!(typed("Egyptian cat:none"), "Egyptian cat");
    assert_eq!(typed("None: 7"), "-(7)");
    assert_eq!(typed("285:logsumexp"), "285 - log sum exp");
    assert_eq!(typed("LogSumExp:285"), "log sum exp - 285");
    assert_eq!(typed("logsumexp"), "log sum exp");
    assert_eq!(typed("285:282"), "285 - 282");
    for text in ["", ":", "285:", ":285"] {
        let error = text.parse::<Target>().unwrap_err();
        assert!(matches!(error, AttributionError::Target { .. }), "{error}");
    }
    let nothing =
        ChannelAttribution::at(LAYER).compute(&*MODEL, &*CAT, "none:none".parse().unwrap());
    assert!(matches!(nothing, Err(AttributionError::Target { .. })));
    // A class may be given as a reference too.
    let class = Target::difference(ClassRef::from("tabby"), Side::None);
    assert_eq!(class.to_string(), "tabby");
}

#[test]
fn a_batch_gives_what_its_images_give() {
    let images = [&*CAT, &prepare(photographs::coffee())].map(Tensor::clone);
    let batch = Tensor::cat(images.to_vec(), 0);
    let targets = [Target::difference(285, 281), Target::class(967)];
    for method in [
        ChannelMethod::Linear,
        ChannelMethod::Path {
            quadrature: Quadrature::Left,
            steps: 5,
        },
        ChannelMethod::StochasticPath {
            quadrature: Quadrature::Middle,
            steps: 5,
            factors: PathFactors::Unbiased,
        },
    ] {
        let together = ChannelAttribution::at(LAYER).method(method);
        let together = together
            .compute(&*MODEL, &batch, Target::each(targets.clone()))
            .unwrap();
        for ((found, image), target) in together.iter().zip(&images).zip(&targets) {
            let alone = ChannelAttribution::at(LAYER).method(method);
            let alone = alone.compute(&*MODEL, image, target.clone()).unwrap();
            let error = relative_error(found.values(), alone[0].values());
            assert!(error < 1e-5, "{method}: {error:.1e}");
            assert_eq!(found.target(), target.to_string());
            let [got, want] = [found, &alone[0]].map(ChannelValues::side_scores);
            for (got, want) in got.iter().zip(want) {
                assert!((got - want).abs() < 1e-4, "{got}, {want}");
            }
        }
    }
}

#[test]
fn maps_add_up_to_values() {
    let found = compute(ChannelMethod::Linear, Target::class(285));
    let linear = LinearApproximation::at(LAYER);
    let linear = linear
        .attribute(&*MODEL, &*CAT, Target::class(285))
        .unwrap();
    assert_eq!(
        found.attribution(),
        linear.values().index_axis(ndarray::Axis(0), 0)
    );
    for value in found.sorted() {
        let map = found.map(value.channel).unwrap();
        assert!((map.sum() - value.value).abs() < 1e-4);
    }
    let sorted = found.sorted();
    assert!(sorted.is_sorted_by(|a, b| a.value >= b.value));
    assert_eq!(sorted.len(), found.values().len());
    assert_eq!(found.top(3), sorted[..3]);
    assert_eq!(found.bottom(3), sorted[sorted.len() - 3..]);
    assert_eq!(found.top(10_000).len(), sorted.len());
    assert!(matches!(
        found.map(10_000),
        Err(AttributionError::OutOfRange {
            what: "channel",
            ..
        })
    ));
    let adaptive = compute(ChannelMethod::adaptive_path(0.01), Target::class(285));
    assert_eq!(adaptive.tolerance_met(), Some(true));
    assert!(adaptive.completeness().error() <= 0.01, "{adaptive}");
    assert_eq!(found.tolerance_met(), None);
}

#[test]
fn bad_parameters_are_refused() {
    let refused = |attribution: ChannelAttribution| {
        let found = attribution.compute(&*MODEL, &*CAT, Target::class(285));
        found.unwrap_err()
    };
    let path = |steps| ChannelMethod::Path {
        quadrature: Quadrature::Left,
        steps,
    };
    let stochastic = ChannelMethod::StochasticPath {
        quadrature: Quadrature::Left,
        steps: 0,
        factors: PathFactors::Unbiased,
    };
    let at = || ChannelAttribution::at(LAYER);
    for attribution in [
        at().batch_size(0),
        at().method(path(0)),
        at().method(path(usize::MAX)),
        at().method(stochastic),
        at().method(ChannelMethod::adaptive_path(f64::NAN)),
        at().method(ChannelMethod::adaptive_path(-0.1)),
        at().method(ChannelMethod::AdaptivePath {
            tolerance: 0.1,
            max_evaluations: 1,
        }),
    ] {
        let error = refused(attribution);
        assert!(
            matches!(error, AttributionError::Parameter { .. }),
            "{error}"
        );
    }
    let error = refused(ChannelAttribution::at("fire99"));
    assert!(matches!(error, AttributionError::Graph(_)), "{error}");

    let stop = |p: Progress| match p.done < 3 {
        true => p.continue_(),
        false => p.cancel(),
    };
    for method in [path(9), ChannelMethod::stochastic_path()] {
        let error = refused(at().method(method).batch_size(1).progress(stop));
        assert!(
            matches!(error, AttributionError::Cancelled { done: 3, .. }),
            "{error}"
        );
    }
}
