//! System call restrictions: calls that reach objects which no namespace separates.
//!
//! Everything else is allowed; namespaces, ids and the cgroup do the rest. The filter is compiled
//! by libseccomp, which knows the call numbers of each architecture. `build.rs` reads this file,
//! too.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::AsFd;

use libc::sock_filter;
use libseccomp::error::SeccompError;
use libseccomp::{ScmpAction, ScmpArch, ScmpArgCompare, ScmpCompareOp, ScmpFilterContext};
use nix::sys::memfd::{MFdFlags, memfd_create};

use super::always;
use super::refusal::{LOW_32_BITS, has, is, refuse};
use crate::barrier::Barrier;
use crate::syscall_set::{Restriction, SyscallSet};

/// fcntl(2) commands that lock or notify: a file that two boxes see becomes a side channel. 13 and
/// 14 are F_SETLK64 and F_SETLKW64 of 32-bit programs.
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

/// Calls that make sockets; both look for the kernel module of a family first of all.
const SOCKET_CALLS: [&str; 2] = ["socket", "socketpair"];

/// Families that programs use; AF_VSOCK has a restriction of its own.
const FAMILIES: [u32; 5] = [
    libc::AF_UNIX as u32,
    libc::AF_INET as u32,
    libc::AF_INET6 as u32,
    libc::AF_NETLINK as u32,
    libc::AF_VSOCK as u32,
];
/// How many bits of a family count: the kernel knows no greater ones (AF_MAX).
const FAMILY_BITS: u32 = 6;

/// Types of sockets of the Internet's families. The others are packet sockets (packet(7)), or have
/// the kernel load a module.
const KINDS: [u32; 3] = [
    libc::SOCK_STREAM as u32,
    libc::SOCK_DGRAM as u32,
    libc::SOCK_RAW as u32,
];
/// How many bits a type has (SOCK_TYPE_MASK); flags are above them.
const KIND_BITS: u32 = 4;

/// How many bits of a netlink protocol count: the kernel knows no greater ones (MAX_LINKS).
const NETLINK_BITS: u32 = 5;

/// Protocols of the Internet's families that every kernel has; others are modules. 0 is the
/// protocol that fits the type.
const INET_PROTOCOLS: [u32; 6] = [
    libc::IPPROTO_IP as u32,
    libc::IPPROTO_ICMP as u32,
    libc::IPPROTO_TCP as u32,
    libc::IPPROTO_UDP as u32,
    libc::IPPROTO_ICMPV6 as u32,
    libc::IPPROTO_MPTCP as u32,
];
/// How many bits of these protocols count: the kernel refuses greater ones (IPPROTO_MAX).
const INET_BITS: u32 = 9;
/// The bit in which the two families differ.
const INET_DIFFERENCE: u32 = (libc::AF_INET ^ libc::AF_INET6) as u32;

/// The place of the flags among the arguments of clone(2).
const CLONE_FLAGS: u32 = if cfg!(target_arch = "s390x") { 1 } else { 0 };

/// Compiles the filter for a set of restrictions: what seccomp(2) takes.
#[allow(dead_code, reason = "build.rs uses the other one")]
pub(crate) fn compile(restrictions: SyscallSet) -> io::Result<Vec<sock_filter>> {
    compile_for(ScmpArch::native(), restrictions)
}

/// The same for another kind of machine, with the byte order, flags and requests of this one, as
/// x86-64 and aarch64 are to each other.
pub(crate) fn compile_for(
    arch: ScmpArch,
    restrictions: SyscallSet,
) -> io::Result<Vec<sock_filter>> {
    let mut filter = Barrier::FilterNewModeCalls.of(always::prologue().to_vec());
    filter.extend(export(&build(arch, restrictions).map_err(os_error)?)?);
    Ok(filter)
}

/// The errno that libseccomp reports, which is the system's or its own.
fn os_error(error: SeccompError) -> io::Error {
    let errno = error.sysrawrc().map_or(libc::EINVAL, i32::abs);
    io::Error::from_raw_os_error(errno)
}

fn build(arch: ScmpArch, restrictions: SyscallSet) -> Result<ScmpFilterContext, SeccompError> {
    let mut context = ScmpFilterContext::new(ScmpAction::Allow)?;
    if arch != ScmpArch::native() {
        context.add_arch(arch)?;
        context.remove_arch(ScmpArch::native())?;
    }
    // The whole process must die, and not only the thread that called.
    context.set_act_badarch(ScmpAction::KillProcess)?;
    let is_foreign_refused = denies(restrictions, Restriction::ForeignArch);
    if !is_foreign_refused {
        for arch in foreign_to(arch) {
            context.add_arch(*arch)?;
        }
    }
    // This finds calls without a rule, which are nearly all, in a few steps.
    context.set_ctl_optimize(2)?;
    always::add(&mut context)?;
    for restriction in Restriction::ALL {
        if denies(restrictions, restriction) {
            add(&mut context, restriction)?;
        }
    }
    Ok(context)
}

/// The other architectures whose programs a kernel for this one may run.
fn foreign_to(native: ScmpArch) -> &'static [ScmpArch] {
    match native {
        ScmpArch::X8664 => &[ScmpArch::X86, ScmpArch::X32],
        ScmpArch::Aarch64 => &[ScmpArch::Arm],
        _ => &[],
    }
}

/// Whether the filter is to have the restriction.
fn denies(restrictions: SyscallSet, restriction: Restriction) -> bool {
    let barrier = match restriction {
        Restriction::Keyctl => Barrier::FilterKeyctl,
        Restriction::Vsock => Barrier::FilterVsock,
        Restriction::FileLocks => Barrier::FilterFileLocks,
        Restriction::IoUring => Barrier::FilterIoUring,
        Restriction::ForeignArch => Barrier::FilterForeignArch,
        Restriction::UserNamespaces => Barrier::FilterUserNamespaces,
        Restriction::RareSockets => Barrier::FilterRareSockets,
        Restriction::FileEvents => Barrier::FilterFileEvents,
        Restriction::HugePages => Barrier::FilterHugePages,
        Restriction::NativeAio => Barrier::FilterNativeAio,
    };
    restrictions.contains(restriction) && barrier.stands()
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
            for call in SOCKET_CALLS {
                let family = is(0, libc::AF_VSOCK as u64);
                refuse(context, libc::EAFNOSUPPORT, call, &[family])?;
            }
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
        // The architectures of the filter do all of this.
        Restriction::ForeignArch => {}
        Restriction::UserNamespaces => {
            let new = libc::CLONE_NEWUSER as u32;
            refuse(context, libc::EPERM, "unshare", &[has(0, new)])?;
            refuse(context, libc::EPERM, "clone", &[has(CLONE_FLAGS, new)])?;
            // Its flags are in memory, where no filter looks. libc uses clone(2) where there is
            // none.
            refuse(context, libc::ENOSYS, "clone3", &[])?;
            refuse(context, libc::EPERM, "setns", &[])?;
        }
        Restriction::RareSockets => rare_sockets(context)?,
        Restriction::FileEvents => {
            for call in ["inotify_init", "inotify_init1", "fanotify_init"] {
                refuse(context, libc::ENOSYS, call, &[])?;
            }
        }
        // The error is that of a machine that has set none apart.
        Restriction::HugePages => {
            for call in ["mmap", "mmap2"] {
                let pages = has(3, libc::MAP_HUGETLB as u32);
                refuse(context, libc::ENOMEM, call, &[pages])?;
            }
            let pages = has(1, libc::MFD_HUGETLB);
            refuse(context, libc::ENOMEM, "memfd_create", &[pages])?;
            let pages = has(2, libc::SHM_HUGETLB as u32);
            refuse(context, libc::ENOMEM, "shmget", &[pages])?;
        }
        Restriction::NativeAio => refuse(context, libc::ENOSYS, "io_setup", &[])?,
    }
    Ok(())
}

/// Refuses every socket but the usual ones. 32-bit programs that use socketcall(2) get none at all:
/// its arguments are in memory, where no filter looks.
fn rare_sockets(context: &mut ScmpFilterContext) -> Result<(), SeccompError> {
    let mut refuse_where = |when: &[ScmpArgCompare]| {
        SOCKET_CALLS
            .into_iter()
            .try_for_each(|call| refuse(context, libc::EAFNOSUPPORT, call, when))
    };
    for family in all_but(&FAMILIES, FAMILY_BITS) {
        refuse_where(&[family.at(0)])?;
    }
    let netlink = is(0, libc::AF_NETLINK as u64);
    for protocol in all_but(&[libc::NETLINK_ROUTE as u32], NETLINK_BITS) {
        refuse_where(&[netlink, protocol.at(2)])?;
    }
    // One rule is for both families, which differ in one bit.
    let internet = Pattern {
        mask: LOW_32_BITS as u32 & !INET_DIFFERENCE,
        bits: libc::AF_INET as u32 & !INET_DIFFERENCE,
    };
    for protocol in all_but(&INET_PROTOCOLS, INET_BITS) {
        refuse_where(&[internet.at(0), protocol.at(2)])?;
    }
    for kind in all_but(&KINDS, KIND_BITS) {
        refuse_where(&[internet.at(0), kind.at(1)])?;
    }
    Ok(())
}

/// Numbers that have these bits where the mask has ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pattern {
    mask: u32,
    bits: u32,
}

impl Pattern {
    /// Whether an argument is such a number.
    fn at(self, argument: u32) -> ScmpArgCompare {
        let equal = ScmpCompareOp::MaskedEqual(self.mask.into());
        ScmpArgCompare::new(argument, equal, self.bits.into())
    }
}

/// Patterns for all numbers of so many bits but these.
fn all_but(numbers: &[u32], length: u32) -> Vec<Pattern> {
    let mut found = Vec::new();
    let mut open = vec![(Pattern { mask: 0, bits: 0 }, length)];
    while let Some((Pattern { mask, bits }, left)) = open.pop() {
        if !numbers.iter().any(|number| number & mask == bits) {
            found.push(Pattern { mask, bits });
        } else if left > 0 {
            let next = 1 << (left - 1);
            let mask = mask | next;
            for bits in [bits, bits | next] {
                open.push((Pattern { mask, bits }, left - 1));
            }
        }
    }
    found
}

/// Compiles the filter to the array of instructions that seccomp(2) takes. libseccomp writes it to
/// a descriptor.
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
