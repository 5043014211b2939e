//! What no program may do, whatever the set of restrictions is: nobody can ask for it, and no flag
//! of isolate's stands for it. `build.rs` reads this file, too.

use libc::sock_filter;
use libseccomp::ScmpFilterContext;
use libseccomp::error::SeccompError;

use super::refusal::{has, is, refuse};
use crate::barrier::Barrier;

/// Requests of ioctl(2) that put input into a terminal, which may be that of a root shell
/// (TIOCLINUX pastes on consoles), or make it useless for its next user.
const TERMINAL: [libc::c_ulong; 7] = [
    libc::TIOCSTI,
    libc::TIOCLINUX,
    libc::TIOCSETD,
    libc::TIOCEXCL,
    libc::TIOCCONS,
    libc::TIOCSLCKTRMIOS,
    libc::TIOCVHANGUP,
];

/// What TCXONC (tcflow(3)) stops: output, which nobody sees any more and whoever writes waits for,
/// our own message too, and input. To let both go on is harmless.
const FLOW_STOPPED: [libc::c_int; 2] = [libc::TCOOFF, libc::TCIOFF];

/// Requests of ioctl(2) that make files which root cannot give back to the box's owner, or remove:
/// subvolumes and snapshots of btrfs (linux/btrfs.h), immutable files or those of another project
/// quota (linux/fs.h), and fs-verity. A file system without these says ENOTTY.
const FILE_STATES: [libc::c_ulong; 11] = [
    0x5000_940e, // BTRFS_IOC_SUBVOL_CREATE
    0x5000_9418, // BTRFS_IOC_SUBVOL_CREATE_V2
    0x5000_9401, // BTRFS_IOC_SNAP_CREATE
    0x5000_9417, // BTRFS_IOC_SNAP_CREATE_V2
    0x5000_940f, // BTRFS_IOC_SNAP_DESTROY
    0x5000_943f, // BTRFS_IOC_SNAP_DESTROY_V2
    0x4008_941a, // BTRFS_IOC_SUBVOL_SETFLAGS
    0x4008_6602, // FS_IOC_SETFLAGS
    0x4004_6602, // FS_IOC32_SETFLAGS
    0x401c_5820, // FS_IOC_FSSETXATTR
    0x4080_6685, // FS_IOC_ENABLE_VERITY
];

/// Commands of fcntl(2) that note in a file how long what is written lives (F_SET_RW_HINT and
/// F_SET_FILE_RW_HINT of linux/fcntl.h). Before Linux 7.0 whoever may read a file may do that, also
/// on a mount that is read-only, and whoever else sees the file can read it. The error is that of a
/// kernel that knows none.
const HINTS: [libc::c_int; 2] = [1036, 1038];

/// The bits by which a file, on a mount of the host's that is not `nosuid`, makes everybody who
/// executes it the box user, outside and for good. systemd's RestrictSUIDSGID= refuses the same
/// calls.
const ID_BITS: [libc::mode_t; 2] = [libc::S_ISUID, libc::S_ISGID];

/// Calls that set the mode of a file, each with the place of the mode among its arguments. mkdir(2)
/// is harmless, since the kernel takes neither bit from its mode.
const MODE_CALLS: [(&str, u32); 6] = [
    ("chmod", 1),
    ("fchmod", 1),
    ("fchmodat", 2),
    ("creat", 1),
    ("mknod", 1),
    ("mknodat", 2),
];

/// Calls that look at the mode only if their flags, in the argument before it, make a file.
const OPEN_CALLS: [(&str, u32); 2] = [("open", 2), ("openat", 3)];

/// The flags that make a file: O_CREAT, and O_TMPFILE without O_DIRECTORY, which is a part of it.
const MAKES_FILE: [libc::c_int; 2] = [libc::O_CREAT, libc::O_TMPFILE & !libc::O_DIRECTORY];

/// Adds the rules.
pub(super) fn add(context: &mut ScmpFilterContext) -> Result<(), SeccompError> {
    Barrier::FilterTerminals.raise(|| terminals(context))?;
    Barrier::FilterFileStates.raise(|| file_states(context))?;
    Barrier::FilterIdBits.raise(|| id_bits(context))
}

fn terminals(context: &mut ScmpFilterContext) -> Result<(), SeccompError> {
    for request in TERMINAL {
        refuse(context, libc::EPERM, "ioctl", &[is(1, request)])?;
    }
    for action in FLOW_STOPPED {
        let stopped = [is(1, libc::TCXONC), is(2, action as u64)];
        refuse(context, libc::EPERM, "ioctl", &stopped)?;
    }
    Ok(())
}

fn file_states(context: &mut ScmpFilterContext) -> Result<(), SeccompError> {
    for request in FILE_STATES {
        refuse(context, libc::ENOTTY, "ioctl", &[is(1, request)])?;
    }
    for call in ["fcntl", "fcntl64"] {
        for command in HINTS {
            refuse(context, libc::EINVAL, call, &[is(1, command as u64)])?;
        }
    }
    Ok(())
}

fn id_bits(context: &mut ScmpFilterContext) -> Result<(), SeccompError> {
    for bit in ID_BITS {
        for (call, mode) in MODE_CALLS {
            refuse(context, libc::EPERM, call, &[has(mode, bit)])?;
        }
        for (call, mode) in OPEN_CALLS {
            for flag in MAKES_FILE {
                let made_so = [has(mode - 1, flag as u32), has(mode, bit)];
                refuse(context, libc::EPERM, call, &made_so)?;
            }
        }
    }
    // Its mode is in memory, where no filter looks. Programs use another call on kernels that are
    // too old for it.
    refuse(context, libc::ENOSYS, "openat2", &[])
}

/// fchmodat2(2), which older releases of libseccomp do not know. Its number is the same on all
/// architectures that are supported.
const FCHMODAT2: u32 = 452;

/// file_setattr(2), which sets what [`FILE_STATES`] keeps from being set. Linux has it since 6.17,
/// with one number on all architectures.
const FILE_SETATTR: u32 = 469;

/// The bit that marks the system calls of x32 on x86-64.
const X32_BIT: u32 = 0x4000_0000;

/// The instructions before the rules that libseccomp compiles. libc uses fchmodat(2) where the
/// kernel is too old for the call.
pub(super) fn prologue() -> [sock_filter; 5] {
    let jump = |code: u32, jt, jf, k| sock_filter {
        code: code as u16,
        jt,
        jf,
        k,
    };
    let instruction = |code, k| jump(code, 0, 0, k);
    let is_equal = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    [
        // The number of the call is the first field of seccomp_data.
        instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0),
        instruction(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, !X32_BIT),
        jump(is_equal, 1, 0, FILE_SETATTR),
        jump(is_equal, 0, 1, FCHMODAT2),
        instruction(
            libc::BPF_RET | libc::BPF_K,
            libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32,
        ),
    ]
}
