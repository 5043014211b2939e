//! The tests: files with inputs, and for each the file with its answer.

use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// One test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Test {
    /// What the `*` of the pattern stands for.
    pub(super) name: String,
    pub(super) input: PathBuf,
    /// `None`: there is none, and only the checker knows.
    pub(super) answer: Option<PathBuf>,
}

/// Finds them. Both patterns have one `*`, in the name of the file.
pub(super) fn find(inputs: &str, answers: &Option<String>) -> Result<Vec<Test>, Failure> {
    let (dir, name) = split(inputs, "--in")?;
    let what = format!("--in: cannot read the directory {}", dir.display());
    let mut tests = Vec::new();
    for entry in fs::read_dir(dir).map_err(Failure::at(&what))? {
        let entry = entry.map_err(Failure::at(&what))?;
        let file = entry.file_name();
        let Some(key) = file.to_str().and_then(|file| key(name, file)) else {
            continue;
        };
        let answer = answers.as_deref().map(|answers| answer(answers, key));
        let answer = answer.transpose()?;
        tests.push(Test {
            name: key.to_owned(),
            input: entry.path(),
            answer,
        });
    }
    if tests.is_empty() {
        return Err(Failure::new(format!("--in: no file is called '{inputs}'")));
    }
    tests.sort_by_key(|test| natural(&test.name));
    Ok(tests)
}

/// A pattern as a directory and the pattern of a name.
fn split<'a>(pattern: &'a str, option: &str) -> Result<(&'a Path, &'a str), Failure> {
    let (dir, name) = match pattern.rsplit_once('/') {
        Some(("", name)) => ("/", name),
        Some((dir, name)) => (dir, name),
        None => (".", pattern),
    };
    if dir.contains('*') || name.matches('*').count() != 1 {
        return Err(Failure::new(format!(
            "{option}: '{pattern}' has no single '*' in the name of the file: use 'DIR/*.in', for instance, in quotes"
        )));
    }
    Ok((Path::new(dir), name))
}

/// What `*` stands for in this name.
fn key<'a>(pattern: &str, name: &'a str) -> Option<&'a str> {
    let (before, after) = pattern.split_once('*')?;
    let key = name.strip_prefix(before)?.strip_suffix(after)?;
    (!key.is_empty() && !name.starts_with('.')).then_some(key)
}

fn answer(pattern: &str, key: &str) -> Result<PathBuf, Failure> {
    split(pattern, "--out")?;
    let path = PathBuf::from(pattern.replacen('*', key, 1));
    match path.is_file() {
        true => Ok(path),
        false => Err(Failure::new(format!(
            "--out: test '{key}' has no answer: there is no file {}",
            path.display()
        ))),
    }
}

/// A name as people sort it: numbers in it by their value.
fn natural(name: &str) -> Vec<(u64, String)> {
    let mut parts = Vec::new();
    let mut rest = name;
    while !rest.is_empty() {
        let text = rest
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(rest.len());
        let (words, after) = rest.split_at(text);
        let digits = after
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(after.len());
        let (number, after) = after.split_at(digits);
        if !words.is_empty() {
            parts.push((u64::MAX, words.to_owned()));
        }
        if !number.is_empty() {
            parts.push((number.parse().unwrap_or(u64::MAX), number.to_owned()));
        }
        rest = after;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_found_with_their_answers_in_the_order_of_their_numbers() {
        let dir = tempfile::tempdir().unwrap();
        for name in [
            "t10.in", "t9.in", "t9.ans", "t10.ans", "note", ".t1.in", "t.in.old",
        ] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        let pattern = |name: &str| format!("{}/{name}", dir.path().display());
        let tests = find(&pattern("t*.in"), &Some(pattern("t*.ans"))).unwrap();
        let names: Vec<_> = tests.iter().map(|test| test.name.as_str()).collect();
        assert_eq!(names, ["9", "10"]);
        assert_eq!(tests[0].answer, Some(dir.path().join("t9.ans")));
        fs::remove_file(dir.path().join("t10.ans")).unwrap();
        let failure = find(&pattern("t*.in"), &Some(pattern("t*.ans"))).unwrap_err();
        assert!(
            failure.text().contains("test '10' has no answer"),
            "{failure}"
        );
        for (wrong, words) in [
            ("t*.no", "no file is called"),
            ("t.in", "no single '*'"),
            ("**", "no single"),
        ] {
            let failure = find(&pattern(wrong), &None).unwrap_err();
            assert!(failure.text().contains(words), "{failure}");
        }
    }
}
