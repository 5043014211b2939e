//! Whether a barrier around programs stands. It always does, and the question costs nothing, but in
//! a build for one test of the tests: the feature `weakened` lets the environment of the sandbox
//! take barriers away by name, so that the test can see whether any other test notices.
//!
//! What each barrier is for is in `docs/security.md`, and which test has to notice its absence in
//! `tests/barriers.txt`. `build.rs` reads this file, too.

#[cfg(all(feature = "weakened", not(debug_assertions)))]
compile_error!("the feature `weakened` is for tests alone: no release has it");

/// Something that keeps programs, or those who call us, from what they may not do.
#[allow(dead_code, reason = "build.rs needs those of the filter alone")]
#[derive(Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "weakened", derive(Debug))]
pub(crate) enum Barrier {
    // Ids and rights of the program.
    Uid,
    Gid,
    Groups,
    Capabilities,
    BoundingSet,
    NoNewPrivileges,
    Session,
    SessionKeyring,
    ClosedDescriptors,
    Rlimits,
    OrdinaryPriority,
    // Namespaces.
    PidNamespace,
    IpcNamespace,
    UtsNamespace,
    NetworkNamespace,
    CgroupNamespace,
    // What it sees of the file system.
    OldRootDetached,
    SecondRoot,
    SealedRoot,
    ReadOnlyMounts,
    NoSuidMounts,
    NoDevMounts,
    ReadOnlyDevices,
    ReadOnlyCgroup,
    HidePid,
    CoveredProc,
    MountPointsInside,
    SourcesInside,
    CallersMountsCovered,
    MountsOfUsers,
    // System calls: all rules, and each kind of them.
    Filter,
    FilterTerminals,
    FilterFileStates,
    FilterIdBits,
    FilterNewModeCalls,
    FilterKeyctl,
    FilterVsock,
    FilterFileLocks,
    FilterIoUring,
    FilterForeignArch,
    FilterUserNamespaces,
    FilterRareSockets,
    FilterFileEvents,
    FilterHugePages,
    FilterNativeAio,
    // Limits.
    MemoryLimit,
    SwapLimit,
    KilledTogether,
    ProcessLimit,
    KeeperWallClock,
    KeeperCpuClock,
    InitClock,
    ProgramTimer,
    // The end.
    LeafKill,
    KillAll,
    DeathWithKeeper,
    // The box and the caller.
    ClosedDoor,
    IdsAtRest,
    NoStrangers,
    WalkWithoutLinks,
    HardLinks,
    RightsOfCaller,
    BorrowedRights,
    ResultFilesInside,
    Members,
    Polkit,
}

impl Barrier {
    /// Whether it stands.
    #[cfg(not(feature = "weakened"))]
    #[inline]
    pub(crate) const fn stands(self) -> bool {
        true
    }

    /// Whether all of them stand.
    #[cfg(not(feature = "weakened"))]
    #[inline]
    pub(crate) const fn all_stand() -> bool {
        true
    }

    /// Puts it up, unless it is one that was taken away.
    #[inline]
    pub(crate) fn raise<E>(self, step: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
        if self.stands() { step() } else { Ok(()) }
    }

    /// A value that makes the barrier; the least one there is where it was taken away.
    #[inline]
    pub(crate) fn of<T: Default>(self, value: T) -> T {
        if self.stands() { value } else { T::default() }
    }
}

#[cfg(feature = "weakened")]
mod weakened {
    use std::sync::LazyLock;

    use super::Barrier;

    /// The barriers that were taken away, with commas between them.
    static ABSENT: LazyLock<String> =
        LazyLock::new(|| std::env::var("ISOLATE_TEST_WITHOUT").unwrap_or_default());

    impl Barrier {
        /// Whether it stands.
        pub(crate) fn stands(self) -> bool {
            let is_absent = |barrier: Self| {
                let name = format!("{barrier:?}");
                ABSENT.split(',').any(|absent| absent == name)
            };
            // What cannot be without another: a process that gave its capabilities up installs no
            // filter without no_new_privs, and beyond a PID namespace nobody kills all processes.
            let needed = match self {
                Self::Filter => Some(Self::NoNewPrivileges),
                Self::KillAll => Some(Self::PidNamespace),
                _ => None,
            };
            !is_absent(self) && !needed.is_some_and(is_absent)
        }

        /// Whether all of them stand.
        pub(crate) fn all_stand() -> bool {
            ABSENT.is_empty()
        }
    }
}
