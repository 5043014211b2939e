//! The schema: one row for each key that a file may set, with its table, its name and its field.
//!
//! A field has the type and the range of a key, and can read and print its value ([`field`]). The
//! defaults are the `Default` of [`super::settings`], and what must hold between keys is in
//! `resolve.rs`.
//!
//! [`field`]: super::field

use std::fmt;

use super::ceilings::Ceilings;
use super::error::{ConfigError, Place};
use super::field::Field;
use super::settings::{
    BatchSettings, BoxSettings, BrokerSettings, CgroupSettings, CpuSettings, KEEP_ANSWERS_MAX,
    Limits, LogSettings, ScopeLife, Settings,
};
use super::spelling::shown_key;
use super::value::COUNT_MAX;
use crate::guess::nearest;

/// The largest id of a user or a group: 2^32-1 means "leave it" to chown(2), and one is kept in
/// between.
const ID_MAX: u32 = u32::MAX - 2;

/// A day, in seconds.
const KEEP_READY_MAX: u32 = 86_400;

/// `[boxes]`.
const BOXES: [Row<BoxSettings>; 7] = [
    row("root", |boxes| Field::Path(&mut boxes.root)),
    row("locks", |boxes| Field::Path(&mut boxes.locks)),
    row("count", |boxes| {
        Field::Whole(&mut boxes.count, 1..=COUNT_MAX)
    }),
    row("first_uid", |boxes| {
        Field::Whole(&mut boxes.first_uid, 1..=ID_MAX)
    }),
    row("first_gid", |boxes| {
        Field::Whole(&mut boxes.first_gid, 1..=ID_MAX)
    }),
    row("subid_user", |boxes| {
        Field::SubidUser(&mut boxes.subid_user)
    }),
    row("only_root_inits", |boxes| {
        Field::Switch(&mut boxes.only_root_inits)
    }),
];

/// `[cgroup]`.
const CGROUP: [Row<CgroupSettings>; 5] = [
    row("manager", |cgroup| Field::Manager(&mut cgroup.manager)),
    row("root", |cgroup| Field::NoPath(&mut cgroup.root)),
    row("slice", |cgroup| Field::Slice(&mut cgroup.slice)),
    row("keep_ready", |cgroup| {
        Field::Whole(&mut cgroup.keep_ready, 0..=KEEP_READY_MAX)
    }),
    row("scope", |cgroup| {
        Field::ScopeLife(&mut cgroup.scope, ScopeLife::name)
    }),
];

/// `[cpus]`.
const CPUS: [Row<CpuSettings>; 3] = [
    row("lease", |cpus| Field::LeaseUnit(&mut cpus.lease)),
    row("smt", |cpus| Field::Smt(&mut cpus.smt)),
    row("reserve", |cpus| Field::Cpus(&mut cpus.reserve)),
];

/// `[defaults]` and `[exec]`.
const LIMITS: [Row<Limits>; 11] = [
    row("time", |limits| Field::Time(&mut limits.time)),
    row("extra_time", |limits| Field::Time(&mut limits.extra_time)),
    row("wall_time", |limits| Field::Time(&mut limits.wall_time)),
    row("mem", |limits| Field::Size(&mut limits.address_space)),
    row("cg_mem", |limits| Field::Size(&mut limits.cg_mem)),
    row("stack", |limits| Field::Size(&mut limits.stack)),
    row("soft_stack", |limits| Field::Size(&mut limits.soft_stack)),
    row("fsize", |limits| Field::Size(&mut limits.file_size)),
    row("core", |limits| Field::ExactSize(&mut limits.core)),
    row("open_files", |limits| Field::Count(&mut limits.open_files)),
    row("processes", |limits| Field::Count(&mut limits.processes)),
];

/// `[broker]`.
const BROKER: [Row<BrokerSettings>; 2] = [
    row("groups", |broker| Field::Groups(&mut broker.groups)),
    row("keep_answers", |broker| {
        Field::Whole(&mut broker.keep_answers, 0..=KEEP_ANSWERS_MAX)
    }),
];

/// `[ceilings]`.
const CEILINGS: [Row<Ceilings>; 13] = [
    row("boxes", |most| Field::Count(&mut most.user.boxes)),
    row("box_ids", |most| Field::Boxes(&mut most.box_ids)),
    row("runs", |most| Field::Count(&mut most.user.runs)),
    row("memory", |most| Field::Size(&mut most.user.memory)),
    row("processes", |most| Field::Count(&mut most.user.processes)),
    row("cpu_quota", |most| Field::Percent(&mut most.user.cpu_quota)),
    row("wall_time", |most| Field::Time(&mut most.wall_time)),
    row("disk", |most| Field::Size(&mut most.disk)),
    row("total_boxes", |most| Field::Count(&mut most.total.boxes)),
    row("total_runs", |most| Field::Count(&mut most.total.runs)),
    row("total_memory", |most| Field::Size(&mut most.total.memory)),
    row("total_processes", |most| {
        Field::Count(&mut most.total.processes)
    }),
    row("total_cpu_quota", |most| {
        Field::Percent(&mut most.total.cpu_quota)
    }),
];

/// `[directories]`.
const DIRECTORIES: [Row<Settings>; 2] = [
    row("rules", |settings| Field::Rules(&mut settings.directories)),
    row("exec_etc", |settings| Field::Switch(&mut settings.exec_etc)),
];

/// `[syscalls]`.
const SYSCALLS: [Row<Settings>; 1] = [row("deny", |settings| {
    Field::Denied(&mut settings.syscalls)
})];

/// `[doctor]`.
const DOCTOR: [Row<Settings>; 1] = [row("silence", |settings| {
    Field::Silenced(&mut settings.silenced)
})];
/// `[log]`.
const LOG: [Row<LogSettings>; 3] = [
    row("runs", |log| Field::LoggedRuns(&mut log.runs)),
    row("refusals", |log| Field::Switch(&mut log.refusals)),
    row("arguments", |log| Field::Switch(&mut log.arguments)),
];

/// `[batch]`.
const BATCH: [Row<BatchSettings>; 3] = [
    row("scope", |batch| {
        Field::ScopeLife(&mut batch.scope, ScopeLife::name_of_batch)
    }),
    row("cache_dir", |batch| Field::Path(&mut batch.cache_dir)),
    row("cache_max", |batch| Field::Size(&mut batch.cache_max)),
];

/// `[[pin]]`: one key as a whole, so that a later file replaces all entries.
const PINS: [Row<Settings>; 1] = [row("pin", |settings| Field::Pins(&mut settings.pins))];

/// A key of a table whose settings are a `T`.
struct Row<T> {
    name: &'static str,
    field: fn(&mut T) -> Field<'_>,
}

const fn row<T>(name: &'static str, field: fn(&mut T) -> Field<'_>) -> Row<T> {
    Row { name, field }
}

/// A table of the file, in the order in which they are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Table {
    /// `[boxes]`: which boxes there are.
    Boxes,
    /// `[cgroup]`: where control groups come from.
    Cgroup,
    /// `[cpus]`: which CPUs runs have to themselves.
    Cpus,
    /// `[defaults]`: limits of a run that the command line leaves open.
    Defaults,
    /// `[exec]`: the same for `exec`.
    Exec,
    /// `[broker]`: which users need not be asked about.
    Broker,
    /// `[ceilings]`: what users who are not root may have.
    Ceilings,
    /// `[directories]`: what a program sees of the file system.
    Directories,
    /// `[syscalls]`: what a program is denied.
    Syscalls,
    /// `[doctor]`: what is known to be so.
    Doctor,
    /// `[log]`: what is remembered of commands.
    Log,
    /// `[batch]`: how many runs of one call are carried out.
    Batch,
    /// `[[pin]]`, an array of tables.
    Pin,
}

impl Table {
    /// Every table with single keys.
    pub(super) const SINGLE: [Self; 12] = [
        Self::Boxes,
        Self::Cgroup,
        Self::Cpus,
        Self::Defaults,
        Self::Exec,
        Self::Broker,
        Self::Ceilings,
        Self::Directories,
        Self::Syscalls,
        Self::Log,
        Self::Doctor,
        Self::Batch,
    ];

    /// The name between the brackets.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Boxes => "boxes",
            Self::Cgroup => "cgroup",
            Self::Cpus => "cpus",
            Self::Defaults => "defaults",
            Self::Exec => "exec",
            Self::Broker => "broker",
            Self::Ceilings => "ceilings",
            Self::Directories => "directories",
            Self::Syscalls => "syscalls",
            Self::Doctor => "doctor",
            Self::Log => "log",
            Self::Batch => "batch",
            Self::Pin => "pin",
        }
    }

    /// The table with this name, today's or an earlier one's.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            // The former name.
            "limits" => Some(Self::Ceilings),
            _ => Self::SINGLE.into_iter().find(|table| table.name() == name),
        }
    }

    /// Its keys, in the order in which they are printed.
    pub(super) fn keys(self) -> impl Iterator<Item = Key> {
        let keys = (0..).map(move |row| Key { table: self, row });
        keys.take_while(|key| key.name_if_any().is_some())
    }

    /// The key of this name.
    pub(super) fn key(self, name: &str) -> Option<Key> {
        self.keys().find(|key| key.name() == name)
    }

    /// The names of its keys.
    pub(super) fn key_names(self) -> Vec<&'static str> {
        self.keys().map(Key::name).collect()
    }
}

/// One key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    table: Table,
    /// Its place among the rows of the table.
    row: usize,
}

impl Key {
    /// `[[pin]]`.
    pub(super) const PIN: Self = Self::of(Table::Pin, "pin");

    /// The key of this name, for constants: a name that is none does not compile.
    pub(super) const fn of(table: Table, name: &str) -> Self {
        let mut key = Self { table, row: 0 };
        while let Some(other) = key.name_if_any() {
            if are_equal(name.as_bytes(), other.as_bytes()) {
                return key;
            }
            key.row += 1;
        }
        panic!("no such key")
    }

    const fn name_if_any(self) -> Option<&'static str> {
        let Self { table, row } = self;
        match table {
            Table::Boxes if row < BOXES.len() => Some(BOXES[row].name),
            Table::Cgroup if row < CGROUP.len() => Some(CGROUP[row].name),
            Table::Cpus if row < CPUS.len() => Some(CPUS[row].name),
            Table::Defaults | Table::Exec if row < LIMITS.len() => Some(LIMITS[row].name),
            Table::Broker if row < BROKER.len() => Some(BROKER[row].name),
            Table::Ceilings if row < CEILINGS.len() => Some(CEILINGS[row].name),
            Table::Directories if row < DIRECTORIES.len() => Some(DIRECTORIES[row].name),
            Table::Syscalls if row < SYSCALLS.len() => Some(SYSCALLS[row].name),
            Table::Doctor if row < DOCTOR.len() => Some(DOCTOR[row].name),
            Table::Log if row < LOG.len() => Some(LOG[row].name),
            Table::Batch if row < BATCH.len() => Some(BATCH[row].name),
            Table::Pin if row < PINS.len() => Some(PINS[row].name),
            _ => None,
        }
    }

    /// The name within the table.
    pub(super) fn name(self) -> &'static str {
        self.name_if_any().unwrap_or_default()
    }

    /// The table that holds it.
    pub(super) fn table(self) -> Table {
        self.table
    }

    /// The key of the same name in another table that has the same keys: `[defaults]` and `[exec]`.
    pub(super) fn within(self, table: Table) -> Self {
        Self { table, ..self }
    }

    /// The field of the settings that it sets.
    pub(super) fn field(self, settings: &mut Settings) -> Field<'_> {
        let row = self.row;
        match self.table {
            Table::Boxes => (BOXES[row].field)(&mut settings.boxes),
            Table::Cgroup => (CGROUP[row].field)(&mut settings.cgroup),
            Table::Cpus => (CPUS[row].field)(&mut settings.cpus),
            Table::Defaults => (LIMITS[row].field)(&mut settings.defaults),
            Table::Exec => (LIMITS[row].field)(&mut settings.exec),
            Table::Broker => (BROKER[row].field)(&mut settings.broker),
            Table::Ceilings => (CEILINGS[row].field)(&mut settings.ceilings),
            Table::Directories => (DIRECTORIES[row].field)(settings),
            Table::Syscalls => (SYSCALLS[row].field)(settings),
            Table::Doctor => (DOCTOR[row].field)(settings),
            Table::Log => (LOG[row].field)(&mut settings.log),
            Table::Batch => (BATCH[row].field)(&mut settings.batch),
            Table::Pin => (PINS[row].field)(settings),
        }
    }
}

const fn are_equal(one: &[u8], other: &[u8]) -> bool {
    let mut at = 0;
    while at < one.len() && at < other.len() && one[at] == other[at] {
        at += 1;
    }
    at == one.len() && at == other.len()
}

impl fmt::Display for Key {
    /// `boxes.count`, as in a dotted key of TOML.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.table {
            Table::Pin => f.write_str(self.name()),
            table => write!(f, "{}.{}", table.name(), self.name()),
        }
    }
}

/// The error for a name outside of all tables.
pub(super) fn unknown_top_level(name: &str, place: &Place) -> ConfigError {
    let tables = Table::SINGLE.map(Table::name);
    let owner = Table::SINGLE
        .into_iter()
        .find(|table| table.key(name).is_some());
    let guess = match (owner, nearest(name, &tables)) {
        (Some(table), _) => format!("did you mean {name} below [{}]? ", table.name()),
        (None, Some(table)) => format!("did you mean [{table}]? "),
        (None, None) => String::new(),
    };
    place.key_error(
        shown_key(name),
        format_args!(
            "unknown; {guess}known are the tables [{}], [[pin]]",
            tables.join("], [")
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_found_by_its_name_and_no_two_have_one_field() {
        let mut settings = Settings::default();
        let mut fields = Vec::new();
        for table in Table::SINGLE.into_iter().chain([Table::Pin]) {
            assert!(table.keys().next().is_some(), "{table:?}");
            for key in table.keys() {
                assert_eq!(Key::of(table, key.name()), key);
                assert_eq!(table.key(key.name()), Some(key));
                fields.push(format!("{:p}", key.field(&mut settings).address()));
            }
        }
        let all = fields.len();
        fields.sort_unstable();
        fields.dedup();
        assert_eq!(fields.len(), all);
        assert_eq!(Key::of(Table::Exec, "cg_mem").to_string(), "exec.cg_mem");
        assert_eq!(Key::PIN.to_string(), "pin");
    }

    #[test]
    fn the_ceilings_answer_to_their_old_name() {
        assert_eq!(Table::named("limits"), Some(Table::Ceilings));
        assert_eq!(Table::named("ceilings"), Some(Table::Ceilings));
        assert_eq!(Table::named("pin"), None);
    }
}
