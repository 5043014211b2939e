//! The directories that the caller named (`--dir`), opened with their rights and nobody else's.
//!
//! Root's own process opens them itself. A caller who uses the broker opens them on their side, and
//! the descriptors travel: the privileged side resolves no path of theirs.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use super::Caller;
use crate::dir_rule::{self, DirRequest, Source};
use crate::failure::Failure;
use crate::remedy::Remedy;
use crate::user::Who;
use crate::way;

/// The results of opening them.
#[derive(Debug, Default)]
pub(crate) struct OpenedDirs {
    dirs: Vec<OpenedDir>,
    /// The process that opened them, if that is another one.
    process: Option<OwnedFd>,
}

#[derive(Debug)]
struct OpenedDir {
    /// The place inside that its rule names.
    inside: PathBuf,
    opened: Result<OwnedFd, Errno>,
}

impl OpenedDirs {
    /// Opens everything that the requests name, with the caller's rights. A directory that cannot
    /// be opened is not yet an error: its rule may say `maybe`.
    pub(crate) fn open(requests: &[DirRequest], caller: Caller) -> Result<Self, Failure> {
        let named = named(requests);
        let with_rights = caller.with_rights(|| {
            let open = |path: &Path| open(path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty());
            named
                .map(|(inside, path)| OpenedDir {
                    inside,
                    opened: open(&path),
                })
                .collect()
        });
        let dirs: Vec<OpenedDir> = with_rights.map_err(|error| {
            let who = Who(way::outside(caller.uid));
            let step = format!("cannot open the directories (--dir) with the rights of {who}");
            Failure::at(&step)(error)
        })?;
        // Nothing else could be opened either, and would be blamed for that.
        let too_many = |dir: &OpenedDir| matches!(dir.opened, Err(Errno::EMFILE | Errno::ENFILE));
        if let Some(first) = dirs.iter().position(too_many) {
            let errno = dirs[first].opened.as_ref().err().copied();
            let errno = io::Error::from(errno.unwrap_or(Errno::EMFILE));
            let step = format!(
                "cannot open more than {first} of the {} directories (--dir)",
                dirs.len()
            );
            let error = Remedy::beside(Some(Remedy::RaiseOpenFiles), errno);
            return Err(Failure::at(&step)(error));
        }
        Ok(Self {
            dirs,
            process: None,
        })
    }

    /// Joins the two lists that [`Self::into_parts`] made on the other side, for the same requests;
    /// `None` when their numbers do not fit.
    pub(crate) fn from_parts(
        requests: &[DirRequest],
        errors: &[i32],
        descriptors: impl IntoIterator<Item = OwnedFd>,
    ) -> Option<Self> {
        let mut descriptors = descriptors.into_iter();
        let mut errors = errors.iter();
        let mut dirs = Vec::new();
        for (inside, _) in named(requests) {
            let opened_one = match errors.next()? {
                0 => Ok(descriptors.next()?),
                errno => Err(Errno::from_raw(*errno)),
            };
            dirs.push(OpenedDir {
                inside,
                opened: opened_one,
            });
        }
        let process = None;
        let fit = errors.next().is_none() && descriptors.next().is_none();
        fit.then_some(Self { dirs, process })
    }

    /// The same, opened by the process behind this descriptor, in whose mount namespace they are.
    pub(crate) fn of_process(self, pidfd: OwnedFd) -> Self {
        Self {
            process: Some(pidfd),
            ..self
        }
    }

    /// The process that opened them, if that is another one.
    pub(crate) fn process(&self) -> Option<BorrowedFd<'_>> {
        self.process.as_ref().map(AsFd::as_fd)
    }

    /// The two lists that travel: for each directory 0 or the errno of its opening, and the
    /// descriptors of those that were opened.
    pub(crate) fn into_parts(self) -> (Vec<i32>, Vec<OwnedFd>) {
        let mut descriptors = Vec::new();
        let errors = self.dirs.into_iter().map(|dir| match dir.opened {
            Ok(descriptor) => {
                descriptors.push(descriptor);
                0
            }
            Err(errno) => errno as i32,
        });
        (errors.collect(), descriptors)
    }

    /// What the caller named for this place inside; `None` when its rule is not the caller's.
    pub(crate) fn get(&self, inside: &Path) -> Option<Result<BorrowedFd<'_>, Errno>> {
        let dir = self.dirs.iter().find(|dir| dir.inside == inside)?;
        Some(dir.opened.as_ref().map(AsFd::as_fd).map_err(|errno| *errno))
    }
}

/// The paths of this machine that the merged requests name, each with its place inside.
fn named(requests: &[DirRequest]) -> impl Iterator<Item = (PathBuf, PathBuf)> {
    let rules = dir_rule::merge(Vec::new(), requests).into_iter();
    rules.filter_map(|rule| match rule.source {
        Source::Host(path) => Some((rule.inside, path)),
        Source::BoxDir(_) | Source::FileSystem(_) | Source::Temporary => None,
    })
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    fn requests(rules: &[&str]) -> Vec<DirRequest> {
        let parse = |rule: &&str| DirRequest::parse(OsStr::new(rule)).unwrap();
        rules.iter().map(parse).collect()
    }

    fn me() -> Caller {
        Caller::of_process(None).unwrap()
    }

    #[test]
    fn the_last_rule_for_a_place_counts_and_only_paths_of_the_machine_are_opened() {
        let rules = requests(&[
            "a=/nowhere",
            "b=./box",
            "c=/etc",
            "a=/usr",
            "d=/usr",
            "d=",
            "p=proc:fs",
        ]);
        let opened = OpenedDirs::open(&rules, me()).unwrap();
        assert!(opened.get(Path::new("a")).unwrap().is_ok());
        assert!(opened.get(Path::new("c")).unwrap().is_ok());
        for other in ["b", "d", "p", "e"] {
            assert!(opened.get(Path::new(other)).is_none(), "{other}");
        }
    }

    #[test]
    fn what_was_opened_on_one_side_is_there_on_the_other() {
        let rules = requests(&["a=/usr", "b=/nowhere", "c=/etc"]);
        let (errors, descriptors) = OpenedDirs::open(&rules, me()).unwrap().into_parts();
        assert_eq!(errors, [0, Errno::ENOENT as i32, 0]);
        assert_eq!(descriptors.len(), 2);
        let there = OpenedDirs::from_parts(&rules, &errors, descriptors).unwrap();
        assert!(there.get(Path::new("a")).unwrap().is_ok());
        let missing = there.get(Path::new("b")).unwrap();
        assert_eq!(missing.unwrap_err(), Errno::ENOENT);
    }

    #[test]
    fn rights_that_cannot_be_taken_are_named_and_what_for() {
        let nobody = Caller {
            uid: u32::MAX,
            gid: u32::MAX,
            called_by_root: false,
        };
        let failure = OpenedDirs::open(&[], nobody).unwrap_err();
        assert_eq!(
            failure.text(),
            "cannot open the directories (--dir) with the rights of user 4294967295: Operation not permitted"
        );
    }

    #[test]
    fn numbers_that_do_not_fit_are_refused() {
        let rules = requests(&["a=/usr", "c=/etc"]);
        let parts = || OpenedDirs::open(&rules, me()).unwrap().into_parts();
        let (errors, mut descriptors) = parts();
        descriptors.pop();
        assert!(OpenedDirs::from_parts(&rules, &errors, descriptors).is_none());
        let (errors, descriptors) = parts();
        assert!(OpenedDirs::from_parts(&rules, &errors[..1], descriptors).is_none());
        let (_, descriptors) = parts();
        assert!(OpenedDirs::from_parts(&rules, &[0, 2], descriptors).is_none());
        let (_, descriptors) = parts();
        assert!(OpenedDirs::from_parts(&rules, &[0, 0, 2], descriptors).is_none());
    }
}
