//! System call restrictions: calls that reach objects which no namespace separates.
//!
//! Everything else is allowed; namespaces, ids and the cgroup do the rest. The filter is compiled by
//! libseccomp, which knows the call numbers of each architecture. `build.rs` reads this file, too.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::AsFd;

use libc::sock_filter;
use libseccomp::error::SeccompError;
use libseccomp::{
    ScmpAction, ScmpArch, ScmpArgCompare, ScmpCompareOp, ScmpFilterContext, ScmpSyscall,
};
use nix::sys::memfd::{MFdFlags, memfd_create};

use super::always;
use crate::syscall_set::{Restriction, SyscallSet};

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

/// The place of the flags among the arguments of clone(2).
const CLONE_FLAGS: u32 = if cfg!(target_arch = "s390x") { 1 } else { 0 };

/// The kernel reads 32 bits of these arguments and ignores the rest: comparing all 64 would let a
/// program set one of the others and pass.
const LOW_32_BITS: u64 = 0xffff_ffff;

/// Whether an argument, by its low 32 bits, has this value.
pub(super) fn is(argument: u32, value: u64) -> ScmpArgCompare {
    ScmpArgCompare::new(argument, ScmpCompareOp::MaskedEqual(LOW_32_BITS), value)
}

/// Whether an argument has all of these bits.
pub(super) fn has(argument: u32, bits: u32) -> ScmpArgCompare {
    let bits = u64::from(bits);
    ScmpArgCompare::new(argument, ScmpCompareOp::MaskedEqual(bits), bits)
}

/// Refuses a call where all of the conditions hold. Architectures that do not have the call go without.
pub(super) fn refuse(
    context: &mut ScmpFilterContext,
    errno: i32,
    call: &str,
    when: &[ScmpArgCompare],
) -> Result<(), SeccompError> {
    let call = ScmpSyscall::from_name(call)?;
    context.add_rule_conditional(ScmpAction::Errno(errno), call, when)?;
    Ok(())
}

/// Compiles the filter for a set of restrictions: what seccomp(2) takes.
pub(crate) fn compile(restrictions: SyscallSet) -> io::Result<Vec<sock_filter>> {
    let mut filter = always::prologue().to_vec();
    filter.extend(export(&build(restrictions).map_err(os_error)?)?);
    Ok(filter)
}

/// libseccomp says what failed by an errno of the system's or of its own.
fn os_error(error: SeccompError) -> io::Error {
    let errno = error.sysrawrc().map_or(libc::EINVAL, i32::abs);
    io::Error::from_raw_os_error(errno)
}

fn build(restrictions: SyscallSet) -> Result<ScmpFilterContext, SeccompError> {
    let mut context = ScmpFilterContext::new(ScmpAction::Allow)?;
    // The process is to die, not only the thread that called.
    context.set_act_badarch(ScmpAction::KillProcess)?;
    if !restrictions.contains(Restriction::ForeignArch) && ScmpArch::native() == ScmpArch::X8664 {
        context.add_arch(ScmpArch::X86)?;
        context.add_arch(ScmpArch::X32)?;
    }
    // Calls without a rule, which are nearly all, are found to be such in a few steps.
    context.set_ctl_optimize(2)?;
    always::add(&mut context)?;
    for restriction in Restriction::ALL {
        if restrictions.contains(restriction) {
            add(&mut context, restriction)?;
        }
    }
    Ok(context)
}

/// Adds the rules of one restriction.
fn add(context: &mut ScmpFilterContext, restriction: Restriction) -> Result<(), SeccompError> {
    match restriction {
        Restriction::Keyctl => {
            for call in ["keyctl", "add_key", "request_key"] {
                refuse(context, libc::ENOSYS, call, &[])?;
            }
        }
        Restriction::Vsock => {
            let family = is(0, libc::AF_VSOCK as u64);
            refuse(context, libc::EAFNOSUPPORT, "socket", &[family])?;
        }
        Restriction::FileLocks => {
            for call in ["fcntl", "fcntl64"] {
                for command in LOCKING_COMMANDS {
                    refuse(context, libc::EPERM, call, &[is(1, command as u64)])?;
                }
            }
            refuse(context, libc::ENOSYS, "flock", &[])?;
        }
        Restriction::IoUring => refuse(context, libc::ENOSYS, "io_uring_setup", &[])?,
        // The architectures of the filter are all there is to it.
        Restriction::ForeignArch => {}
        Restriction::UserNamespaces => {
            let new = libc::CLONE_NEWUSER as u32;
            refuse(context, libc::EPERM, "unshare", &[has(0, new)])?;
            refuse(context, libc::EPERM, "clone", &[has(CLONE_FLAGS, new)])?;
            // Its flags are in memory, where no filter looks. libc takes clone(2) where there is none.
            refuse(context, libc::ENOSYS, "clone3", &[])?;
            refuse(context, libc::EPERM, "setns", &[])?;
        }
    }
    Ok(())
}

/// libseccomp writes the filter to a descriptor, as the array of instructions that seccomp(2) takes.
fn export(context: &ScmpFilterContext) -> io::Result<Vec<sock_filter>> {
    let memory = memfd_create(c"filter", MFdFlags::MFD_CLOEXEC)?;
    context.export_bpf(memory.as_fd()).map_err(os_error)?;
    let mut file = File::from(memory);
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
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
