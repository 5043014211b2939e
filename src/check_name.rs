//! The names of doctor's checks: the command line and the configuration choose among them.

use std::fmt;

/// One check of doctor's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum CheckName {
    Config,
    Kernel,
    Cgroup,
    Systemd,
    Controllers,
    Delegation,
    Features,
    Slice,
    Broker,
    Polkit,
    Group,
    Rootless,
    Ids,
    Subids,
    Homed,
    Pins,
    Leases,
    Boxes,
    Removal,
    Space,
    Quota,
    IdMaps,
    MountOptions,
    Swap,
    Zram,
    HugePages,
    Governor,
    Boost,
    Smt,
    Hybrid,
    Steal,
    Aslr,
    ClockSource,
    TimeSync,
    Timers,
    Migration,
    CorePattern,
    HardLinks,
    Oomd,
    Modules,
    UserNamespaces,
}

impl CheckName {
    /// Every check, in the order in which doctor makes them.
    pub(crate) const ALL: [Self; 41] = [
        Self::Config,
        Self::Kernel,
        Self::Cgroup,
        Self::Systemd,
        Self::Controllers,
        Self::Delegation,
        Self::Features,
        Self::Slice,
        Self::Broker,
        Self::Polkit,
        Self::Group,
        Self::Rootless,
        Self::Ids,
        Self::Subids,
        Self::Homed,
        Self::Pins,
        Self::Leases,
        Self::Boxes,
        Self::Removal,
        Self::Space,
        Self::Quota,
        Self::IdMaps,
        Self::MountOptions,
        Self::Swap,
        Self::Zram,
        Self::HugePages,
        Self::Governor,
        Self::Boost,
        Self::Smt,
        Self::Hybrid,
        Self::Steal,
        Self::Aslr,
        Self::ClockSource,
        Self::TimeSync,
        Self::Timers,
        Self::Migration,
        Self::CorePattern,
        Self::HardLinks,
        Self::Oomd,
        Self::Modules,
        Self::UserNamespaces,
    ];

    /// The name on the command line, in the configuration and in JSON.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Kernel => "kernel",
            Self::Cgroup => "cgroup",
            Self::Systemd => "systemd",
            Self::Controllers => "controllers",
            Self::Delegation => "delegation",
            Self::Features => "features",
            Self::Slice => "slice",
            Self::Broker => "broker",
            Self::Polkit => "polkit",
            Self::Group => "group",
            Self::Rootless => "rootless",
            Self::Ids => "ids",
            Self::Subids => "subids",
            Self::Homed => "homed",
            Self::Pins => "pins",
            Self::Leases => "leases",
            Self::Boxes => "boxes",
            Self::Removal => "removal",
            Self::Space => "space",
            Self::Quota => "quota",
            Self::IdMaps => "id-maps",
            Self::MountOptions => "mount-options",
            Self::Swap => "swap",
            Self::Zram => "zram",
            Self::HugePages => "huge-pages",
            Self::Governor => "governor",
            Self::Boost => "boost",
            Self::Smt => "smt",
            Self::Hybrid => "hybrid",
            Self::Steal => "steal",
            Self::Aslr => "aslr",
            Self::ClockSource => "clock-source",
            Self::TimeSync => "time-sync",
            Self::Timers => "timers",
            Self::Migration => "migration",
            Self::CorePattern => "core-pattern",
            Self::HardLinks => "hard-links",
            Self::Oomd => "oomd",
            Self::Modules => "modules",
            Self::UserNamespaces => "user-namespaces",
        }
    }

    /// The check of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|check| check.name() == name)
    }
}

impl fmt::Display for CheckName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_is_listed_once_and_found_by_its_name() {
        for (index, check) in CheckName::ALL.into_iter().enumerate() {
            assert_eq!(check as usize, index, "{check}");
            assert_eq!(CheckName::named(check.name()), Some(check));
        }
        assert_eq!(CheckName::UserNamespaces as usize + 1, CheckName::ALL.len());
        assert_eq!(CheckName::named("nonsense"), None);
    }
}
