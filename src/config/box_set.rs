//! The boxes that a `[[pin]]`, or a ceiling, names: ids and ranges of ids.

use std::fmt;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::quantity::{BoxId, parse_count};

/// A set of boxes, written `0-3,8`. Never empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BoxSet(Vec<RangeInclusive<u32>>);

impl BoxSet {
    /// Parses ids and ranges, 0 ..= 2^31-1, separated by commas. None when any part is wrong or a
    /// range goes backwards.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let id = |part: &str| parse_count(part).ok();
        text.split(',')
            .map(|part| {
                let (first, last) = part.split_once('-').unwrap_or((part, part));
                let (first, last) = (id(first)?, id(last)?);
                (first <= last).then_some(first..=last)
            })
            .collect::<Option<Vec<_>>>()
            .map(Self)
    }

    /// The boxes, in the order in which they are written.
    pub(crate) fn ids(&self) -> impl Iterator<Item = BoxId> {
        self.0.iter().cloned().flatten().map(BoxId)
    }

    /// Whether the box is one of them.
    pub(crate) fn contains(&self, id: BoxId) -> bool {
        self.0.iter().any(|range| range.contains(&id.0))
    }
}

impl fmt::Display for BoxSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, range) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            if range.start() == range.end() {
                write!(f, "{comma}{}", range.start())?;
            } else {
                write!(f, "{comma}{}-{}", range.start(), range.end())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_ranges_make_a_set_and_print_as_written() {
        let set = BoxSet::parse("0-3,8,2147483647").unwrap();
        let named: Vec<u32> = [0, 3, 4, 7, 8, 9, 2_147_483_647]
            .into_iter()
            .filter(|id| set.contains(BoxId(*id)))
            .collect();
        assert_eq!(named, [0, 3, 8, 2_147_483_647]);
        assert_eq!(set.to_string(), "0-3,8,2147483647");
        let ids: Vec<u32> = set.ids().map(|id| id.0).collect();
        assert_eq!(ids, [0, 1, 2, 3, 8, 2_147_483_647]);
    }

    #[test]
    fn what_is_no_id_and_no_range_is_refused() {
        for text in [
            "",
            ",",
            "1,",
            "3-1",
            "-1",
            "1-",
            "1-2-3",
            "a",
            "1 - 2",
            "2147483648",
        ] {
            assert_eq!(BoxSet::parse(text), None, "{text}");
        }
    }
}
