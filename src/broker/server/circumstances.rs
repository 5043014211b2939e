//! What an answer of polkit's may rest on beside the question: who asks, from which service or
//! session, and by which rules.

use std::fs;
use std::os::fd::AsFd;

use crate::polkit::Subject;
use crate::polkit::grounds::grounds;
use crate::sys::process::has_ended;

/// The circumstances of a caller, for comparison; `None` where they cannot be found out, and
/// nothing that was said before counts.
///
/// polkit finds unit and session of a process by its control group (sd_pid_get_session(3), and
/// GetUnitByPIDFD of org.freedesktop.systemd1(5)), and whether a session is local and active by its
/// state, which may change meanwhile.
pub(super) fn of(subject: &Subject) -> Option<Vec<u8>> {
    let grounds = grounds()?;
    let groups = fs::read(format!("/proc/{}/cgroup", subject.pid)).ok()?;
    // Otherwise this may have been of another process.
    let is_theirs = has_ended(subject.pidfd.as_fd()).is_ok_and(|has_ended| !has_ended);
    // What users name, their groups, comes behind the lengths of all that is before it.
    let parts: [&[u8]; 4] = [
        &subject.uid.to_ne_bytes(),
        &grounds.len().to_ne_bytes(),
        &grounds,
        &groups,
    ];
    is_theirs.then(|| parts.concat())
}
