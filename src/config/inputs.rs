//! All files merged key by key and not yet checked: for each key the last file's value and its
//! place.

use std::collections::BTreeMap;

use super::error::Place;
use super::fragment::Fragment;
use super::table::Key;
use super::value::Located;

/// The keys that are set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Inputs(BTreeMap<Key, Located>);

impl Inputs {
    /// Takes over what the file sets, in the place of what earlier files said of the same keys.
    pub(super) fn override_with(&mut self, fragment: Fragment) {
        self.0.extend(fragment);
    }

    /// The value of a key and its place.
    pub(super) fn get(&self, key: Key) -> Option<&Located> {
        self.0.get(&key)
    }

    /// All that is set, in the order of the table.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Key, &Located)> {
        self.0.iter().map(|(key, at)| (*key, at))
    }

    /// Where a key's value stands. `None`: no file sets it.
    pub(super) fn place(&self, key: Key) -> Option<&Place> {
        self.get(key).map(|at| &at.place)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::fragment;
    use crate::config::table::Table;

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
        let place = |name| {
            let place = inputs.place(Key::of(Table::Boxes, name));
            place.map(ToString::to_string)
        };
        assert_eq!(place("count").as_deref(), Some("b:2"));
        assert_eq!(place("root").as_deref(), Some("a:3"));
        assert_eq!(place("locks"), None);
        let denied = inputs.get(Key::of(Table::Syscalls, "deny")).unwrap();
        assert!(denied.value.items().is_empty());
    }
}
