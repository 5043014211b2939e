//! Lists of CPUs and memory nodes, as in cpuset(7).

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use super::{QuantityError, decimal};

/// A list of CPUs or memory nodes in the kernel's list format: `0-3,8`. See cpuset(7), "List
/// format".
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CpuList(String);

impl CpuList {
    /// Parses ranges and numbers up to 65535, separated by commas; no range may go backwards.
    pub(crate) fn parse(text: &str) -> Result<Self, QuantityError> {
        ranges(text)
            .map(|_| Self(text.to_owned()))
            .ok_or_else(|| QuantityError(format!("'{text}' is not a list such as 0-3,8")))
    }

    /// The list of these numbers; `None` when there are none.
    pub(crate) fn of(numbers: &BTreeSet<u32>) -> Option<Self> {
        let mut ranges: Vec<(u32, u32)> = Vec::new();
        for number in numbers.iter().copied() {
            match ranges.last_mut() {
                Some((_, last)) if *last + 1 == number => *last = number,
                _ => ranges.push((number, number)),
            }
        }
        let shown = ranges.iter().map(|(first, last)| match first == last {
            true => first.to_string(),
            false => format!("{first}-{last}"),
        });
        let text = shown.collect::<Vec<_>>().join(",");
        (!text.is_empty()).then_some(Self(text))
    }

    /// The numbers that it names, each once.
    pub(crate) fn numbers(&self) -> BTreeSet<u32> {
        numbers(&self.0)
    }

    /// The list as the kernel takes it.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// How many CPUs the list names; each counts once.
    pub(crate) fn count(&self) -> usize {
        numbers(&self.0).len()
    }

    /// Whether another list names the same, in whatever order and form.
    pub(crate) fn names_what(&self, other: &str) -> bool {
        ranges(other).is_some() && numbers(&self.0) == numbers(other)
    }

    /// The first number in the list that is in none of these ranges.
    pub(crate) fn first_outside(&self, of: &[RangeInclusive<u32>]) -> Option<u32> {
        let mut numbers = numbers(&self.0).into_iter();
        numbers.find(|number| !of.iter().any(|range| range.contains(number)))
    }
}

/// The numbers that a list of the kernel's names, each once; none for what is no list, and for an
/// empty one.
pub(crate) fn numbers(list: &str) -> BTreeSet<u32> {
    ranges(list)
        .unwrap_or_default()
        .into_iter()
        .flatten()
        .collect()
}

/// Parses `0-3,8` to inclusive ranges; None when any part is wrong.
pub(crate) fn ranges(text: &str) -> Option<Vec<RangeInclusive<u32>>> {
    let number = |part: &str| {
        decimal(part)
            .filter(|n| *n <= 65_535)
            .and_then(|n| u32::try_from(n).ok())
    };
    text.split(',')
        .map(|part| match part.split_once('-') {
            Some((first, last)) => {
                let (first, last) = (number(first)?, number(last)?);
                (first <= last).then_some(first..=last)
            }
            None => number(part).map(|n| n..=n),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_lists_follow_the_kernel_format() {
        assert_eq!(CpuList::parse("0-3,8").map(|list| list.count()), Ok(5));
        assert_eq!(CpuList::parse("1,1,0-1").map(|list| list.count()), Ok(2));
        let list = CpuList::parse("2,0-1").unwrap();
        for (other, is_same) in [("0-2", true), ("0,1,2", true), ("0-3", false), ("", false)] {
            assert_eq!(list.names_what(other), is_same, "{other}");
        }
        assert_eq!(list.first_outside(&[0..=5]), None);
        assert_eq!(list.first_outside(&[0..=0, 2..=7]), Some(1));
        for text in ["3", "0-2", "0,2-3,8"] {
            let list = CpuList::parse(text).unwrap();
            assert_eq!(CpuList::of(&list.numbers()), Some(list));
        }
        assert_eq!(CpuList::of(&BTreeSet::new()), None);
        for text in ["", "3-1", "a", "1,", "-1", "1--2", "70000"] {
            assert!(CpuList::parse(text).is_err(), "{text}");
        }
    }
}
