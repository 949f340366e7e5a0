//! Where an integral over `[0, 1]` is evaluated, and with which weights.

use std::f64::consts::PI;

use crate::error::AttributionError;
use crate::options::named;
use crate::work::require;

/// Most steps that a path is divided into.
const MAX_STEPS: usize = 1_000_000;

/// So many steps there may be, in words.
pub(crate) const STEPS: &str = "1 to 1000000";

/// Whether a path may be divided so often: once at least, and not so that its nodes fill the memory.
pub(crate) fn steps_fit(steps: &usize) -> bool {
    (1..=MAX_STEPS).contains(steps)
}

/// Refuses other paths.
pub(crate) fn check_steps(steps: usize) -> Result<(), AttributionError> {
    require(steps_fit(&steps), "steps", steps, STEPS)
}

/// A rule for the integral of a function over `[0, 1]` by its values at chosen positions.
///
/// The weights of every rule add up to 1, so that a constant is integrated exactly. Captum's
/// `riemann_trapezoid` with `n` points gives each inner point `1/n` instead of `1/(n - 1)`: its
/// weights add up to `1 - 1/n`, and its attributions are [`Quadrature::Trapezoid`]'s with `n - 1`
/// steps, times `(n - 1)/n`.
///
/// For a function with `k` continuous derivatives the errors shrink as fast as stated for each
/// rule. The gradient of a network with ReLUs or max-pools jumps along a path, and with jumps every
/// rule's error shrinks no faster than `1/n`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quadrature {
    /// Gauss and Legendre's: exact for polynomials up to degree `2n - 1`, and never at the ends.
    /// Captum's `gausslegendre`.
    GaussLegendre,
    /// Straight lines between `n + 1` positions, both ends included: error `O(1/n^2)`.
    Trapezoid,
    /// The left end of each of `n` intervals: error `O(1/n)`. Captum's `riemann_left`.
    Left,
    /// The right end of each of `n` intervals: error `O(1/n)`. Captum's `riemann_right`.
    Right,
    /// The middle of each of `n` intervals: error `O(1/n^2)`. Captum's `riemann_middle`.
    Middle,
}

impl Quadrature {
    /// Every rule with its name.
    pub const NAMES: &'static [(&'static str, Quadrature)] = &[
        ("gauss-legendre", Quadrature::GaussLegendre),
        ("trapezoid", Quadrature::Trapezoid),
        ("left", Quadrature::Left),
        ("right", Quadrature::Right),
        ("middle", Quadrature::Middle),
    ];

    /// Positions in ascending order, and their weights: `steps` of them, one more for the
    /// trapezoid, none for no steps.
    pub fn nodes(self, steps: usize) -> Vec<(f64, f64)> {
        if steps == 0 {
            return Vec::new();
        }
        let n = steps as f64;
        let evenly = |offset: f64| {
            (0..steps)
                .map(|i| ((i as f64 + offset) / n, 1.0 / n))
                .collect()
        };
        match self {
            Self::Left => evenly(0.0),
            Self::Middle => evenly(0.5),
            Self::Right => evenly(1.0),
            Self::Trapezoid => (0..=steps)
                .map(|i| {
                    let ends = if i == 0 || i == steps { 0.5 } else { 1.0 };
                    (i as f64 / n, ends / n)
                })
                .collect(),
            Self::GaussLegendre => gauss_legendre(steps),
        }
    }
}

named!(Quadrature: "quadrature", "gauss-legendre, trapezoid, left, right or middle");

/// From this degree on the inner roots are found by Stieltjes' expansion.
const LARGE: usize = 200;

/// So many roots at each end of a large degree lie where that converges too slowly.
const OUTER: usize = 30;

/// Terms of the expansion: at the [`OUTER`]th root the first that is left out is below 1e-20.
const TERMS: usize = 16;

/// The roots of the Legendre polynomial of degree `n`, moved from `[-1, 1]` to `[0, 1]`, each found
/// by Newton's method from the angle that lies near it.
///
/// The polynomial is computed by its recurrence, in `n` steps, at small degrees and near the ends, and
/// elsewhere by Stieltjes' expansion for large degrees, in as many steps at any (Hale and Townsend, *Fast
/// and accurate computation of Gauss-Legendre and Gauss-Jacobi quadrature nodes and weights*, 2013).
fn gauss_legendre(n: usize) -> Vec<(f64, f64)> {
    let expansion = (n >= LARGE).then(|| [Stieltjes::new(n - 1), Stieltjes::new(n)]);
    // The position and the weight are those of the root at -x, and of the one at x.
    let half: Vec<(f64, f64)> = (0..n.div_ceil(2))
        .map(|i| {
            let mut angle = PI * (i as f64 + 0.75) / (n as f64 + 0.5);
            let mut slope = 1.0;
            for _ in 0..100 {
                let [before, value] = match &expansion {
                    Some(both) if i >= OUTER => both.each_ref().map(|one| one.at(angle)),
                    _ => legendre(n, angle.cos()),
                };
                slope = n as f64 * (angle.cos() * value - before) / angle.sin();
                let step = value / slope;
                angle -= step;
                if step.abs() <= 2.0 * f64::EPSILON * angle {
                    break;
                }
            }
            ((angle / 2.0).sin().powi(2), 1.0 / (slope * slope))
        })
        .collect();
    let mirrored = half[..n / 2]
        .iter()
        .rev()
        .map(|&(at, weight)| (1.0 - at, weight));
    let mut nodes: Vec<(f64, f64)> = half.iter().copied().chain(mirrored).collect();
    if n % 2 == 1 {
        nodes[n / 2].0 = 0.5;
    }
    let sum: f64 = nodes.iter().map(|(_, weight)| weight).sum();
    for (_, weight) in &mut nodes {
        *weight /= sum;
    }
    nodes
}

/// The Legendre polynomials of the degrees `n - 1` and `n`, for an `n` of 1 and more.
fn legendre(n: usize, x: f64) -> [f64; 2] {
    let (mut before, mut value) = (1.0, x);
    for k in 2..=n {
        let k = k as f64;
        (before, value) = (
            value,
            ((2.0 * k - 1.0) * x * value - (k - 1.0) * before) / k,
        );
    }
    [before, value]
}

/// The Legendre polynomial of a large degree at an angle away from the ends:
///
/// `P_n(cos a) = C sum_m h_m cos((n + m + 1/2) a - (m + 1/2) pi / 2) / (2 sin a)^(m + 1/2)`,
///
/// `C = 4/pi prod_j j / (j + 1/2)` up to `n`, `h_m = prod_j (j - 1/2)^2 / (j (n + j + 1/2))` up to `m`.
struct Stieltjes {
    degree: f64,
    /// `C h_m`
    factors: [f64; TERMS],
}

impl Stieltjes {
    fn new(degree: usize) -> Self {
        let factor = |j: usize| j as f64 / (j as f64 + 0.5);
        let mut next = 4.0 / PI * (1..=degree).map(factor).product::<f64>();
        let degree = degree as f64;
        let factors = std::array::from_fn(|m| {
            let factor = next;
            let j = (m + 1) as f64;
            next *= (j - 0.5).powi(2) / (j * (degree + j + 0.5));
            factor
        });
        Self { degree, factors }
    }

    fn at(&self, angle: f64) -> f64 {
        let width = 2.0 * angle.sin();
        let mut scale = 1.0 / width.sqrt();
        let mut sum = 0.0;
        for (m, factor) in self.factors.iter().enumerate() {
            let half = m as f64 + 0.5;
            sum += factor * scale * ((self.degree + half) * angle - half * PI / 2.0).cos();
            scale /= width;
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn integral(rule: Quadrature, steps: usize, f: impl Fn(f64) -> f64) -> f64 {
        let nodes = rule.nodes(steps);
        nodes.iter().map(|&(at, weight)| weight * f(at)).sum()
    }

    #[test]
    fn weights_add_up_to_one() {
        for &(name, rule) in Quadrature::NAMES {
            for steps in [1, 2, 3, 7, 50, 128, 999] {
                let nodes = rule.nodes(steps);
                let count = steps + usize::from(rule == Quadrature::Trapezoid);
                assert_eq!(nodes.len(), count, "{name}");
                let sum = integral(rule, steps, |_| 1.0);
                assert!((sum - 1.0).abs() < 1e-13, "{name}, {steps}: {sum}");
                assert!(nodes.is_sorted_by(|a, b| a.0 < b.0), "{name}, {steps}");
                assert!(nodes.iter().all(|(at, _)| (0.0..=1.0).contains(at)));
            }
            assert_eq!(rule.to_string().parse::<Quadrature>().unwrap(), rule);
            assert!(rule.nodes(0).is_empty());
        }
        assert!("simpson".parse::<Quadrature>().is_err());
    }

    /// Abramowitz and Stegun, table 25.4.
    #[test]
    fn gauss_legendre_as_tabulated() {
        for (n, root, weight) in [
            (2, 0.577_350_269_189_626, 1.0),
            (3, 0.774_596_669_241_483, 0.555_555_555_555_556),
            (5, 0.906_179_845_938_664, 0.236_926_885_056_189),
            (10, 0.973_906_528_517_172, 0.066_671_344_308_688),
            (96, 0.999_689_503_883_231, 0.000_796_792_065_552),
        ] {
            let nodes = Quadrature::GaussLegendre.nodes(n);
            for (at, got) in [nodes[0], nodes[n - 1]] {
                assert!(((2.0 * at - 1.0).abs() - root).abs() < 1e-14, "{n}: {at}");
                assert!((2.0 * got - weight).abs() < 1e-14, "{n}: {got}");
            }
        }
    }

    /// Nodes of large degrees are found in another way in the middle than at the ends.
    #[test]
    fn gauss_legendre_of_large_degrees() {
        for n in [199, 200, 201, 1000, 5001] {
            let nodes = Quadrature::GaussLegendre.nodes(n);
            assert_eq!(nodes.len(), n);
            assert!(nodes.is_sorted_by(|a, b| a.0 < b.0), "{n}");
            for (i, &(at, weight)) in nodes.iter().enumerate() {
                // A root of the recurrence, to what is left of its precision.
                let x = 2.0 * at - 1.0;
                let [before, value] = legendre(n, x);
                let slope = n as f64 * (x * value - before) / (x * x - 1.0);
                assert!((value / slope).abs() < 1e-15, "{n}, {i}: {at}");
                let want = 1.0 / ((1.0 - x * x) * slope * slope);
                assert!(
                    (weight / want - 1.0).abs() < 1e-9,
                    "{n}, {i}: {weight} {want}"
                );
            }
            for degree in [1, 2, 51, n as i32, 2 * n as i32 - 1] {
                let got = integral(Quadrature::GaussLegendre, n, |x| x.powi(degree));
                let want = 1.0 / f64::from(degree + 1);
                assert!(
                    (got / want - 1.0).abs() < 1e-11,
                    "{n}, {degree}: {got} {want}"
                );
            }
        }
    }

    /// As many steps as a path may have: a recurrence for each root would take hours.
    #[test]
    fn the_largest_degree_is_as_exact_as_small_ones() {
        let nodes = Quadrature::GaussLegendre.nodes(MAX_STEPS);
        assert_eq!(nodes.len(), MAX_STEPS);
        assert!(nodes.is_sorted_by(|a, b| a.0 < b.0));
        let got: f64 = nodes.iter().map(|&(at, weight)| weight * at.exp()).sum();
        assert!((got - (1.0_f64.exp() - 1.0)).abs() < 1e-12, "{got}");
    }

    #[test]
    fn gauss_legendre_is_exact_to_twice_its_degree() {
        for n in 1..12 {
            for degree in 0..2 * n as i32 {
                let got = integral(Quadrature::GaussLegendre, n, |x| x.powi(degree));
                let want = 1.0 / f64::from(degree + 1);
                assert!((got - want).abs() < 1e-14, "{n} nodes, degree {degree}");
            }
            let beyond = integral(Quadrature::GaussLegendre, n, |x| x.powi(2 * n as i32));
            assert!((beyond - 1.0 / (2 * n + 1) as f64).abs() > 1e-15);
        }
    }

    /// Twice the steps divide the error by 2 at order 1, by 4 at order 2.
    #[test]
    fn orders_of_convergence() {
        let error = |rule, steps| (integral(rule, steps, f64::exp) - (1.0_f64.exp() - 1.0)).abs();
        for (rule, order) in [
            (Quadrature::Left, 1),
            (Quadrature::Right, 1),
            (Quadrature::Trapezoid, 2),
            (Quadrature::Middle, 2),
        ] {
            let ratio = error(rule, 64) / error(rule, 128);
            let want = f64::from(1 << order);
            assert!((ratio / want - 1.0).abs() < 0.02, "{rule}: {ratio}");
        }
    }
}
