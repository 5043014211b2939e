//! What the program's process is to be: everything that it needs, before there is one.

use std::ffi::CStr;
use std::os::fd::{OwnedFd, RawFd};

use crate::caller::Inheritance;
use crate::plan::{Rlimit, StderrPlan};
use crate::sys::exec::Image;

/// Everything the program's process needs, decided and laid out before the clone.
#[derive(Debug)]
pub(crate) struct ProgramSetup<'a> {
    /// The ids of the box.
    pub(crate) uid: u32,
    /// The same for the group.
    pub(crate) gid: u32,
    /// What the program would have from the caller as their child, if it is not their child.
    pub(crate) inheritance: Option<&'a Inheritance>,
    /// Whether it sends a descriptor of itself to the keeper, which has no other way to measure or
    /// to kill it.
    pub(crate) shows_itself: bool,
    /// Limits by setrlimit(2).
    pub(crate) rlimits: &'a [Rlimit],
    /// Whether the leaf is to limit processes, too, where there is the controller for that.
    pub(crate) leaf_limits_processes: bool,
    /// Descriptors above 2 that stay open: the caller's, never ours.
    pub(crate) inherited: Vec<RawFd>,
    /// The terminal whose foreground group the program becomes.
    pub(crate) foreground: Option<Foreground>,
    /// Redirections.
    pub(crate) stdin: Option<&'a CStr>,
    /// The same.
    pub(crate) stdout: Option<&'a CStr>,
    /// The same.
    pub(crate) stderr: &'a StderrPlan,
    /// Where to go before execve.
    pub(crate) directory: Option<&'a CStr>,
    /// The program.
    pub(crate) image: Image<'a>,
    /// `execve("X"): `, printed in front of the reason when it fails; empty to say nothing.
    pub(crate) complaint: Vec<u8>,
    /// Whether there is a memory limit, by which alone execve can fail for its arguments.
    pub(crate) may_starve: bool,
}

/// A terminal in whose foreground the program is to be.
#[derive(Debug)]
pub(crate) enum Foreground {
    /// The one of the caller's session, which we belong to: the program gets a process group of its
    /// own in it.
    CallersSession(OwnedFd),
    /// One that no session has: the program gets a session of its own, with this terminal.
    OwnSession(OwnedFd),
}
