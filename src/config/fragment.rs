//! One file: TOML text to keys and values, with the line of each. Only the syntax and the names of
//! the keys are checked here.
//!
//! The text is walked by hand and not through serde: serde's errors name neither the key's full
//! name nor what is allowed, and its values have lost their lines when they are merged.

use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeArray, DeInteger, DeTable, DeValue};

use super::comments::without_comments;
use super::error::{ConfigError, Part, Place, one_line};
use super::spelling::unknown_key;
use super::table::{Key, Table, unknown_top_level};
use super::value::{Located, Value, excerpt};

/// What one file sets, in no particular order.
pub(super) type Fragment = Vec<(Key, Located)>;

/// Parses a file's text. `file` is the place that the errors and the values name.
pub(super) fn parse(text: &str, file: &Place) -> Result<Fragment, ConfigError> {
    let text = &*without_comments(text);
    if sets_nothing(text) {
        return Ok(Fragment::new());
    }
    let lines = Lines::new(text, file);
    let document = DeTable::parse(text).map_err(|error| syntax_error(&error, text, &lines))?;
    let mut fragment = Fragment::new();
    for (name, value) in document.get_ref() {
        let place = lines.place(name.span());
        match name.get_ref().as_ref() {
            "pin" => fragment.push((Key::PIN, lines.locate(value))),
            other => match (Table::named(other), value.get_ref()) {
                (None, _) => return Err(unknown_top_level(other, &place)),
                (Some(table), DeValue::Table(entries)) => {
                    parse_table(table, other, entries, &lines, &mut fragment)?;
                }
                (Some(_), _) => {
                    let shown = lines.locate(value).value.shown();
                    return Err(place.key_error(
                        other,
                        format!("{shown} cannot stand here; the table [{other}] is allowed"),
                    ));
                }
            },
        }
    }
    refuse_twice(&fragment)?;
    Ok(fragment)
}

/// Whether there are only headers of tables, each once: the file that administrators start from,
/// which every run reads. In doubt it is parsed.
fn sets_nothing(text: &str) -> bool {
    let mut tables = Vec::new();
    // Most lines are empty: those of comments were.
    let mut rest = text.trim_start_matches('\n');
    while !rest.is_empty() {
        let (line, more) = rest.split_once('\n').unwrap_or((rest, ""));
        let name = line
            .strip_prefix('[')
            .and_then(|line| line.strip_suffix(']'))
            .filter(|name| Table::named(name).is_some() && !tables.contains(name));
        match name {
            Some(name) => tables.push(name),
            None => return false,
        }
        rest = more.trim_start_matches('\n');
    }
    true
}

/// Refuses a key that stands under both names of a table; the table itself may have both.
fn refuse_twice(fragment: &Fragment) -> Result<(), ConfigError> {
    for (index, (key, at)) in fragment.iter().enumerate() {
        if let Some((_, first)) = fragment[..index].iter().find(|(other, _)| other == key) {
            let text = format!("set at {} already; one of the two is allowed", first.place);
            return Err(at.place.key_error(key, text));
        }
    }
    Ok(())
}

/// Adds the keys of one table, which the file calls `name`.
fn parse_table(
    table: Table,
    name: &str,
    entries: &DeTable<'_>,
    lines: &Lines<'_>,
    fragment: &mut Fragment,
) -> Result<(), ConfigError> {
    for (entry, value) in entries {
        let Some(key) = table.key(entry.get_ref()) else {
            let place = lines.place(entry.span());
            return Err(unknown_key(
                name,
                entry.get_ref(),
                &table.key_names(),
                &place,
            ));
        };
        let mut located = lines.locate(value);
        if name != table.name() {
            located.place = located.place.of_key(format!("{name}.{}", key.name()));
        }
        fragment.push((key, located));
    }
    Ok(())
}

/// The parser's reason on one line, with the text that it could not read.
fn syntax_error(error: &toml::de::Error, text: &str, lines: &Lines<'_>) -> ConfigError {
    let span = error.span().unwrap_or_default();
    let found = match text.get(span.clone()) {
        Some(found) if !found.trim().is_empty() => format!(" at '{}'", excerpt(found)),
        _ => String::new(),
    };
    let word = text.get(span.clone()).unwrap_or_default().trim();
    let is_toml = ["true", "false"].contains(&word);
    let like = ["yes", "no", "on", "off", "true", "false"];
    if !is_toml && like.contains(&&*word.to_ascii_lowercase()) {
        return lines.place(span).error(format_args!(
            "'{word}' is no word of TOML; use true or false"
        ));
    }
    lines.place(span).error(format_args!(
        "not valid TOML: {}{found}",
        one_line(error.message())
    ))
}

/// Finds the line of a part of the text.
struct Lines<'f> {
    /// Where each line begins, in bytes; the first is 0.
    starts: Vec<usize>,
    file: &'f Place,
    text: Arc<str>,
}

impl<'f> Lines<'f> {
    fn new(text: &str, file: &'f Place) -> Self {
        let newlines = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        Self {
            starts: std::iter::once(0)
                .chain(newlines.map(|(at, _)| at + 1))
                .collect(),
            file,
            text: text.into(),
        }
    }

    /// The place of these bytes, which is the line where they begin.
    fn place(&self, span: Range<usize>) -> Place {
        let line = self.starts.partition_point(|start| *start <= span.start);
        let text = Arc::clone(&self.text);
        self.file.at_line(line).with_part(Part { text, span })
    }

    /// A value with its place. The parser has limited the depth.
    fn locate(&self, value: &Spanned<DeValue<'_>>) -> Located {
        Located {
            place: self.place(value.span()),
            value: match value.get_ref() {
                DeValue::String(text) => Value::Text(text.clone().into_owned()),
                DeValue::Integer(number) => Value::Integer(decimal(number)),
                DeValue::Float(number) => Value::Float(number.as_str().to_owned()),
                DeValue::Boolean(value) => Value::Boolean(*value),
                DeValue::Datetime(_) => Value::Date,
                DeValue::Array(items) => self.list(items),
                DeValue::Table(entries) => self.table(entries),
            },
        }
    }

    fn list(&self, items: &DeArray<'_>) -> Value {
        Value::List(items.iter().map(|item| self.locate(item)).collect())
    }

    fn table(&self, entries: &DeTable<'_>) -> Value {
        let entries = entries.iter();
        let located = entries.map(|(name, at)| (name.get_ref().to_string(), self.locate(at)));
        Value::Table(located.collect())
    }
}

/// An integer in decimal. One that does not fit in 64 bits stays as it was written, and every
/// reader refuses it.
fn decimal(number: &DeInteger<'_>) -> String {
    match i64::from_str_radix(number.as_str(), number.radix()) {
        Ok(value) => value.to_string(),
        Err(_) => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn parse_text(text: &str) -> Result<Fragment, String> {
        parse(text, &Place::file(Path::new("f"))).map_err(|error| error.to_string())
    }

    #[test]
    fn what_sets_nothing_is_what_the_parser_finds_empty() {
        let shipped = include_str!("../../isolate.toml");
        let all = without_comments(shipped).into_owned();
        for text in ["", "\n\n", "[boxes]\n[log]\n", "[limits]\n[ceilings]", &all] {
            assert!(sets_nothing(text), "{text}");
            let document = DeTable::parse(text).unwrap();
            let mut tables = document.get_ref().iter();
            assert!(tables.all(|(_, table)| table.get_ref().as_table().unwrap().is_empty()));
        }
        for text in [
            "[boxes]\n[boxes]\n",
            "[pin]\n",
            "[[pin]]\n",
            "[other]\n",
            " [boxes]\n",
            "[boxes]\r\n",
            "[boxes]\ncount = 1\n",
            "x\n",
        ] {
            assert!(!sets_nothing(text), "{text}");
        }
    }

    #[test]
    fn every_value_knows_its_line() {
        let fragment = parse_text(
            "# head\n[boxes]\ncount = 0x10\r\n\nroot = '/b'\n[directories]\nrules = [\n 'a',\n 'b' ]\n[[pin]]\nboxes = 1\n",
        )
        .unwrap();
        let mut seen: Vec<_> = fragment
            .iter()
            .map(|(key, at)| format!("{key} {}", at.place))
            .collect();
        seen.sort_unstable();
        assert_eq!(
            seen,
            [
                "boxes.count f:3",
                "boxes.root f:5",
                "directories.rules f:7",
                "pin f:10"
            ]
        );
        let items = fragment.iter().find_map(|(_, at)| match &at.value {
            Value::List(items) if items.len() == 2 => Some(items),
            _ => None,
        });
        assert_eq!(items.unwrap()[1].place.to_string(), "f:9");
    }
}
