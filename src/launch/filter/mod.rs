//! The system call filter of a program: init installs it, and everything in the sandbox inherits
//! it.

mod always;
#[cfg(test)]
mod machine;
mod refusal;
mod rules;

use std::borrow::Cow;
use std::io;

use libc::sock_filter;

use crate::barrier::Barrier;
use crate::syscall_set::SyscallSet;

/// The filter of nearly all runs, compiled together with this program: at run time libseccomp takes
/// as long for it as the kernel takes for a clone. It is empty if this program was built on another
/// kind of machine than x86-64 and aarch64.
const USUAL: &[sock_filter] = &include!(concat!(env!("OUT_DIR"), "/usual_filter.rs"));

/// The filter for a set of restrictions.
pub(super) fn of(restrictions: SyscallSet) -> io::Result<Cow<'static, [sock_filter]>> {
    if restrictions == SyscallSet::default() && !USUAL.is_empty() && Barrier::all_stand() {
        return Ok(USUAL.into());
    }
    Ok(rules::compile(restrictions)?.into())
}

#[cfg(test)]
mod tests;
