//! What a calibration found, for programs and as a reference for later;
//! `docs/calibration.schema.json` is its form.

use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::score::{self, Measured};
use crate::failure::Failure;

/// The version of the form and of the loads: results of two versions cannot be compared.
const VERSION: u32 = 2;

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

    /// Compares with an earlier result: of each load that both have, and of all of those together.
    pub(super) fn compare(&mut self, reference: &Self) {
        for load in &mut self.loads {
            let mut theirs = reference.loads.iter();
            let theirs = theirs.find(|other| other.name == load.name);
            load.factor = theirs.map(|theirs| load.rate / theirs.rate);
        }
        let factors = self.loads.iter().filter_map(|load| load.factor);
        let factors: Vec<_> = factors.collect();
        self.factor = (!factors.is_empty()).then(|| score::mean(factors.into_iter()));
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

    use super::super::score::tests::near;
    use super::*;
    use crate::request::Load;

    #[test]
    fn what_is_saved_is_as_the_schema_says_and_reads_the_same() {
        let load = score::measured(Load::Latency, "10 5\n10 6\n").unwrap();
        let mut document = Document::new(vec![load]);
        let reference = document.clone();
        document.compare(&reference);
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
            .replace("\"version\": 2", "\"version\": 9");
        fs::write(&path, other).unwrap();
        assert!(
            Document::load(&path)
                .unwrap_err()
                .text()
                .contains("another version")
        );
    }

    fn of_rates(rates: [f64; 2]) -> Document {
        let load = |load: Load, rate| Measured {
            name: load.name().to_owned(),
            rate,
            unit: load.unit().to_owned(),
            spread_percent: 0.0,
            rounds: 5,
            factor: None,
        };
        let loads = vec![load(Load::Integer, rates[0]), load(Load::Calls, rates[1])];
        Document::new(loads)
    }

    #[test]
    fn a_score_and_a_factor_are_means_of_ratios() {
        let nominal = [Load::Integer.nominal(), Load::Calls.nominal()];
        assert!(near(score::score(&of_rates(nominal).loads), 1000.0));
        let [integer, calls] = nominal;
        let mut fast = of_rates([integer * 4.0, calls]);
        assert!(near(score::score(&fast.loads), 2000.0));
        fast.compare(&of_rates(nominal));
        assert!(near(fast.factor.unwrap(), 2.0));
        assert!(near(fast.loads[0].factor.unwrap(), 4.0));
        let mut other = of_rates(nominal);
        other.loads[1].name = "unknown".into();
        fast.compare(&other);
        assert!(near(fast.factor.unwrap(), 4.0));
    }
}
