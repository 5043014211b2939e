//! What is done on a walk over a tree: the walk itself is in [`tree`](super::tree).

use std::ffi::CStr;
use std::os::fd::BorrowedFd;

use nix::errno::Errno;
use nix::sys::stat::FileStat;

/// What a visitor failed at, to be completed by the path.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fault {
    pub(super) step: &'static str,
    pub(super) errno: Errno,
}

impl Fault {
    /// The fault of `step`: for `map_err`.
    pub(super) fn at(step: &'static str) -> impl FnOnce(Errno) -> Self {
        move |errno| Self { step, errno }
    }
}

/// What a visitor recognizes an entry as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// A directory, which the walk has to enter.
    Directory,
    /// Anything else; the visitor has dealt with it.
    Other,
}

/// What is done on a walk. ENOENT from any step means that somebody else removed the entry, which
/// is then skipped.
pub(super) trait Visitor {
    /// Whether things are done to what is found: then directories are made writable first.
    fn changes(&self) -> bool {
        true
    }
    /// Whether what was visited is gone: then a directory can be read again for what is left in it,
    /// and need not be remembered as a whole.
    fn removes(&self) -> bool {
        false
    }
    /// Whether the walk is to end here, in the middle.
    fn is_enough(&self) -> bool {
        false
    }
    /// Whether nothing is to be done in a directory: then the walk does not enter it.
    fn is_still(&self, _stat: &FileStat) -> bool {
        false
    }
    /// Whether a directory may have been moved here since what is still was last looked at: then
    /// nothing below is still. A move changes the time of what is moved, and of nothing below.
    fn may_have_come(&self, _stat: &FileStat) -> bool {
        false
    }
    /// The walk begins, or begins again.
    fn begin(&mut self) {}
    /// A directory was entered.
    fn enter(&mut self, _dir: BorrowedFd<'_>, _stat: &FileStat) -> Result<(), Fault> {
        Ok(())
    }
    /// Whether there is nothing to do about an entry of this kind (`DT_…` of readdir(3)), which is
    /// not a directory's.
    fn passes(&self, _kind: u8) -> bool {
        false
    }
    /// Any other entry that does not seem to be a directory.
    fn entry(&mut self, parent: BorrowedFd<'_>, name: &CStr) -> Result<Found, Fault>;
    /// Takes away what keeps the walk out of a directory: true when another try is worth it.
    fn clear(&mut self, _parent: BorrowedFd<'_>, _name: &CStr, _errno: Errno) -> bool {
        false
    }
    /// Everything in the directory was visited. ENOTEMPTY sends the walk into it again.
    fn leave(&mut self, _parent: BorrowedFd<'_>, _name: &CStr) -> Result<(), Fault> {
        Ok(())
    }
}
