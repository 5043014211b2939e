//! The process that stays behind and removes what is left of boxes with many files. It belongs to
//! nobody, and lets everybody else go first.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use crate::box_dir::{BoxDirError, discarded};
use crate::launch::become_ordinary;
use crate::sys::detached::detach;
use crate::sys::file::IfLocked;
use crate::sys::poll::{self, Until, readable};
use crate::sys::priority::yield_to_all;
use crate::sys::process::{self, Cloned};
use crate::sys::socket;

/// The name of the process.
const NAME: &CStr = c"isolate-remover";

/// How long the process may take to drop everything that it has from its maker.
const LET_GO_PATIENCE: Duration = Duration::from_secs(5);

/// Has removed what is left of boxes in this directory, later. The calling process must have one
/// thread, and nothing that a user handed over.
pub(super) fn start(root: &Path) -> Result<(), BoxDirError> {
    clone_off(root).or_else(|error| {
        log::info!("cannot leave a process behind: {error}; removing what is left of a box here");
        discarded::empty(root, IfLocked::Wait)
    })
}

fn clone_off(root: &Path) -> io::Result<()> {
    let (ours, theirs) = socket::pair()?;
    match process::clone(0, None)? {
        Cloned::Child => {
            drop(ours);
            // What it does not manage is left to the next one.
            live(root, theirs).ok();
            process::exit_now(0)
        }
        Cloned::Parent { .. } => {
            drop(theirs);
            // The other end is closed when nothing of ours is open there, neither the lock.
            poll::first(
                [((), readable(ours.as_fd()))],
                Until::within(LET_GO_PATIENCE),
            )?;
            Ok(())
        }
    }
}

fn live(root: &Path, maker: OwnedFd) -> io::Result<()> {
    detach(NAME, &[], maker.as_fd())?;
    drop(maker);
    // Whoever may not have such a priority removes all the same.
    become_ordinary().and_then(|()| yield_to_all()).ok();
    discarded::empty(root, IfLocked::Refuse).map_err(io::Error::other)
}
