//! Line plots as SVG: curves of a method's convergence or of a metric.

use std::fmt::Write;
use std::path::Path;

use crate::RenderError;
use crate::file::write_atomically;

const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 340.0;
/// Room for labels: left, top, right, bottom.
const MARGIN: [f64; 4] = [70.0, 38.0, 18.0, 52.0];
/// Colours that readers who see red and green alike can tell apart (Okabe and Ito, 2008).
const COLOURS: [&str; 6] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9",
];

/// Curves over a common axis.
///
/// ```
/// use elucid_render::LinePlot;
///
/// let svg = LinePlot::new("Convergence", "gradient evaluations", "completeness error, %")
///     .logarithmic()
///     .line("trapezoid", [(2.0, 60.0), (50.0, 3.0)])
///     .line("adaptive", [(50.0, 0.9)])
///     .svg()?;
/// assert!(svg.starts_with("<svg"));
/// # Ok::<(), elucid_render::RenderError>(())
/// ```
#[derive(Clone, Debug)]
pub struct LinePlot {
    title: String,
    axes: [String; 2],
    logarithmic: bool,
    lines: Vec<(String, Vec<[f64; 2]>)>,
}

impl LinePlot {
    /// An empty plot with a title and the names of its horizontal and its vertical axis.
    pub fn new(title: &str, horizontal: &str, vertical: &str) -> Self {
        Self {
            title: title.to_owned(),
            axes: [horizontal.to_owned(), vertical.to_owned()],
            logarithmic: false,
            lines: Vec::new(),
        }
    }

    /// Both axes logarithmic; points that are not above zero are left out.
    #[must_use]
    pub fn logarithmic(mut self) -> Self {
        self.logarithmic = true;
        self
    }

    /// Adds a curve through points, which are marked as well; one point is a mark alone.
    #[must_use]
    pub fn line(mut self, name: &str, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        let points = points.into_iter().map(|(x, y)| [x, y]).collect();
        self.lines.push((name.to_owned(), points));
        self
    }

    /// The plot as an SVG document of 560 by 340 units on white.
    ///
    /// # Errors
    ///
    /// [`RenderError::Empty`] when no point can be drawn, [`RenderError::Parameter`] for a point
    /// that is not finite.
    pub fn svg(&self) -> Result<String, RenderError> {
        let mut lines = Vec::new();
        for (name, points) in &self.lines {
            if let Some(point) = points.iter().find(|p| !p.iter().all(|v| v.is_finite())) {
                return Err(RenderError::Parameter {
                    parameter: "a point of the plot",
                    value: format!("{point:?} of \"{name}\""),
                    expected: "finite numbers",
                });
            }
            let drawable = |p: &&[f64; 2]| !self.logarithmic || p.iter().all(|&v| v > 0.0);
            lines.push((name, points.iter().filter(drawable).collect::<Vec<_>>()));
        }
        let all = || lines.iter().flat_map(|(_, points)| points.iter().copied());
        if all().next().is_none() {
            return Err(RenderError::Empty {
                what: "the plot".to_owned(),
                shape: vec![0, 2],
            });
        }
        let scales = [0, 1].map(|axis| Scale::over(all().map(|p| p[axis]), self.logarithmic));
        let [left, top, right, bottom] = MARGIN;
        let x = |v: f64| left + scales[0].place(v) * (WIDTH - left - right);
        let y = |v: f64| HEIGHT - bottom - scales[1].place(v) * (HEIGHT - top - bottom);

        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             width=\"{WIDTH}\" height=\"{HEIGHT}\" role=\"img\" font-family=\"system-ui, \
             sans-serif\" font-size=\"12\" fill=\"#1d1f21\"><title>{title}</title>\
             <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\
             <text x=\"{left}\" y=\"22\" font-size=\"14\" font-weight=\"600\">{title}</text>",
            title = escape(&self.title),
        );
        let (floor, end) = (HEIGHT - bottom, WIDTH - right);
        for tick in scales[0].ticks() {
            let (at, text) = (x(tick), number(tick));
            push(
                &mut svg,
                format_args!(
                    "<path d=\"M{at:.1} {top}V{floor}\" stroke=\"#e4e3de\"/>\
                     <text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{text}</text>",
                    floor + 17.0
                ),
            );
        }
        for tick in scales[1].ticks() {
            let (at, text) = (y(tick), number(tick));
            push(
                &mut svg,
                format_args!(
                    "<path d=\"M{left} {at:.1}H{end}\" stroke=\"#e4e3de\"/>\
                     <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>",
                    left - 7.0,
                    at + 4.0
                ),
            );
        }
        let (middle_x, middle_y) = ((left + end) / 2.0, (top + floor) / 2.0);
        push(
            &mut svg,
            format_args!(
                "<text x=\"{middle_x}\" y=\"{}\" text-anchor=\"middle\">{}</text>\
                 <text transform=\"translate(16 {middle_y}) rotate(-90)\" \
                 text-anchor=\"middle\">{}</text>",
                HEIGHT - 14.0,
                escape(&self.axes[0]),
                escape(&self.axes[1])
            ),
        );
        for (i, (name, points)) in lines.iter().enumerate() {
            let colour = COLOURS[i % COLOURS.len()];
            let path: Vec<String> = points
                .iter()
                .map(|p| format!("{:.1} {:.1}", x(p[0]), y(p[1])))
                .collect();
            push(
                &mut svg,
                format_args!(
                    "<path d=\"M{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
                    path.join("L")
                ),
            );
            for p in points {
                let (x, y) = (x(p[0]), y(p[1]));
                push(
                    &mut svg,
                    format_args!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>"),
                );
            }
            let row = top + 14.0 + 17.0 * i as f64;
            push(
                &mut svg,
                format_args!(
                    "<text x=\"{}\" y=\"{row}\" text-anchor=\"end\" fill=\"{colour}\" \
                     font-weight=\"600\" stroke=\"#fff\" stroke-width=\"4\" \
                     paint-order=\"stroke\">{}</text>",
                    end - 6.0,
                    escape(name)
                ),
            );
        }
        svg.push_str("</svg>");
        Ok(svg)
    }

    /// Writes the plot, replacing what is there in one step.
    ///
    /// # Errors
    ///
    /// Those of [`LinePlot::svg`], and [`RenderError::Write`] naming the path.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), RenderError> {
        write_atomically(path.as_ref(), self.svg()?.as_bytes())
    }
}

/// Writing to a string cannot fail.
fn push(svg: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = svg.write_fmt(text);
}

pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// Without needless digits.
fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if !(1e-3..1e5).contains(&size) => format!("{value:.0e}"),
        _ => {
            let text = format!("{value:.3}");
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
    }
}

/// An axis from its lowest to its highest tick.
struct Scale {
    low: f64,
    high: f64,
    step: f64,
    logarithmic: bool,
}

impl Scale {
    fn over(values: impl Iterator<Item = f64> + Clone, logarithmic: bool) -> Self {
        let values = values.map(|v| if logarithmic { v.log10() } else { v });
        let low = values.clone().fold(f64::INFINITY, f64::min);
        let high = values.fold(f64::NEG_INFINITY, f64::max);
        let step = match logarithmic {
            true => ((high - low) / 6.0).ceil().max(1.0),
            false => nice((high - low) / 5.0),
        };
        let (low, high) = ((low / step).floor() * step, (high / step).ceil() * step);
        Self {
            low,
            high: if high > low { high } else { low + step },
            step,
            logarithmic,
        }
    }

    /// 0 at the low end, 1 at the high end.
    fn place(&self, value: f64) -> f64 {
        let value = if self.logarithmic {
            value.log10()
        } else {
            value
        };
        (value - self.low) / (self.high - self.low)
    }

    fn ticks(&self) -> impl Iterator<Item = f64> {
        let count = ((self.high - self.low) / self.step).round() as usize;
        (0..=count).map(|i| {
            let at = self.low + i as f64 * self.step;
            match self.logarithmic {
                true => 10_f64.powf(at),
                // Sums of steps would print as 0.30000000000000004.
                false => (at / self.step).round() * self.step,
            }
        })
    }
}

/// 1, 2 or 5 times a power of ten, at least `step`.
fn nice(step: f64) -> f64 {
    if step <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf(step.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|f| f * power >= step);
    factor.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_land_where_their_ticks_are() {
        let scale = Scale::over([3.0, 47.0].into_iter(), false);
        assert_eq!(
            scale.ticks().collect::<Vec<_>>(),
            [0.0, 10.0, 20.0, 30.0, 40.0, 50.0]
        );
        assert_eq!(scale.place(0.0), 0.0);
        assert_eq!(scale.place(25.0), 0.5);
        let scale = Scale::over([0.02, 40.0].into_iter(), true);
        let ticks: Vec<String> = scale.ticks().map(number).collect();
        assert_eq!(ticks, ["0.01", "0.1", "1", "10", "100"]);
        assert!((scale.place(1.0) - 0.5).abs() < 1e-12);
    }

    #[test]
    fn what_cannot_be_drawn_is_refused() {
        let plot = || LinePlot::new("t", "x", "y");
        assert!(matches!(plot().svg(), Err(RenderError::Empty { .. })));
        let below = plot().logarithmic().line("a", [(1.0, 0.0)]);
        assert!(matches!(below.svg(), Err(RenderError::Empty { .. })));
        let nan = plot().line("a", [(1.0, f64::NAN)]);
        assert!(matches!(nan.svg(), Err(RenderError::Parameter { .. })));
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
}
