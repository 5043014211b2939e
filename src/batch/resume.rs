//! What was done before: the ids of jobs whose results a file has.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde::Deserialize;

use super::result::Outcome;
use crate::failure::Failure;

/// What counts of a result.
#[derive(Debug, Deserialize)]
struct Told {
    id: Option<String>,
    outcome: Outcome,
}

/// The ids of jobs that need not be carried out again: they are done, or will always be refused. A
/// line that is no result, perhaps a last one that is not whole, counts for nothing. A file that is
/// not there has none.
pub(super) fn done(path: &Path) -> Result<HashSet<String>, Failure> {
    let what = format!("--resume: cannot read {}", path.display());
    let file = match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(HashSet::new()),
        other => other.map_err(Failure::at(&what))?,
    };
    let mut ids = HashSet::new();
    for line in BufReader::new(file).split(b'\n') {
        let line = line.map_err(Failure::at(&what))?;
        if let Ok(Told {
            id: Some(id),
            outcome,
        }) = serde_json::from_slice(&line)
        {
            if matches!(outcome, Outcome::Done | Outcome::Refused) {
                ids.insert(id);
            }
        }
    }
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_without_a_lasting_result_are_carried_out_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("results");
        let lines = r#"{"id":"a","outcome":"done","steps":[]}
{"id":"b","outcome":"internal"}
{"id":"c","outcome":"cancelled"}
{"id":"d","outcome":"refused","line":3}
{"id":null,"outcome":"refused"}
{"id":"e","outcome":"do"#;
        std::fs::write(&path, lines).unwrap();
        let mut ids: Vec<_> = done(&path).unwrap().into_iter().collect();
        ids.sort();
        assert_eq!(ids, ["a", "d"]);
        assert!(done(&dir.path().join("absent")).unwrap().is_empty());
    }
}
