//! What a calibration found, for programs and as a reference for later;
//! `docs/calibration.schema.json` is its form.

use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::score;
use crate::failure::Failure;

/// The version of the form and of the loads: results of two versions cannot be compared.
const VERSION: u32 = 1;

/// A whole result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Document {
    /// The version of the form and of the loads.
    pub(super) version: u32,
    /// The version of the program: another one is compiled otherwise.
    pub(super) program: String,
    /// The CPU, as it calls itself.
    pub(super) cpu: String,
    /// 1000 is a nominal machine; the more, the faster.
    pub(super) score: f64,
    /// The largest spread of a load.
    pub(super) spread_percent: f64,
    /// How fast this machine is, beside the reference.
    pub(super) factor: Option<f64>,
    /// The loads.
    pub(super) loads: Vec<Measured>,
}

/// One load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Measured {
    /// Its name.
    pub(super) name: String,
    /// How fast it went, in this unit.
    pub(super) rate: f64,
    /// The unit.
    pub(super) unit: String,
    /// By how much the median round was slower than those that the rate is from.
    pub(super) spread_percent: f64,
    /// How many rounds there were.
    pub(super) rounds: usize,
    /// How fast it went, beside the reference.
    pub(super) factor: Option<f64>,
}

impl Document {
    /// The result of these loads.
    pub(super) fn new(loads: Vec<Measured>) -> Self {
        let spreads = loads.iter().map(|load| load.spread_percent);
        Self {
            version: VERSION,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            cpu: cpu(),
            score: score::score(&loads),
            spread_percent: spreads.fold(0.0, f64::max),
            factor: None,
            loads,
        }
    }

    /// A result that was saved; `None` when there is none.
    pub(super) fn load(path: &Path) -> Result<Option<Self>, Failure> {
        let shown = path.display();
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Failure::at(&format!("cannot read '{shown}'"))(error)),
        };
        let what = format!("'{shown}' is no calibration (make it anew by --save)");
        let document: Self = serde_json::from_str(&text).map_err(Failure::at(&what))?;
        let is_sound = document.loads.iter().all(|load| load.rate > 0.0);
        if document.version != VERSION || !is_sound {
            return Err(Failure::new(format!(
                "'{shown}' is a calibration of another version (make it anew by --save)"
            )));
        }
        Ok(Some(document))
    }

    /// Saves it, as a whole or not at all.
    pub(super) fn save(&self, path: &Path) -> Result<(), Failure> {
        let what = format!("cannot write '{}'", path.display());
        let new = path.with_extension("new");
        let written = path.parent().map_or(Ok(()), fs::create_dir_all);
        let written = written.and_then(|()| fs::write(&new, self.to_json()));
        let written = written.and_then(|()| fs::rename(&new, path));
        written.map_err(Failure::at(&what))
    }

    /// One object, and the end of its line.
    pub(super) fn to_json(&self) -> String {
        // Texts and finite numbers: nothing that JSON could not take.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }
}

/// The model of the first CPU, by `/proc/cpuinfo`.
fn cpu() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    let model = lines.find(|(key, _)| key.trim() == "model name");
    model.map_or_else(
        || std::env::consts::ARCH.to_owned(),
        |(_, name)| name.trim().to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use boon::{Compiler, Schemas};

    use super::*;
    use crate::request::Load;

    #[test]
    fn what_is_saved_is_as_the_schema_says_and_reads_the_same() {
        let load = score::measured(Load::Latency, "10 5\n10 6\n").unwrap();
        let mut document = Document::new(vec![load]);
        let reference = document.clone();
        score::compare(&mut document, &reference);
        let mut schemas = Schemas::new();
        let schema = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/calibration.schema.json");
        let index = Compiler::new().compile(schema, &mut schemas).unwrap();
        for document in [&document, &reference] {
            let value = serde_json::from_str(&document.to_json()).unwrap();
            schemas
                .validate(&value, index)
                .unwrap_or_else(|error| panic!("{error}"));
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/calibration.json");
        assert_eq!(Document::load(&path), Ok(None));
        document.save(&path).unwrap();
        let read = Document::load(&path).unwrap().unwrap();
        assert_eq!(read.loads[0].name, "latency");
        assert!((read.score / document.score - 1.0).abs() < 1e-9);
        fs::write(&path, "{}").unwrap();
        assert!(
            Document::load(&path)
                .unwrap_err()
                .text()
                .contains("no calibration")
        );
        let other = document
            .to_json()
            .replace("\"version\": 1", "\"version\": 9");
        fs::write(&path, other).unwrap();
        assert!(
            Document::load(&path)
                .unwrap_err()
                .text()
                .contains("another version")
        );
    }
}
