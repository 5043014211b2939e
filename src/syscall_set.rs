//! The system calls that can be denied to the program, by name, and isolate's sum of flags for the
//! same.
//!
//! The filter, and not this file, knows what each name does to which system call.

use std::fmt;

/// One group of system calls that can be denied to the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Restriction {
    /// keyctl(2), add_key(2), request_key(2): all processes with the same uid share keyrings.
    Keyctl,
    /// socket(2) and socketpair(2) with `AF_VSOCK`: they reach the hypervisor, which no network
    /// namespace prevents.
    Vsock,
    /// File locks and leases: fcntl(2) `F_SETLK` and its kin, flock(2).
    FileLocks,
    /// io_uring_setup(2): seccomp does not see its operations.
    IoUring,
    /// System calls of another architecture, such as those of i386 on x86-64.
    ForeignArch,
    /// User namespaces: unshare(2), clone(2) with `CLONE_NEWUSER`, clone3(2), setns(2). They would
    /// give the program every capability over parts of the kernel that only root has otherwise.
    UserNamespaces,
    /// All sockets but those of Unix, the Internet (usual protocols), netlink's routes and
    /// `AF_VSOCK`. The others load kernel modules, let kernel threads work, or take memory that no
    /// control group counts.
    RareSockets,
    /// inotify_init(2), fanotify_init(2): they show what others do with files that both see.
    FileEvents,
    /// Huge pages that the machine has set apart (`MAP_HUGETLB` and its kin): no memory limit
    /// counts them.
    HugePages,
    /// io_setup(2): the machine has a number of such requests, `fs.aio-max-nr`, that one program
    /// can take from all others, and everybody can read how many are taken.
    NativeAio,
}

impl Restriction {
    /// Every restriction: isolate's in the order of its flags (the first is flag 1, the second 2,
    /// …), then the others.
    pub(crate) const ALL: [Self; 10] = [
        Self::Keyctl,
        Self::Vsock,
        Self::FileLocks,
        Self::IoUring,
        Self::ForeignArch,
        Self::UserNamespaces,
        Self::RareSockets,
        Self::FileEvents,
        Self::HugePages,
        Self::NativeAio,
    ];

    /// The name in `[syscalls] deny`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Keyctl => "keyctl",
            Self::Vsock => "vsock",
            Self::FileLocks => "file-locks",
            Self::IoUring => "io-uring",
            Self::ForeignArch => "foreign-arch",
            Self::UserNamespaces => "user-namespaces",
            Self::RareSockets => "rare-sockets",
            Self::FileEvents => "file-events",
            Self::HugePages => "huge-pages",
            Self::NativeAio => "native-aio",
        }
    }

    /// The restriction with this name.
    pub(crate) fn from_name(name: &str) -> Result<Self, SyscallSetError> {
        Self::ALL
            .into_iter()
            .find(|restriction| restriction.name() == name)
            .ok_or_else(|| SyscallSetError::Name(name.to_owned()))
    }

    /// Its bit in a set: that of isolate's flag (`--syscalls`) where there is one.
    fn bit(self) -> u32 {
        match self {
            Self::Keyctl => 1,
            Self::Vsock => 2,
            Self::FileLocks => 4,
            Self::IoUring => 8,
            Self::ForeignArch => 16,
            Self::UserNamespaces => 32,
            Self::RareSockets => 64,
            Self::FileEvents => 128,
            Self::HugePages => 256,
            Self::NativeAio => 512,
        }
    }
}

/// The restrictions that hold. Default: all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SyscallSet(u32);

/// The sum of all of isolate's flags.
const ALL_FLAGS: u32 = 31;

impl Default for SyscallSet {
    fn default() -> Self {
        Restriction::ALL.into_iter().fold(Self::EMPTY, Self::with)
    }
}

impl SyscallSet {
    /// No restriction at all.
    pub(crate) const EMPTY: Self = Self(0);

    /// This set, with isolate's restrictions replaced by those in the sum of `--syscalls` (0 ..=
    /// 31). The others stay: nobody who gives that option can have meant them.
    pub(crate) fn with_flags(self, flags: u32) -> Result<Self, SyscallSetError> {
        if flags > ALL_FLAGS {
            return Err(SyscallSetError::Flags(flags));
        }
        Ok(self.with_mask(flags))
    }

    /// The same, but flags without a meaning are no mistake: the configuration file of isolate has
    /// 65535 for "everything".
    pub(crate) fn with_mask(self, flags: u32) -> Self {
        Self(self.0 & !ALL_FLAGS | flags & ALL_FLAGS)
    }

    /// This set and one more restriction.
    #[must_use]
    pub(crate) fn with(self, restriction: Restriction) -> Self {
        Self(self.0 | restriction.bit())
    }

    /// Whether the restriction holds.
    pub(crate) fn contains(self, restriction: Restriction) -> bool {
        self.0 & restriction.bit() != 0
    }

    /// The names of what is denied, in the order of [`Restriction::ALL`].
    pub(crate) fn names(self) -> impl Iterator<Item = &'static str> {
        Restriction::ALL
            .into_iter()
            .filter(move |restriction| self.contains(*restriction))
            .map(Restriction::name)
    }
}

/// Why a name or a sum of flags is not a restriction. It is read after `NAME: `.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SyscallSetError {
    /// No restriction has this name.
    Name(String),
    /// The sum has bits that mean nothing.
    Flags(u32),
}

impl fmt::Display for SyscallSetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => {
                let known = Restriction::ALL.map(Restriction::name).join(", ");
                write!(f, "'{name}' is not a restriction; known are {known}")
            }
            Self::Flags(flags) => {
                write!(f, "{flags} is not a sum of flags from 0 to {ALL_FLAGS} (")?;
                let with_flags = Restriction::ALL
                    .into_iter()
                    .filter(|one| one.bit() <= ALL_FLAGS);
                for (index, restriction) in with_flags.enumerate() {
                    let comma = if index == 0 { "" } else { ", " };
                    write!(f, "{comma}{} {}", restriction.bit(), restriction.name())?;
                }
                f.write_str(")")
            }
        }
    }
}

impl std::error::Error for SyscallSetError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_denies_everything_that_has_a_name() {
        let all = SyscallSet::default();
        assert!(Restriction::ALL.into_iter().all(|one| all.contains(one)));
        assert_eq!(
            all,
            Restriction::ALL
                .into_iter()
                .fold(SyscallSet::EMPTY, SyscallSet::with)
        );
    }

    #[test]
    fn sums_of_flags_are_those_of_isolate() {
        let none = SyscallSet::EMPTY;
        let set = none.with_flags(1 + 4 + 16).unwrap();
        assert_eq!(
            set.names().collect::<Vec<_>>(),
            ["keyctl", "file-locks", "foreign-arch"]
        );
        assert_eq!(none.with_flags(0), Ok(none));
        for flags in [32, u32::MAX] {
            assert!(none.with_flags(flags).is_err(), "{flags}");
        }
        assert_eq!(none.with_mask(65_535), none.with_flags(31).unwrap());
        assert_eq!(none.with_mask(32), none);
    }

    #[test]
    fn a_sum_of_flags_leaves_alone_what_isolate_has_no_flag_for() {
        let all = SyscallSet::default();
        assert_eq!(all.with_flags(31), Ok(all));
        let others = all.with_flags(0).unwrap();
        assert!(others.contains(Restriction::UserNamespaces));
        assert!(!others.names().any(|name| name == "foreign-arch"));
        assert_eq!(all.with_mask(0), others);
    }

    #[test]
    fn mistakes_name_what_is_known() {
        for one in Restriction::ALL {
            assert_eq!(Restriction::from_name(one.name()), Ok(one));
        }
        let unknown = Restriction::from_name("ptrace").unwrap_err().to_string();
        assert_eq!(
            unknown,
            "'ptrace' is not a restriction; known are keyctl, vsock, file-locks, io-uring, foreign-arch, \
             user-namespaces, rare-sockets, file-events, huge-pages, native-aio"
        );
        let flags = SyscallSet::EMPTY.with_flags(32).unwrap_err().to_string();
        assert!(flags.contains("0 to 31 (1 keyctl, 2 vsock, "), "{flags}");
        assert!(flags.ends_with("16 foreign-arch)"), "{flags}");
    }
}
