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

/// The kernel reads 32 bits of these arguments and ignores the rest: comparing all 64 would let a
/// program set one of the others and pass.
const LOW_32_BITS: ScmpCompareOp = ScmpCompareOp::MaskedEqual(0xffff_ffff);

/// Requests of ioctl(2) that put input into a terminal, which may be the one of a root shell. Nobody can
/// ask for them: they are refused whatever the set of restrictions is. TIOCLINUX pastes on consoles.
const TERMINAL_INPUT: [libc::c_ulong; 2] = [libc::TIOCSTI, libc::TIOCLINUX];

/// Compiles the filter for a set of restrictions: what seccomp(2) takes.
pub(crate) fn compile(restrictions: SyscallSet) -> io::Result<Vec<sock_filter>> {
    export(&build(restrictions).map_err(os_error)?)
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
    let refuse = ScmpAction::Errno;
    for request in TERMINAL_INPUT {
        context.add_rule_conditional(
            refuse(libc::EPERM),
            ScmpSyscall::from_name("ioctl")?,
            &[ScmpArgCompare::new(1, LOW_32_BITS, request)],
        )?;
    }
    if restrictions.contains(Restriction::Keyctl) {
        for call in ["keyctl", "add_key", "request_key"] {
            context.add_rule(refuse(libc::ENOSYS), ScmpSyscall::from_name(call)?)?;
        }
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
