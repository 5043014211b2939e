//! All files merged key by key, nothing checked: for each key the last file's value and its place.

use std::collections::BTreeMap;

use crate::config::error::{ConfigError, Place};
use crate::config::fragment::Fragment;
use crate::config::key::Key;
use crate::config::value::{Located, Value};

/// The keys that are set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Inputs(BTreeMap<Key, Located>);

impl Inputs {
    /// Takes over what the file sets; what earlier files said of the same keys is forgotten.
    pub(super) fn override_with(&mut self, fragment: Fragment) {
        self.0.extend(fragment);
    }

    /// The value of a key and its place.
    pub(super) fn get(&self, key: Key) -> Option<&Located> {
        self.0.get(&key)
    }

    /// Reads a key over the default that `field` holds; leaves it when no file sets the key.
    pub(super) fn read<T>(
        &self,
        field: &mut T,
        key: Key,
        reader: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Result<(), ConfigError> {
        if let Some(at) = self.get(key) {
            *field = reader(&at.value).map_err(|reason| at.place.key_error(key, reason))?;
        }
        Ok(())
    }

    /// The items of a key that takes an array; `allowed` says what it holds.
    pub(super) fn list(&self, key: Key, allowed: &str) -> Result<Option<&[Located]>, ConfigError> {
        match self.get(key) {
            None => Ok(None),
            Some(Located {
                value: Value::List(items),
                ..
            }) => Ok(Some(items)),
            Some(other) => Err(other.place.key_error(
                key,
                format_args!("{} is no list; {allowed}", other.value.shown()),
            )),
        }
    }

    /// Where a key's value stands; `None`: no file sets it.
    pub(super) fn place(&self, key: Key) -> Option<&Place> {
        self.get(key).map(|at| &at.place)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::fragment;

    #[test]
    fn a_later_file_overrides_key_by_key_and_arrays_as_a_whole() {
        let mut inputs = Inputs::default();
        for (name, text) in [
            (
                "a",
                "[boxes]\ncount = 1\nroot = '/a'\n[syscalls]\ndeny = ['x', 'y']\n",
            ),
            ("b", "[boxes]\ncount = 2\n[syscalls]\ndeny = []\n"),
        ] {
            inputs.override_with(fragment::parse(text, &Place::file(Path::new(name))).unwrap());
        }
        let place = |key| inputs.place(key).map(ToString::to_string);
        assert_eq!(place(Key::BoxesCount).as_deref(), Some("b:2"));
        assert_eq!(place(Key::BoxesRoot).as_deref(), Some("a:3"));
        assert_eq!(place(Key::BoxesLocks), None);
        assert_eq!(inputs.list(Key::SyscallsDeny, "").unwrap(), Some(&[][..]));
    }
}
