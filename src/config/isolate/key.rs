//! The keys of isolate's configuration file, and what they mean here.

use std::fmt;
use std::path::Path;

use crate::config::error::{ConfigError, Place};
use crate::config::settings::Manager;
use crate::config::spelling::{shown_key, unknown_key};
use crate::config::table::{Key, Table};
use crate::config::value::{self, COUNT_MAX, Located, Value, excerpt};
use crate::guess::nearest;
use crate::syscall_set::SyscallSet;

/// What has to be known of the machine for `cg_root`.
pub(super) struct Cgroups<'a> {
    /// Whether this is a cgroup that runs may be put into.
    pub(super) is_there: &'a dyn Fn(&Path) -> bool,
    /// The text of a file that names one.
    pub(super) named_in: &'a dyn Fn(&Path) -> Option<String>,
}

/// A key of isolate's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum IsolateKey {
    /// `box_root`.
    BoxRoot,
    /// `lock_root`.
    LockRoot,
    /// `cg_root`.
    CgRoot,
    /// `cg_parent`, of isolate 1.x alone.
    CgParent,
    /// `first_uid`.
    FirstUid,
    /// `first_gid`.
    FirstGid,
    /// `num_boxes`.
    NumBoxes,
    /// `subid_user`.
    SubidUser,
    /// `restricted_init`.
    RestrictedInit,
    /// `syscall_flags`.
    SyscallFlags,
    /// `boxN.cpus`.
    Cpus(u32),
    /// `boxN.mems`.
    Mems(u32),
}

/// What a line means here.
#[derive(Debug)]
pub(super) enum Meaning {
    /// It sets these keys.
    Sets(Vec<(Key, Value)>),
    /// It binds a box: the box's number, the key of `[[pin]]`, the list.
    Pins(u32, &'static str, Value),
    /// It sets nothing, for this reason.
    Nothing(String),
}

impl IsolateKey {
    /// The keys that stand alone.
    const SINGLE: [Self; 10] = [
        Self::BoxRoot,
        Self::LockRoot,
        Self::CgRoot,
        Self::CgParent,
        Self::FirstUid,
        Self::FirstGid,
        Self::NumBoxes,
        Self::SubidUser,
        Self::RestrictedInit,
        Self::SyscallFlags,
    ];

    /// The key of this name.
    pub(super) fn parse(name: &str, place: &Place) -> Result<Self, ConfigError> {
        let per_box = name
            .split_once('.')
            .and_then(|(section, item)| Some((section.strip_prefix("box")?, item)));
        if let Some((number, item)) = per_box {
            return Self::parse_per_box(number, item, place);
        }
        let single = Self::SINGLE.into_iter().find(|key| key.name() == name);
        single.ok_or_else(|| {
            let known = Self::SINGLE.map(Self::name);
            let guess = nearest(name, &known);
            let guess = guess.map_or(String::new(), |key| format!("did you mean {key}? "));
            place.key_error(
                shown_key(name),
                format_args!(
                    "unknown key; {guess}known here are {}, boxN.cpus, boxN.mems",
                    known.join(", ")
                ),
            )
        })
    }

    fn parse_per_box(number: &str, item: &str, place: &Place) -> Result<Self, ConfigError> {
        let id = whole(number, 0).map_err(|_| {
            place.key_error(
                format_args!("box{}.{}", excerpt(number), excerpt(item)),
                format_args!(
                    "'{}' is no box; numbers up to {COUNT_MAX} as in box0.cpus are allowed",
                    excerpt(number)
                ),
            )
        })?;
        match item {
            "cpus" => Ok(Self::Cpus(id)),
            "mems" => Ok(Self::Mems(id)),
            _ => {
                let section = format!("box{id}");
                Err(unknown_key(&section, item, &["cpus", "mems"], place))
            }
        }
    }

    /// The name, without the number of a box.
    fn name(self) -> &'static str {
        match self {
            Self::BoxRoot => "box_root",
            Self::LockRoot => "lock_root",
            Self::CgRoot => "cg_root",
            Self::CgParent => "cg_parent",
            Self::FirstUid => "first_uid",
            Self::FirstGid => "first_gid",
            Self::NumBoxes => "num_boxes",
            Self::SubidUser => "subid_user",
            Self::RestrictedInit => "restricted_init",
            Self::SyscallFlags => "syscall_flags",
            Self::Cpus(_) => "cpus",
            Self::Mems(_) => "mems",
        }
    }

    /// What the key means with this value. What is not checked here is checked with the other
    /// settings.
    pub(super) fn meaning(
        self,
        text: &str,
        place: &Place,
        machine: &Cgroups<'_>,
    ) -> Result<Meaning, String> {
        let written = Value::Text(text.to_owned());
        written.text("")?;
        let integer = |number: u32| Value::Integer(number.to_string());
        let (key, value) = match self {
            Self::BoxRoot => (const { Key::of(Table::Boxes, "root") }, written),
            Self::LockRoot => (const { Key::of(Table::Boxes, "locks") }, written),
            Self::SubidUser => (const { Key::of(Table::Boxes, "subid_user") }, written),
            Self::FirstUid => (
                const { Key::of(Table::Boxes, "first_uid") },
                integer(whole(text, 1)?),
            ),
            Self::FirstGid => (
                const { Key::of(Table::Boxes, "first_gid") },
                integer(whole(text, 1)?),
            ),
            Self::NumBoxes => (
                const { Key::of(Table::Boxes, "count") },
                integer(whole(text, 1)?),
            ),
            Self::RestrictedInit => {
                let is_set = whole(text, 0)? != 0;
                (
                    const { Key::of(Table::Boxes, "only_root_inits") },
                    Value::Boolean(is_set),
                )
            }
            Self::SyscallFlags => {
                let denied = SyscallSet::default().with_mask(whole(text, 0)?);
                (
                    const { Key::of(Table::Syscalls, "deny") },
                    names(denied, place),
                )
            }
            Self::Cpus(id) => return Ok(Meaning::Pins(id, "cpus", written)),
            Self::Mems(id) => return Ok(Meaning::Pins(id, "mems", written)),
            Self::CgRoot => return cg_root(written, machine),
            Self::CgParent => {
                let reason = "of isolate 1.x; each run has a cgroup of its own anyway";
                return Ok(Meaning::Nothing(reason.to_owned()));
            }
        };
        Ok(Meaning::Sets(vec![(key, value)]))
    }
}

impl fmt::Display for IsolateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpus(id) | Self::Mems(id) => write!(f, "box{id}.{}", self.name()),
            _ => f.write_str(self.name()),
        }
    }
}

/// Reads a whole number from `least` to the largest of isolate's.
fn whole(text: &str, least: u32) -> Result<u32, String> {
    let number = text.parse().ok();
    number
        .filter(|number| (least..=COUNT_MAX).contains(number))
        .ok_or_else(|| {
            format!(
                "'{}' is out of range; whole numbers from {least} to {COUNT_MAX} are allowed",
                excerpt(text)
            )
        })
}

fn names(set: SyscallSet, place: &Place) -> Value {
    let name = |name: &str| Located {
        value: Value::Text(name.to_owned()),
        place: place.clone(),
    };
    Value::List(set.names().map(name).collect())
}

/// `cg_root` is the place of the runs if it is a cgroup that was made for them. It does not demand
/// one: isolate needs the line whoever makes the cgroup, and a systemd that runs comes first. With
/// `auto:FILE` the path is in a file, written by isolate's service or by a container's start.
fn cg_root(written: Value, machine: &Cgroups<'_>) -> Result<Meaning, String> {
    let stays = "so [cgroup] manager stays \"auto\"";
    let shown = written.shown();
    if let Some(file) = written.as_written().strip_prefix("auto:") {
        let named = (machine.named_in)(Path::new(file));
        let named = named.map(|text| Value::Text(text.trim().to_owned()));
        let is_cgroup =
            |named: &Value| value::path(named).is_ok_and(|path| (machine.is_there)(&path));
        return Ok(match named.filter(is_cgroup) {
            Some(root) => Meaning::Sets(vec![(const { Key::of(Table::Cgroup, "root") }, root)]),
            None => Meaning::Nothing(format!(
                "{shown} names no cgroup (v2) below the root of its hierarchy on this machine, {stays}"
            )),
        });
    }
    if !(machine.is_there)(&value::path(&written)?) {
        return Ok(Meaning::Nothing(format!(
            "{shown} is no cgroup (v2) below the root of its hierarchy on this machine, {stays}"
        )));
    }
    let manager = Value::Text(Manager::Delegated.name().to_owned());
    Ok(Meaning::Sets(vec![
        (const { Key::of(Table::Cgroup, "manager") }, manager),
        (const { Key::of(Table::Cgroup, "root") }, written),
    ]))
}
