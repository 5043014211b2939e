//! What a key may hold: its type and range, how a value is read and how it is printed.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Value as Toml;

use super::box_set::BoxSet;
use super::error::ConfigError;
use super::lists;
use super::settings::{LeaseUnit, LoggedRuns, Manager, Pin, ScopeLife, Smt};
use super::value::{self, Located, UNLIMITED, Value};
use crate::check_name::CheckName;
use crate::dir_rule::DirRule;
use crate::quantity::{Bytes, CpuList};
use crate::syscall_set::SyscallSet;

/// The place in the settings that a key sets, by what it may hold.
#[derive(Debug)]
pub(super) enum Field<'s> {
    /// An absolute path.
    Path(&'s mut PathBuf),
    /// An absolute path, or none.
    NoPath(&'s mut Option<PathBuf>),
    /// A whole number of this range.
    Whole(&'s mut u32, RangeInclusive<u32>),
    /// `true` or `false`.
    Switch(&'s mut bool),
    /// A user of `/etc/subuid`, or none.
    SubidUser(&'s mut Option<String>),
    /// Who makes control groups.
    Manager(&'s mut Manager),
    /// Which runs are told.
    LoggedRuns(&'s mut LoggedRuns),
    /// How long a scope lives.
    ScopeLife(&'s mut ScopeLife, fn(ScopeLife) -> &'static str),
    /// What of the CPUs a run leases.
    LeaseUnit(&'s mut LeaseUnit),
    /// What becomes of the other CPUs of a core.
    Smt(&'s mut Smt),
    /// CPUs, or none.
    Cpus(&'s mut Option<CpuList>),
    /// The name of a slice.
    Slice(&'s mut String),
    /// A time or no limit.
    Time(&'s mut Option<Duration>),
    /// A size, or no limit.
    Size(&'s mut Option<Bytes>),
    /// A size; zero is zero.
    ExactSize(&'s mut Bytes),
    /// A number of things, or no limit.
    Count(&'s mut Option<u32>),
    /// A part of one CPU's time or of several, or no limit.
    Percent(&'s mut Option<u32>),
    /// Numbers of boxes, or all.
    Boxes(&'s mut Option<BoxSet>),
    /// Names or numbers of groups.
    Groups(&'s mut Vec<String>),
    /// Rules for directories.
    Rules(&'s mut Vec<DirRule>),
    /// Names of denied system calls.
    Denied(&'s mut SyscallSet),
    /// Checks of doctor's, and why they count for nothing.
    Silenced(&'s mut BTreeMap<CheckName, String>),
    /// Boxes that are bound to CPUs and nodes.
    Pins(&'s mut Vec<Pin>),
}

impl Field<'_> {
    /// Reads the value of the key into its place.
    pub(super) fn read(self, key: &dyn Display, at: &Located) -> Result<(), ConfigError> {
        let value = &at.value;
        let read = match self {
            Self::Path(field) => value::path(value).map(|read| *field = read),
            Self::NoPath(field) => value::path(value).map(|read| *field = Some(read)),
            Self::Whole(field, range) => value::whole(value, range).map(|read| *field = read),
            Self::Switch(field) => value::switch(value).map(|read| *field = read),
            Self::SubidUser(field) => user_name(value).map(|read| *field = Some(read)),
            Self::Manager(field) => manager(value).map(|read| *field = read),
            Self::LoggedRuns(field) => {
                one_of(value, &LoggedRuns::ALL, LoggedRuns::name).map(|read| *field = read)
            }
            Self::ScopeLife(field, name) => {
                one_of(value, &ScopeLife::ALL, name).map(|read| *field = read)
            }
            Self::LeaseUnit(field) => {
                one_of(value, &LeaseUnit::ALL, LeaseUnit::name).map(|read| *field = read)
            }
            Self::Smt(field) => one_of(value, &Smt::ALL, Smt::name).map(|read| *field = read),
            Self::Cpus(field) => lists::cpu_list(value).map(|read| *field = Some(read)),
            Self::Slice(field) => slice(value).map(|read| *field = read),
            Self::Time(field) => value::time_limit(value).map(|read| *field = read),
            Self::Size(field) => value::size_limit(value).map(|read| *field = read),
            Self::ExactSize(field) => value::size(value).map(|read| *field = read),
            Self::Count(field) => value::count_limit(value).map(|read| *field = read),
            Self::Percent(field) => percent(value).map(|read| *field = read),
            Self::Boxes(field) => match value.as_written() {
                UNLIMITED => {
                    *field = None;
                    Ok(())
                }
                _ => lists::box_set(value).map(|read| *field = Some(read)),
            },
            // Each item of a list has a line of its own.
            Self::Groups(field) => return lists::groups(key, at).map(|read| *field = read),
            Self::Rules(field) => return lists::directories(key, at).map(|read| *field = read),
            Self::Denied(field) => return lists::syscalls(key, at).map(|read| *field = read),
            Self::Silenced(field) => return lists::silenced(key, at).map(|read| *field = read),
            Self::Pins(field) => return lists::pins(key, at).map(|read| *field = read),
        };
        read.map_err(|reason| at.place.key_error(key, reason))
    }

    /// The value as TOML. `None`: there is none, or it is printed as the file has it.
    pub(super) fn shown(self) -> Option<Toml> {
        Some(match self {
            Self::Path(field) => path(field),
            Self::NoPath(field) => path(field.as_deref()?),
            Self::Whole(field, _) => (*field).into(),
            Self::Switch(field) => (*field).into(),
            Self::SubidUser(field) => field.as_deref()?.into(),
            Self::Manager(field) => field.name().into(),
            Self::LoggedRuns(field) => field.name().into(),
            Self::ScopeLife(field, name) => name(*field).into(),
            Self::LeaseUnit(field) => field.name().into(),
            Self::Smt(field) => field.name().into(),
            Self::Cpus(field) => field.as_ref()?.as_str().into(),
            Self::Slice(field) => field.as_str().into(),
            Self::Time(field) => or_unlimited(*field, seconds),
            Self::Size(field) => or_unlimited(*field, size),
            Self::ExactSize(field) => size(*field),
            Self::Count(field) => or_unlimited(*field, Toml::from),
            Self::Percent(field) => or_unlimited(*field, |percent| format!("{percent}%").into()),
            Self::Boxes(field) => or_unlimited(field.as_ref(), |set| set.to_string().into()),
            Self::Groups(field) => field.clone().into(),
            Self::Denied(field) => field.names().map(Toml::from).collect::<Vec<_>>().into(),
            Self::Silenced(field) => {
                let entries = field.iter();
                let entries = entries.map(|(name, why)| (name.to_string(), why.as_str().into()));
                Toml::Table(entries.collect())
            }
            Self::Rules(_) | Self::Pins(_) => return None,
        })
    }

    /// Its address in memory.
    #[cfg(test)]
    pub(super) fn address(self) -> *const u8 {
        use std::ptr::from_ref;
        match self {
            Self::Path(field) => from_ref(field).cast(),
            Self::NoPath(field) => from_ref(field).cast(),
            Self::Whole(field, _) => from_ref(field).cast(),
            Self::Switch(field) => from_ref(field).cast(),
            Self::SubidUser(field) => from_ref(field).cast(),
            Self::Manager(field) => from_ref(field).cast(),
            Self::LoggedRuns(field) => from_ref(field).cast(),
            Self::ScopeLife(field, _) => from_ref(field).cast(),
            Self::LeaseUnit(field) => from_ref(field).cast(),
            Self::Smt(field) => from_ref(field).cast(),
            Self::Cpus(field) => from_ref(field).cast(),
            Self::Slice(field) => from_ref(field).cast(),
            Self::Time(field) => from_ref(field).cast(),
            Self::Size(field) => from_ref(field).cast(),
            Self::ExactSize(field) => from_ref(field).cast(),
            Self::Count(field) | Self::Percent(field) => from_ref(field).cast(),
            Self::Boxes(field) => from_ref(field).cast(),
            Self::Groups(field) => from_ref(field).cast(),
            Self::Rules(field) => from_ref(field).cast(),
            Self::Denied(field) => from_ref(field).cast(),
            Self::Silenced(field) => from_ref(field).cast(),
            Self::Pins(field) => from_ref(field).cast(),
        }
    }
}

/// A user as the first field of a line in `/etc/subuid`.
fn user_name(value: &Value) -> Result<String, String> {
    let allowed = "a user's name or number is allowed";
    let user = value::number_or_text(value, allowed)?;
    if user.is_empty() || user.contains(':') {
        return Err(format!("'{}' is no user; {allowed}", value::excerpt(user)));
    }
    Ok(user.to_owned())
}

fn manager(value: &Value) -> Result<Manager, String> {
    let allowed = format!("{} are allowed", Manager::ALL.map(Manager::name).join(", "));
    let name = value.text(&allowed)?;
    Manager::ALL
        .into_iter()
        .find(|manager| manager.name() == name)
        .ok_or_else(|| format!("'{}' is no manager; {allowed}", value::excerpt(name)))
}

/// Reads one of these names.
fn one_of<T: Copy>(value: &Value, all: &[T], name_of: fn(T) -> &'static str) -> Result<T, String> {
    let names: Vec<_> = all.iter().map(|one| name_of(*one)).collect();
    let allowed = format!("{} are allowed", names.join(", "));
    let name = value.text(&allowed)?;
    let found = all.iter().find(|one| name_of(**one) == name);
    found
        .copied()
        .ok_or_else(|| format!("'{}' is none of these; {allowed}", value::excerpt(name)))
}

/// Reads a slice's unit name. systemd takes dashes as levels of the tree, so none may be empty:
/// systemd.slice(5) and systemd.unit(5), "Description" (255 characters).
fn slice(value: &Value) -> Result<String, String> {
    let allowed = "NAME.slice of at most 255 letters, digits, ':', '_', '.', '-' is allowed, \
                   with single dashes inside of NAME";
    let name = value.text(allowed)?;
    let is_valid = name.len() <= 255
        && name.strip_suffix(".slice").is_some_and(|stem| {
            let known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b':' | b'_' | b'.' | b'-');
            stem.bytes().all(known) && stem.split('-').all(|level| !level.is_empty())
        });
    if !is_valid {
        let shown = value::excerpt(name);
        return Err(format!("'{shown}' is no name of a slice; {allowed}"));
    }
    Ok(name.to_owned())
}

/// Reads a part of one CPU's time, or of several: `"150%"`.
fn percent(value: &Value) -> Result<Option<u32>, String> {
    let allowed = "a text such as \"150%\", from 1% to 1000000%, and \"unlimited\" are allowed";
    let text = value.text(allowed)?;
    if text == value::UNLIMITED {
        return Ok(None);
    }
    let number = text
        .strip_suffix('%')
        .filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
    number
        .and_then(|digits| digits.parse().ok())
        .filter(|percent| (1..=1_000_000).contains(percent))
        .map(Some)
        .ok_or_else(|| format!("'{}' is no CPU quota; {allowed}", value::excerpt(text)))
}

fn path(path: &Path) -> Toml {
    path.to_string_lossy().into_owned().into()
}

fn or_unlimited<T>(limit: Option<T>, shown: impl FnOnce(T) -> Toml) -> Toml {
    limit.map_or(UNLIMITED.into(), shown)
}

/// A time in seconds, exact to the microsecond: `2s`, `0.3s`.
fn seconds(time: Duration) -> Toml {
    let fraction = format!("{:06}", time.subsec_micros());
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{}{point}{fraction}s", time.as_secs()).into()
}

fn size(size: Bytes) -> Toml {
    size.to_string().into()
}

#[cfg(test)]
mod tests {
    use crate::config::resolve::resolve_text;

    fn refusal(text: &str) -> String {
        resolve_text(text).unwrap_err()
    }

    #[test]
    fn slices_are_unit_names_without_empty_levels() {
        for good in ["isolate.slice", "judge-isolate.slice", "a:b_c.d.slice"] {
            assert!(
                resolve_text(&format!("cgroup.slice = '{good}'")).is_ok(),
                "{good}"
            );
        }
        let long = format!("{}.slice", "a".repeat(250));
        for bad in [
            "",
            ".slice",
            "-.slice",
            "a",
            "a.scope",
            "a--b.slice",
            "-a.slice",
            "a-.slice",
            "a/b.slice",
            "é.slice",
            &long,
        ] {
            assert!(
                refusal(&format!("cgroup.slice = '{bad}'")).contains("no name of a slice"),
                "{bad}"
            );
        }
    }
}
