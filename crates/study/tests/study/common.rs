//! A study of four small pictures by three methods, one of which does not like bright ones.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use elucid_attribution::{
    Attribution, AttributionError, Attributor, Configurable, Context, Gradient, Method, Methods,
    Network, Setup, Target, options, stated,
};
use elucid_graph::device::{self, DeviceChoice};
use elucid_graph::{Activation, ImageBatch};
use elucid_metrics::Metrics;
use elucid_study::{
    Begin, Build, Control, Data, Ended, Entry, Explainer, Found, Settings, Study, StudyError,
    journal,
};
use elucid_vision::Model;
use tempfile::TempDir;

/// How often the method that is choosy was asked.
pub static ASKED: AtomicUsize = AtomicUsize::new(0);

/// The gradient of dark pictures. Bright ones it refuses, and on the brightest it falls over.
#[derive(Debug, Clone)]
pub struct Choosy {
    setup: Setup,
    bright: f64,
}

options!(Choosy {
    {
        /// From which mean of the input on a picture is bright.
        bright: f64 as "bright", "mean of a bright picture", "a number"
    }
});

impl Attributor for Choosy {
    stated!(CHOOSY);

    fn explain(&self, context: &Context<'_>) -> Result<Attribution, AttributionError> {
        Gradient::default().explain(context)
    }

    fn attribute(
        &self,
        network: &dyn Network,
        images: &dyn ImageBatch,
        target: Target,
    ) -> Result<Attribution, AttributionError> {
        ASKED.fetch_add(1, Ordering::Relaxed);
        let pixels = Activation::from(images.batch()).to_array()?;
        let brightest = pixels
            .outer_iter()
            .map(|image| f64::from(image.mean().unwrap()))
            .fold(f64::MIN, f64::max);
        assert!(brightest < 100.0, "too bright to look at");
        if brightest > self.bright {
            return Err(AttributionError::Parameter {
                parameter: "brightness",
                value: "too much".to_owned(),
                expected: "a dark picture",
            });
        }
        Gradient::default().attribute(network, images, target)
    }
}

pub const CHOOSY: Method = Method::new(
    "choosy",
    "The gradient of dark pictures",
    "here",
    |options| {
        options.apply(Choosy {
            setup: options.setup(),
            bright: 40.0,
        })
    },
)
.options(Choosy::OPTIONS);

pub const METRICS: [&str; 3] = ["sparseness", "pointing:15", "complexity"];

/// SqueezeNet, once.
pub fn model() -> &'static Model {
    static MODEL: OnceLock<Model> = OnceLock::new();
    MODEL.get_or_init(|| {
        let device = device::open(DeviceChoice::Cpu).unwrap().device;
        Model::find("squeezenet", &device, None).unwrap()
    })
}

/// Pictures from dark to bright, a list of them, and room for results.
pub struct Desk {
    folder: TempDir,
}

impl Desk {
    /// The network subtracts a mean of about 110 from what lies in 0 to 255.
    pub fn new(count: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut list = "file,class,xmin,ymin,xmax,ymax\n".to_owned();
        for i in 0..count {
            let level = [0, 110, 170, 255][i % 4];
            let picture = image::RgbImage::from_fn(64, 64, |x, y| {
                let noise = ((x * 31 + y * 17 + i as u32 * 7) % 13) as u8;
                image::Rgb([level, level, level].map(|v: u8| v.saturating_sub(noise)))
            });
            let name = format!("{i}.png");
            picture.save(folder.path().join(&name)).unwrap();
            list += &format!("{name},{},8,8,40,40\n", i * 3);
        }
        fs::write(folder.path().join("list.csv"), list).unwrap();
        Self { folder }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn study(&self, device: &str, methods: &[&str]) -> Study<'static> {
        let known = Methods::standard().with(CHOOSY);
        let methods = methods
            .iter()
            .map(|text| Entry::parse(&known, text).unwrap());
        self.try_study(device, methods.collect(), &Metrics::standard(), &METRICS)
            .unwrap()
    }

    pub fn try_study(
        &self,
        device: &str,
        methods: Vec<impl Into<Explainer>>,
        known: &Metrics,
        metrics: &[&str],
    ) -> Result<Study<'static>, StudyError> {
        let data = Data::read(&self.path("list.csv")).unwrap();
        let source = data.source.clone();
        let items = data.resolve(model()).unwrap();
        let facts = Data::facts(&source, &items);
        let metrics: Vec<String> = metrics.iter().map(|name| (*name).to_owned()).collect();
        Study::new(
            model(),
            (items, facts),
            methods,
            (known, &metrics),
            (device, Build::of_versions("test", "burn")),
        )?
        .batch_size(2)
    }

    /// Takes pictures away, or brings them back.
    pub fn hide(&self, pictures: std::ops::Range<usize>, hide: bool) {
        for i in pictures {
            let [shown, hidden] =
                ["png", "hidden"].map(|ending| self.path(&format!("{i}.{ending}")));
            match hide {
                true => fs::rename(shown, hidden).unwrap(),
                false => fs::rename(hidden, shown).unwrap(),
            }
        }
    }
}

pub fn run(
    study: &Study<'_>,
    folder: &Path,
    begin: &Begin,
) -> Result<(Settings, Found), StudyError> {
    let (ended, settings, found) = study.run(folder, begin, &Control::default(), &mut ())?;
    assert_eq!(ended, Ended::Whole);
    Ok((settings, found))
}

/// Keeps only the first records of a folder's only journal.
pub fn cut(folder: &Path, records: usize) {
    let journals = fs::read_dir(folder.join(journal::JOURNAL)).unwrap();
    let journals: Vec<PathBuf> = journals.map(|entry| entry.unwrap().path()).collect();
    let [journal] = &journals[..] else {
        panic!("one journal");
    };
    let text = fs::read_to_string(journal).unwrap();
    let kept: Vec<&str> = text.lines().take(records).collect();
    fs::write(journal, kept.join("\n") + "\n").unwrap();
}

/// Every value, by image, method and metric.
pub fn values(found: &Found) -> BTreeMap<(usize, String, String), String> {
    let mut values = BTreeMap::new();
    for image in 0..found.planned().len() {
        for (row, method) in found.rows().iter().enumerate() {
            for (metric, name) in found.metrics().iter().enumerate() {
                let place = elucid_study::Place { image, row, metric };
                let state = format!("{:?}", found.state(place));
                values.insert((image, method.clone(), name.clone()), state);
            }
        }
    }
    values
}

/// The records of cells in a folder's journals.
pub fn cell_records(folder: &Path) -> Vec<journal::CellRecord> {
    let mut cells = Vec::new();
    for entry in fs::read_dir(folder.join(journal::JOURNAL)).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "jsonl") {
            journal::read(&path, |record| {
                if let journal::Record::Cell(cell) = record {
                    cells.push(cell);
                }
            })
            .unwrap();
        }
    }
    cells
}

/// All cells of a folder's journals: method and image, as often as they were measured.
pub fn cells(folder: &Path) -> Vec<(String, usize)> {
    let mut cells = Vec::new();
    for cell in cell_records(folder) {
        let rows = cell.rows.iter();
        cells.extend(rows.map(|row| (cell.method.clone(), row.image)));
    }
    cells.sort();
    cells
}
