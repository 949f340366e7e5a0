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

/// What [`chosen`] and lists of images take.
pub const IMAGES_EXPECTED: &str =
    "images are numbers, from 0, ranges such as \"0-99\", and names of files";

/// The numbers of those of `known` images, by number and file, that a text names: a file, a number, or a range of numbers such as
/// `0-99`, the last among them. Files come first: one may be called `0-99`.
///
/// # Errors
///
/// What is none of them, or names no image, in words.
pub fn chosen<'i>(
    text: &str,
    known: impl IntoIterator<Item = (usize, &'i str)>,
) -> Result<Vec<usize>, String> {
    let known: Vec<(usize, &str)> = known.into_iter().collect();
    let numbers = |is: &dyn Fn(usize, &str) -> bool| -> Vec<usize> {
        let those = known.iter().filter(|(number, file)| is(*number, file));
        those.map(|(number, _)| *number).collect()
    };
    let named = numbers(&|_, file| file == text);
    if !named.is_empty() {
        return Ok(named);
    }
    let number = |text: &str| text.trim().parse::<usize>().ok();
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (Some(first), Some(last)) = (number(first), number(last)) else {
        return Err(format!("there is no image {text}; {IMAGES_EXPECTED}"));
    };
    let within = numbers(&|number, _| (first..=last).contains(&number));
    match within.is_empty() {
        true => Err(format!("there are no images {text}")),
        false => Ok(within),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(classes: &[usize]) -> Vec<Item> {
        let items = classes.iter().enumerate();
        let items = items.map(|(number, &class)| Item::new(number, format!("{number}.png"), class));
        items.collect()
    }

    #[test]
    fn images_are_chosen_by_number_range_and_file() {
        let known = [(0, "a.png"), (2, "b.png"), (5, "0-2"), (7, "b.png")];
        let numbers = |text| chosen(text, known);
        assert_eq!(numbers("2"), Ok(vec![2]));
        assert_eq!(numbers("1-5"), Ok(vec![2, 5]));
        assert_eq!(numbers("6 - 99"), Ok(vec![7]));
        assert_eq!(numbers("0-2"), Ok(vec![5]), "a file may be called so");
        assert_eq!(numbers("b.png"), Ok(vec![2, 7]));
        for wrong in ["1", "5-2", "8-9"] {
            assert_eq!(numbers(wrong), Err(format!("there are no images {wrong}")));
        }
        for wrong in ["", "c.png", "-1", "1-", "0-1-2", "1..2"] {
            let error = numbers(wrong).unwrap_err();
            assert!(error.starts_with(&format!("there is no image {wrong};")));
        }
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
