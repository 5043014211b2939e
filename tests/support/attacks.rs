//! The list of attacks, `tests/attacks.txt`.

use std::collections::BTreeMap;

/// Something that a program tries.
#[derive(Debug, Clone)]
pub(crate) struct Attack {
    /// Its name, which no other has.
    pub(crate) name: &'static str,
    /// What may come of it.
    pub(crate) outcomes: Vec<&'static str>,
    /// What it is, in words.
    pub(crate) what: &'static str,
}

/// All attacks, by the program that tries them.
pub(crate) fn all() -> BTreeMap<&'static str, Vec<Attack>> {
    let mut all: BTreeMap<_, Vec<Attack>> = BTreeMap::new();
    let mut program = "";
    let lines = include_str!("../attacks.txt").lines();
    for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[') {
            program = name.trim_end_matches(']');
            continue;
        }
        let part = || {
            let (name, rest) = line.split_once(' ')?;
            let (outcomes, what) = rest.trim_start().split_once(' ')?;
            let outcomes = outcomes.split('|').collect();
            let what = what.trim();
            Some(Attack {
                name,
                outcomes,
                what,
            })
        };
        let attack = part().unwrap_or_else(|| panic!("{line}"));
        all.entry(program).or_default().push(attack);
    }
    all
}

/// Those that this program tries.
#[track_caller]
pub(crate) fn of(program: &str) -> Vec<Attack> {
    let found = all().remove(program);
    found.unwrap_or_else(|| panic!("no attacks for {program}"))
}
