//! Metrics against Quantus on the same arrays, which `scripts/quantus_agreement.py` wrote with its numbers: the table of metrics in
//! `docs/agreement.md`, which this test writes when `ELUCID_WRITE_DOCS` is set.
//!
//! What metrics draw at random is recorded here, in `draws.json` (written when `ELUCID_WRITE_DRAWS` is set), and Quantus is given the
//! same.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use elucid_attribution::{LinearApproximation, Superpixels};
use elucid_metrics::pixel_flipping::Filling;
use elucid_metrics::{
    AttributionLocalisation, Case, Complexity, EffectiveComplexity, EfficientRandomisation,
    FaithfulnessCorrelation, FaithfulnessEstimate, Hidden, Irof, LipschitzEstimate,
    LocalisationAuc, MassAccuracy, Metric, Monotonicity, MonotonicityCorrelation,
    ParameterRandomisation, PixelFlipping, Pointing, RandomLogit, RankAccuracy, RelativeStability,
    Scale, SensitivityAverage, SensitivityMax, SmoothRandomisation, Sparseness, TopK,
};
use ndarray::{Array2, Axis};
use serde_json::Value;

use crate::common::{Asked, TwoLayers, tensor, value};

/// Largest difference allowed, absolute or in proportion to the number, whichever is larger.
const TOLERANCE: f64 = 1e-6;

fn data(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(file)
}

fn floats(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(values) => values.iter().flat_map(floats).collect(),
        value => vec![value.as_f64().unwrap()],
    }
}

fn singles(value: &Value) -> Vec<f32> {
    floats(value).into_iter().map(|v| v as f32).collect()
}

/// The arrays, and what Quantus makes of them.
struct Arrays {
    json: Value,
    side: usize,
}

impl Arrays {
    fn read() -> Self {
        let json: Value = serde_json::from_slice(&fs::read(data("quantus.json")).unwrap()).unwrap();
        Self {
            side: json["side"].as_u64().unwrap() as usize,
            json,
        }
    }

    fn cases(&self) -> usize {
        self.json["images"].as_array().unwrap().len()
    }

    fn plane(&self, what: &str, case: usize) -> Array2<f32> {
        let values = singles(&self.json[what][case]);
        Array2::from_shape_vec((self.side, self.side), values).unwrap()
    }

    /// Two layers with a ReLU in between.
    fn network(&self) -> TwoLayers {
        let matrix = |name: &str, rows: usize| {
            let values = singles(&self.json[name]);
            let columns = values.len() / rows;
            Array2::from_shape_vec((rows, columns), values).unwrap()
        };
        let first = matrix("first", self.side * self.side);
        let second = matrix("second", first.ncols());
        TwoLayers::new(first, second)
    }

    /// Measures each case by `with`.
    fn each<T>(&self, with: impl FnMut(Case<'_>) -> T) -> Vec<T> {
        self.each_recorded(with).0
    }

    /// The same, and what the network was asked for in each case; of the images, all but the image itself.
    fn each_recorded<T>(&self, mut with: impl FnMut(Case<'_>) -> T) -> (Vec<T>, Vec<Asked>) {
        let method = LinearApproximation::at_input();
        let mut recorded = Vec::new();
        let measured = (0..self.cases()).map(|number| {
            let network = self.network();
            let own = singles(&self.json["images"][number]);
            let image = tensor(own.clone(), [1, 1, self.side, self.side]);
            let (map, mask) = (self.plane("maps", number), self.plane("masks", number));
            let mask = mask.mapv(|v| v > 0.0);
            let class = self.json["classes"][number].as_u64().unwrap() as usize;
            let case = Case::new(&network, &image, class, map.view()).unwrap();
            let case = case.mask(mask.view()).unwrap().attributor(&method);
            let measured = with(case.identity(number as u64));
            let mut asked = std::mem::take(&mut *network.asked.lock().unwrap());
            asked.images.retain(|image| *image != own);
            recorded.push(asked);
            measured
        });
        let measured = measured.collect();
        (measured, recorded)
    }

    fn values(&self, metric: &dyn Metric) -> Vec<Vec<f64>> {
        self.each(|case| vec![value(metric.measure(&case).unwrap())])
    }
}

/// A metric as it is called here and there.
struct Row {
    /// Its name in the file of Quantus' numbers.
    theirs: &'static str,
    ours: &'static str,
    note: &'static str,
    /// Numbers of each case.
    found: Vec<Vec<f64>>,
}

/// The metrics that draw nothing.
fn fixed(arrays: &Arrays) -> Vec<Row> {
    let zeros = Hidden::Zero;
    let absolute = |metric: &dyn Metric| {
        arrays.each(|case| {
            let map = case.map().mapv(f32::abs);
            let network = arrays.network();
            let mask = case.true_pixels().unwrap();
            let case = Case::new(&network, &case.image(), case.class(), map.view()).unwrap();
            vec![value(
                metric.measure(&case.mask(mask.view()).unwrap()).unwrap(),
            )]
        })
    };
    let row = |theirs, ours, note, found| Row {
        theirs,
        ours,
        note,
        found,
    };
    let estimate = FaithfulnessEstimate::new().steps(9).baseline(zeros);
    let flipping = PixelFlipping::samek()
        .patch(1)
        .steps(usize::MAX)
        .filling(Filling::Zero);
    let quarters = Irof::new().segments(Superpixels::grid(2)).baseline(zeros);
    vec![
        row(
            "AUC",
            "localisation-auc",
            "",
            arrays.values(&LocalisationAuc),
        ),
        row(
            "TopKIntersection",
            "top-k-intersection",
            "",
            arrays.values(&TopK::of(7)),
        ),
        row(
            "TopKIntersection, concept influence",
            "top-k-intersection:concept-influence=true",
            "",
            arrays.values(&TopK::of(7).concept_influence()),
        ),
        row(
            "AttributionLocalisation",
            "attribution-localisation",
            "adds 1e-9 below the line; its weighted form is another",
            arrays.values(&AttributionLocalisation::new()),
        ),
        row(
            "RelevanceMassAccuracy",
            "mass-accuracy",
            "of maps without negative values, which it adds up, and we take for 0",
            absolute(&MassAccuracy),
        ),
        row(
            "RelevanceRankAccuracy",
            "rank-accuracy",
            "",
            arrays.values(&RankAccuracy),
        ),
        row(
            "PointingGame",
            "pointing:0",
            "knows no tolerance",
            arrays.values(&Pointing::exact()),
        ),
        row("Sparseness", "sparseness", "", arrays.values(&Sparseness)),
        row("Complexity", "complexity", "", arrays.values(&Complexity)),
        row(
            "EffectiveComplexity",
            "effective-complexity",
            "of maps divided by their largest value, as always here",
            arrays.values(&EffectiveComplexity::new().eps(0.25)),
        ),
        row(
            "PixelFlipping",
            "pixel-flipping:patch=1,filling=zero",
            "the curve; ours begins with the whole image",
            arrays.each(|case| {
                let curve = flipping.curve(&case).unwrap().unwrap();
                curve.scores[1..].to_vec()
            }),
        ),
        row(
            "FaithfulnessEstimate",
            "faithfulness-estimate",
            "",
            arrays.values(&estimate),
        ),
        row(
            "FaithfulnessEstimate, softmax",
            "faithfulness-estimate:probability=true",
            "",
            arrays.values(&estimate.probability()),
        ),
        row(
            "IROF",
            "irof:baseline=zero",
            "from our curve, by its rule: the number of segments less the area from the first removed one on",
            arrays.each(|case| {
                let curve = quarters.curve(&case).unwrap().unwrap();
                let left: Vec<f64> = curve.scores[1..]
                    .iter()
                    .map(|p| p / curve.scores[0])
                    .collect();
                let area: f64 = left.windows(2).map(|pair| (pair[0] + pair[1]) / 2.0).sum();
                vec![left.len() as f64 - area]
            }),
        ),
        row(
            "RandomLogit",
            "random-logit:spearman",
            "of two classes, so that nothing is drawn",
            arrays.values(&RandomLogit::spearman()),
        ),
    ]
}

/// What is drawn of each case.
type Draws = Vec<Vec<Vec<f32>>>;

/// The metrics that draw, and what they drew: changed images, or for sets of pixels their numbers.
fn drawing(arrays: &Arrays) -> (Vec<Row>, BTreeMap<&'static str, Draws>) {
    let mut draws = BTreeMap::new();
    let mut rows = Vec::new();
    let mut add = |theirs, ours, note, metric: &dyn Metric, sets: bool| {
        let measure = |case: Case<'_>| vec![value(metric.measure(&case).unwrap())];
        let (found, asked) = arrays.each_recorded(measure);
        let mut drawn: Draws = asked.into_iter().map(|asked| asked.images).collect();
        if sets {
            for image in drawn.iter_mut().flatten() {
                let hidden = image.iter().enumerate().filter(|(_, v)| **v == 0.0);
                *image = hidden.map(|(pixel, _)| pixel as f32).collect();
            }
        }
        draws.insert(theirs, drawn);
        rows.push(Row {
            theirs,
            ours,
            note,
            found,
        });
    };
    let correlation = FaithfulnessCorrelation::bhatt().pixels(5).samples(20);
    add(
        "FaithfulnessCorrelation",
        "faithfulness-correlation",
        "",
        &correlation,
        true,
    );
    let monotonicity = MonotonicityCorrelation::new().steps(9).samples(3);
    add(
        "MonotonicityCorrelation",
        "monotonicity-correlation",
        "",
        &monotonicity,
        false,
    );
    let radius = SensitivityMax::captum().radius(0.2).samples(5);
    add("MaxSensitivity", "sensitivity-max", "", &radius, false);
    let average = SensitivityAverage::quantus().samples(5);
    add("AvgSensitivity", "sensitivity-average", "", &average, false);
    let lipschitz = LipschitzEstimate::new().scale(Scale::Absolute).samples(5);
    add(
        "LocalLipschitzEstimate",
        "lipschitz:normalised=false",
        "with Euclidean norms above the line too, as the paper has it",
        &lipschitz.raw(),
        false,
    );
    add(
        "LocalLipschitzEstimate, normalised",
        "lipschitz",
        "the same",
        &lipschitz,
        false,
    );
    // So much noise that differences of scores keep their digits in single precision, which small ones lose.
    let stability = |metric: RelativeStability| {
        let metric = metric.noise(0.6).samples(3);
        metric.scale(Scale::Absolute)
    };
    let note = "where no sample changes the best guess";
    add(
        "RelativeInputStability",
        "relative-input-stability",
        note,
        &stability(RelativeStability::input()),
        false,
    );
    add(
        "RelativeOutputStability",
        "relative-output-stability",
        note,
        &stability(RelativeStability::output()),
        false,
    );
    let mut cascade = |theirs, ours, note, metric: &dyn Metric| {
        let measure = |case: Case<'_>| vec![value(metric.measure(&case).unwrap())];
        let (found, asked) = arrays.each_recorded(measure);
        let drawn = asked.iter().map(|asked| asked.weights.clone());
        draws.insert("weights", drawn.collect());
        let drawn = asked.into_iter().map(|asked| asked.images);
        draws.insert(theirs, drawn.collect());
        rows.push(Row {
            theirs,
            ours,
            note,
            found,
        });
    };
    let note = "of the same random weights, the mean over the layers without the trained network";
    let smooth = SmoothRandomisation::spearman().samples(4);
    cascade("MPRT", "mprt", note, &ParameterRandomisation::spearman());
    cascade("SmoothMPRT", "smooth-mprt", note, &smooth);
    let note = "of the same random weights";
    let efficient = EfficientRandomisation::new();
    cascade("EfficientMPRT", "efficient-mprt", note, &efficient);
    (rows, draws)
}

/// The largest difference, absolute or in proportion, over all cases.
fn worst(row: &Row, arrays: &Arrays) -> f64 {
    let theirs = &arrays.json["found"][row.theirs];
    let theirs = theirs.as_array().unwrap_or_else(|| {
        panic!(
            "{} is not in quantus.json: run scripts/quantus_agreement.py",
            row.theirs
        )
    });
    assert_eq!(theirs.len(), row.found.len(), "{}", row.theirs);
    let mut worst = 0.0_f64;
    for (theirs, ours) in theirs.iter().zip(&row.found) {
        let theirs = floats(theirs);
        assert_eq!(theirs.len(), ours.len(), "{}", row.theirs);
        for (theirs, ours) in theirs.iter().zip(ours) {
            let difference = (theirs - ours).abs() / theirs.abs().max(1.0);
            assert!(
                difference <= TOLERANCE,
                "{}: {ours}, theirs {theirs}",
                row.theirs
            );
            worst = worst.max(difference);
        }
    }
    worst
}

fn line(row: &Row) -> String {
    format!("| `{}` | {} | {} |", row.ours, row.theirs, row.note)
}

#[test]
fn numbers_are_those_of_quantus() {
    let arrays = Arrays::read();
    let (drawing, draws) = drawing(&arrays);
    let draws = format!("{}\n", serde_json::to_string(&draws).unwrap());
    if std::env::var_os("ELUCID_WRITE_DRAWS").is_some() {
        fs::write(data("draws.json"), draws).unwrap();
        return;
    }
    assert!(
        fs::read_to_string(data("draws.json")).unwrap() == draws,
        "metrics draw other numbers than draws.json has, which were given to Quantus: write it again with \
         ELUCID_WRITE_DRAWS, and run scripts/quantus_agreement.py"
    );
    let rows: Vec<Row> = fixed(&arrays).into_iter().chain(drawing).collect();
    let mut text = INTRODUCTION.to_owned();
    for row in &rows {
        let worst = worst(row, &arrays);
        println!("{}: {worst:.0e}", row.theirs);
        writeln!(text, "{} {worst:.0e} |", line(row)).unwrap();
    }
    text.push_str(NOTE);
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/agreement.md");
    let written = fs::read_to_string(&document).unwrap();
    if std::env::var_os("ELUCID_WRITE_DOCS").is_some() {
        let others = written.split(HEADING).next().unwrap().trim_end();
        fs::write(&document, format!("{others}\n\n{HEADING}{text}")).unwrap();
        return;
    }
    for row in &rows {
        let line = line(row);
        assert!(
            written.contains(&line),
            "{} lacks {line}; set ELUCID_WRITE_DOCS to write it again",
            document.display(),
        );
    }
}

/// Of its definition Quantus 0.6 keeps an image that stays the baseline, which never falls.
#[test]
fn monotonicity_is_not_that_of_quantus() {
    let arrays = Arrays::read();
    assert_eq!(floats(&arrays.json["found"]["Monotonicity"]), [1.0; 3]);
    let found = arrays.each(|case| {
        let curve = Monotonicity::new().steps(9).curve(&case).unwrap().unwrap();
        let (map, image) = (case.map(), case.image());
        let pixels: Vec<f32> = image.into_data().iter::<f32>().collect();
        let mut order: Vec<usize> = (0..pixels.len()).collect();
        let map: Vec<f32> = map.iter().copied().collect();
        order.sort_by(|&a, &b| map[a].total_cmp(&map[b]));
        let mut now = vec![0.0; pixels.len()];
        let mut probabilities = Vec::new();
        for group in order.chunks(4) {
            group.iter().for_each(|&pixel| now[pixel] = pixels[pixel]);
            let image = tensor(now.clone(), [1, 1, arrays.side, arrays.side]);
            let scores = case.logits(image).unwrap();
            let scores = scores.index_axis(Axis(0), 0).mapv(|v| f64::from(v).exp());
            probabilities.push(scores[case.class()] / scores.sum());
        }
        for (got, want) in curve.scores.iter().zip(&probabilities) {
            assert!((got - want).abs() < 1e-9, "{got} {want}");
        }
        probabilities.windows(2).any(|pair| pair[1] < pair[0])
    });
    assert!(found.contains(&true), "some step falls");
}

const HEADING: &str = "## Metrics, and Quantus\n";

const INTRODUCTION: &str = "
A network of two layers with a ReLU in between, three images of 6 x 6 pixels and as many maps; Quantus 0.6.0. Weights and pixels are
multiples of 1/16, so that scores are the same in single and in double precision. What metrics draw at random is drawn here, and given
to Quantus. The images have one channel: Quantus counts each channel of a pixel as a feature, the metrics here whole pixels. The last
column is the largest difference over the three, in proportion to numbers above 1. The test `quantus` of `elucid-metrics` fails above
1e-6; `scripts/quantus_agreement.py` wrote Quantus' numbers.

| here | Quantus' metric | | largest difference |
| --- | --- | --- | --- |
";

const NOTE: &str = "
What has the same name and another definition:

- **Monotonicity.** Quantus puts the baseline's numbers in the baseline's place, so that its image never changes and the answer is
  always yes (0.6.0). `monotonicity` puts the image's pixels there, as AIX360 does.
- **SensitivityN.** Quantus hides more and more pixels in the order of the map and correlates over the images of a batch, for each number.
  `sensitivity-n` draws sets of pixels of one image, as the paper.
- **IROF.** Quantus' number grows with the number of segments, and begins after the first; `irof` is 1 at most. Its mean, with which
  segments are overwritten, is that of what the image has become so far; ours that of the image as it was.
- **AttributionLocalisation, weighted.** Quantus multiplies by the share of the batch that the object covers; the paper, and
  `attribution-localisation:weighted=true`, divide by the share of the image.
- **Infidelity, Selectivity, RegionPerturbation, ROAD.** Other replacements and other regions; Quantus returns curves, or
  accuracies over a batch.
- **RelativeInputStability, RelativeOutputStability.** Quantus has no number as soon as one sample changes the best guess; here such
  samples are left out.
- **RandomLogit, SSIM.** Quantus takes the range of both maps together for that of the values; here each is scaled first.
- **MPRT, SmoothMPRT, EfficientMPRT.** Quantus draws weights from PyTorch's initial distributions. The mean over the layers counts the
  trained network, and SmoothMPRT takes absolute values of mean explanations, unless told otherwise.
";
