//! Sizes, times, counts, box ids and CPU lists: parsed once, range-checked, printed with a unit.
//!
//! A bare number means what it means to isolate (KiB for a size, seconds for a time); a suffix says
//! otherwise. Nothing here reads a file or knows which option or key a value came from: the caller
//! puts that name in front of a [`QuantityError`].

mod cpu_list;

use std::fmt;
use std::time::Duration;

pub(crate) use cpu_list::{CpuList, numbers, ranges};
use serde::{Deserialize, Serialize};

/// Why a text is not the quantity that was expected. It is read after `NAME: `, as in `--time:
/// 'abc' is not a time: use seconds …`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct QuantityError(String);

impl fmt::Display for QuantityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for QuantityError {}

/// The largest number that isolate takes for a size, a count or an id: 2^31 - 1.
const NUMBER_MAX: u64 = i32::MAX as u64;

/// A user and a group that own files, or that processes run as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ids {
    /// The user.
    pub(crate) uid: u32,
    /// The group.
    pub(crate) gid: u32,
}

/// A size in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Bytes(pub(crate) u64);

impl Bytes {
    /// Parses a size: a bare number is KiB (0 ..= 2^31-1, as in isolate); `B`, `K`, `M`, `G`, `T`
    /// (also `KiB` …, in either case) are powers of 1024. A number with a suffix may have a
    /// fraction (`1.5G`).
    pub(crate) fn parse(text: &str) -> Result<Self, QuantityError> {
        let refusal = || {
            QuantityError(format!(
                "'{text}' is not a size: use KiB as a bare number up to {NUMBER_MAX}, or a suffix \
                 as in 512K, 64M, 1.5G"
            ))
        };
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let suffix = &text[digits.len()..];
        let unit: u64 = match suffix.to_ascii_lowercase().as_str() {
            "" => {
                let kib = decimal(text)
                    .filter(|n| *n <= NUMBER_MAX)
                    .ok_or_else(refusal)?;
                return Ok(Self(kib * 1024));
            }
            "b" => 1,
            "k" | "kib" => 1 << 10,
            "m" | "mib" => 1 << 20,
            "g" | "gib" => 1 << 30,
            "t" | "tib" => 1 << 40,
            // Powers of 1024 to some and of 1000 to others: a limit is not left to chance.
            "kb" | "mb" | "gb" | "tb" if scaled(digits, 1 << 10).is_some() => {
                let letter = suffix[..1].to_ascii_uppercase();
                return Err(QuantityError(format!(
                    "'{text}' can mean two sizes: use {digits}{letter}, or {digits}{letter}iB, for powers of 1024"
                )));
            }
            _ => return Err(refusal()),
        };
        scaled(digits, unit)
            .filter(|bytes| *bytes <= NUMBER_MAX << 10)
            .map(Self)
            .ok_or_else(refusal)
            .and_then(|size| unless_vanished(text, size, size.0 == 0))
    }
}

/// Refuses a value that was so small that it was cut to zero: zero means "no limit", which nobody
/// meant.
fn unless_vanished<T>(text: &str, value: T, is_zero: bool) -> Result<T, QuantityError> {
    let mantissa = text.split(['e', 'E']).next().unwrap_or(text);
    if is_zero && mantissa.bytes().any(|b| matches!(b, b'1'..=b'9')) {
        return Err(QuantityError(format!(
            "'{text}' is too small; the least limits are 1us and 1B, and 0 is no limit"
        )));
    }
    Ok(value)
}

impl fmt::Display for Bytes {
    /// Writes the size with the largest unit that gives a whole number: `64M`, `1536K`, `100B`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut value, mut unit) = (self.0, 0);
        while value != 0 && value % 1024 == 0 && unit < 4 {
            value /= 1024;
            unit += 1;
        }
        write!(f, "{value}{}", ["B", "K", "M", "G", "T"][unit])
    }
}

/// Parses a time, to the microsecond: a bare number is seconds, as C's `atof` takes them (`1`,
/// `0.5`, `1e+06`); `us`, `ms`, `s`, `m`/`min`, `h` are units. Where `atof` turns garbage into 0,
/// this is an error: a mistyped limit must not mean "no limit".
pub(crate) fn parse_time(text: &str) -> Result<Duration, QuantityError> {
    let refusal = || {
        QuantityError(format!(
            "'{text}' is not a time: use seconds as in 1 or 0.5, or a suffix as in 1.5s, 200ms, 2min"
        ))
    };
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let micros: u64 = match &text[digits.len()..] {
        "us" => 1,
        "ms" => 1_000,
        "" | "s" => 1_000_000,
        "m" | "min" => 60_000_000,
        "h" => 3_600_000_000,
        _ => return Err(refusal()),
    };
    let number = digits.trim();
    let too_long = || {
        QuantityError(format!(
            "'{text}' is more than {NUMBER_MAX} seconds; 0 or no such option is no limit"
        ))
    };
    if let Some(micros) = scaled(number, micros) {
        let time = limited(Duration::from_micros(micros)).ok_or_else(too_long)?;
        return unless_vanished(text, time, time.is_zero());
    }
    let exponent_form = number
        .bytes()
        .all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'));
    let value = number.parse::<f64>().ok();
    let value = value.filter(|value| exponent_form && !value.is_nan() && *value >= 0.0);
    let value = value.ok_or_else(refusal)?;
    let time = Duration::try_from_secs_f64(value * (micros as f64 / 1e6)).ok();
    let time = time.and_then(limited).ok_or_else(too_long)?;
    let time = Duration::new(time.as_secs(), time.subsec_micros() * 1000);
    unless_vanished(text, time, time.is_zero())
}

/// Keeps a time below 2^31 seconds, so that no sum of two overflows anywhere.
fn limited(time: Duration) -> Option<Duration> {
    (time.as_secs() <= NUMBER_MAX).then_some(time)
}

/// Parses a count or an id: decimal, 0 ..= 2^31-1.
pub(crate) fn parse_count(text: &str) -> Result<u32, QuantityError> {
    decimal(text)
        .filter(|n| *n <= NUMBER_MAX)
        .and_then(|n| u32::try_from(n).ok())
        .ok_or_else(|| QuantityError(format!("'{text}' is not a number from 0 to {NUMBER_MAX}")))
}

/// Parses an unsigned decimal number without sign or blanks.
fn decimal(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// Multiplies a decimal number, which may have a fraction, by `unit`, without the rounding errors
/// of binary fractions: `0.3` s is exactly 300000 us.
fn scaled(number: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let whole = if whole.is_empty() { "0" } else { whole };
    let fraction = if fraction.is_empty() { "0" } else { fraction };
    // Twelve digits are exact for every unit here. Finer ones are cut, as isolate cuts below 1 ms.
    let fraction = &fraction.get(..fraction.len().min(12))?;
    let digits = decimal(fraction)?;
    let power = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let parts = u128::from(digits) * u128::from(unit) / power;
    decimal(whole)?
        .checked_mul(unit)?
        .checked_add(u64::try_from(parts).ok()?)
}

/// The number of a box, 0 ..= 2^31-1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct BoxId(pub(crate) u32);

impl fmt::Display for BoxId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// `--quota=blocks,inodes`: what the box's uid may use on the file system of the box.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DiskQuota {
    /// Blocks of 1 KiB (quotactl(2), `dqb_bhardlimit`).
    pub(crate) blocks: u32,
    /// Inodes (files and directories).
    pub(crate) inodes: u32,
}

impl DiskQuota {
    /// Parses `blocks,inodes`.
    pub(crate) fn parse(text: &str) -> Result<Self, QuantityError> {
        let (blocks, inodes) = text.split_once(',').ok_or_else(|| {
            QuantityError(format!(
                "'{text}' is not a quota: use BLOCKS,INODES as in 10240,100"
            ))
        })?;
        Ok(Self {
            blocks: parse_count(blocks)?,
            inodes: parse_count(inodes)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_kib_when_bare_and_take_suffixes() {
        for (text, bytes) in [
            ("0", 0),
            ("64", 64 << 10),
            ("2147483647", 2_147_483_647 << 10),
            ("64M", 64 << 20),
            ("64MiB", 64 << 20),
            ("512k", 512 << 10),
            ("1.5G", 3 << 29),
            ("100B", 100),
        ] {
            assert_eq!(Bytes::parse(text), Ok(Bytes(bytes)), "{text}");
        }
        for text in [
            "",
            "-1",
            "+1",
            "2147483648",
            "1.5",
            "64X",
            "M",
            "0x10",
            " 1",
            "1 M",
            "9999999T",
            "64é",
        ] {
            assert!(Bytes::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_unit_with_two_meanings_is_refused_with_the_one_that_is_taken() {
        let error = Bytes::parse("1.5Gb").unwrap_err().to_string();
        assert_eq!(
            error,
            "'1.5Gb' can mean two sizes: use 1.5G, or 1.5GiB, for powers of 1024"
        );
        let error = Bytes::parse("xMB").unwrap_err().to_string();
        assert!(error.starts_with("'xMB' is not a size: "), "{error}");
    }

    #[test]
    fn sizes_print_in_their_largest_whole_unit() {
        for (bytes, text) in [
            (0, "0B"),
            (100, "100B"),
            (64 << 20, "64M"),
            (3 << 19, "1536K"),
            (1 << 50, "1024T"),
        ] {
            assert_eq!(Bytes(bytes).to_string(), text);
        }
    }

    #[test]
    fn times_are_seconds_when_bare_and_take_exponents_and_suffixes() {
        for (text, micros) in [
            ("1", 1_000_000),
            ("0.3", 300_000),
            (".5", 500_000),
            ("5.", 5_000_000),
            ("1.000000", 1_000_000),
            ("1e+06", 1_000_000_000_000),
            ("1e-3", 1_000),
            ("1.5s", 1_500_000),
            ("200ms", 200_000),
            ("250us", 250),
            ("0.000", 0),
            ("2min", 120_000_000),
        ] {
            assert_eq!(
                parse_time(text),
                Ok(Duration::from_micros(micros)),
                "{text}"
            );
        }
        for text in [
            "",
            ".",
            "0.0000001",
            "1e-9",
            "-1",
            "abc",
            "1x",
            "inf",
            "nan",
            "infs",
            "1e99",
            "99999999999",
            "1.2.3",
            "1é",
        ] {
            assert!(parse_time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn counts_are_plain_decimals() {
        assert_eq!(parse_count("2147483647"), Ok(2_147_483_647));
        for text in [
            "",
            "-1",
            "2147483648",
            "1.0",
            "x",
            "99999999999999999999999",
        ] {
            assert!(parse_count(text).is_err(), "{text}");
        }
    }

    #[test]
    fn quotas_need_both_numbers() {
        assert_eq!(
            DiskQuota::parse("10240,100"),
            Ok(DiskQuota {
                blocks: 10_240,
                inodes: 100
            })
        );
        for text in ["", "10", "10,", ",10", "1,2,3", "a,b"] {
            assert!(DiskQuota::parse(text).is_err(), "{text}");
        }
    }
}
