//! Durations and sizes as they are written in `worker.toml`. Pure.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

/// A duration such as `"200ms"`, `"30s"`, `"5min"`, `"1h"` or `"7d"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) Duration);

/// A size in bytes, such as `"64K"`, `"64M"` or `"20G"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) u64);

/// The number that a text begins with, and the rest.
fn number(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit))
}

fn span(text: &str) -> Option<Duration> {
    let (number, unit) = number(text)?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    Some(Duration::from_millis(number.checked_mul(millis)?))
}

fn size(text: &str) -> Option<u64> {
    let (number, unit) = number(text)?;
    let shift = match unit {
        "B" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return None,
    };
    number.checked_mul(1 << shift)
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong =
            || format!("'{text}' is no duration: a number with ms, s, min, h or d, as in \"30s\"");
        span(&text)
            .map(Self)
            .ok_or_else(|| de::Error::custom(wrong()))
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = || format!("'{text}' is no size: a number with B, K, M, G or T, as in \"64M\"");
        size(&text)
            .map(Self)
            .ok_or_else(|| de::Error::custom(wrong()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_read_and_nonsense_is_not() {
        assert_eq!(span("200ms"), Some(Duration::from_millis(200)));
        assert_eq!(span("7d"), Some(Duration::from_secs(7 * 86400)));
        assert_eq!(size("20G"), Some(20 << 30));
        for bad in [
            "",
            "s",
            "1",
            "1 s",
            "-1s",
            "1m",
            "99999999999999999999s",
            "18446744073709551615d",
        ] {
            assert_eq!(span(bad), None, "{bad}");
        }
        for bad in ["", "M", "1", "1k", "18446744073709551615T"] {
            assert_eq!(size(bad), None, "{bad}");
        }
    }
}
