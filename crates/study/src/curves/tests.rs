use super::*;

fn curve(image: usize, x: &[f32], y: &[f32]) -> KeptCurve {
    KeptCurve {
        image,
        metric: "insertion".to_owned(),
        curve: "curve".to_owned(),
        x: x.to_vec(),
        y: y.to_vec(),
    }
}

/// The mean curve of some curves.
fn mean(curves: &[KeptCurve]) -> Vec<MeanPoint> {
    let mut sums = Sums::default();
    curves.iter().for_each(|curve| sums.widen(curve));
    sums.settle();
    curves.iter().for_each(|curve| sums.add(curve));
    assert_eq!(sums.images, curves.len());
    sums.points().unwrap_or_default()
}

/// Tables of Student's distribution.
#[test]
fn quantiles_are_those_of_tables() {
    for (freedom, known) in [
        (1, 12.706),
        (2, 4.303),
        (3, 3.182),
        (4, 2.776),
        (7, 2.365),
        (30, 2.042),
        (1000, 1.962),
    ] {
        let got = student(freedom);
        assert!((got / known - 1.0).abs() < 2e-3, "{freedom}: {got}");
    }
}

#[test]
fn means_by_hand() {
    let shares = [0.0, 0.5, 1.0];
    let curves = [
        curve(0, &shares, &[0.0, 0.2, 1.0]),
        curve(1, &shares, &[0.0, 0.6, 1.0]),
    ];
    let points = mean(&curves);
    let found: Vec<[f64; 2]> = points.iter().map(|p| [p.x, p.mean]).collect();
    for (found, known) in found.iter().zip([[0.0, 0.0], [0.5, 0.4], [1.0, 1.0]]) {
        assert!((found[0] - known[0]).abs() < 1e-7 && (found[1] - known[1]).abs() < 1e-7);
    }
    // A deviation of 0.2 sqrt 2, over sqrt 2 images.
    let [low, high] = points[1].interval.unwrap();
    assert!((high - low - 2.0 * 12.706_204_7 * 0.2).abs() < 1e-5);
    assert_eq!(points[2].interval.unwrap(), [1.0, 1.0]);
    assert_eq!(mean(&curves[..1])[1].interval, None);
}

/// Straight lines with points at different places have a mean that is a straight line, too.
#[test]
fn curves_with_other_points_are_read_between_them() {
    let curves = [
        curve(0, &[0.0, 0.3, 1.0], &[0.0, 0.3, 1.0]),
        curve(1, &[0.1, 0.9], &[0.3, 2.7]),
    ];
    let points = mean(&curves);
    assert_eq!(points.len(), PLACES);
    for point in &points {
        assert!((point.mean - 2.0 * point.x).abs() < 1e-6, "{point:?}");
    }
    let ends = [points[0].x, points[PLACES - 1].x];
    assert!((ends[0] - 0.1).abs() < 1e-7 && (ends[1] - 0.9).abs() < 1e-7);
    // A step upwards is taken at its end.
    let step = curve(2, &[0.0, 0.5, 0.5, 1.0], &[0.0, 0.0, 1.0, 1.0]);
    assert_eq!(
        [0.25, 0.5, 1.0].map(|x| step.at(x)),
        [0.0, 1.0, 1.0].map(Some)
    );
    assert_eq!([-0.1, 1.1].map(|x| step.at(x)), [None, None]);
    // Curves that have no place in common have no mean.
    let apart = [
        curve(0, &[0.0, 0.1], &[0.0, 1.0]),
        curve(1, &[0.2, 0.3], &[0.0, 1.0]),
    ];
    assert!(mean(&apart).is_empty());
}

#[test]
fn a_changed_byte_is_found() {
    let desk = tempfile::tempdir().unwrap();
    let curves = [
        curve(3, &[0.0, 1.0], &[0.25, 1e-20]),
        curve(4, &[0.0, 0.3], &[0.1, -7.5]),
    ];
    let name = write(desk.path(), "a:b=1", [3, 4], &curves).unwrap();
    assert!(name.contains("/0000003-0000004-"), "{name}");
    assert_eq!(read(desk.path(), &name).unwrap(), curves);
    // The same once more is the same file.
    assert_eq!(write(desk.path(), "a:b=1", [3, 4], &curves).unwrap(), name);
    let listed = list(desk.path(), "a:b=1").unwrap();
    assert_eq!(
        listed.into_iter().collect::<Vec<_>>(),
        std::slice::from_ref(&name)
    );
}

#[test]
fn what_is_no_curve_is_not_kept() {
    let of = |fractions: &[f64], scores: &[f64]| {
        let curve = Curve {
            fractions: fractions.to_vec(),
            scores: scores.to_vec(),
        };
        KeptCurve::new(0, "m", "curve", &curve)
    };
    assert!(of(&[0.0, 1.0], &[0.5, 0.7]).is_some());
    assert!(of(&[0.0, 1.0], &[0.5]).is_none());
    assert!(of(&[0.0, 1.0], &[0.5, f64::NAN]).is_none());
    assert!(of(&[0.0], &[1e300]).is_none());
}
