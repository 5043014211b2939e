//! System call restrictions: calls that reach objects which no namespace separates.
//!
//! Everything else is allowed; namespaces, ids and the cgroup do the rest. The filter is compiled by
//! libseccomp, which knows the call numbers of each architecture, and loaded by the program's process.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::{AsFd, AsRawFd};

use libc::sock_filter;
use libseccomp::error::SeccompError;
use libseccomp::{
    ScmpAction, ScmpArch, ScmpArgCompare, ScmpCompareOp, ScmpFilterContext, ScmpSyscall,
};
use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::syscall_set::{Restriction, SyscallSet};

/// Why a filter could not be made.
#[derive(Debug)]
pub(crate) enum FilterError {
    /// libseccomp refused.
    Compile(SeccompError),
    /// The compiled filter could not be fetched.
    Fetch(io::Error),
}

impl std::fmt::Display for FilterError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Compile(error) => write!(f, "cannot compile the system call filter: {error}"),
            Self::Fetch(error) => write!(f, "cannot read the compiled system call filter: {error}"),
        }
    }
}

impl std::error::Error for FilterError {}

/// fcntl(2) commands that lock or notify: a file that two boxes see becomes a side channel. 13 and 14
/// are F_SETLK64 and F_SETLKW64 of 32-bit programs.
const LOCKING_COMMANDS: [i32; 8] = [
    libc::F_SETLK,
    libc::F_SETLKW,
    libc::F_OFD_SETLK,
    libc::F_OFD_SETLKW,
    libc::F_SETLEASE,
    libc::F_NOTIFY,
    13,
    14,
];

/// The kernel reads 32 bits of these arguments and ignores the rest: comparing all 64 would let a
/// program set one of the others and pass.
const LOW_32_BITS: ScmpCompareOp = ScmpCompareOp::MaskedEqual(0xffff_ffff);

/// Compiles the filter for a set of restrictions; empty when there is nothing to restrict.
pub(crate) fn compile(restrictions: SyscallSet) -> Result<Vec<sock_filter>, FilterError> {
    if restrictions == SyscallSet::EMPTY {
        return Ok(Vec::new());
    }
    let context = build(restrictions).map_err(FilterError::Compile)?;
    export(&context)
}

fn build(restrictions: SyscallSet) -> Result<ScmpFilterContext, SeccompError> {
    let mut context = ScmpFilterContext::new(ScmpAction::Allow)?;
    // The process is to die, not only the thread that called.
    context.set_act_badarch(ScmpAction::KillProcess)?;
    if !restrictions.contains(Restriction::ForeignArch) && ScmpArch::native() == ScmpArch::X8664 {
        context.add_arch(ScmpArch::X86)?;
        context.add_arch(ScmpArch::X32)?;
    }
    let refuse = ScmpAction::Errno;
    if restrictions.contains(Restriction::Keyctl) {
        context.add_rule(refuse(libc::ENOSYS), ScmpSyscall::from_name("keyctl")?)?;
    }
    if restrictions.contains(Restriction::Vsock) {
        let family = ScmpArgCompare::new(0, LOW_32_BITS, libc::AF_VSOCK as u64);
        context.add_rule_conditional(
            refuse(libc::EAFNOSUPPORT),
            ScmpSyscall::from_name("socket")?,
            &[family],
        )?;
    }
    if restrictions.contains(Restriction::FileLocks) {
        for call in ["fcntl", "fcntl64"] {
            for command in LOCKING_COMMANDS {
                let command = ScmpArgCompare::new(1, LOW_32_BITS, command as u64);
                context.add_rule_conditional(
                    refuse(libc::EPERM),
                    ScmpSyscall::from_name(call)?,
                    &[command],
                )?;
            }
        }
        context.add_rule(refuse(libc::ENOSYS), ScmpSyscall::from_name("flock")?)?;
    }
    if restrictions.contains(Restriction::IoUring) {
        context.add_rule(
            refuse(libc::ENOSYS),
            ScmpSyscall::from_name("io_uring_setup")?,
        )?;
    }
    Ok(context)
}

/// libseccomp writes the filter to a descriptor, as the array of instructions that seccomp(2) takes.
fn export(context: &ScmpFilterContext) -> Result<Vec<sock_filter>, FilterError> {
    let memory = memfd_create(c"filter", MFdFlags::MFD_CLOEXEC)
        .map_err(io::Error::from)
        .map_err(FilterError::Fetch)?;
    context
        .export_bpf(memory.as_fd())
        .map_err(FilterError::Compile)?;
    debug_assert!(memory.as_raw_fd() > 2);
    let mut file = File::from(memory);
    let mut bytes = Vec::new();
    file.rewind()
        .and_then(|()| file.read_to_end(&mut bytes))
        .map_err(FilterError::Fetch)?;
    Ok(bytes
        .chunks_exact(8)
        .map(|b| sock_filter {
            code: u16::from_ne_bytes([b[0], b[1]]),
            jt: b[2],
            jf: b[3],
            k: u32::from_ne_bytes([b[4], b[5], b[6], b[7]]),
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_restrictions_need_no_filter() {
        assert!(compile(SyscallSet::EMPTY).unwrap().is_empty());
    }

    #[test]
    fn every_restriction_compiles_alone_and_together() {
        for flags in 1..=31 {
            let set = SyscallSet::from_flags(flags).unwrap();
            let filter = compile(set).unwrap();
            assert!(filter.len() > 3, "{flags}: {filter:?}");
        }
    }
}
