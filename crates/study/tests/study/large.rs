//! What a large merge takes.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use elucid_models::sha256;
use elucid_study::journal::JOURNAL;
use elucid_study::{Begin, IMAGES, Merge, SETTINGS, read, results};
use elucid_testkit::memory;
use serde_json::{Value, json};

use crate::common::{Desk, run};

const COUNT: usize = 50_000;
const ROWS: usize = 32;
const COLUMNS: usize = 6;
const SHARDS: usize = 8;
/// How many images a cell has.
const BLOCK: usize = 8;

/// What a process may take, in bytes.
const MEMORY: u64 = 500_000_000;

fn line(to: &mut impl Write, record: &Value) {
    let text = record.to_string();
    let digits = &sha256::of_bytes(text.as_bytes())[..16];
    writeln!(to, "{{\"sha256\":\"{digits}\",\"record\":{text}}}").unwrap();
}

fn metric(column: usize) -> String {
    format!("pointing:{column}")
}

/// A number for each place, so that none can be taken for another.
fn number(image: usize, row: usize, column: usize) -> f64 {
    ((image * ROWS + row) * COLUMNS + column) as f64 / 7.0
}

/// The folder of a shard, as if it had been measured.
fn shard(folder: &Path, settings: &Value, index: usize) {
    fs::create_dir_all(folder.join(JOURNAL)).unwrap();
    let mut settings = settings.clone();
    settings["shard"] = json!({ "index": index, "count": SHARDS });
    fs::write(folder.join(SETTINGS), settings.to_string()).unwrap();
    let numbers: Vec<usize> = (0..COUNT).filter(|n| n % SHARDS == index - 1).collect();
    let mut list = BufWriter::new(File::create(folder.join(IMAGES)).unwrap());
    writeln!(list, "number,file,class").unwrap();
    for number in &numbers {
        writeln!(
            list,
            "{number},n01440764/ILSVRC2012_val_{number:08}.JPEG,{}",
            number % 1000
        )
        .unwrap();
    }
    let mut journal = BufWriter::new(File::create(folder.join(JOURNAL).join("a.jsonl")).unwrap());
    let session = json!({ "session": {
        "host": "a", "pid": 1, "begun": index, "batch_size": BLOCK, "device": settings["device"],
        "precision": settings["precision"], "build": settings["build"],
    }});
    line(&mut journal, &session);
    let mut rows: Vec<String> = settings["methods"]
        .as_array()
        .unwrap()
        .iter()
        .map(|method| method["name"].as_str().unwrap().to_owned())
        .collect();
    rows.extend(["centre".to_owned(), "random".to_owned()]);
    let metrics: Vec<String> = (0..COLUMNS).map(metric).collect();
    for block in numbers.chunks(BLOCK) {
        let images: Vec<Value> = block
            .iter()
            .map(|number| {
                json!({
                    "image": number, "file": format!("n01440764/ILSVRC2012_val_{number:08}.JPEG"),
                    "class": number % 1000, "seen": { "predicted": 3, "probability": "0.5" },
                })
            })
            .collect();
        line(&mut journal, &json!({ "images": images }));
        for (row, method) in rows.iter().enumerate() {
            let cells: Vec<Value> = block.iter()
                .map(|&image| {
                    let values = (0..COLUMNS).map(|column| json!(number(image, row, column).to_string()));
                    json!({ "image": image, "seconds": "0.0123456", "values": values.collect::<Vec<_>>() })
                })
                .collect();
            line(
                &mut journal,
                &json!({ "cell": { "method": method, "metrics": metrics, "rows": cells } }),
            );
        }
    }
}

/// 50,000 images under 32 methods and baselines with 6 metrics, of 8 shards. `cargo test --release -p elucid-study --test study --
/// --ignored large` says what it took.
#[test]
#[ignore = "it writes a gigabyte"]
fn a_large_merge_fits_into_little_memory() {
    let desk = Desk::new(2);
    let out = desk.path("out");
    run(&desk.study("cpu", &["gradient"]), &out, &Begin::new()).unwrap();
    let text = fs::read_to_string(out.join(SETTINGS)).unwrap();
    let mut settings: Value = serde_json::from_str(&text).unwrap();
    let method = settings["methods"][0].clone();
    let methods = (0..ROWS - 2).map(|row| {
        let mut method = method.clone();
        method["name"] = json!(format!("method-{row}"));
        method
    });
    settings["methods"] = methods.collect();
    settings["metrics"] = (0..COLUMNS).map(metric).collect();
    settings["metric_options"] = json!({});
    settings["data"]["images"] = json!(COUNT);
    let folders: Vec<PathBuf> = (1..=SHARDS)
        .map(|index| desk.path(&format!("shard-{index}")))
        .collect();
    for (at, folder) in folders.iter().enumerate() {
        shard(folder, &settings, at + 1);
    }
    let before = memory::peak();
    let merge = Merge::of(&folders, false).unwrap();
    assert!(merge.missing().is_empty(), "{:?}", merge.missing());
    let merged = desk.path("merged");
    let (settings, found) = merge.write(&merged).unwrap();
    results::write(&merged, &settings, &found).unwrap();
    assert_eq!(found.cells(), [COUNT * ROWS; 2]);
    for image in (0..COUNT).step_by(997) {
        for (row, column) in [(0, 0), (17, 3), (ROWS - 1, COLUMNS - 1)] {
            assert_eq!(
                found.number(image, row, column),
                Some(number(image, row, column))
            );
        }
    }
    drop(found);
    let (_, again) = read(&merged).unwrap();
    assert_eq!(again.images_done(), COUNT);
    match (before, memory::peak()) {
        (Some(before), Some(peak)) => {
            eprintln!(
                "at most {} MB, {} MB before",
                peak / 1_000_000,
                before / 1_000_000
            );
            assert!(peak < MEMORY, "{peak} bytes");
        }
        _ => eprintln!("skipped: this system does not say what a process takes"),
    }
}
