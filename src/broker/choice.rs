//! Who carries a caller's call out: the caller's own process, or the broker.

use std::path::Path;

use super::{SOCKET, SOCKET_VARIABLE};
use crate::failure::Failure;
use crate::rootless;
use crate::way;

/// What root is told who asks for a user's way.
const NOT_FOR_ROOT: &str = "--rootless is for users who are not root, who needs no other way";

/// Whether this process carries calls out itself: that of root does, and so does that of another
/// user who wants it (`--rootless`) or has no broker here. The latter is root of a user namespace
/// when this returns; see [`rootless`].
pub(crate) fn acts_itself(wants_rootless: bool) -> Result<bool, Failure> {
    let is_root = nix::unistd::geteuid().is_root();
    match (is_root, wants_rootless) {
        _ if way::rootless().is_some() => Ok(true),
        (true, true) => Err(Failure::new(NOT_FOR_ROOT)),
        (true, false) => Ok(true),
        (false, true) => rootless::enter().map(|()| true),
        (false, false) if is_installed() => Ok(false),
        (false, false) => rootless::enter().map(|()| true).map_err(|failure| {
            Failure::new(format!(
                "Must be started as root, or have the broker running: cannot connect to {SOCKET}, which is not there: \
                 install isolate-run as a service, and start it by: systemctl enable --now isolate.socket; without it: \
                 {failure}"
            ))
        }),
    }
}

/// The same for a command that only looks, and is about no box: whoever would carry out calls
/// without the broker sees their own configuration.
pub(crate) fn look_as_caller(wants_rootless: bool) -> Result<(), Failure> {
    match (nix::unistd::geteuid().is_root(), wants_rootless) {
        (true, true) => Err(Failure::new(NOT_FOR_ROOT)),
        (false, true) => rootless::look(),
        // Without a home there is none, and the machine's is shown.
        (false, false) if !is_installed() => rootless::look().or(Ok(())),
        (true, false) | (false, false) => Ok(()),
    }
}

/// The unit of its socket, wherever a package, `install` or an administrator puts it.
const UNITS: [&str; 4] = [
    "/etc/systemd/system/isolate.socket",
    "/usr/local/lib/systemd/system/isolate.socket",
    "/usr/lib/systemd/system/isolate.socket",
    "/lib/systemd/system/isolate.socket",
];

/// Whether there is a broker. It may be stopped, and then that has to be mended: nobody who relies
/// on it comes by another way unasked, which holds less.
fn is_installed() -> bool {
    let is_there = |path: &&str| Path::new(path).exists();
    std::env::var_os(SOCKET_VARIABLE).is_some()
        || Path::new(SOCKET).exists()
        || UNITS.iter().any(is_there)
}
