//! Where numbers stand on an axis.

/// What stands on a logarithmic axis of few decades, as parts of a power of ten.
const PARTS: [f64; 3] = [1.0, 2.0, 5.0];

/// An axis from its lowest to its highest tick.
pub(super) struct Scale {
    /// Upwards, two at least.
    ticks: Vec<f64>,
    /// The ends, of logarithms where it is logarithmic.
    ends: [f64; 2],
    logarithmic: bool,
}

impl Scale {
    /// Around `values`, of which there is one at least, all finite and on a logarithmic axis above zero, with `given` ticks if there are
    /// any.
    pub fn over(
        values: impl Iterator<Item = f64> + Clone,
        logarithmic: bool,
        given: &[f64],
    ) -> Self {
        let [low, high] = ends(values);
        let mut ticks = match (given, logarithmic) {
            ([], true) => powers(low, high),
            ([], false) => steps(low, high),
            (given, _) => given.to_vec(),
        };
        ticks.sort_by(f64::total_cmp);
        ticks.dedup();
        let place = |v: f64| if logarithmic { v.log10() } else { v };
        let [mut from, mut to] = ends(ticks.iter().copied().chain([low, high]));
        if from >= to {
            // One number in the middle.
            [from, to] = match logarithmic {
                true => [from / 2.0, to * 2.0],
                false => [
                    from - 0.5 * from.abs().max(1.0),
                    to + 0.5 * to.abs().max(1.0),
                ],
            };
        }
        Self {
            ticks,
            ends: [place(from), place(to)],
            logarithmic,
        }
    }

    /// 0 at the low end, 1 at the high end.
    pub fn place(&self, value: f64) -> f64 {
        let value = match self.logarithmic {
            true => value.log10(),
            false => value,
        };
        // Halves, so that the distance of the largest numbers is one.
        let [value, low, high] = [value, self.ends[0], self.ends[1]].map(|v| v / 2.0);
        (value - low) / (high - low)
    }

    pub fn ticks(&self) -> impl Iterator<Item = f64> {
        self.ticks.iter().copied()
    }
}

fn ends(values: impl Iterator<Item = f64>) -> [f64; 2] {
    values.fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], v| {
        [low.min(v), high.max(v)]
    })
}

/// Multiples of one step, from one that is not above `low` to one that is not below `high`.
fn steps(low: f64, high: f64) -> Vec<f64> {
    let step = nice(high / 5.0 - low / 5.0);
    let (first, last) = ((low / step).floor(), (high / step).ceil());
    let last = if last > first { last } else { first + 1.0 };
    // Where numbers are so large that steps are lost in rounding, the ends have to do.
    let count = match last - first {
        count if count <= 20.0 => count as usize,
        _ => return vec![low, high],
    };
    let steps = (0..=count).map(|i| (first + i as f64) * step);
    // The last may lie beyond the largest number.
    steps.filter(|tick| tick.is_finite()).collect()
}

/// 1, 2 and 5 of each power of ten, or where there are many, only some powers, from one that is not above `low` to one that is not
/// below `high`.
fn powers(low: f64, high: f64) -> Vec<f64> {
    let decades = high.log10() - low.log10();
    let [first, last] = [low.log10().floor() as i32, high.log10().ceil() as i32];
    let every = (f64::from(last - first) / 6.0).ceil().max(1.0) as usize;
    let parts = if decades <= 2.5 {
        &PARTS[..]
    } else {
        &PARTS[..1]
    };
    let power = |exponent: i32| -> f64 {
        // Parsed, so that no digit is lost on the way.
        format!("1e{exponent}").parse().unwrap_or(f64::NAN)
    };
    let powers = (first - every as i32..=last + every as i32).step_by(every);
    let all: Vec<f64> = powers
        .flat_map(|exponent| parts.iter().map(move |part| part * power(exponent)))
        .filter(|tick| tick.is_finite() && *tick > 0.0)
        .collect();
    let from = all
        .iter()
        .rposition(|tick| *tick <= low * (1.0 + 1e-9))
        .unwrap_or(0);
    let to = all.iter().position(|tick| *tick >= high * (1.0 - 1e-9));
    let to = to.unwrap_or(all.len().saturating_sub(1));
    all[from.min(to)..=to].to_vec()
}

/// 1, 2 or 5 times a power of ten, at least `step`.
fn nice(step: f64) -> f64 {
    if step <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf(step.log10().floor());
    let factor = PARTS.into_iter().find(|f| f * power >= step);
    factor.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ticks(values: &[f64], logarithmic: bool) -> Vec<f64> {
        Scale::over(values.iter().copied(), logarithmic, &[])
            .ticks()
            .collect()
    }

    #[test]
    fn points_land_where_their_ticks_are() {
        let scale = Scale::over([3.0, 47.0].into_iter(), false, &[]);
        assert_eq!(
            scale.ticks().collect::<Vec<_>>(),
            [0.0, 10.0, 20.0, 30.0, 40.0, 50.0]
        );
        assert_eq!(scale.place(0.0), 0.0);
        assert_eq!(scale.place(25.0), 0.5);
        let scale = Scale::over([0.02, 40.0].into_iter(), true, &[]);
        assert_eq!(
            scale.ticks().collect::<Vec<_>>(),
            [0.01, 0.1, 1.0, 10.0, 100.0]
        );
        assert!((scale.place(1.0) - 0.5).abs() < 1e-12);
        // Few decades have numbers between them.
        assert_eq!(
            ticks(&[1.0, 64.0], true),
            [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0]
        );
        assert_eq!(ticks(&[1e-300, 1e300], true).len(), 7);
        assert_eq!(ticks(&[0.0, 1.7e308], false), [0.0, 5e307, 1e308, 1.5e308]);
        let given = Scale::over([1.0, 64.0].into_iter(), true, &[64.0, 1.0, 8.0]);
        assert_eq!(given.ticks().collect::<Vec<_>>(), [1.0, 8.0, 64.0]);
        assert!((given.place(8.0) - 0.5).abs() < 1e-12);
    }

    #[test]
    fn one_number_is_in_the_middle_of_an_axis() {
        for (value, logarithmic) in [(0.0, false), (7.0, true), (-1e9, false), (1.0, true)] {
            let scale = Scale::over([value].into_iter(), logarithmic, &[value]);
            assert!((scale.place(value) - 0.5).abs() < 1e-9, "{value}");
        }
    }

    proptest! {
        #[test]
        fn everything_lies_on_the_axis(
            values in prop::collection::vec(prop::num::f64::NORMAL, 1..5),
            is_logarithmic in any::<bool>(),
        ) {
            let values: Vec<f64> = match is_logarithmic {
                true => values.iter().map(|v| v.abs()).collect(),
                false => values,
            };
            let scale = Scale::over(values.iter().copied(), is_logarithmic, &[]);
            let ticks: Vec<f64> = scale.ticks().collect();
            prop_assert!((1..=21).contains(&ticks.len()), "{:?}", ticks);
            for value in values.into_iter().chain(ticks) {
                let place = scale.place(value);
                prop_assert!((-1e-6..=1.0 + 1e-6).contains(&place), "{}: {}", value, place);
            }
        }
    }
}
