//! The schema: every key that a file may set, its table and its name, in the order they are printed.
//!
//! What a key's value may be is not here but in `resolve.rs`.

use std::fmt;

/// One key. `[[pin]]` is one key as a whole: a later file replaces all entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    /// `[boxes] root`.
    BoxesRoot,
    /// `[boxes] locks`.
    BoxesLocks,
    /// `[boxes] count`.
    BoxesCount,
    /// `[boxes] first_uid`.
    BoxesFirstUid,
    /// `[boxes] first_gid`.
    BoxesFirstGid,
    /// `[boxes] subid_user`.
    BoxesSubidUser,
    /// `[boxes] only_root_inits`.
    BoxesOnlyRootInits,
    /// `[cgroup] manager`.
    CgroupManager,
    /// `[cgroup] root`.
    CgroupRoot,
    /// `[cgroup] slice`.
    CgroupSlice,
    /// A key of `[defaults]`.
    Defaults(Limit),
    /// A key of `[exec]`.
    Exec(Limit),
    /// A key of `[limits]`.
    Limits(CeilingKey),
    /// `[directories] rules`.
    DirectoriesRules,
    /// `[syscalls] deny`.
    SyscallsDeny,
    /// `[[pin]]`.
    Pin,
}

/// A key that `[defaults]` and `[exec]` share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Limit {
    /// `time`.
    Time,
    /// `extra_time`.
    ExtraTime,
    /// `wall_time`.
    WallTime,
    /// `mem`.
    Mem,
    /// `cg_mem`.
    CgMem,
    /// `stack`.
    Stack,
    /// `fsize`.
    Fsize,
    /// `core`.
    Core,
    /// `open_files`.
    OpenFiles,
    /// `processes`.
    Processes,
}

/// A key of `[limits]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum CeilingKey {
    /// `boxes`.
    Boxes,
    /// `runs`.
    Runs,
    /// `memory`.
    Memory,
    /// `processes`.
    Processes,
    /// `cpu_quota`.
    CpuQuota,
    /// `wall_time`.
    WallTime,
    /// `disk`.
    Disk,
    /// `total_boxes`.
    TotalBoxes,
    /// `total_runs`.
    TotalRuns,
    /// `total_memory`.
    TotalMemory,
    /// `total_processes`.
    TotalProcesses,
    /// `total_cpu_quota`.
    TotalCpuQuota,
}

impl CeilingKey {
    /// Every ceiling.
    const ALL: [Self; 12] = [
        Self::Boxes,
        Self::Runs,
        Self::Memory,
        Self::Processes,
        Self::CpuQuota,
        Self::WallTime,
        Self::Disk,
        Self::TotalBoxes,
        Self::TotalRuns,
        Self::TotalMemory,
        Self::TotalProcesses,
        Self::TotalCpuQuota,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Boxes => "boxes",
            Self::Runs => "runs",
            Self::Memory => "memory",
            Self::Processes => "processes",
            Self::CpuQuota => "cpu_quota",
            Self::WallTime => "wall_time",
            Self::Disk => "disk",
            Self::TotalBoxes => "total_boxes",
            Self::TotalRuns => "total_runs",
            Self::TotalMemory => "total_memory",
            Self::TotalProcesses => "total_processes",
            Self::TotalCpuQuota => "total_cpu_quota",
        }
    }
}

impl Limit {
    /// Every limit.
    pub(super) const ALL: [Self; 10] = [
        Self::Time,
        Self::ExtraTime,
        Self::WallTime,
        Self::Mem,
        Self::CgMem,
        Self::Stack,
        Self::Fsize,
        Self::Core,
        Self::OpenFiles,
        Self::Processes,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::ExtraTime => "extra_time",
            Self::WallTime => "wall_time",
            Self::Mem => "mem",
            Self::CgMem => "cg_mem",
            Self::Stack => "stack",
            Self::Fsize => "fsize",
            Self::Core => "core",
            Self::OpenFiles => "open_files",
            Self::Processes => "processes",
        }
    }
}

impl Key {
    /// The tables that hold single keys. `[[pin]]` is not among them.
    pub(super) const TABLES: [&'static str; 7] = [
        "boxes",
        "cgroup",
        "defaults",
        "exec",
        "limits",
        "directories",
        "syscalls",
    ];

    /// The keys of an entry of `[[pin]]`.
    pub(super) const PIN_KEYS: [&'static str; 3] = ["boxes", "cpus", "mems"];

    /// The keys of a table; none when there is no such table.
    pub(super) fn of_table(table: &str) -> Vec<Self> {
        match table {
            "boxes" => vec![
                Self::BoxesRoot,
                Self::BoxesLocks,
                Self::BoxesCount,
                Self::BoxesFirstUid,
                Self::BoxesFirstGid,
                Self::BoxesSubidUser,
                Self::BoxesOnlyRootInits,
            ],
            "cgroup" => vec![Self::CgroupManager, Self::CgroupRoot, Self::CgroupSlice],
            "defaults" => Limit::ALL.map(Self::Defaults).to_vec(),
            "exec" => Limit::ALL.map(Self::Exec).to_vec(),
            "limits" => CeilingKey::ALL.map(Self::Limits).to_vec(),
            "directories" => vec![Self::DirectoriesRules],
            "syscalls" => vec![Self::SyscallsDeny],
            _ => Vec::new(),
        }
    }

    /// The table that holds the key.
    fn table(self) -> &'static str {
        match self {
            Self::BoxesRoot
            | Self::BoxesLocks
            | Self::BoxesCount
            | Self::BoxesFirstUid
            | Self::BoxesFirstGid
            | Self::BoxesSubidUser
            | Self::BoxesOnlyRootInits => "boxes",
            Self::CgroupManager | Self::CgroupRoot | Self::CgroupSlice => "cgroup",
            Self::Defaults(_) => "defaults",
            Self::Exec(_) => "exec",
            Self::Limits(_) => "limits",
            Self::DirectoriesRules => "directories",
            Self::SyscallsDeny => "syscalls",
            Self::Pin => "pin",
        }
    }

    /// The name within the table.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::BoxesRoot | Self::CgroupRoot => "root",
            Self::BoxesLocks => "locks",
            Self::BoxesCount => "count",
            Self::BoxesFirstUid => "first_uid",
            Self::BoxesFirstGid => "first_gid",
            Self::BoxesSubidUser => "subid_user",
            Self::BoxesOnlyRootInits => "only_root_inits",
            Self::CgroupManager => "manager",
            Self::CgroupSlice => "slice",
            Self::Defaults(limit) | Self::Exec(limit) => limit.name(),
            Self::Limits(ceiling) => ceiling.name(),
            Self::DirectoriesRules => "rules",
            Self::SyscallsDeny => "deny",
            Self::Pin => "pin",
        }
    }
}

impl fmt::Display for Key {
    /// `boxes.count`, as in a dotted key of TOML.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pin => f.write_str(self.name()),
            _ => write!(f, "{}.{}", self.table(), self.name()),
        }
    }
}

/// The known name that was probably meant: at most two letters off, and not a different word.
pub(super) fn nearest(name: &str, known: &[&'static str]) -> Option<&'static str> {
    known
        .iter()
        .filter(|candidate| name.len().abs_diff(candidate.len()) <= 2)
        .map(|candidate| (distance(name.as_bytes(), candidate.as_bytes()), *candidate))
        .filter(|(distance, candidate)| {
            *distance <= 2 && *distance < name.len().min(candidate.len())
        })
        .min()
        .map(|(_, candidate)| candidate)
}

/// How many letters must be put in, left out or changed to get from one word to the other
/// (Levenshtein). Both are short.
fn distance(from: &[u8], to: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.iter().enumerate() {
            let changed = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_lists_its_own_keys_once() {
        for table in Key::TABLES {
            let keys = Key::of_table(table);
            assert!(!keys.is_empty(), "{table}");
            assert!(keys.iter().all(|key| key.table() == table), "{table}");
            assert!(keys.is_sorted(), "{table}");
        }
        assert!(Key::of_table("pin").is_empty());
        assert_eq!(Key::Exec(Limit::CgMem).to_string(), "exec.cg_mem");
    }

    #[test]
    fn a_slip_of_the_pen_is_recognized_and_another_word_is_not() {
        let known = ["root", "locks", "count", "first_uid", "first_gid"];
        for (name, meant) in [
            ("first_uuid", Some("first_uid")),
            ("firstgid", Some("first_gid")),
            ("lock", Some("locks")),
            ("number", None),
            ("", None),
            ("ro", None),
        ] {
            assert_eq!(nearest(name, &known), meant, "{name}");
        }
    }
}
