//! The table of docs/platforms.md: each of its cells names a test that there is, or says in words that there is none.

use std::fs;

use crate::support::source;

/// What a cell begins with that names no test.
const NOTHING: [&str; 2] = ["not tested here", "not possible"];

fn read(path: &str) -> String {
    fs::read_to_string(source(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The words between backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Whether this is `binary::module` or `binary::module::test`, as they are in `tests`; `*` stands at the end of a module's
/// name for all that begin like that.
fn is_test(name: &str) -> bool {
    let mut parts = name.split("::");
    let (Some(binary), Some(module)) = (parts.next(), parts.next()) else {
        return false;
    };
    let folder = source("tests").join(binary);
    if !folder.is_dir() {
        return false;
    }
    if let Some(beginning) = module.strip_suffix('*') {
        let entries = fs::read_dir(folder).unwrap();
        let mut names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        return parts.next().is_none() && names.any(|name| name.starts_with(beginning));
    }
    let text = fs::read_to_string(folder.join(format!("{module}.rs")));
    let has = |test| {
        let line = format!("fn {test}() {{");
        text.as_ref()
            .is_ok_and(|text| text.lines().any(|other| other == line))
    };
    parts.next().map_or(text.is_ok(), has) && parts.next().is_none()
}

/// Whether this is `tests/run` with an option that it has.
fn is_run(words: &str) -> bool {
    let help = read("xtask/src/help.txt");
    let option = words.strip_prefix("tests/run ").unwrap_or_default();
    let option = option.split(' ').next().unwrap_or_default();
    let is_named = |line: &str| line.split_whitespace().next() == Some(option);
    option.starts_with("--") && help.lines().any(is_named)
}

#[test]
fn every_cell_about_platforms_names_tests_that_there_are_or_says_that_there_are_none() {
    let page = read("docs/platforms.md");
    let mut rows = page.lines().filter(|line| line.starts_with('|'));
    let head = rows.next().unwrap().matches('|').count();
    let mut wrong = Vec::new();
    let mut named = 0;
    for row in rows.skip(1) {
        let cells: Vec<_> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        if cells.len() != head - 1 {
            wrong.push(format!("not {} cells: {row}", head - 1));
        }
        for cell in &cells[1..] {
            let proofs = quoted(cell).filter(|name| name.contains("::") || is_run(name));
            let count = proofs.count();
            named += count;
            if count == 0 && !NOTHING.iter().any(|words| cell.starts_with(words)) {
                wrong.push(format!("neither a test nor words: {cell}"));
            }
        }
    }
    for name in quoted(&page) {
        let is_about_tests = name.contains("::") || name.starts_with("tests/run ");
        if is_about_tests && !is_test(name) && !is_run(name) {
            wrong.push(format!("there is no {name}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(named > 20, "{named} tests");
}

#[test]
fn a_test_is_known_by_its_name() {
    let known = [
        "user::platforms",
        "user::platforms::a_test_is_known_by_its_name",
        "system::broker_*",
    ];
    for name in known {
        assert!(is_test(name), "{name}");
    }
    let unknown = [
        "user::platforms::no",
        "user::no",
        "no::platforms",
        "system::no_*",
    ];
    for name in unknown {
        assert!(!is_test(name), "{name}");
    }
    assert!(is_run("tests/run --guest trixie") && !is_run("tests/run --no"));
}
