//! `[cpus]` as the rest of the program sees it.

use crate::quantity::CpuList;

/// Which CPUs runs have to themselves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct CpuSettings {
    /// What each run leases.
    pub(crate) lease: LeaseUnit,
    /// What becomes of the other CPUs of a core that is leased.
    pub(crate) smt: Smt,
    /// CPUs that are not leased.
    pub(crate) reserve: Option<CpuList>,
}

/// What each run leases.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum LeaseUnit {
    /// A core with all of its CPUs.
    Core,
    /// One CPU.
    Thread,
    /// Nothing.
    #[default]
    None,
}

impl LeaseUnit {
    /// Every choice.
    pub(crate) const ALL: [Self; 3] = [Self::Core, Self::Thread, Self::None];

    /// The name in `[cpus] lease`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::Thread => "thread",
            Self::None => "none",
        }
    }
}

/// What becomes of the CPUs of a leased core beyond the first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Smt {
    /// They are idle.
    #[default]
    Alone,
    /// The program may use them, too.
    Share,
}

impl Smt {
    /// Every choice.
    pub(crate) const ALL: [Self; 2] = [Self::Alone, Self::Share];

    /// The name in `[cpus] smt`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Alone => "alone",
            Self::Share => "share",
        }
    }
}
