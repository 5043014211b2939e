//! Whether the files of a box may stay their owner's during a run. Pure.

use crate::dir_rule::{DirRule, Source};
use crate::quantity::{DiskQuota, Ids};
use crate::syscall_set::{Restriction, SyscallSet};

/// Why the files of a box of `owner` must be given to the box user for a run, if they must.
pub(super) fn why_given(
    owner: Ids,
    quota: Option<DiskQuota>,
    syscalls: &SyscallSet,
    rules: &[DirRule],
) -> Option<&'static str> {
    // What the program makes is its owner's on disk, and nothing of a program's may be root's.
    if owner.uid == 0 || owner.gid == 0 {
        return Some("the box is root's");
    }
    // It counts what the box user has.
    if quota.is_some() {
        return Some("the box has a disk quota");
    }
    // What no filter sees could make a set-user-ID file, and it would be the owner's.
    if !syscalls.contains(Restriction::IoUring) {
        return Some("io-uring is not denied");
    }
    // Above `box` everything is root's, and the program gets there by the group of the box.
    let is_above = |rule: &DirRule| match &rule.source {
        Source::BoxDir(path) => !path.starts_with("box"),
        Source::Host(_) | Source::FileSystem(_) | Source::Temporary => false,
    };
    if rules.iter().any(is_above) {
        return Some("a rule shows more of the box's directory than './box'");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::run::tests::{nowhere, plan};
    use super::*;

    const ALICE: Ids = Ids {
        uid: 1000,
        gid: 1000,
    };

    #[test]
    fn files_stay_the_owners_unless_something_speaks_against_it() {
        let why = |arguments: &[&str], owner: Ids| {
            let arguments = [arguments, &["--run", "a"]].concat();
            plan(&arguments, nowhere()).unwrap().why_given(owner)
        };
        assert_eq!(why(&[], ALICE), None);
        assert_eq!(why(&["--dir=x=./box/y:rw", "--dir=t:tmp"], ALICE), None);
        for owner in [Ids { uid: 0, ..ALICE }, Ids { gid: 0, ..ALICE }] {
            assert_eq!(why(&[], owner), Some("the box is root's"));
        }
        for arguments in [
            &["--quota=1,1"][..],
            &["--dir=x=./"],
            &["--dir=x=./tmp/y"],
            &["--dir=x=./boxes"],
        ] {
            assert!(why(arguments, ALICE).is_some(), "{arguments:?}");
        }
        let with_io_uring = SyscallSet::default().with_flags(23).unwrap();
        assert!(why_given(ALICE, None, &with_io_uring, &[]).is_some());
    }
}
