//! Lists in messages from strangers. A word without letters takes one byte in a message and
//! hundreds here, so the length of a message says little about the memory that it costs. Pure.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};

/// The length of the longest list. No program that we know has a command line of more words; of
/// one-letter words, execve(2) takes three times as many by default.
pub(super) const MOST: usize = 1 << 16;

/// Reads a list of at most [`MOST`] items, for `serde(deserialize_with)`.
pub(super) fn list<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    deserializer.deserialize_seq(List(PhantomData))
}

struct List<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for List<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {MOST} things")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Vec<T>, A::Error> {
        let mut list = Vec::new();
        while let Some(thing) = sequence.next_element()? {
            if list.len() == MOST {
                return Err(A::Error::invalid_length(MOST + 1, &self));
            }
            list.push(thing);
        }
        Ok(list)
    }
}
