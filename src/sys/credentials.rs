//! Acting for the caller, and giving up root for good.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use libc::{gid_t, uid_t};

use super::check;

/// Whether this process has rights from its file: set-user-ID, set-group-ID, capabilities
/// (getauxval(3), AT_SECURE).
pub(crate) fn has_rights_of_its_file() -> bool {
    // SAFETY: this reads a number from the auxiliary vector of the process.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

/// A number above all capabilities: CAP_CHECKPOINT_RESTORE (40) is today's last one. The question
/// about one that the kernel does not know fails with EINVAL, which ends [`drop_bounding_set`].
const HIGHEST_CAPABILITY: i32 = 63;

/// Runs `action` with the file-system identity of another user: fsuid, fsgid, no supplementary
/// groups, and no effective capabilities but those to come back. CAP_SYS_PTRACE alone would let a
/// root without CAP_DAC_OVERRIDE walk through other users' `/proc/PID/cwd`.
///
/// The process must have one thread. It aborts if root's identity cannot be taken back.
pub(crate) fn act_as<T>(uid: uid_t, gid: gid_t, action: impl FnOnce() -> T) -> io::Result<T> {
    const CAP_SETGID: u32 = 6;
    const CAP_SETUID: u32 = 7;
    let (groups, before) = (nix::unistd::getgroups()?, capabilities()?);
    nix::unistd::setgroups(&[])?;
    set_fsgid(gid);
    set_fsuid(uid);
    let way_back = (1 << CAP_SETGID | 1 << CAP_SETUID) & before.effective[0];
    let restricted = set_capabilities(&Capabilities {
        effective: [way_back, 0],
        ..before
    });
    let taken = restricted.is_ok() && (fsuid() == uid) && (fsgid() == gid);
    let result = taken.then(action);
    set_fsuid(0);
    set_fsgid(0);
    let restored = set_capabilities(&before);
    if fsuid() != 0 || restored.is_err() || nix::unistd::setgroups(&groups).is_err() {
        // A process with half an identity would open root's files for the caller, or the reverse.
        std::process::abort();
    }
    result.ok_or_else(|| io::Error::from_raw_os_error(libc::EPERM))
}

fn set_fsuid(uid: uid_t) -> uid_t {
    // SAFETY: this takes and returns integers. It reports no error, therefore fsuid() is checked.
    (unsafe { libc::setfsuid(uid) }) as uid_t
}

fn set_fsgid(gid: gid_t) -> gid_t {
    // SAFETY: this takes and returns integers. It reports no error, therefore fsgid() is checked.
    (unsafe { libc::setfsgid(gid) }) as gid_t
}

/// The current fsuid: an impossible id changes nothing and returns it (setfsuid(2)).
fn fsuid() -> uid_t {
    set_fsuid(uid_t::MAX)
}

fn fsgid() -> gid_t {
    set_fsgid(gid_t::MAX)
}

/// Whether this process, or one that it is a copy of, has emptied its bounding set.
static WAS_EMPTIED: AtomicBool = AtomicBool::new(false);

/// Empties the capability bounding set. This needs CAP_SETPCAP, so it comes before the uid changes.
/// Done a second time it costs one call, not one for each capability.
pub(crate) fn drop_bounding_set() -> io::Result<()> {
    // A new user namespace has the full set again, and the first capability with it.
    // SAFETY: all arguments are integers.
    let first = unsafe { libc::prctl(libc::PR_CAPBSET_READ, 0, 0, 0, 0) };
    if first == 0 && WAS_EMPTIED.load(Relaxed) {
        return Ok(());
    }
    for capability in 0..=HIGHEST_CAPABILITY {
        // SAFETY: all arguments are integers.
        let result = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) };
        match check(result.into()) {
            Ok(_) => {}
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) && capability > 0 => break,
            Err(error) => return Err(error),
        }
    }
    WAS_EMPTIED.store(true, Relaxed);
    Ok(())
}

/// Empties the permitted, effective and inheritable sets of the calling thread.
pub(crate) fn drop_capabilities() -> io::Result<()> {
    set_capabilities(&Capabilities::default())
}

/// Keeps CAP_KILL and nothing else.
pub(crate) fn keep_only_kill() -> io::Result<()> {
    const CAP_KILL: u32 = 5;
    let kill = [1 << CAP_KILL, 0];
    set_capabilities(&Capabilities {
        effective: kill,
        permitted: kill,
        inheritable: [0, 0],
    })
}

/// Whether the calling thread may make device nodes (CAP_MKNOD).
pub(crate) fn may_make_nodes() -> io::Result<bool> {
    const CAP_MKNOD: u32 = 27;
    is_effective(CAP_MKNOD)
}

/// Keeps what it takes to make namespaces, and a network in one (CAP_SYS_ADMIN, CAP_NET_ADMIN),
/// and nothing else.
pub(crate) fn keep_only_namespaces() -> io::Result<()> {
    const CAP_NET_ADMIN: u32 = 12;
    const CAP_SYS_ADMIN: u32 = 21;
    let kept = [1 << CAP_NET_ADMIN | 1 << CAP_SYS_ADMIN, 0];
    set_capabilities(&Capabilities {
        effective: kept,
        permitted: kept,
        inheritable: [0, 0],
    })
}

/// The three sets of a thread, each as two words: the capabilities up to 31, and those from 32 on.
#[derive(Clone, Copy, Default)]
struct Capabilities {
    effective: [u32; 2],
    permitted: [u32; 2],
    inheritable: [u32; 2],
}

#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

/// `_LINUX_CAPABILITY_VERSION_3`, and the calling thread.
const HEADER: Header = Header {
    version: 0x2008_0522,
    pid: 0,
};

/// Whether this process sees all others in a `/proc` that is mounted with `hidepid`
/// (CAP_SYS_PTRACE, proc(5)).
pub(crate) fn sees_hidden_processes() -> io::Result<bool> {
    const CAP_SYS_PTRACE: u32 = 19;
    is_effective(CAP_SYS_PTRACE)
}

/// Whether the calling thread has one of the first 32 capabilities.
fn is_effective(capability: u32) -> io::Result<bool> {
    Ok(capabilities()?.effective[0] & 1 << capability != 0)
}

/// Reads the sets of the calling thread (capget(2)).
fn capabilities() -> io::Result<Capabilities> {
    let mut header = HEADER;
    let mut data = [0_u32; 6];
    // SAFETY: header and data have the layout that version 3 prescribes and outlive the call.
    let result = unsafe { libc::syscall(libc::SYS_capget, &raw mut header, data.as_mut_ptr()) };
    check(result)?;
    Ok(Capabilities {
        effective: [data[0], data[3]],
        permitted: [data[1], data[4]],
        inheritable: [data[2], data[5]],
    })
}

/// Sets the sets of the calling thread (capset(2)).
fn set_capabilities(sets: &Capabilities) -> io::Result<()> {
    let Capabilities {
        effective,
        permitted,
        inheritable,
    } = sets;
    let data: [u32; 6] = [
        effective[0],
        permitted[0],
        inheritable[0],
        effective[1],
        permitted[1],
        inheritable[1],
    ];
    let header = HEADER;
    // SAFETY: header and data have the layout that version 3 prescribes and outlive the call.
    let result = unsafe { libc::syscall(libc::SYS_capset, &raw const header, data.as_ptr()) };
    check(result).map(drop)
}

/// Makes an empty session keyring for the calling process and its descendants (keyctl(2),
/// KEYCTL_JOIN_SESSION_KEYRING): all boxes would share the caller's, which outlives every run. Does
/// nothing where the kernel has no keyrings, or a container forbids them to all its processes.
///
/// An ordinary user has 200 keys (keyrings(7), maxkeys), and those of runs that are over count
/// until the kernel collects them, which is waited for.
pub(crate) fn leave_session_keyring() -> io::Result<()> {
    const KEYCTL_JOIN_SESSION_KEYRING: libc::c_int = 1;
    const PATIENCE: Duration = Duration::from_secs(2);
    let end = Instant::now() + PATIENCE;
    loop {
        // SAFETY: a null name asks for an anonymous keyring; nothing is read or written.
        let result = unsafe {
            libc::syscall(
                libc::SYS_keyctl,
                KEYCTL_JOIN_SESSION_KEYRING,
                std::ptr::null::<libc::c_char>(),
            )
        };
        match check(result) {
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => {
                return Ok(());
            }
            Err(error) if error.raw_os_error() == Some(libc::EDQUOT) && Instant::now() < end => {
                std::thread::sleep(Duration::from_millis(5));
            }
            other => return other.map(drop),
        }
    }
}

/// Installs a system call filter for the calling thread and all its descendants (seccomp(2)). This
/// needs no_new_privs or CAP_SYS_ADMIN.
pub(crate) fn install_filter(program: &[libc::sock_filter]) -> io::Result<()> {
    let program = libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(|_| io::Error::from_raw_os_error(libc::E2BIG))?,
        filter: program.as_ptr().cast_mut(),
    };
    // SAFETY: the kernel only reads the program, which has `len` instructions and outlives the
    // call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            0,
            &raw const program,
        )
    };
    check(result).map(drop)
}
