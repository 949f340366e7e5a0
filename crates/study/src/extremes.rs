//! The images on which a method did best and worst, as they come by.
//!
//! Whoever is among the best of all images was among the best of those before it, so that what is kept of the best so far
//! holds whatever the results call best in the end, whether they come from one process or from several.

use std::cmp::Ordering;

use elucid_metrics::Direction;

use crate::found::Found;

/// How many of the best and how many of the worst are kept.
pub const KEPT: usize = 6;

/// The best and the worst images of one method so far.
#[derive(Debug, Clone, Default)]
pub struct Extremes {
    best: Vec<Ranked>,
    worst: Vec<Ranked>,
}

#[derive(Debug, Clone)]
struct Ranked {
    number: usize,
    /// One for each metric, larger is better; metrics without a number come last.
    goodness: Vec<Option<f64>>,
}

impl Extremes {
    /// Those of all that was found, for the method in row `row`.
    pub fn of(found: &Found, row: usize, directions: &[Direction]) -> Self {
        let mut extremes = Self::default();
        for (image, ..) in found.seen() {
            let values = (0..found.metrics().len()).map(|metric| found.number(image, row, metric));
            let values: Vec<Option<f64>> = values.collect();
            extremes.add(found.planned()[image].number, &values, directions);
        }
        extremes
    }

    /// Takes an image into account; whether it is among the extremes now.
    pub fn add(&mut self, number: usize, values: &[Option<f64>], directions: &[Direction]) -> bool {
        let goodness = values.iter().zip(directions);
        let goodness: Vec<Option<f64>> = goodness
            .map(|(value, direction)| match direction {
                Direction::Larger => *value,
                Direction::Smaller => value.map(|value| -value),
            })
            .collect();
        if goodness.iter().all(Option::is_none) {
            return false;
        }
        let ranked = Ranked { number, goodness };
        let best = insert(&mut self.best, &ranked, |a, b| compare(a, b).reverse());
        let worst = insert(&mut self.worst, &ranked, compare);
        best || worst
    }

    /// Numbers of all images that are kept: more than are shown, because later images, or other
    /// shards, may ask for them.
    pub fn kept(&self) -> Vec<usize> {
        let ranked = self.best.iter().chain(&self.worst);
        ranked.map(|ranked| ranked.number).collect()
    }

    /// Numbers of the best and of the worst of `count` images, as many of each and none twice, at
    /// most `most`.
    pub fn chosen(&self, count: usize, most: usize) -> [Vec<usize>; 2] {
        let each = most.min(KEPT).min(count / 2);
        let best = each.max(usize::from(count == 1 && most > 0));
        let numbers = |ranked: &[Ranked], most: usize| {
            let numbers = ranked.iter().take(most).map(|ranked| ranked.number);
            numbers.collect::<Vec<_>>()
        };
        let best = numbers(&self.best, best);
        let mut worst = numbers(&self.worst, each);
        // Metrics may be applicable to few images only.
        worst.retain(|number| !best.contains(number));
        [best, worst]
    }
}

/// By the first metric that tells them apart; of equals, the one that comes first is the better.
fn compare(a: &Ranked, b: &Ranked) -> Ordering {
    let pairs = a.goodness.iter().zip(&b.goodness);
    let by_metric = pairs.map(|(a, b)| match (a, b) {
        (Some(a), Some(b)) => a.total_cmp(b),
        (a, b) => a.is_some().cmp(&b.is_some()),
    });
    by_metric
        .fold(Ordering::Equal, Ordering::then)
        .then(b.number.cmp(&a.number))
}

fn insert(
    list: &mut Vec<Ranked>,
    ranked: &Ranked,
    order: impl Fn(&Ranked, &Ranked) -> Ordering,
) -> bool {
    let place = list.partition_point(|known| order(known, ranked) == Ordering::Less);
    if place >= KEPT {
        return false;
    }
    list.insert(place, ranked.clone());
    list.truncate(KEPT);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extremes_are_those_of_a_sorted_list() {
        let directions = [Direction::Larger, Direction::Smaller];
        let value = |i: usize| Some(((i * 7) % 3) as f64);
        let second = |i: usize| (!i.is_multiple_of(5)).then_some(((i * 11) % 13) as f64);
        let mut extremes = Extremes::default();
        let mut all = Vec::new();
        for i in 0..40 {
            extremes.add(i, &[value(i), second(i)], &directions);
            all.push((value(i), second(i).map(|v| -v), i));
        }
        let key = |a: &(Option<f64>, Option<f64>, usize)| (a.0, a.1);
        all.sort_by(|a, b| key(b).partial_cmp(&key(a)).unwrap().then(a.2.cmp(&b.2)));
        let expected: Vec<usize> = all.iter().take(6).map(|a| a.2).collect();
        let [best, worst] = extremes.chosen(40, 6);
        assert_eq!(best, expected);
        all.reverse();
        let expected: Vec<usize> = all.iter().take(6).map(|a| a.2).collect();
        assert_eq!(worst, expected);
    }

    #[test]
    fn few_images_stand_once() {
        let mut extremes = Extremes::default();
        assert!(!extremes.add(9, &[None], &[Direction::Larger]));
        for i in 0..3 {
            extremes.add(i, &[Some(i as f64)], &[Direction::Larger]);
        }
        assert_eq!(extremes.chosen(4, 6), [vec![2, 1], vec![0]]);
        assert_eq!(extremes.chosen(1, 6), [vec![2], vec![]]);
        assert!(extremes.chosen(3, 0).concat().is_empty());
    }
}
