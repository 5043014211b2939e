//! By which way this process has its rights: as root, or as root of a user namespace that an
//! ordinary user has made for it. Like its uid this is a fact about the whole process, and decided
//! before anything else; who decides it is in `rootless`.

use std::path::PathBuf;
use std::sync::OnceLock;

/// What differs for a process that is root of its user namespace alone.
#[derive(Debug)]
pub(crate) struct Rootless {
    /// The user, as everybody outside knows them: id 0 inside.
    pub(crate) uid: u32,
    /// How many subordinate ids there are: 1 to this number inside.
    pub(crate) ids: u32,
    /// The socket of the user's bus.
    pub(crate) bus: PathBuf,
    /// The private socket of the user's systemd.
    pub(crate) systemd: PathBuf,
    /// The directory of boxes.
    pub(crate) boxes: PathBuf,
    /// The directory of locks.
    pub(crate) locks: PathBuf,
    /// The directory of the configuration.
    pub(crate) config: PathBuf,
    /// Whether this process is in a cgroup of the user's systemd, so that the kernel lets it clone
    /// straight into another one.
    pub(crate) is_in_manager: bool,
}

/// The id of everybody who has none in a user namespace: the kernel's default of
/// /proc/sys/kernel/overflowuid. Nobody else has it in one that is made here.
pub(crate) const UNMAPPED: u32 = 65_534;

static ROOTLESS: OnceLock<Rootless> = OnceLock::new();

/// Says, once, that this process is one.
pub(crate) fn become_rootless(rootless: Rootless) {
    ROOTLESS.set(rootless).ok();
}

/// What differs, if this process is one.
pub(crate) fn rootless() -> Option<&'static Rootless> {
    ROOTLESS.get()
}

/// Its name, for programs that read a report.
pub(crate) fn name() -> &'static str {
    match rootless() {
        Some(_) => "rootless",
        None => "root",
    }
}

/// The uid that everybody outside knows for this one of a user who calls.
pub(crate) fn outside(uid: u32) -> u32 {
    match rootless() {
        Some(rootless) if uid == 0 => rootless.uid,
        _ => uid,
    }
}
