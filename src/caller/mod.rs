//! Who asks, and all that they bring: the user whose permissions count for every path that they
//! name, the directories that they named, the files for the results, what a program would inherit
//! from them, and their signals. What they may have is not decided here.

mod below;
mod inheritance;
mod opened_dirs;
mod own_limits;
mod result_files;
mod result_path;
mod signals;
mod terminal;

pub(crate) use below::open_below;
pub(crate) use inheritance::Inheritance;
pub(crate) use opened_dirs::OpenedDirs;
pub(crate) use own_limits::{lift_limits, lift_open_files};
pub(crate) use result_files::{ResultFiles, empty};
pub(crate) use result_path::{create_file, create_regular};
pub(crate) use signals::{FATAL, INTERRUPT, Line, TOO_MUCH_OUTPUT};
pub(crate) use terminal::Terminals;

use std::fmt;
use std::io;

use crate::barrier::Barrier;
use crate::failure::Explained;
use crate::quantity::Ids;
use crate::sys::credentials;
use crate::way;

/// The user who asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Caller {
    /// Real uid of the calling process, or `--as-uid`.
    pub(crate) uid: u32,
    /// Real gid of the calling process, or `--as-gid`.
    pub(crate) gid: u32,
    /// Whether root itself called, perhaps on behalf of another user.
    pub(crate) called_by_root: bool,
}

/// Why somebody may not call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CallerError(&'static str);

impl fmt::Display for CallerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for CallerError {}

impl Explained for CallerError {}

impl Caller {
    /// The user of the calling process, or the one that root acts for.
    pub(crate) fn of_process(acts_for: Option<Ids>) -> Result<Self, CallerError> {
        Self::refuse_set_user_id()?;
        let own = Ids {
            uid: nix::unistd::getuid().as_raw(),
            gid: nix::unistd::getgid().as_raw(),
        };
        let called_by_root = own.uid == 0;
        let may_choose = called_by_root && way::rootless().is_none();
        if acts_for.is_some() && !may_choose {
            return Err(CallerError("Only root may use --as-uid and --as-gid"));
        }
        let Ids { uid, gid } = acts_for.unwrap_or(own);
        Ok(Self {
            uid,
            gid,
            called_by_root,
        })
    }

    /// Refuses a process whose file gives it rights that its caller does not have. A caller chooses
    /// the configuration, the environment and the signals of the process, and so would have these
    /// rights.
    pub(crate) fn refuse_set_user_id() -> Result<(), CallerError> {
        if !(credentials::has_rights_of_its_file() && Barrier::BorrowedRights.stands()) {
            return Ok(());
        }
        Err(CallerError(
            "isolate-run must not be set-user-ID or set-group-ID, nor have capabilities of its own: take them away \
             (chmod ug-s, setcap -r)",
        ))
    }

    /// The caller's ids.
    pub(crate) fn ids(self) -> Ids {
        Ids {
            uid: self.uid,
            gid: self.gid,
        }
    }

    /// Runs `action`, which opens what the caller named, with the caller's rights on files.
    pub(crate) fn with_rights<T>(self, action: impl FnOnce() -> T) -> io::Result<T> {
        let is_own = self.uid == nix::unistd::geteuid().as_raw();
        if is_own || !Barrier::RightsOfCaller.stands() {
            Ok(action())
        } else {
            credentials::act_as(self.uid, self.gid, action)
        }
    }
}
