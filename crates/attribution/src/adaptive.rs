//! Integration along lines with more points where the integrand bends.

use std::collections::VecDeque;

use crate::lines::Point;

/// Intervals that each line begins with. Fewer would do for the sum, which is all that defects
/// see, but where the score rises evenly the gradient turns nevertheless: on GoogLeNet 8 give the
/// same completeness with as many points in the end, and twice the error of the map.
const INTERVALS: usize = 32;

/// The share of the squared defects that the intervals of one round of splitting carry together:
/// Dörfler's marking. Smaller takes a few evaluations less in more rounds.
const MARKED: f64 = 0.8;

/// How many standard deviations of the sum of defects must be within the tolerance.
const DEVIATIONS: f64 = 2.0;

/// A point where score and gradient are known.
struct Node {
    point: Point,
    score: f64,
    /// Derivative of the score along the line.
    slope: f64,
    gradient: Vec<f32>,
}

/// What is known along the lines: nodes, and the intervals between neighbours.
pub(crate) struct Mesh {
    lines: usize,
    nodes: Vec<Node>,
    intervals: Vec<[usize; 2]>,
    /// Nodes that were asked for, with the interval that each of them splits.
    wanted: VecDeque<(Point, Option<usize>)>,
}

impl Mesh {
    /// Asks for evenly spaced nodes on each of `lines` lines, `evaluations` in all at most.
    pub fn new(lines: usize, evaluations: usize) -> Self {
        let intervals = (evaluations / lines.max(1))
            .saturating_sub(1)
            .clamp(1, INTERVALS);
        let wanted = (0..lines).flat_map(|line| {
            (0..=intervals).map(move |i| {
                let at = i as f64 / intervals as f64;
                (Point { line, at }, None)
            })
        });
        Self {
            lines,
            nodes: Vec::new(),
            intervals: Vec::new(),
            wanted: wanted.collect(),
        }
    }

    /// The points that are asked for.
    pub fn wanted(&self) -> Vec<Point> {
        self.wanted.iter().map(|(point, _)| *point).collect()
    }

    /// Adds a point that was asked for; they come in the order of [`Mesh::wanted`].
    pub fn add(&mut self, score: f64, slope: f64, gradient: Vec<f32>) {
        let Some((point, splits)) = self.wanted.pop_front() else {
            return;
        };
        let new = self.nodes.len();
        match splits {
            Some(interval) => {
                let [low, high] = self.intervals[interval];
                self.intervals[interval] = [low, new];
                self.intervals.push([new, high]);
            }
            None if point.at > 0.0 => self.intervals.push([new - 1, new]),
            None => {}
        }
        self.nodes.push(Node {
            point,
            score,
            slope,
            gradient,
        });
    }

    /// By how much the trapezoid over an interval misses the change of the score.
    fn defect(&self, [low, high]: [usize; 2]) -> f64 {
        let (a, b) = (&self.nodes[low], &self.nodes[high]);
        let trapezoid = 0.5 * (a.slope + b.slope) * (b.point.at - a.point.at);
        trapezoid - (b.score - a.score)
    }

    /// The error of the mean over lines: the sum of all defects, or twice the root of the sum of
    /// their squares if that is more.
    ///
    /// The first is what the integral misses, the second two standard deviations of what it would
    /// miss if the signs of the defects were random: large ones that happen to cancel do not pass.
    pub fn error(&self) -> f64 {
        let (mut sum, mut squares) = (0.0, 0.0);
        for &interval in &self.intervals {
            let defect = self.defect(interval);
            sum += defect;
            squares += defect * defect;
        }
        sum.abs().max(DEVIATIONS * squares.sqrt()) / self.lines.max(1) as f64
    }

    /// Asks for the middles of the worst intervals, at most `most`; false if none can be split.
    pub fn refine(&mut self, most: usize) -> bool {
        let mut defects: Vec<(f64, usize)> = self
            .intervals
            .iter()
            .enumerate()
            .map(|(i, &ends)| (self.defect(ends).powi(2), i))
            .collect();
        defects.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let whole: f64 = defects.iter().map(|(defect, _)| defect).sum();
        let mut carried = 0.0;
        for (defect, interval) in defects {
            if self.wanted.len() == most || carried > MARKED * whole || defect <= 0.0 {
                break;
            }
            let [low, high] = self.intervals[interval].map(|node| self.nodes[node].point);
            let at = 0.5 * (low.at + high.at);
            // Single precision, in which the point is computed, has no middle.
            if at as f32 <= low.at as f32 || at as f32 >= high.at as f32 {
                continue;
            }
            carried += defect;
            let line = low.line;
            self.wanted.push_back((Point { line, at }, Some(interval)));
        }
        !self.wanted.is_empty()
    }

    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// The trapezoid's integral of the gradient along each line.
    pub fn integrals(&self) -> Vec<Vec<f64>> {
        let size = self.nodes.first().map_or(0, |node| node.gradient.len());
        let mut weights = vec![0.0; self.nodes.len()];
        for &[low, high] in &self.intervals {
            let half = 0.5 * (self.nodes[high].point.at - self.nodes[low].point.at);
            weights[low] += half;
            weights[high] += half;
        }
        let mut sums = vec![vec![0.0; size]; self.lines];
        for (node, weight) in self.nodes.iter().zip(weights) {
            for (sum, &gradient) in sums[node.point.line].iter_mut().zip(&node.gradient) {
                *sum += weight * f64::from(gradient);
            }
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Integrates `slope` along one line, where `score` is its antiderivative.
    fn integrate(
        score: impl Fn(f64) -> f64,
        slope: impl Fn(f64) -> f64,
        tolerance: f64,
        most: usize,
    ) -> (f64, f64, usize) {
        let mut mesh = Mesh::new(1, most);
        loop {
            for Point { at, .. } in mesh.wanted() {
                mesh.add(score(at), slope(at), vec![slope(at) as f32]);
            }
            let spent = mesh.len() >= most;
            if mesh.error() <= tolerance || spent || !mesh.refine(most - mesh.len()) {
                return (mesh.integrals()[0][0], mesh.error(), mesh.len());
            }
        }
    }

    #[test]
    fn a_line_needs_no_more_than_the_first_points() {
        let (sum, defects, nodes) = integrate(|t| t * t, |t| 2.0 * t, 1e-9, 100);
        assert!((sum - 1.0).abs() < 1e-7 && defects < 1e-12);
        assert_eq!(nodes, INTERVALS + 1);
    }

    #[test]
    fn points_gather_where_the_integrand_bends() {
        // A spike of width 1/1000 at the start, as networks have near a baseline.
        let width = 1e-3;
        let score = |t: f64| t + 5.0 * (t / width).atan();
        let slope = |t: f64| 1.0 + 5.0 / width / (1.0 + (t / width).powi(2));
        let (sum, defects, nodes) = integrate(score, slope, 0.05, 200);
        let want = score(1.0) - score(0.0);
        assert!(defects <= 0.05, "{defects}");
        assert!((sum - want).abs() <= defects + 1e-3, "{sum} {want}");
        assert!(nodes < 80, "{nodes}");
        // The same points spread evenly are off by far more.
        let even: f64 = (0..nodes)
            .map(|i| {
                let at = |i: usize| i as f64 / nodes as f64;
                0.5 * (slope(at(i)) + slope(at(i + 1))) / nodes as f64
            })
            .sum();
        assert!((even - want).abs() > 10.0, "{even}");
    }

    #[test]
    fn errors_of_opposite_signs_do_not_cancel() {
        // Whole periods of a sine: every even rule gives 0, the integral, from the first.
        let tau = std::f64::consts::TAU;
        let score = |t: f64| -(8.0 * tau * t).cos() / (8.0 * tau);
        let slope = |t: f64| (8.0 * tau * t).sin() + 0.3 * (t > 0.3 && t < 0.7) as u8 as f64;
        let jump = |t: f64| score(t) + 0.3 * (t.clamp(0.3, 0.7) - 0.3);
        let (_, defects, nodes) = integrate(jump, slope, 1e-3, 2000);
        assert!(defects <= 1e-3 && nodes > 30, "{defects} {nodes}");
    }

    #[test]
    fn evaluations_are_bounded() {
        let noise = |t: f64| (t * 1e5).sin() * 100.0;
        for most in [2, 3, 9, 10, 57] {
            let (_, defects, nodes) = integrate(|_| 0.0, noise, 1e-6, most);
            assert!(nodes <= most, "{nodes} of {most}");
            assert!(defects > 1e-6);
        }
    }
}
