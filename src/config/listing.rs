//! What holds, key by key: for programs, for comparing, and as one word.

use std::path::Path;

use serde_json::json;
use sha2::{Digest, Sha256};
use toml::Value;

use super::Loaded;
use super::error::Place;
use super::table::Key;

/// The number of the form of `config show --json`. It grows when readers have to change.
const FORMAT: u32 = 1;

/// A key, and what holds for it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    /// The full name, as in `boxes.count`.
    pub(crate) name: String,
    /// The value. `None`: there is none.
    pub(crate) value: Option<Value>,
    /// Where it was set. `None`: nowhere, it is the default.
    pub(crate) place: Option<Place>,
}

impl Entry {
    /// The value for programs, and where it is from.
    fn to_json(&self) -> serde_json::Value {
        json!({ "value": self.value, "from": self.from() })
    }

    /// The file and the line that set it.
    pub(crate) fn from(&self) -> Option<serde_json::Value> {
        let place = self.place.as_ref()?;
        Some(json!({ "file": place.path().to_string_lossy(), "line": place.line() }))
    }

    /// Whether this file sets it.
    pub(crate) fn is_from(&self, path: &Path) -> bool {
        let place = self.place.as_ref();
        place.is_some_and(|place| place.path() == path)
    }
}

impl Loaded {
    /// What holds for one key.
    pub(crate) fn entry(&self, key: Key) -> Entry {
        Entry {
            name: key.to_string(),
            value: self.shown(key),
            place: self.origin(key).cloned(),
        }
    }

    /// What holds for each key, in the order of the table.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        super::all_keys().map(|key| self.entry(key)).collect()
    }

    /// All of it for programs.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        let entries = self.entries();
        let values = entries
            .iter()
            .map(|entry| (entry.name.clone(), entry.to_json()));
        json!({
            "format": FORMAT,
            "files": self.files,
            "masked": self.masks,
            "digest": self.digest(),
            "values": values.collect::<serde_json::Map<_, _>>(),
        })
    }

    /// SHA-256 of all values, in hexadecimal: the same wherever the same holds, whichever files say
    /// so, and in whatever spelling.
    pub(crate) fn digest(&self) -> String {
        let mut entries = self.entries();
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        let mut hash = Sha256::new();
        for Entry { name, value, .. } in entries {
            if let Some(value) = value {
                hash.update(format!("{name} = {value}\n"));
            }
        }
        let bytes = hash.finalize();
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// What holds for the keys that have another value there, here and there.
    pub(crate) fn difference(&self, there: &Self) -> Vec<(Entry, Entry)> {
        let pairs = self.entries().into_iter().zip(there.entries());
        pairs
            .filter(|(here, there)| here.value != there.value)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::machine::Machine;

    fn load(text: &str) -> Loaded {
        Machine::new().main(text).load().unwrap()
    }

    #[test]
    fn the_digest_is_that_of_the_values_and_of_nothing_else() {
        let first = load("[boxes]\ncount = 7\n[defaults]\ntime = 2\n").digest();
        assert_eq!(first.len(), 64);
        let other =
            "# the same\n[defaults]\ntime = '2s'\n[exec]\ntime = '2000ms'\n[boxes]\ncount = 7\n";
        assert_eq!(load(other).digest(), first);
        let split = Machine::new().main("boxes.count = 5\n").vendor(
            "lib",
            "1.toml",
            "boxes.count = 7\ndefaults.time = 2\n",
        );
        assert_eq!(split.load().unwrap().digest(), first);
        for different in [
            "",
            "boxes.count = 7\n",
            "boxes.count = 7\ndefaults.time = 2\npin = [{ boxes = 1, cpus = 0 }]\n",
        ] {
            assert_ne!(load(different).digest(), first, "{different}");
        }
        assert_eq!(load("").digest(), Loaded::defaults().digest());
    }

    #[test]
    fn a_difference_has_both_values_and_a_limit_of_exec_that_follows() {
        let loaded = load("[defaults]\ntime = 2\n[boxes]\ncount = 1000\nsubid_user = 'isolate'\n");
        let found = Loaded::defaults().difference(&loaded);
        let names: Vec<_> = found.iter().map(|(_, there)| there.name.as_str()).collect();
        let expected = [
            "boxes.first_uid",
            "boxes.first_gid",
            "boxes.subid_user",
            "defaults.time",
            "exec.time",
        ];
        assert_eq!(names, expected);
        assert_eq!(found[2].0.value, None);
        assert_eq!(found[3].1.value, Some("2s".into()));
        assert!(loaded.difference(&loaded).is_empty());
    }

    #[test]
    fn programs_are_told_values_and_places() {
        let told = load("[boxes]\ncount = 7\n[[pin]]\nboxes = 1\ncpus = 0\n").to_json();
        let count = &told["values"]["boxes.count"];
        assert_eq!(count["value"], 7);
        assert_eq!(count["from"]["line"], 2);
        let pin = json!([{ "boxes": "1", "cpus": "0" }]);
        assert_eq!(told["values"]["pin"]["value"], pin);
        assert_eq!(
            told["values"]["boxes.root"]["from"],
            serde_json::Value::Null
        );
        assert_eq!(
            told["values"]["boxes.subid_user"]["value"],
            serde_json::Value::Null
        );
        let values = told["values"].as_object().unwrap();
        assert_eq!(values.len(), crate::config::keys().len());
    }
}
