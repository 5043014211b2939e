//! `docs/compatibility.md` keeps its word: what it claims is tested, nothing is left open, no option is forgotten.
//! No privileges.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::{finish, isolate_command};

/// The columns of every table.
const COLUMNS: [&str; 4] = [
    "what",
    "verdict",
    "how, and why when it is not the same",
    "test",
];

const VERDICTS: [&str; 3] = ["same", "better", "different"];

/// A row of a table, without its head.
#[derive(Debug)]
struct Row {
    what: String,
    verdict: String,
    how: String,
    test: String,
}

pub(crate) fn top() -> PathBuf {
    env!("CARGO_MANIFEST_DIR").into()
}

fn document() -> String {
    fs::read_to_string(top().join("docs/compatibility.md")).unwrap()
}

/// The cells of a line of a table. `\|` is a bar in a cell.
pub(crate) fn cells(line: &str) -> Vec<String> {
    let line = line.replace("\\|", "\u{0}");
    let inner = line
        .strip_prefix('|')
        .and_then(|line| line.strip_suffix('|'));
    let inner = inner.unwrap_or_else(|| panic!("no bar at the end: {line}"));
    let cells = inner.split('|');
    cells
        .map(|cell| cell.replace('\u{0}', "|").trim().to_owned())
        .collect()
}

pub(crate) fn is_ruler(cells: &[String]) -> bool {
    let dashes = |cell: &String| cell.len() >= 3 && cell.bytes().all(|byte| byte == b'-');
    cells.iter().all(dashes)
}

/// All rows of all tables, each of which has the same head.
fn rows() -> Vec<Row> {
    let document = document();
    let lines: Vec<_> = document.lines().collect();
    let mut rows = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        if !line.starts_with('|') {
            continue;
        }
        let cells = cells(line);
        if at == 0 || !lines[at - 1].starts_with('|') {
            assert_eq!(cells, COLUMNS, "line {}", at + 1);
            continue;
        }
        let Ok([what, verdict, how, test]) = <[String; 4]>::try_from(cells.clone()) else {
            panic!("line {} has not four cells: {line}", at + 1);
        };
        if !is_ruler(&cells) {
            rows.push(Row {
                what,
                verdict,
                how,
                test,
            });
        }
    }
    assert!(rows.len() > 100, "{} rows", rows.len());
    rows
}

/// What stands in backquotes.
pub(crate) fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The names of all tests in all source files below a folder.
pub(crate) fn collect_tests(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect_tests(&path, names);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let mut is_test = false;
            for line in text.lines().map(str::trim) {
                is_test |= line == "#[test]";
                let name = line
                    .strip_prefix("fn ")
                    .and_then(|rest| rest.split('(').next());
                if let Some(name) = name.filter(|_| is_test) {
                    names.insert(name.to_owned());
                    is_test = false;
                }
            }
        }
    }
}

/// The options in the text of `--help`: `--name`, and `-n` where there is a letter.
fn options(arguments: &[&str]) -> BTreeSet<String> {
    let help = finish(isolate_command(arguments)).stdout;
    let options = options_in(&help);
    assert!(options.len() > 5, "{help}");
    options
}

/// The same in a text that is given.
pub(crate) fn options_in(help: &str) -> BTreeSet<String> {
    let mut options = BTreeSet::new();
    for line in help.lines().map(str::trim_start) {
        let words = line.split([' ', ',', '[', '=', '.']);
        let words = words.filter(|word| !word.is_empty());
        options.extend(
            words
                .take_while(|word| word.starts_with('-'))
                .map(str::to_owned),
        );
    }
    options
}

#[test]
fn every_test_in_the_table_exists() {
    let mut known = BTreeSet::new();
    for folder in ["src", "tests"] {
        collect_tests(&top().join(folder), &mut known);
    }
    let rows = rows();
    let named: BTreeSet<&str> = rows.iter().flat_map(|row| quoted(&row.test)).collect();
    let missing: Vec<_> = named
        .into_iter()
        .filter(|name| !known.contains(*name))
        .collect();
    assert!(missing.is_empty(), "no such test: {missing:#?}");
}

#[test]
fn no_cell_is_empty_and_every_difference_has_a_test() {
    for row in rows() {
        let Row {
            what,
            verdict,
            how,
            test,
        } = &row;
        for cell in [what, how, test] {
            assert!(cell.chars().any(char::is_alphanumeric), "{row:?}");
        }
        assert!(VERDICTS.contains(&verdict.as_str()), "{row:?}");
        assert!(
            verdict != "different" || quoted(test).next().is_some(),
            "{row:?}"
        );
        assert_eq!(test.matches('`').count() % 2, 0, "{row:?}");
    }
}

#[test]
fn every_option_is_in_the_document() {
    let document = document();
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let words: BTreeSet<&str> = document.split(|c| !is_part(c)).collect();
    for arguments in [&["--help"][..], &["exec", "--help"]] {
        let options = options(arguments);
        let missing: Vec<_> = options
            .iter()
            .filter(|option| !words.contains(option.as_str()))
            .collect();
        assert!(missing.is_empty(), "not in the document: {missing:?}");
    }
}
