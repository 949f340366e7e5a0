//! Some images of many, of every class its share.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use elucid_models::sha256;

use crate::data::Item;

/// The numbers of `count` of the `items`, in order: a random sample that is stratified by class. Of a class with a share of the
/// images, the sample has that share, to rounding. The same seed gives the same images, on any machine and in any order of the
/// items, and a smaller sample lies within a larger one.
///
/// Each class is shuffled, and its image at place `r` of `n` is taken when a share `(r + 1/2) / n` of all is.
pub fn stratified<'i>(
    items: impl IntoIterator<Item = &'i &'i Item>,
    count: usize,
    seed: u64,
) -> Vec<usize> {
    let mut classes: BTreeMap<usize, Vec<(String, usize)>> = BTreeMap::new();
    for item in items {
        let named = format!("{seed}\n{}\n{}", item.class, item.file);
        let chance = sha256::of_bytes(named.as_bytes());
        classes
            .entry(item.class)
            .or_default()
            .push((chance, item.number));
    }
    // The share as a fraction, exact, and chance where shares are equal.
    let mut all: Vec<([u128; 2], String, usize)> = Vec::new();
    for mut class in classes.into_values() {
        class.sort();
        let size = class.len() as u128;
        let placed = class.into_iter().enumerate();
        all.extend(
            placed.map(|(place, (chance, number))| ([2 * place as u128 + 1, size], chance, number)),
        );
    }
    all.sort_by(|(a, chance, _), (b, other, _)| -> Ordering {
        (a[0] * b[1])
            .cmp(&(b[0] * a[1]))
            .then_with(|| chance.cmp(other))
    });
    all.truncate(count);
    let mut numbers: Vec<usize> = all.into_iter().map(|(.., number)| number).collect();
    numbers.sort_unstable();
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(classes: &[usize]) -> Vec<Item> {
        let items = classes.iter().enumerate();
        let items = items.map(|(number, &class)| Item::new(number, format!("{number}.png"), class));
        items.collect()
    }

    fn sample(items: &[Item], count: usize, seed: u64) -> Vec<usize> {
        let items: Vec<&Item> = items.iter().collect();
        stratified(&items, count, seed)
    }

    #[test]
    fn every_class_has_its_share() {
        // Sorted by class, as folders are: 60 of the first, 30 of the second, 10 of the third.
        let classes: Vec<usize> = (0..100)
            .map(|i| match i {
                0..60 => 0,
                60..90 => 1,
                _ => 2,
            })
            .collect();
        let items = items(&classes);
        for (count, shares) in [(10, [6, 3, 1]), (20, [12, 6, 2]), (100, [60, 30, 10])] {
            let chosen = sample(&items, count, 5);
            assert_eq!(chosen.len(), count);
            assert!(chosen.is_sorted_by(|a, b| a < b));
            let of = |class| chosen.iter().filter(|&&n| classes[n] == class).count();
            assert_eq!([of(0), of(1), of(2)], shares, "{count}");
        }
        assert_eq!(sample(&items, 1000, 5).len(), 100);
        assert!(sample(&items, 0, 5).is_empty());
    }

    #[test]
    fn a_sample_is_chance_and_the_same_each_time() {
        let classes: Vec<usize> = (0..50).map(|i| i % 5).collect();
        let data = items(&classes);
        let chosen = sample(&data, 20, 1);
        assert_eq!(sample(&data, 20, 1), chosen);
        assert_ne!(sample(&data, 20, 2), chosen);
        // Smaller samples lie within it.
        for count in 0..20 {
            let smaller = sample(&data, count, 1);
            assert!(
                smaller.iter().all(|number| chosen.contains(number)),
                "{count}"
            );
        }
        // In any order of the images.
        let mut turned = data.clone();
        turned.reverse();
        assert_eq!(sample(&turned, 20, 1), chosen);
        // Every image is as likely as every other.
        let mut counts = [0; 50];
        for seed in 0..400 {
            sample(&data, 10, seed)
                .into_iter()
                .for_each(|n| counts[n] += 1);
        }
        assert!(
            counts.iter().all(|&count| (45..120).contains(&count)),
            "{counts:?}"
        );
    }
}
