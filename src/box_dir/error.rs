//! What can go wrong with a box on disk: each failure with its step, its path and its reason.

use std::fmt::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::Owner;
use crate::failure::{Explained, Kind};
use crate::remedy::Remedy;

/// Why the directory of a box could not be made, given away, limited or removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BoxDirError {
    /// A system call failed.
    Os {
        /// What was tried, as in `cannot STEP 'PATH'`.
        step: &'static str,
        /// What it was tried on.
        path: PathBuf,
        /// The reason.
        errno: Errno,
    },
    /// Something is not as it must be.
    Unfit {
        /// What it is.
        path: PathBuf,
        /// Reads after the path: `is not a directory`.
        reason: &'static str,
    },
    /// A mount point lies inside the box.
    MountPoint {
        /// The mount point.
        path: PathBuf,
    },
    /// Another process moved directories of the box around again and again.
    Changing {
        /// The top of the tree.
        path: PathBuf,
    },
    /// Another process goes on making files in what a box has left.
    Refilled {
        /// What it has left.
        path: PathBuf,
    },
    /// Processes of an earlier run are still alive.
    Stragglers {
        /// The user and group of the box.
        ids: Owner,
        /// Their process ids.
        left: Vec<i32>,
    },
    /// The disk quota could not be set.
    Quota {
        /// A path on the file system.
        path: PathBuf,
        /// The reason.
        errno: Errno,
    },
}

impl BoxDirError {
    /// Whether something was to be made that is there.
    pub(crate) fn is_there_already(&self) -> bool {
        matches!(self, Self::Os { errno, .. } if *errno == Errno::EEXIST)
    }

    /// The error of `step` on `path`, to be completed by the errno: for `map_err`.
    pub(super) fn at(step: &'static str, path: &Path) -> impl FnOnce(Errno) -> Self {
        move |errno| match errno {
            // This comes from openat2(2) with RESOLVE_NO_XDEV, and from the removal of a mount
            // point.
            Errno::EXDEV | Errno::EBUSY => Self::MountPoint { path: path.into() },
            Errno::ELOOP => Self::Unfit {
                path: path.into(),
                reason: "is a symbolic link",
            },
            Errno::ENOTDIR => Self::Unfit {
                path: path.into(),
                reason: "is not a directory",
            },
            errno => Self::Os {
                step,
                path: path.into(),
                errno,
            },
        }
    }
}

impl fmt::Display for BoxDirError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Os { step, path, errno } => {
                write!(f, "cannot {step} '{}': {}", Shown(path), errno.desc())?;
                match Remedy::for_files(step, *errno) {
                    Some(remedy) => write!(f, " ({remedy})"),
                    None => Ok(()),
                }
            }
            Self::Unfit { path, reason } => write!(f, "'{}' {reason}", Shown(path)),
            Self::MountPoint { path } => write!(
                f,
                "'{}' is a mount point, which a box must not contain: unmount it",
                Shown(path)
            ),
            Self::Changing { path } => write!(
                f,
                "'{}' keeps changing: another process moves directories in it",
                Shown(path)
            ),
            Self::Refilled { path } => write!(
                f,
                "'{}' is filled faster than it is deleted: a process that has a directory in it open makes files there \
                 (lsof finds it)",
                Shown(path)
            ),
            Self::Stragglers { ids, left } => write!(
                f,
                "processes outside of the box have its user {} or its group {}: PIDs {left:?}; end them, or make the \
                 box anew by --init",
                ids.uid, ids.gid
            ),
            Self::Quota { path, errno } => {
                write!(
                    f,
                    "cannot set the disk quota on the file system of '{}': ",
                    Shown(path)
                )?;
                match (Remedy::for_quotas(*errno), errno) {
                    (Some(remedy @ Remedy::AllowQuotas), errno) => {
                        write!(f, "{}: {remedy}", errno.desc())
                    }
                    (Some(remedy), _) => write!(f, "{remedy}"),
                    (None, Errno::ERANGE) => {
                        f.write_str("the quota is larger than the file system takes")
                    }
                    (None, errno) => f.write_str(errno.desc()),
                }
            }
        }
    }
}

impl std::error::Error for BoxDirError {}

impl Explained for BoxDirError {}
impl Explained for super::LockError {
    fn kind(&self) -> Kind {
        match self {
            Self::Busy => Kind::Busy,
            Self::Garbage(_) | Self::Failed(_) => Kind::Other,
        }
    }
}
impl Explained for super::LeaseError {}

/// A path for a message. A hostile program may have chosen its names, which must not reach a
/// terminal or a log raw, and it may be megabytes long.
pub(super) struct Shown<'a>(pub(super) &'a Path);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// How many bytes are shown of each end of a path.
        const END: usize = 200;
        let bytes = self.0.as_os_str().as_bytes();
        if bytes.len() <= 2 * END {
            return escape(bytes, f);
        }
        escape(&bytes[..END], f)?;
        f.write_str("[...]")?;
        escape(&bytes[bytes.len() - END..], f)
    }
}

/// Writes printable characters as they are, others as `\n`, `\u{202e}` or `\xff`.
fn escape(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' => f.write_char(c)?,
                c => write!(f, "{}", c.escape_debug())?,
            }
        }
        for byte in chunk.invalid() {
            write!(f, "\\x{byte:02x}")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    fn shown(bytes: &[u8]) -> String {
        Shown(Path::new(OsStr::from_bytes(bytes))).to_string()
    }

    #[test]
    fn hostile_names_are_escaped_and_long_ones_cut() {
        assert_eq!(shown("/box/über \"a\"".as_bytes()), "/box/über \"a\"");
        assert_eq!(shown(b"/a\n\x1b[2J\x7f"), "/a\\n\\u{1b}[2J\\u{7f}");
        assert_eq!(shown(b"/\xff\xfe'"), "/\\xff\\xfe\\'");
        assert_eq!(shown("/\u{202e}".as_bytes()), "/\\u{202e}");
        assert!(shown(&vec![b'a'; 100_000]).len() < 500);
        // The cut is in the middle of a character.
        assert!(shown(format!("a{}", "é".repeat(1_000)).as_bytes()).contains("é\\xc3[...]"));
    }

    #[test]
    fn errors_name_step_path_and_reason() {
        let path = Path::new("/boxes/7/box/x");
        assert_eq!(
            BoxDirError::at("open", path)(Errno::EACCES).to_string(),
            "cannot open '/boxes/7/box/x': Permission denied (this container or service lacks CAP_DAC_OVERRIDE)"
        );
        assert_eq!(
            BoxDirError::at("open", path)(Errno::ENOTDIR).to_string(),
            "'/boxes/7/box/x' is not a directory"
        );
        assert!(
            BoxDirError::at("open", path)(Errno::EXDEV)
                .to_string()
                .contains("mount point")
        );
    }

    #[test]
    fn a_capability_that_a_step_needs_is_named() {
        for step in ["change the owner of", "change the group of"] {
            let error = BoxDirError::at(step, Path::new("/boxes/7"))(Errno::EPERM);
            let text = error.to_string();
            assert!(
                text.contains("'/boxes/7'") && text.contains("CAP_CHOWN"),
                "{text}"
            );
        }
        let mode = BoxDirError::at("change the mode of", Path::new("/boxes/7"))(Errno::EPERM);
        assert!(mode.to_string().contains("CAP_FOWNER"), "{mode}");
        let other = BoxDirError::at("open", Path::new("/boxes/7"))(Errno::EPERM);
        assert!(!other.to_string().contains("CAP_"), "{other}");
    }

    #[test]
    fn a_quota_that_cannot_be_set_says_what_to_do() {
        for (errno, remedy) in [
            (Errno::ESRCH, "mount it with usrquota"),
            (Errno::ENOSYS, "ext4 or xfs"),
            (Errno::EOPNOTSUPP, "ext4 or xfs"),
            (Errno::EPERM, "CAP_SYS_ADMIN"),
            (Errno::ERANGE, "larger"),
            (Errno::EIO, ": I/O error"),
        ] {
            let path = PathBuf::from("/boxes/7");
            let text = BoxDirError::Quota { path, errno }.to_string();
            assert!(
                text.contains("'/boxes/7'") && text.contains(remedy),
                "{text}"
            );
        }
    }
}
