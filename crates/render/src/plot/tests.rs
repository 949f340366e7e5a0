use super::*;

fn plot() -> LinePlot {
    LinePlot::new("t", "x", "y")
}

#[test]
fn what_cannot_be_drawn_is_refused() {
    assert!(matches!(plot().svg(), Err(RenderError::Empty { .. })));
    let below = plot().logarithmic().line("a", [(1.0, 0.0)]);
    assert!(matches!(below.svg(), Err(RenderError::Empty { .. })));
    let nan = plot().line("a", [(1.0, f64::NAN)]);
    assert!(matches!(nan.svg(), Err(RenderError::Parameter { .. })));
    let band = Series::new("a", [(1.0, 1.0)]).band([(1.0, 0.0, f64::INFINITY)]);
    let band = plot().series(band);
    assert!(matches!(band.pdf(), Err(RenderError::Parameter { .. })));
    let ticks = plot()
        .logarithmic()
        .horizontal_ticks([0.0])
        .line("a", [(1.0, 1.0)]);
    assert!(matches!(
        ticks.picture(),
        Err(RenderError::Parameter { .. })
    ));
    let many = (0..10_000).fold(plot(), |plot, _| plot.series(Series::new("", [(0.0, 0.0)])));
    assert!(matches!(
        many.svg(),
        Err(RenderError::PictureTooLarge { .. })
    ));
}

#[test]
fn text_is_escaped_and_one_point_is_enough() {
    let svg = LinePlot::new("a < b & \"c\"", "<x>", "y")
        .line("<script>", [(2.0, 2.0)])
        .svg()
        .unwrap();
    assert!(svg.contains("a &lt; b &amp; &quot;c&quot;"));
    assert!(!svg.contains("<script"));
    assert!(!svg.contains("NaN"));
}

#[test]
fn points_and_bands_lie_where_the_axes_say() {
    let svg = plot()
        .series(
            Series::new("a", [(0.0, 0.0), (10.0, 5.0)]).band([(0.0, 0.0, 1.0), (10.0, 4.0, 5.0)]),
        )
        .svg()
        .unwrap();
    // Left 70, right 542, floor 288, top 38.
    assert!(svg.contains("M70.00 288.00L542.00 38.00\""), "{svg}");
    let band = "M70.00 288.00L542.00 88.00L542.00 38.00L70.00 238.00Z";
    assert!(svg.contains(band), "{svg}");
    // The numbers of both axes, and the name.
    for text in [
        ">0</text>",
        ">2</text>",
        ">10</text>",
        ">5</text>",
        ">a</text>",
    ] {
        assert!(svg.contains(text), "{text}");
    }
}

#[test]
fn pixels_have_the_colours_of_the_curves() {
    let drawn = plot()
        .series(Series::new("a", [(0.0, 5.0), (10.0, 5.0)]))
        .series(Series::new("b", [(0.0, 0.0), (10.0, 0.0)]).quiet())
        .picture()
        .unwrap();
    // Two pixels for a unit: the upper curve from 70 to 542 at 38.
    assert_eq!(drawn.pixel(76, 600), COLOURS[0]);
    assert_eq!(drawn.pixel(70, 600), [255; 3]);
    // Dashes and gaps between them.
    let row: Vec<[u8; 3]> = (140..1084).map(|x| drawn.pixel(576, x)).collect();
    assert!(row.contains(&QUIET) && row.contains(&GRID));
    // The name of the first curve stands beside the axes.
    let dark = |x: usize| (76..112).any(|y| drawn.pixel(y, x)[0] < 100);
    assert!((1176..1200).any(dark));
}

#[test]
fn no_two_of_many_curves_look_alike() {
    let looks: Vec<(Colour, &[f32])> = (0..28)
        .map(|i| {
            let Look { colour, dashes } = look(i, false);
            (colour, dashes)
        })
        .collect();
    for (i, one) in looks.iter().enumerate() {
        assert!(!looks[..i].contains(one), "{i}");
    }
}

#[test]
fn files_are_what_they_are_called() {
    let folder = tempfile::tempdir().unwrap();
    let plot = plot().line("a", [(1.0, 1.0), (2.0, 4.0)]);
    for (name, begin) in [
        ("a.svg", &b"<svg"[..]),
        ("a.PNG", b"\x89PNG"),
        ("a.pdf", b"%PDF"),
        ("a", b"<svg"),
    ] {
        plot.save(folder.path().join(name)).unwrap();
        let bytes = std::fs::read(folder.path().join(name)).unwrap();
        assert!(bytes.starts_with(begin), "{name}");
    }
}
