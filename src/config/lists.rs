//! Readers of the keys that hold a list: groups, directory rules, denied system calls, pins.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::Display;

use super::box_set::BoxSet;
use super::error::ConfigError;
use super::settings::Pin;
use super::spelling::unknown_key;
use super::value::{self, COUNT_MAX, Located, Value};
use crate::check_name::CheckName;
use crate::dir_rule::{DirRequest, DirRule};
use crate::quantity::CpuList;
use crate::syscall_set::{Restriction, SyscallSet};

/// The keys of an entry of `[[pin]]`.
pub(super) const PIN_KEYS: [&str; 3] = ["boxes", "cpus", "mems"];

/// The items of a list; `allowed` says what it holds.
fn items<'v>(
    key: &dyn Display,
    at: &'v Located,
    allowed: &str,
) -> Result<&'v [Located], ConfigError> {
    match &at.value {
        Value::List(items) => Ok(items),
        other => {
            let text = format!("{} is no list; {allowed}", other.shown());
            Err(at.place.key_error(key, text))
        }
    }
}

/// Reads `[broker] groups`. Whether there is such a group is seen when somebody calls.
pub(super) fn groups(key: &dyn Display, at: &Located) -> Result<Vec<String>, ConfigError> {
    let allowed = "names and numbers of groups are allowed";
    let mut groups: Vec<String> = Vec::new();
    for item in items(key, at, allowed)? {
        let group = value::number_or_text(&item.value, allowed).and_then(|name| {
            let odd = |letter: char| ":,".contains(letter) || letter.is_whitespace();
            let is_name = !name.is_empty() && !name.starts_with(['+', '-']) && !name.contains(odd);
            is_name
                .then(|| name.to_owned())
                .ok_or_else(|| format!("'{}' is no group; {allowed}", value::excerpt(name)))
        });
        groups.push(group.map_err(|reason| item.place.key_error(key, reason))?);
    }
    Ok(groups)
}

/// Reads `[directories] rules`.
pub(super) fn directories(key: &dyn Display, at: &Located) -> Result<Vec<DirRule>, ConfigError> {
    let allowed = "rules such as \"usr\" or \"box=./box:rw\" are allowed";
    let mut rules: Vec<DirRule> = Vec::new();
    for item in items(key, at, allowed)? {
        let rule = directory_rule(&item.value, &rules, allowed);
        rules.push(rule.map_err(|reason| item.place.key_error(key, reason))?);
    }
    Ok(rules)
}

/// Reads one rule. The list stands alone, so one that takes away or replaces is a mistake.
fn directory_rule(value: &Value, before: &[DirRule], allowed: &str) -> Result<DirRule, String> {
    let text = value.text(allowed)?;
    match DirRequest::parse(OsStr::new(text)).map_err(|error| error.to_string())? {
        DirRequest::Remove(_) => Err(format!(
            "'{text}' takes a rule away, but no other rules apply here; leave the unwanted rule out"
        )),
        DirRequest::Set(rule) if before.iter().any(|other| other.inside == rule.inside) => {
            Err(format!(
                "'{text}' is the second rule for '{}'; one rule for each directory is allowed",
                rule.inside.display()
            ))
        }
        DirRequest::Set(rule) => Ok(rule),
    }
}

/// Reads `[syscalls] deny`.
pub(super) fn syscalls(key: &dyn Display, at: &Located) -> Result<SyscallSet, ConfigError> {
    let allowed = format!(
        "{} are allowed",
        Restriction::ALL.map(Restriction::name).join(", ")
    );
    let mut set = SyscallSet::EMPTY;
    for item in items(key, at, &allowed)? {
        let name = item.value.text(&allowed);
        let restriction =
            name.and_then(|name| Restriction::from_name(name).map_err(|error| error.to_string()));
        set = set.with(restriction.map_err(|reason| item.place.key_error(key, reason))?);
    }
    Ok(set)
}

/// Reads `[doctor] silence`: a table of checks, each with a reason.
pub(super) fn silenced(
    key: &dyn Display,
    at: &Located,
) -> Result<BTreeMap<CheckName, String>, ConfigError> {
    let allowed = "a table such as { smt = \"each box has a core of its own\" } is allowed";
    let Value::Table(entries) = &at.value else {
        let text = format!("{} is no table; {allowed}", at.value.shown());
        return Err(at.place.key_error(key, text));
    };
    let mut silenced = BTreeMap::new();
    for (name, reason) in entries {
        let Some(check) = CheckName::named(name) else {
            let known = CheckName::ALL.map(CheckName::name);
            return Err(unknown_key(&key.to_string(), name, &known, &reason.place));
        };
        let words = reason
            .value
            .text("the reason is allowed")
            .and_then(|words| {
                let has_words = !words.trim().is_empty();
                has_words.then(|| words.to_owned()).ok_or_else(|| {
                    "the reason is empty; say why the check may count for nothing here".to_owned()
                })
            });
        let refused = |text| reason.place.key_error(format_args!("{key}.{name}"), text);
        silenced.insert(check, words.map_err(refused)?);
    }
    Ok(silenced)
}

/// Reads `[[pin]]`.
pub(super) fn pins(key: &dyn Display, at: &Located) -> Result<Vec<Pin>, ConfigError> {
    let allowed = "tables [[pin]] are allowed";
    let items = items(key, at, allowed)?;
    items.iter().map(|item| pin(item, allowed)).collect()
}

fn pin(item: &Located, allowed: &str) -> Result<Pin, ConfigError> {
    let Value::Table(entries) = &item.value else {
        let shown = item.value.shown();
        return Err(item
            .place
            .key_error("pin", format_args!("{shown} is no pin; {allowed}")));
    };
    let (mut boxes, mut cpus, mut mems) = (None, None, None);
    for (name, at) in entries {
        let refused = |reason| at.place.key_error(format_args!("pin.{name}"), reason);
        match name.as_str() {
            "boxes" => boxes = Some(box_set(&at.value).map_err(refused)?),
            "cpus" => cpus = Some(cpu_list(&at.value).map_err(refused)?),
            "mems" => mems = Some(cpu_list(&at.value).map_err(refused)?),
            _ => return Err(unknown_key("pin", name, &PIN_KEYS, &at.place)),
        }
    }
    match boxes {
        Some(boxes) if cpus.is_some() || mems.is_some() => Ok(Pin { boxes, cpus, mems }),
        Some(_) => Err(item
            .place
            .key_error("pin", "pins to nothing; cpus, mems or both must be given")),
        None => Err(item
            .place
            .key_error("pin", "names no box; boxes = \"0-3\" must be given")),
    }
}

/// Reads numbers of boxes and ranges of them.
pub(super) fn box_set(value: &Value) -> Result<BoxSet, String> {
    let allowed = format!("box ids up to {COUNT_MAX} as in 3, \"0-3\" or \"0-3,8\" are allowed");
    let text = value::number_or_text(value, &allowed)?;
    BoxSet::parse(text)
        .ok_or_else(|| format!("'{}' is no list of boxes; {allowed}", value::excerpt(text)))
}

/// Reads numbers of CPUs or memory nodes and ranges of them.
pub(super) fn cpu_list(value: &Value) -> Result<CpuList, String> {
    let allowed = "numbers up to 65535 as in 3, \"0-3\" or \"0-3,8\" are allowed";
    let text = value::number_or_text(value, allowed)?;
    CpuList::parse(text).map_err(|_| format!("'{}' is no list; {allowed}", value::excerpt(text)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::resolve::resolve_text;
    use crate::quantity::BoxId;

    #[test]
    fn lists_replace_the_default_as_a_whole() {
        let settings =
            resolve_text("directories.rules = ['usr', 'x=/y:rw']\nsyscalls.deny = ['vsock']")
                .unwrap();
        assert_eq!(settings.directories.len(), 2);
        assert_eq!(settings.syscalls.names().collect::<Vec<_>>(), ["vsock"]);
        let none = resolve_text("directories.rules = []\nsyscalls.deny = []").unwrap();
        assert!(none.directories.is_empty());
        assert_eq!(none.syscalls, SyscallSet::EMPTY);
    }

    #[test]
    fn the_last_pin_of_a_box_counts() {
        let settings = resolve_text(
            "[[pin]]\nboxes = '0-3'\ncpus = '0-1'\nmems = 0\n[[pin]]\nboxes = 2\ncpus = 7\n",
        )
        .unwrap();
        let pin = |id| {
            settings
                .pin_of(BoxId(id))
                .map(|pin| (pin.cpus.as_ref().map(CpuList::as_str), pin.mems.is_some()))
        };
        assert_eq!(pin(1), Some((Some("0-1"), true)));
        assert_eq!(pin(2), Some((Some("7"), false)));
        assert_eq!(pin(4), None);
    }

    #[test]
    fn a_mistake_in_a_list_is_named_with_its_own_line() {
        for (text, error) in [
            (
                "syscalls.deny = [\n 'vsock',\n 'ptrace',\n]",
                "f:3: syscalls.deny: 'ptrace' is not a restriction; known are keyctl, vsock, file-locks, io-uring, foreign-arch, user-namespaces, rare-sockets, file-events, huge-pages, native-aio",
            ),
            (
                "syscalls.deny = 31",
                "f:1: syscalls.deny: 31 is no list; keyctl, vsock, file-locks, io-uring, foreign-arch, user-namespaces, rare-sockets, file-events, huge-pages, native-aio are allowed",
            ),
            (
                "directories.rules = ['usr',\n'a=b']",
                "f:2: directories.rules: 'a=b' is not a directory rule: the path after '=' must begin with '/' or './'",
            ),
            (
                "directories.rules = ['usr', 'usr=']",
                "f:1: directories.rules: 'usr=' takes a rule away, but no other rules apply here; leave the unwanted rule out",
            ),
            (
                "directories.rules = ['usr', '/usr/=/opt']",
                "f:1: directories.rules: '/usr/=/opt' is the second rule for 'usr'; one rule for each directory is allowed",
            ),
            (
                "directories.rules = [1]",
                "f:1: directories.rules: 1 is no string; rules such as \"usr\" or \"box=./box:rw\" are allowed",
            ),
            (
                "pin = 1",
                "f:1: pin: 1 is no list; tables [[pin]] are allowed",
            ),
            (
                "pin = [1]",
                "f:1: pin: 1 is no pin; tables [[pin]] are allowed",
            ),
            (
                "[pin]\nboxes = 1",
                "f:1: pin: a table is no list; tables [[pin]] are allowed",
            ),
            (
                "\n[[pin]]\nboxes = 1",
                "f:2: pin: pins to nothing; cpus, mems or both must be given",
            ),
            (
                "\n[[pin]]\ncpus = 1",
                "f:2: pin: names no box; boxes = \"0-3\" must be given",
            ),
            (
                "[[pin]]\nboxes = '3-0'",
                "f:2: pin.boxes: '3-0' is no list of boxes; box ids up to 2147483647 as in 3, \"0-3\" or \"0-3,8\" are allowed",
            ),
            (
                "[[pin]]\nboxes = 0\ncpus = -1",
                "f:3: pin.cpus: '-1' is no list; numbers up to 65535 as in 3, \"0-3\" or \"0-3,8\" are allowed",
            ),
            (
                "[[pin]]\nbox = 0",
                "f:2: pin.box: unknown key; did you mean boxes? known here are boxes, cpus, mems",
            ),
        ] {
            assert_eq!(resolve_text(text).unwrap_err(), error);
        }
    }
}
