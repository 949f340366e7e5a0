//! The study's tables, from what `elucid evaluate` measured.
//!
//! Two things go beyond the command's own table. *Difficult* images are those whose boxes cover less
//! than a quarter of them. And the parameter of each localisation threshold is chosen on other images
//! than those it is judged on, as the published numbers were: the images are split into two halves,
//! the best `alpha` of one is applied to the other, and the error is that over both.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use elucid::metrics::{Bootstrap, Estimate, csv};

/// Boxes that cover less of their image than this are difficult.
const DIFFICULT: f64 = 0.25;

/// On fewer images no parameter of a threshold is chosen: half of them would choose by chance.
const LEAST_FOR_ALPHA: usize = 100;

/// Fewer difficult images have no column of their own.
const LEAST_DIFFICULT: usize = 20;

/// Images with longer sides are no photographs.
const MAX_SIDE: f64 = 1e5;

/// The thresholds of a published error, in the order of [`PUBLISHED`].
const RULES: [&str; 3] = ["energy", "value", "mean"];

/// The published localisation errors of this network, by method and threshold: 50,000 validation
/// images, `alpha` chosen on 5,000 training images (Fong and Vedaldi, 2017, *perturb_explanations*).
const PUBLISHED: [(&str, [f64; 3]); 6] = [
    ("grad-cam", [0.5388, 0.5303, 0.5331]),
    ("occlusion", [0.4939, 0.5115, 0.4858]),
    ("gradient", [0.4391, 0.4604, 0.4166]),
    ("guided-backprop", [0.4697, 0.5019, 0.4199]),
    (
        "excitation-backprop:layer=pool2/3x3_s2",
        [0.3871, 0.4609, 0.3898],
    ),
    (
        "meaningful-perturbation:preset=localisation",
        [0.4315, 0.4402, 0.4324],
    ),
];

/// The map that knows nothing of the image, which others are compared with.
const CENTRE: &str = "centre";

/// Metrics for which the network looks at changed pictures.
const EFFECTS: [&str; 2] = ["insertion", "deletion"];

/// Columns of the first table: a metric, whether its mean is over classes, and its head, which says
/// whether more is better.
const MEASURES: [(&str, bool, &str); 6] = [
    ("pointing:15", true, "pointing, 15 px ↑"),
    ("pointing:0", true, "pointing, exact ↑"),
    ("mass-accuracy", false, "mass in the box ↑"),
    ("rank-accuracy", false, "rank accuracy ↑"),
    ("insertion", false, "insertion ↑"),
    ("deletion", false, "deletion ↓"),
];

/// One image under one method.
#[derive(Clone)]
struct Line {
    /// The image's number, in order of appearance.
    image: usize,
    class: usize,
    values: BTreeMap<String, f64>,
}

/// The results of one folder, or of several over the same data and metrics.
struct Results {
    metrics: Vec<String>,
    files: Vec<String>,
    /// Methods in order of appearance, each with its lines by image.
    methods: Vec<(String, BTreeMap<usize, Line>)>,
}

impl Results {
    /// These metrics alone, on the images that have a number under any of them.
    fn under(&self, metrics: Vec<String>) -> Self {
        let has = |line: &Line| metrics.iter().any(|name| line.values.contains_key(name));
        let methods = self.methods.iter().map(|(method, lines)| {
            let lines = lines.iter().filter(|(_, line)| has(line));
            let lines = lines.map(|(&image, line)| (image, line.clone()));
            (method.clone(), lines.collect::<BTreeMap<_, _>>())
        });
        Self {
            files: self.files.clone(),
            methods: methods.filter(|(_, lines)| !lines.is_empty()).collect(),
            metrics,
        }
    }

    /// What the network makes of other pictures, and what is told from the maps alone: a method may be asked for the two on
    /// different images.
    fn parts(&self) -> [Self; 2] {
        let by_effect = |name: &&String| EFFECTS.contains(&name.split(':').next().unwrap_or(""));
        let (effects, others) = self.metrics.iter().partition::<Vec<_>, _>(by_effect);
        [others, effects].map(|metrics| self.under(metrics.into_iter().cloned().collect()))
    }
}

/// A CSV file with a line of heads.
struct Table {
    path: PathBuf,
    heads: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    fn read(path: &Path) -> Result<Self, Box<dyn Error>> {
        let bytes = std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
        let mut rows = csv::parse(&bytes).into_iter().map(|record| record.cells);
        Ok(Self {
            path: path.to_owned(),
            heads: rows.next().unwrap_or_default(),
            rows: rows.collect(),
        })
    }

    fn column(&self, name: &str) -> Result<usize, Box<dyn Error>> {
        let found = self.heads.iter().position(|head| head == name);
        let path = self.path.display();
        Ok(found.ok_or_else(|| format!("{path}: no column is called {name}"))?)
    }
}

/// Reads `results.csv` of each folder; folders with the same columns are one set of results.
fn read(folders: &[&str]) -> Result<Vec<Results>, Box<dyn Error>> {
    let mut sets: Vec<Results> = Vec::new();
    for folder in folders {
        let path = Path::new(folder).join("results.csv");
        let table = Table::read(&path)?;
        let [file, class, method] = [
            table.column("file")?,
            table.column("class")?,
            table.column("method")?,
        ];
        let seconds = table.column("seconds")?;
        let heads = &table.heads;
        let metrics: Vec<String> = (heads.iter().enumerate())
            .filter(|&(at, _)| at > method && at != seconds)
            .map(|(_, head)| head.clone())
            .collect();
        let at = match sets.iter().position(|set| set.metrics == metrics) {
            Some(at) => at,
            None => {
                sets.push(Results {
                    metrics,
                    files: Vec::new(),
                    methods: Vec::new(),
                });
                sets.len() - 1
            }
        };
        let set = &mut sets[at];
        let mut numbers: BTreeMap<String, usize> = set.files.iter().cloned().zip(0..).collect();
        for row in &table.rows {
            let cell = |at: usize| row.get(at).map_or("", String::as_str);
            let image = *numbers.entry(cell(file).to_owned()).or_insert_with(|| {
                set.files.push(cell(file).to_owned());
                set.files.len() - 1
            });
            let values = (heads.iter().zip(row))
                .filter_map(|(head, text)| Some((head.clone(), text.parse().ok()?)));
            let line = Line {
                image,
                class: cell(class).parse()?,
                values: values.collect(),
            };
            let known = set
                .methods
                .iter()
                .position(|(name, _)| name == cell(method));
            let at = known.unwrap_or_else(|| {
                set.methods.push((cell(method).to_owned(), BTreeMap::new()));
                set.methods.len() - 1
            });
            set.methods[at].1.entry(image).or_insert(line);
        }
    }
    Ok(sets)
}

/// The share of each image that its boxes cover, by file; nothing without boxes.
fn covers(data: &str) -> Result<BTreeMap<String, f64>, Box<dyn Error>> {
    if data.is_empty() {
        return Ok(BTreeMap::new());
    }
    let path = Path::new(data).join("boxes.csv");
    let table = Table::read(&path)?;
    let names = ["width", "height", "xmin", "ymin", "xmax", "ymax"];
    let file = table.column("file")?;
    let columns = names.map(|name| table.column(name));
    let mut masks: BTreeMap<String, ndarray::Array2<bool>> = BTreeMap::new();
    for row in &table.rows {
        let mut numbers = [0.0; 6];
        for (number, column) in numbers.iter_mut().zip(&columns) {
            let column = column.as_ref().map_err(|error| error.to_string())?;
            let text = row.get(*column).map_or("", String::as_str);
            *number = (text.parse::<f64>())
                .map_err(|_| format!("{}: \"{text}\" is no number", path.display()))?;
        }
        let [width, height, xmin, ymin, xmax, ymax] = numbers;
        if ![width, height]
            .iter()
            .all(|side| (0.0..=MAX_SIDE).contains(side))
        {
            return Err(format!("{}: an image of {width} x {height}", path.display()).into());
        }
        let mask = masks
            .entry(row.get(file).cloned().unwrap_or_default())
            .or_insert_with(|| {
                ndarray::Array2::from_elem((height as usize, width as usize), false)
            });
        for ((y, x), inside) in mask.indexed_iter_mut() {
            let (x, y) = (x as f64 + 0.5, y as f64 + 0.5);
            *inside |= (xmin..xmax).contains(&x) && (ymin..ymax).contains(&y);
        }
    }
    let share = |mask: &ndarray::Array2<bool>| {
        mask.iter().filter(|&&inside| inside).count() as f64 / mask.len().max(1) as f64
    };
    Ok(masks
        .iter()
        .map(|(file, mask)| (file.clone(), share(mask)))
        .collect())
}

/// All tables, as Markdown.
pub fn tables(folders: &[&str], data: &str) -> Result<String, Box<dyn Error>> {
    let covers = covers(data)?;
    let mut text = String::new();
    for set in read(folders)?.iter().flat_map(Results::parts) {
        let difficult: BTreeSet<usize> = (set.files.iter().enumerate())
            .filter(|(_, file)| covers.get(*file).is_some_and(|&cover| cover < DIFFICULT))
            .map(|(image, _)| image)
            .collect();
        // Methods that were measured on fewer images make a second table, in which all methods are
        // taken on those images alone.
        let mut sizes: Vec<usize> = set.methods.iter().map(|(_, lines)| lines.len()).collect();
        sizes.sort_unstable_by(|a, b| b.cmp(a));
        sizes.dedup();
        for size in sizes {
            let methods: Vec<&(String, BTreeMap<usize, Line>)> = (set.methods.iter())
                .filter(|(_, lines)| lines.len() >= size)
                .collect();
            let images: BTreeSet<usize> = (set.files.iter().enumerate().map(|(image, _)| image))
                .filter(|image| methods.iter().all(|(_, lines)| lines.contains_key(image)))
                .collect();
            let methods: Vec<(&str, Vec<&Line>)> = (methods.iter())
                .map(|(name, lines)| {
                    let lines = lines.values().filter(|l| images.contains(&l.image));
                    (name.as_str(), lines.collect())
                })
                .collect();
            writeln!(text, "### {} images\n", images.len())?;
            text.push_str(&measures(&set, &methods, &difficult)?);
            let has_boxes = set.metrics.iter().any(|m| m.starts_with("localisation-"));
            if has_boxes && images.len() >= LEAST_FOR_ALPHA {
                text.push_str(&localisation(&set, &methods)?);
            }
        }
    }
    Ok(text)
}

/// Images below which no difference is made bold.
const FEWEST: usize = 50;

/// The means of the metrics, on all images and on the difficult ones, bold where a method is
/// better than [`CENTRE`].
fn measures(
    set: &Results,
    methods: &[(&str, Vec<&Line>)],
    difficult: &BTreeSet<usize>,
) -> Result<String, Box<dyn Error>> {
    let mut columns = Vec::new();
    let centres: BTreeMap<usize, &Line> = (methods.iter())
        .filter(|(name, _)| *name == CENTRE)
        .flat_map(|(_, lines)| lines.iter().map(|line| (line.image, *line)))
        .collect();
    for (metric, by_class, head) in MEASURES {
        // Options follow a colon, and do not change what a column is called here.
        let found = (set.metrics.iter())
            .find(|name| *name == metric || name.split(':').next() == Some(metric));
        if let Some(name) = found {
            columns.push((name.as_str(), by_class, head, false));
            let pointing = metric.starts_with("pointing");
            let count = methods.first().map_or(0, |(_, lines)| {
                lines
                    .iter()
                    .filter(|l| difficult.contains(&l.image))
                    .count()
            });
            if pointing && count >= LEAST_DIFFICULT {
                columns.push((name.as_str(), by_class, head, true));
            }
        }
    }
    let mut text = String::from("| method |");
    for (_, _, head, hard) in &columns {
        let count = methods.first().map_or(0, |(_, lines)| {
            lines
                .iter()
                .filter(|l| difficult.contains(&l.image))
                .count()
        });
        match hard {
            true => write!(text, " the same, {count} difficult |")?,
            false => write!(text, " {head} |")?,
        }
    }
    text.push_str("\n| --- |");
    text.push_str(&" --- |".repeat(columns.len()));
    text.push('\n');
    for (name, lines) in methods {
        write!(text, "| {name} |")?;
        for (metric, by_class, head, hard) in &columns {
            let lines = lines
                .iter()
                .filter(|l| !hard || difficult.contains(&l.image));
            let values: Vec<(&Line, f64)> = lines
                .filter_map(|line| Some((*line, *line.values.get(*metric)?)))
                .collect();
            let mean = |values: Vec<(usize, f64)>| match by_class {
                true => Bootstrap::new().class_mean(&values),
                false => {
                    let values: Vec<f64> = values.iter().map(|(_, value)| *value).collect();
                    Bootstrap::new().mean(&values)
                }
            };
            let estimate = mean(values.iter().map(|(l, value)| (l.class, *value)).collect())?;
            // Image by image, so that what makes an image hard for all methods is out of it.
            let sign = if head.contains('↓') { -1.0 } else { 1.0 };
            let gains = values.iter().filter_map(|(line, value)| {
                let centre = centres.get(&line.image)?.values.get(*metric)?;
                Some((line.class, sign * (value - centre)))
            });
            let gains: Vec<(usize, f64)> = gains.collect();
            // Percentile intervals of few images are too narrow.
            let is_better =
                gains.len() >= FEWEST && mean(gains)?.is_some_and(|gain| gain.low > 0.0);
            match is_better {
                true => write!(text, " **{}** |", shown(estimate))?,
                false => write!(text, " {} |", shown(estimate))?,
            }
        }
        text.push('\n');
    }
    text.push('\n');
    Ok(text)
}

/// Localisation errors, each half of the images with the `alpha` that is best on the other.
fn localisation(set: &Results, methods: &[(&str, Vec<&Line>)]) -> Result<String, Box<dyn Error>> {
    let rules = ["energy", "value", "mean"];
    let mut text = String::from("| method |");
    for rule in rules {
        write!(text, " {rule} | alpha | published |")?;
    }
    text.push_str("\n| --- |");
    text.push_str(&" --- |".repeat(3 * rules.len()));
    text.push('\n');
    let mut pairs: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
    for (name, lines) in methods {
        write!(text, "| {name} |")?;
        for rule in rules {
            let prefix = format!("localisation-{rule}:alpha=");
            let candidates: Vec<(&str, &str)> = (set.metrics.iter())
                .filter_map(|name| Some((name.as_str(), name.strip_prefix(&prefix)?)))
                .collect();
            let half = |parity: usize| lines.iter().filter(move |l| l.image % 2 == parity);
            let best = |parity: usize| {
                let error = |metric: &str| {
                    let values: Vec<f64> = half(parity)
                        .filter_map(|l| l.values.get(metric).copied())
                        .collect();
                    values.iter().sum::<f64>() / values.len().max(1) as f64
                };
                let errors = candidates
                    .iter()
                    .map(|&(metric, alpha)| (metric, alpha, error(metric)));
                errors.min_by(|a, b| a.2.total_cmp(&b.2))
            };
            let (Some((even, even_alpha, _)), Some((odd, odd_alpha, _))) = (best(0), best(1))
            else {
                text.push_str(" | | |");
                continue;
            };
            let errors: Vec<f64> = [(0, odd), (1, even)]
                .into_iter()
                .flat_map(|(parity, metric)| {
                    half(parity).filter_map(move |line| line.values.get(metric).copied())
                })
                .collect();
            let estimate = Bootstrap::new().mean(&errors)?;
            let at = RULES.iter().position(|known| *known == rule);
            let errors = PUBLISHED.iter().find(|(method, _)| method == name);
            let published = at.zip(errors).map(|(at, (_, errors))| errors[at]);
            if let (Some(ours), Some(theirs)) = (estimate, published) {
                pairs.entry(rule).or_default().push((ours.mean, theirs));
            }
            let alphas = match even_alpha == odd_alpha {
                true => even_alpha.to_owned(),
                false => format!("{even_alpha}, {odd_alpha}"),
            };
            let published = published.map_or(String::new(), |error| format!("{error:.3}"));
            write!(text, " {} | {alphas} | {published} |", shown(estimate))?;
        }
        text.push('\n');
    }
    text.push('\n');
    for (rule, pairs) in pairs {
        if pairs.len() > 2 {
            let (ours, theirs): (Vec<f64>, Vec<f64>) = pairs.iter().copied().unzip();
            let count = pairs.len();
            let rank = rank_correlation(&ours, &theirs);
            writeln!(
                text,
                "Rank correlation with the published order, {rule} threshold, {count} methods: {rank:.2}."
            )?;
        }
    }
    text.push('\n');
    Ok(text)
}

fn shown(estimate: Option<Estimate>) -> String {
    match estimate {
        Some(e) => format!("{:.3} ({:.3} to {:.3})", e.mean, e.low, e.high),
        None => "not applicable".to_owned(),
    }
}

/// Spearman's, of values without ties.
fn rank_correlation(a: &[f64], b: &[f64]) -> f64 {
    let rank = |values: &[f64], of: f64| values.iter().filter(|&&v| v < of).count() as f64;
    let squares: f64 = (a.iter().zip(b))
        .map(|(&x, &y)| (rank(a, x) - rank(b, y)).powi(2))
        .sum();
    let n = a.len() as f64;
    1.0 - 6.0 * squares / (n * (n * n - 1.0))
}
