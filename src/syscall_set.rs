//! The system calls that can be denied to the program, by name, and isolate's sum of flags for the same.
//!
//! What each name does to which system call is in the filter, not here.

use std::fmt;

/// One group of system calls that the program is denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Restriction {
    /// keyctl(2), add_key(2), request_key(2): keyrings are shared with whoever has the same uid.
    Keyctl,
    /// socket(2) with `AF_VSOCK`: reaches the hypervisor, which no network namespace holds back.
    Vsock,
    /// File locks and leases: fcntl(2) `F_SETLK` and its kin, flock(2).
    FileLocks,
    /// io_uring_setup(2): its operations are not seen by seccomp.
    IoUring,
    /// System calls of another architecture, such as those of i386 on x86-64.
    ForeignArch,
}

impl Restriction {
    /// Every restriction, in the order of isolate's flags: the first is flag 1, the second 2, …
    pub(crate) const ALL: [Self; 5] = [
        Self::Keyctl,
        Self::Vsock,
        Self::FileLocks,
        Self::IoUring,
        Self::ForeignArch,
    ];

    /// The name in `[syscalls] deny`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Keyctl => "keyctl",
            Self::Vsock => "vsock",
            Self::FileLocks => "file-locks",
            Self::IoUring => "io-uring",
            Self::ForeignArch => "foreign-arch",
        }
    }

    /// The restriction with this name.
    pub(crate) fn from_name(name: &str) -> Result<Self, SyscallSetError> {
        Self::ALL
            .into_iter()
            .find(|restriction| restriction.name() == name)
            .ok_or_else(|| SyscallSetError::Name(name.to_owned()))
    }

    /// isolate's flag for it, a power of two (`--syscalls`).
    fn flag(self) -> u32 {
        match self {
            Self::Keyctl => 1,
            Self::Vsock => 2,
            Self::FileLocks => 4,
            Self::IoUring => 8,
            Self::ForeignArch => 16,
        }
    }
}

/// Which restrictions hold. Default: all of them, as in isolate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SyscallSet(u32);

/// The sum of all of isolate's flags.
const ALL_FLAGS: u32 = 31;

impl Default for SyscallSet {
    fn default() -> Self {
        Self(ALL_FLAGS)
    }
}

impl SyscallSet {
    /// No restriction at all.
    pub(crate) const EMPTY: Self = Self(0);

    /// The restrictions that isolate's `--syscalls` stands for: a sum of flags, 0 ..= 31.
    pub(crate) fn from_flags(flags: u32) -> Result<Self, SyscallSetError> {
        if flags > ALL_FLAGS {
            return Err(SyscallSetError::Flags(flags));
        }
        Ok(Self(flags))
    }

    /// The same, where flags that mean nothing here are no mistake: the configuration file of isolate has
    /// 65535 as "everything".
    pub(crate) fn from_mask(flags: u32) -> Self {
        Self(flags & ALL_FLAGS)
    }

    /// This set and one restriction more.
    #[must_use]
    pub(crate) fn with(self, restriction: Restriction) -> Self {
        Self(self.0 | restriction.flag())
    }

    /// Whether the restriction holds.
    pub(crate) fn contains(self, restriction: Restriction) -> bool {
        self.0 & restriction.flag() != 0
    }

    /// The names of what is denied, in the order of [`Restriction::ALL`].
    pub(crate) fn names(self) -> impl Iterator<Item = &'static str> {
        Restriction::ALL
            .into_iter()
            .filter(move |restriction| self.contains(*restriction))
            .map(Restriction::name)
    }
}

/// Why a name or a sum of flags is no restriction. Reads after `NAME: `.
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
                for (index, restriction) in Restriction::ALL.into_iter().enumerate() {
                    let comma = if index == 0 { "" } else { ", " };
                    write!(f, "{comma}{} {}", restriction.flag(), restriction.name())?;
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
        let set = SyscallSet::from_flags(1 + 4 + 16).unwrap();
        assert_eq!(
            set.names().collect::<Vec<_>>(),
            ["keyctl", "file-locks", "foreign-arch"]
        );
        assert_eq!(SyscallSet::from_flags(0), Ok(SyscallSet::EMPTY));
        assert_eq!(SyscallSet::from_flags(31), Ok(SyscallSet::default()));
        for flags in [32, u32::MAX] {
            assert!(SyscallSet::from_flags(flags).is_err(), "{flags}");
        }
        assert_eq!(SyscallSet::from_mask(65_535), SyscallSet::default());
        assert_eq!(SyscallSet::from_mask(32), SyscallSet::EMPTY);
    }

    #[test]
    fn mistakes_name_what_is_known() {
        for one in Restriction::ALL {
            assert_eq!(Restriction::from_name(one.name()), Ok(one));
        }
        let unknown = Restriction::from_name("ptrace").unwrap_err().to_string();
        assert_eq!(
            unknown,
            "'ptrace' is not a restriction; known are keyctl, vsock, file-locks, io-uring, foreign-arch"
        );
        let flags = SyscallSet::from_flags(32).unwrap_err().to_string();
        assert!(flags.contains("0 to 31 (1 keyctl, 2 vsock, "), "{flags}");
    }
}
