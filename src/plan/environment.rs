//! The program's environment: empty except for what rules put there. Pure.

use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use crate::request::EnvRule;

/// An environment in the order in which its variables were first set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Environment(Vec<(OsString, OsString)>);

impl Environment {
    /// Starts with all of the caller's variables.
    pub(crate) fn full(caller: &[(OsString, OsString)]) -> Self {
        Self(caller.to_vec())
    }

    /// Sets a variable.
    pub(crate) fn set(&mut self, name: &OsStr, value: &OsStr) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = value.to_owned(),
            None => self.0.push((name.to_owned(), value.to_owned())),
        }
    }

    /// The value of a variable.
    pub(crate) fn get(&self, name: &OsStr) -> Option<&OsStr> {
        self.0
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_os_str())
    }

    /// Applies rules in order.
    pub(crate) fn apply(&mut self, rules: &[EnvRule], caller: &[(OsString, OsString)]) {
        for rule in rules {
            match rule {
                EnvRule::Set(name, value) => self.set(name, value),
                EnvRule::Remove(name) => self.0.retain(|(known, _)| known != name),
                // A variable that the caller does not have is taken away.
                EnvRule::Inherit(name) => match caller.iter().find(|(known, _)| known == name) {
                    Some((_, value)) => self.set(name, value),
                    None => self.0.retain(|(known, _)| known != name),
                },
            }
        }
    }

    /// The `NAME=value` strings for execve(2). One with a NUL byte cannot have come from any
    /// process and is left out.
    pub(crate) fn into_strings(self) -> Vec<CString> {
        self.0
            .into_iter()
            .filter_map(|(name, value)| {
                let mut bytes = name.into_vec();
                bytes.push(b'=');
                bytes.extend_from_slice(value.as_bytes());
                CString::new(bytes).ok()
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
        pairs
            .iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect()
    }

    #[test]
    fn rules_apply_in_order_and_an_inherited_variable_is_as_the_caller_has_it() {
        let caller = pairs(&[("LANG", "C"), ("A", "1")]);
        let mut environment = Environment::default();
        let rules = [
            EnvRule::Inherit("LANG".into()),
            EnvRule::Set("MISSING".into(), "1".into()),
            EnvRule::Inherit("MISSING".into()),
            EnvRule::Set("B".into(), "2".into()),
            EnvRule::Set("B".into(), "3=4".into()),
            EnvRule::Set("C".into(), "5".into()),
            EnvRule::Remove("C".into()),
        ];
        environment.apply(&rules, &caller);
        assert_eq!(
            environment.into_strings(),
            [c"LANG=C".to_owned(), c"B=3=4".to_owned()]
        );
    }

    #[test]
    fn the_full_environment_comes_first_and_can_be_changed() {
        let caller = pairs(&[("A", "1"), ("B", "2")]);
        let mut environment = Environment::full(&caller);
        environment.apply(
            &[
                EnvRule::Remove("A".into()),
                EnvRule::Set("B".into(), "3".into()),
            ],
            &caller,
        );
        assert_eq!(environment.get(OsStr::new("B")), Some(OsStr::new("3")));
        assert_eq!(environment.into_strings(), [c"B=3".to_owned()]);
    }
}
