//! `docs/security.md` keeps its word: each barrier and each hole of others has a test, and the list of attacks is sound.
//! No privileges.

use std::collections::BTreeSet;
use std::fs;

use crate::compatibility::{cells, collect_tests, is_ruler, quoted, top};
use crate::support::barriers::{self, Witness};
use crate::support::{attacks, binary};

/// The tables, by their first column; all but the first have tests in the last.
const TABLES: [&[&str]; 3] = [
    &["who", "with what", "whom", "what is promised"],
    &["barrier", "what it keeps out", "what it costs", "test"],
    &["hole", "of", "why it cannot happen here", "test"],
];

/// The rows of the table that begins with this column.
fn rows(first: &str) -> Vec<Vec<String>> {
    let text = fs::read_to_string(top().join("docs/security.md")).unwrap();
    let (mut table, mut rows) = (None, Vec::new());
    for line in text.lines() {
        if !line.starts_with('|') {
            table = None;
            continue;
        }
        let cells = cells(line);
        let Some(columns) = table else {
            let is_head = |columns: &&&[&str]| cells == **columns;
            let found = TABLES.iter().find(is_head);
            table = Some(found.unwrap_or_else(|| panic!("no such table: {line}")));
            continue;
        };
        assert_eq!(cells.len(), columns.len(), "{line}");
        if columns[0] == first && !is_ruler(&cells) {
            rows.push(cells);
        }
    }
    rows
}

#[test]
fn every_barrier_and_every_hole_of_others_has_a_test_that_exists() {
    let mut known = BTreeSet::new();
    for folder in ["src", "tests"] {
        collect_tests(&top().join(folder), &mut known);
    }
    for (first, least) in [("who", 4), ("barrier", 20), ("hole", 43)] {
        let rows = rows(first);
        assert!(rows.len() >= least, "{first}: {}", rows.len());
        for row in rows {
            let is_filled = |cell: &String| cell.chars().any(char::is_alphanumeric);
            assert!(row.iter().all(is_filled), "{row:?}");
            if first == "who" {
                continue;
            }
            let tests: Vec<_> = quoted(&row[3]).collect();
            assert!(!tests.is_empty(), "{row:?}");
            for test in tests {
                assert!(known.contains(test), "no such test: {test} of {row:?}");
            }
        }
    }
}

#[test]
fn every_attack_has_a_name_of_its_own_and_a_program_that_tries_it() {
    let mut names = BTreeSet::new();
    for (program, attacks) in attacks::all() {
        let path = top().join(format!("tests/programs/{program}.c"));
        let source = fs::read_to_string(&path).unwrap();
        for attack in &attacks {
            let name = attack.name;
            assert!(names.insert(name), "{name} is there twice");
            assert!(!attack.what.is_empty(), "{name}");
            assert!(source.contains(&format!("IS({name})")), "{program}: {name}");
        }
        // One is the macro itself.
        let tried = source.matches(" IS(").count() - 1;
        assert_eq!(tried, attacks.len(), "{program}");
    }
    assert!(names.len() >= 120, "{}", names.len());
}

#[test]
fn every_barrier_is_taken_away_once_and_who_notices_exists() {
    let sections = barriers::sections();
    let named: Vec<_> = sections.iter().map(|(name, _)| *name).collect();
    let told: Vec<_> = rows("barrier")
        .into_iter()
        .map(|row| row[0].clone())
        .collect();
    assert_eq!(named, told);
    for (name, barriers) in &sections {
        match barriers {
            Ok(barriers) => assert!(!barriers.is_empty(), "{name}"),
            Err(reason) => assert!(reason.contains(char::is_alphabetic), "{name}"),
        }
    }
    let source = fs::read_to_string(top().join("src/barrier.rs")).unwrap();
    let (_, source) = source.split_once("enum Barrier {").unwrap();
    let (source, _) = source.split_once('}').unwrap();
    let lines = source.lines().map(str::trim);
    let known = lines.filter_map(|line| line.strip_suffix(','));
    let known: BTreeSet<_> = known.collect();
    let all = barriers::all();
    let listed: BTreeSet<_> = all.iter().map(|barrier| barrier.name).collect();
    assert_eq!(listed, known);
    assert_eq!(listed.len(), all.len(), "one is there twice");
    let mut tests = BTreeSet::new();
    collect_tests(&top().join("tests"), &mut tests);
    let attacks = attacks::all();
    for barrier in &all {
        for other in &barrier.beside {
            assert!(known.contains(other), "{barrier:?}");
        }
        let exists = match barrier.witness {
            Witness::Attack(program, name) => {
                let of = attacks.get(program).map_or(&[][..], |all| all);
                of.iter().any(|attack| attack.name == name)
            }
            Witness::Test(_, name) => {
                let name = name.rsplit("::").next().unwrap();
                tests.contains(name)
            }
        };
        assert!(exists, "{barrier:?}");
    }
}

/// The switch is the name of a variable, which nothing else in there has.
#[test]
fn the_program_cannot_take_its_barriers_away() {
    let program = fs::read(binary()).unwrap();
    let switch = b"ISOLATE_TEST_WITHOUT";
    let has_switch = program.windows(switch.len()).any(|part| part == switch);
    assert!(!has_switch);
}
