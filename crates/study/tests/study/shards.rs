//! Pictures in archives, and masks of objects.

use std::fs;
use std::path::Path;

use elucid_metrics::Metrics;
use elucid_study::{
    Begin, Build, Data, Entry, Found, Image, Item, Place, State, Study, StudyError, with_masks,
};

use crate::common::{Desk, METRICS, model, run, values};

fn entries() -> Vec<Entry> {
    let known = elucid_attribution::Methods::standard();
    vec![Entry::parse(&known, "gradient").unwrap()]
}

/// What is found on a desk's images by some metrics.
fn found(items: Vec<Item>, out: &Path, metrics: &[&str]) -> Result<Found, StudyError> {
    let facts = Data::facts(Path::new("data"), &items);
    let metrics: Vec<String> = metrics.iter().map(|name| (*name).to_owned()).collect();
    let study = Study::new(
        model(),
        (items, facts),
        entries(),
        (&Metrics::standard(), &metrics),
        ("cpu", Build::of_versions("test", "burn")),
    )?;
    Ok(run(&study, out, &Begin::new())?.1)
}

fn resolved(path: &Path) -> Vec<Item> {
    Data::read(path).unwrap().resolve(model()).unwrap()
}

/// A grey mask of the 64 x 64 pictures, in which these columns and rows are white.
fn mask(path: &Path, [x0, y0, x1, y1]: [u32; 4]) {
    let is_object = |x, y| (x0..x1).contains(&x) && (y0..y1).contains(&y);
    let picture = image::GrayImage::from_fn(64, 64, |x, y| {
        image::Luma([255 * u8::from(is_object(x, y))])
    });
    picture.save(path).unwrap();
}

#[test]
fn archives_are_measured_as_their_files() {
    let desk = Desk::new(3);
    let mut shards = [0, 1].map(|i| {
        let path = desk.path(&format!("shards/{i}.tar"));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        tar::Builder::new(fs::File::create(path).unwrap())
    });
    for i in 0..3 {
        let tar = &mut shards[i / 2];
        let mut add = |name: String, bytes: &[u8]| {
            let mut header = tar::Header::new_ustar();
            header.set_size(bytes.len() as u64);
            tar.append_data(&mut header, name, bytes).unwrap();
        };
        add(
            format!("{i}.png"),
            &fs::read(desk.path(&format!("{i}.png"))).unwrap(),
        );
        let json = format!(r#"{{"class": {}, "boxes": [[8, 8, 40, 40]]}}"#, i * 3);
        add(format!("{i}.json"), json.as_bytes());
    }
    for tar in shards {
        tar.into_inner().unwrap();
    }
    let plain = found(
        resolved(&desk.path("list.csv")),
        &desk.path("plain"),
        &METRICS,
    )
    .unwrap();
    let items = resolved(&desk.path("shards"));
    // The data are the same, wherever they lie.
    let [a, b] =
        [&items, &resolved(&desk.path("list.csv"))].map(|items| Data::facts(Path::new(""), items));
    assert_eq!(a, b);
    let packed = found(items, &desk.path("packed"), &METRICS).unwrap();
    assert_eq!(values(&packed), values(&plain));
}

/// A mask that is a box gives what the box does, and an image whose mask has another size is not measured.
#[test]
fn masks_are_where_the_object_is() {
    let desk = Desk::new(3);
    let metrics = [
        "mass-accuracy",
        "localisation-auc",
        "pointing:0",
        "localisation-energy:report=iou",
    ];
    let items = resolved(&desk.path("list.csv"));
    let boxed = found(items.clone(), &desk.path("boxed"), &metrics).unwrap();
    let masks = desk.path("masks");
    fs::create_dir(&masks).unwrap();
    for i in 0..3 {
        mask(&masks.join(format!("{i}.png")), [8, 8, 40, 40]);
    }
    let bare = |items: &[Item]| -> Vec<Item> {
        let items = items.iter().cloned();
        items
            .map(|item| Item {
                boxes: Vec::new(),
                ..item
            })
            .collect()
    };
    let masked = with_masks(bare(&items), &masks).unwrap();
    let masked = found(masked, &desk.path("masked"), &metrics).unwrap();
    assert_eq!(values(&masked), values(&boxed));

    mask(&masks.join("0.png"), [30, 30, 60, 60]);
    image::GrayImage::new(64, 63)
        .save(masks.join("1.png"))
        .unwrap();
    mask(&masks.join("2.png"), [0, 0, 0, 0]);
    let moved = with_masks(items, &masks).unwrap();
    let moved = found(moved, &desk.path("moved"), &metrics).unwrap();
    let state = |found: &Found, image, metric| {
        found.state(Place {
            image,
            row: 0,
            metric,
        })
    };
    let number = |found: &Found, metric| match state(found, 0, metric) {
        State::Number(number) => number,
        other => panic!("{other:?}"),
    };
    assert_ne!(number(&moved, 0), number(&boxed, 0));
    // Boxes are compared with boxes where there are any.
    assert_eq!(number(&moved, 3), number(&boxed, 3));
    let Some(Image::Skipped(reason)) = moved.image(1) else {
        panic!("{:?}", moved.image(1));
    };
    assert!(
        reason.contains("64 x 63 pixels and its picture 64 x 64"),
        "{reason}"
    );
    assert_eq!(state(&moved, 2, 0), State::NotApplicable);
    assert!(
        moved
            .notes()
            .any(|(_, note)| note.contains("nothing of the object's mask"))
    );
}
