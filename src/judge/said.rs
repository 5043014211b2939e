//! What programs printed on standard error: kept for those that failed by themselves, and shown
//! below the table. Pure.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

use super::row::Row;
use crate::error::{beginning, printable};

/// How many lines of one program are shown.
const LINES: usize = 10;
/// The longest part of a line that is shown, in bytes.
const LONGEST: usize = 200;
/// How many different outputs are shown.
const OUTPUTS: usize = 3;
/// How many tests are named that printed the same.
const NAMES: usize = 5;

/// The text of a stream in a result. What is no UTF-8, as where it was cut, is replaced.
pub(super) fn text(stream: &Value) -> String {
    if let Some(text) = stream["text"].as_str() {
        return text.to_owned();
    }
    let bytes = stream["base64"].as_str().unwrap_or_default();
    let bytes = BASE64_STANDARD.decode(bytes).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What the programs of these tests printed, each text once.
pub(super) fn below(rows: &[Row]) -> String {
    let mut outputs: Vec<(&str, Vec<&str>)> = Vec::new();
    for row in rows.iter().filter(|row| !row.stderr.trim().is_empty()) {
        let mut known = outputs.iter_mut();
        match known.find(|(text, _)| *text == row.stderr) {
            Some((_, names)) => names.push(&row.name),
            None => outputs.push((&row.stderr, vec![&row.name])),
        }
    }
    let mut shown = String::new();
    for (text, names) in outputs.iter().take(OUTPUTS) {
        let mut listed: Vec<_> = names
            .iter()
            .take(NAMES)
            .map(|name| printable(name))
            .collect();
        if names.len() > NAMES {
            listed.push("…".to_owned());
        }
        shown.push_str(&format!("standard error of {}:\n", listed.join(", ")));
        let lines: Vec<&str> = text.trim_end().lines().collect();
        for line in lines.iter().take(LINES) {
            shown.push_str(&format!("  {}\n", printable(beginning(line, LONGEST))));
        }
        if lines.len() > LINES {
            shown.push_str("  …\n");
        }
    }
    if outputs.len() > OUTPUTS {
        let more = outputs.len() - OUTPUTS;
        shown.push_str(&format!("and {more} other outputs: see --json\n"));
    }
    shown
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row(name: &str, stderr: &str) -> Row {
        Row {
            stderr: stderr.to_owned(),
            ..Row::new(name.to_owned())
        }
    }

    #[test]
    fn a_stream_is_text_whatever_its_bytes() {
        assert_eq!(text(&json!({"text": "a"})), "a");
        assert_eq!(text(&json!({"base64": "YcM="})), "a\u{fffd}");
        assert_eq!(text(&Value::Null), "");
    }

    #[test]
    fn each_text_is_shown_once_with_its_tests_and_not_all_of_it() {
        let many: String = (1..=12).map(|line| format!("line {line}\n")).collect();
        let rows = [
            row("1", "bad\x1b[2J\n"),
            row("2", ""),
            row("3", "bad\x1b[2J\n"),
            row("4", &many),
        ];
        let shown = below(&rows);
        assert!(
            shown.starts_with(
                "standard error of 1, 3:\n  bad\\u{1b}[2J\nstandard error of 4:\n  line 1\n"
            ),
            "{shown}"
        );
        assert!(shown.ends_with("  line 10\n  …\n"), "{shown}");
        let different: Vec<_> = (0..5).map(|at| row("a", &format!("{at}"))).collect();
        let shown = below(&different);
        assert!(shown.ends_with("\nand 2 other outputs: see --json\n"));
        assert_eq!(below(&[row("1", " \n")]), "");
    }
}
