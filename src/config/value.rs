//! A value as a file gives it, and the readers that turn it into a quantity, a path or a choice.
//!
//! The error of a reader is the text after `FILE:LINE: KEY: `, which its caller puts before it.

use std::ops::RangeInclusive;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use super::error::{Place, one_line};
use crate::quantity::{Bytes, parse_time};

/// A value and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Located {
    /// The value.
    pub(super) value: Value,
    /// Where it stands.
    pub(super) place: Place,
}

/// A TOML value. Numbers stay text: the parsers of quantities are exact, while binary fractions are
/// not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// A string.
    Text(String),
    /// An integer, in decimal.
    Integer(String),
    /// A number with a fraction or an exponent.
    Float(String),
    /// `true` or `false`.
    Boolean(bool),
    /// A date or a time of day; no key takes one.
    Date,
    /// An array.
    List(Vec<Located>),
    /// A table: its keys and their values.
    Table(Vec<(String, Located)>),
}

/// The word for "no limit".
pub(super) const UNLIMITED: &str = "unlimited";

/// The largest count or number of boxes: 2^31-1 as in isolate.
pub(super) const COUNT_MAX: u32 = i32::MAX as u32;

/// The length of the longest string that is read, in bytes: `PATH_MAX` of Linux.
const TEXT_MAX: usize = 4096;

impl Value {
    /// What an error calls the value.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Text(text) => format!("'{}'", excerpt(text)),
            Self::Integer(number) | Self::Float(number) => excerpt(number),
            Self::Boolean(value) => value.to_string(),
            Self::Date => "a date".into(),
            Self::List(_) => "a list".into(),
            Self::Table(_) => "a table".into(),
        }
    }

    /// The text of a string or a number; empty for anything else.
    pub(super) fn as_written(&self) -> &str {
        match self {
            Self::Text(text) | Self::Integer(text) | Self::Float(text) => text,
            _ => "",
        }
    }

    /// The items of a list; none of anything else.
    pub(super) fn items(&self) -> &[Located] {
        match self {
            Self::List(items) => items,
            _ => &[],
        }
    }

    /// The entries of a table; none of anything else.
    pub(super) fn entries(&self) -> &[(String, Located)] {
        match self {
            Self::Table(entries) => entries,
            _ => &[],
        }
    }

    /// The string, when it is one; `allowed` says what should stand here.
    pub(super) fn text(&self, allowed: &str) -> Result<&str, String> {
        let Self::Text(text) = self else {
            return Err(format!("{} is no string; {allowed}", self.shown()));
        };
        plain(text)
    }
}

/// Refuses a text that cannot be printed or is too long.
fn plain(text: &str) -> Result<&str, String> {
    if text.len() > TEXT_MAX {
        return Err(format!(
            "{} bytes of text; at most {TEXT_MAX} are allowed",
            text.len()
        ));
    }
    if text.chars().any(char::is_control) {
        return Err(format!(
            "'{}' has a control character in it; only text on one line is allowed",
            excerpt(text)
        ));
    }
    Ok(text)
}

/// The text for a line of an error message: escaped and at most 60 characters long.
pub(super) fn excerpt(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((at, _)) => format!("{}…", one_line(&text[..at])),
        None => one_line(text),
    }
}

/// Reads `true` or `false`.
pub(super) fn switch(value: &Value) -> Result<bool, String> {
    match value {
        Value::Boolean(value) => Ok(*value),
        other => Err(format!(
            "{} is no switch; true and false are allowed",
            other.shown()
        )),
    }
}

/// Reads a whole number of a range.
pub(super) fn whole(value: &Value, range: RangeInclusive<u32>) -> Result<u32, String> {
    let number = match value {
        Value::Integer(number) => number.parse().ok(),
        _ => None,
    };
    number
        .filter(|number| range.contains(number))
        .ok_or_else(|| {
            format!(
                "{} is out of range; whole numbers from {} to {} are allowed",
                value.shown(),
                range.start(),
                range.end()
            )
        })
}

/// Reads a path: absolute, without `..`, not `/` itself. Doubled and trailing slashes are dropped.
pub(super) fn path(value: &Value) -> Result<PathBuf, String> {
    let allowed = "an absolute path below / without '..' is allowed";
    let text = value.text(allowed)?;
    let path: PathBuf = Path::new(text).components().collect();
    let is_plain = path
        .components()
        .skip(1)
        .all(|part| matches!(part, Component::Normal(_)));
    if !path.is_absolute() || !is_plain || path.parent().is_none() {
        return Err(format!("'{}' cannot be used; {allowed}", excerpt(text)));
    }
    Ok(path)
}

/// Reads a number or a string as the text that a parser of quantities takes.
pub(super) fn number_or_text<'v>(value: &'v Value, allowed: &str) -> Result<&'v str, String> {
    match value {
        Value::Integer(text) | Value::Float(text) | Value::Text(text) => plain(text),
        other => Err(format!("{} cannot be used; {allowed}", other.shown())),
    }
}

/// Reads a size; a bare number is KiB.
pub(super) fn size(value: &Value) -> Result<Bytes, String> {
    let allowed = "KiB as a number or a text such as \"64M\" are allowed";
    let text = number_or_text(value, allowed)?;
    Bytes::parse(text).map_err(|e| e.to_string())
}

/// Reads a time, to the microsecond; a bare number is seconds.
fn time(value: &Value) -> Result<Duration, String> {
    let allowed = "seconds as a number or a text such as \"200ms\" are allowed";
    let text = number_or_text(value, allowed)?;
    parse_time(text).map_err(|e| e.to_string())
}

/// Reads a limit of time; `None` is no limit.
pub(super) fn time_limit(value: &Value) -> Result<Option<Duration>, String> {
    unlimited_or(value, time, Duration::ZERO)
}

/// Reads a limit of size; `None` is no limit.
pub(super) fn size_limit(value: &Value) -> Result<Option<Bytes>, String> {
    unlimited_or(value, size, Bytes(0))
}

/// Reads a limit of a number of things; `None` is no limit.
pub(super) fn count_limit(value: &Value) -> Result<Option<u32>, String> {
    let count = |value: &Value| {
        whole(value, 0..=COUNT_MAX).map_err(|reason| format!("{reason}, and \"unlimited\""))
    };
    unlimited_or(value, count, 0)
}

/// Reads `"unlimited"` and zero as "no limit", anything else with `read`.
fn unlimited_or<T: PartialEq>(
    value: &Value,
    read: impl Fn(&Value) -> Result<T, String>,
    zero: T,
) -> Result<Option<T>, String> {
    if *value == Value::Text(UNLIMITED.into()) {
        return Ok(None);
    }
    Ok(Some(read(value)?).filter(|limit| *limit != zero))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::Text(text.into())
    }

    fn integer(number: &str) -> Value {
        Value::Integer(number.into())
    }

    #[test]
    fn bare_numbers_are_seconds_and_kib_as_on_the_command_line() {
        let half = Value::Float("0.5".into());
        assert_eq!(time_limit(&half), Ok(Some(Duration::from_millis(500))));
        assert_eq!(time_limit(&integer("3")), time_limit(&text("3s")));
        assert_eq!(size_limit(&integer("64")), Ok(Some(Bytes(64 << 10))));
        assert_eq!(size_limit(&text("64M")), Ok(Some(Bytes(64 << 20))));
        assert_eq!(size(&integer("0")), Ok(Bytes(0)));
    }

    #[test]
    fn unlimited_and_zero_are_no_limit() {
        for value in [text("unlimited"), integer("0")] {
            assert_eq!(time_limit(&value), Ok(None));
            assert_eq!(size_limit(&value), Ok(None));
            assert_eq!(count_limit(&value), Ok(None));
        }
        assert_eq!(count_limit(&integer("12")), Ok(Some(12)));
        assert!(size(&text("unlimited")).is_err());
    }

    #[test]
    fn a_limit_that_would_be_cut_to_zero_is_refused() {
        assert!(time_limit(&text("0.1us")).is_err());
        assert!(time_limit(&Value::Float("1e-9".into())).is_err());
        assert!(size_limit(&text("0.5B")).is_err());
        assert_eq!(time_limit(&Value::Float("0.0e5".into())), Ok(None));
    }

    #[test]
    fn numbers_outside_the_range_and_other_types_are_refused() {
        for value in [
            integer("-1"),
            integer("2147483648"),
            integer("99999999999999999999999999"),
            Value::Float("1.5".into()),
            Value::Float("nan".into()),
            text("12"),
            Value::Boolean(true),
            Value::Date,
            Value::List(Vec::new()),
        ] {
            let error = count_limit(&value).unwrap_err();
            assert!(error.contains("from 0 to 2147483647"), "{error}");
        }
        for value in [Value::Float("inf".into()), Value::Float("nan".into())] {
            assert!(time_limit(&value).is_err());
            assert!(size_limit(&value).is_err());
        }
    }

    #[test]
    fn paths_are_absolute_and_go_nowhere_else() {
        assert_eq!(path(&text("/a//b/")), Ok("/a/b".into()));
        for bad in [
            "", "/", "//", "a", "./a", "/a/../b", "/..", "/a\0b", "/a\nb",
        ] {
            assert!(path(&text(bad)).is_err(), "{bad:?}");
        }
        assert!(path(&text(&format!("/{}", "a".repeat(5000)))).is_err());
        assert!(path(&integer("1")).is_err());
    }

    #[test]
    fn excerpts_are_short_and_on_one_line() {
        assert_eq!(excerpt("a\nb"), "a\\nb");
        assert_eq!(excerpt(&"é".repeat(61)), format!("{}…", "é".repeat(60)));
    }
}
