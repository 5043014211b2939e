//! Quantities in a job: a string in the words of the command line and of isolate.toml (`"1.5s"`,
//! `"64M"`), or a bare number in their bare units. They stay text, and are checked.

use std::fmt;
use std::time::Duration;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::{Serialize, Serializer};

use crate::quantity::{self, Bytes, QuantityError};

/// The word for "no limit".
const UNLIMITED: &str = "unlimited";

/// Makes a type of a quantity: its name, what it is, what else may stand there, and its parser.
macro_rules! quantity {
    ($name:ident, $what:literal, $parse:expr) => {
        #[doc = concat!("A ", $what, ", as it was written.")]
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub(crate) struct $name(String);

        impl $name {
            /// The text for the command line.
            pub(crate) fn text(&self) -> &str {
                &self.0
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = deserializer.deserialize_any(Text($what))?;
                let check: fn(&str) -> Result<(), QuantityError> = $parse;
                check(&text).map_err(de::Error::custom)?;
                Ok(Self(text))
            }
        }
    };
}

quantity!(Time, "time", |text| unlimited_or(text, |text| {
    quantity::parse_time(text).map(drop)
}));
quantity!(Size, "size", |text| unlimited_or(text, |text| {
    Bytes::parse(text).map(drop)
}));
quantity!(Count, "count", |text| unlimited_or(text, |text| {
    quantity::parse_count(text).map(drop)
}));
quantity!(Bound, "size", |text| Bytes::parse(text).map(drop));

impl Time {
    /// So much time.
    pub(crate) fn of(time: Duration) -> Self {
        Self(format!("{}.{:09}s", time.as_secs(), time.subsec_nanos()))
    }
}

impl Size {
    /// So many bytes; 0 is no limit.
    pub(crate) fn of(bytes: u64) -> Self {
        Self(format!("{bytes}B"))
    }
}

impl Count {
    /// So many; 0 is no limit.
    pub(crate) fn of(count: u32) -> Self {
        Self(count.to_string())
    }
}

impl Bound {
    /// The number of bytes.
    pub(crate) fn bytes(&self) -> u64 {
        Bytes::parse(&self.0).map_or(0, |bytes| bytes.0)
    }

    /// So many bytes.
    pub(crate) fn of(bytes: u64) -> Self {
        Self(format!("{bytes}B"))
    }
}

/// What the command line calls a limit: 0 is none.
pub(super) fn for_command_line(text: &str) -> &str {
    if text == UNLIMITED { "0" } else { text }
}

fn unlimited_or(
    text: &str,
    check: impl Fn(&str) -> Result<(), QuantityError>,
) -> Result<(), QuantityError> {
    if text == UNLIMITED {
        return Ok(());
    }
    check(text)
}

/// Takes strings and numbers as text.
struct Text(&'static str);

impl Visitor<'_> for Text {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a {}: a number or a string", self.0)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<String, E> {
        Ok(number.to_string())
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<String, E> {
        Ok(number.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_words_or_bare_numbers() {
        let time = |text: &str| serde_json::from_str::<Time>(text).map(|time| time.0);
        assert_eq!(time("\"1.5s\"").unwrap(), "1.5s");
        assert_eq!(time("2").unwrap(), "2");
        assert_eq!(time("0.5").unwrap(), "0.5");
        assert_eq!(time("\"unlimited\"").unwrap(), "unlimited");
        for wrong in ["\"fast\"", "-1", "true", "null", "[]"] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
        let bound: Bound = serde_json::from_str("64").unwrap();
        assert_eq!(bound.bytes(), 64 << 10);
        assert_eq!(Bound::of(77).bytes(), 77);
        let time = Time::of(Duration::from_micros(1_500_001));
        assert_eq!(
            quantity::parse_time(time.text()),
            Ok(Duration::from_micros(1_500_001))
        );
        assert_eq!(Bytes::parse(Size::of(77).text()), Ok(Bytes(77)));
        assert!(serde_json::from_str::<Bound>("\"unlimited\"").is_err());
    }
}
