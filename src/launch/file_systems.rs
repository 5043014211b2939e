//! The new file systems that directory rules name: how they are made, and what is in them.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use libc::{MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY};
use nix::errno::Errno;
use nix::sys::stat::{Mode, SFlag, makedev, mkdirat, mknodat, umask};
use nix::unistd::symlinkat;

use super::etc;
use super::mount_point::{make_mount_point, resolve};
use super::purpose::Purpose;
use crate::barrier::Barrier;
use crate::dir_rule::FileSystem;
use crate::sys::{credentials, memory, mount};
use crate::way;

/// The most that a tmpfs holds where nothing is said and no memory limit holds for the run.
const MOST_MEMORY: u64 = 1 << 30;

/// The options of a tmpfs that holds a few names.
const SMALL: [(&CStr, &CStr); 3] = [(c"mode", c"755"), (c"size", c"1m"), (c"nr_inodes", c"1024")];

/// What a file system shows of the host, as detached copies.
#[derive(Debug)]
pub(super) enum OfHost {
    /// Nothing.
    Nothing,
    /// The file system itself, with all that is in it.
    Whole(OwnedFd),
    /// It is found when init has left the host's mounts, or else taken then.
    Spare,
    /// Devices.
    Devices(Vec<OwnedFd>),
    /// Files of `/etc`.
    Parts(Vec<etc::Part>),
}

/// Takes what a file system will show of the host. This process must be among the host's mounts.
pub(super) fn take(kind: FileSystem, purpose: Purpose) -> io::Result<OfHost> {
    match kind {
        FileSystem::Dev => take_dev(),
        FileSystem::Proc if Barrier::CoveredProc.stands() => {
            copy_devices(COVERED.iter().map(|_| c"/dev/null"))
        }
        FileSystem::Etc => etc::take_parts(purpose.network).map(OfHost::Parts),
        _ => Ok(OfHost::Nothing),
    }
}

/// The same for [`FileSystem::Dev`].
pub(super) fn take_dev() -> io::Result<OfHost> {
    match make_with_nodes()? {
        Some(dev) => Ok(OfHost::Whole(dev)),
        None => copy_devices(DEVICES.iter().map(|device| device.outside)),
    }
}

fn copy_devices<'a>(paths: impl Iterator<Item = &'a CStr>) -> io::Result<OfHost> {
    let copies: io::Result<_> = paths.map(|path| mount::copy_tree_at(path, false)).collect();
    copies.map(OfHost::Devices)
}

/// Makes a file system, as a detached mount.
pub(super) fn make(kind: FileSystem, purpose: Purpose, of_host: &OfHost) -> io::Result<OwnedFd> {
    let make = |name: &CStr, options: &[(&CStr, &CStr)]| mount::new_file_system(name, options, 0);
    match kind {
        FileSystem::Proc if Barrier::HidePid.stands() => make(c"proc", &[(c"hidepid", c"2")]),
        FileSystem::Proc => make(c"proc", &[]),
        FileSystem::Sysfs => make(c"sysfs", &[]),
        FileSystem::Tmpfs(size) => {
            let most = || Ok::<_, io::Error>((memory::total()? / 2).min(MOST_MEMORY));
            let size = size.map_or_else(most, |size| Ok(size.0))?;
            let [size, inodes] = [size, inodes_for(size)].map(decimal);
            make(
                c"tmpfs",
                &[
                    (c"mode", c"1777"),
                    (c"size", &size),
                    (c"nr_inodes", &inodes),
                ],
            )
        }
        FileSystem::Devpts => make(c"devpts", &[(c"ptmxmode", c"0666"), (c"mode", c"620")]),
        FileSystem::Dev => make_dev(),
        FileSystem::Etc => {
            let made = make(c"tmpfs", &SMALL)?;
            if let OfHost::Parts(parts) = of_host {
                etc::populate(made.as_fd(), purpose, parts)?;
            }
            Ok(made)
        }
        // The program's process mounts it: in init's cgroup namespace it would be the host's.
        FileSystem::Cgroup => Err(io::ErrorKind::InvalidInput.into()),
    }
}

/// The same for [`FileSystem::Dev`], without the devices.
pub(super) fn make_dev() -> io::Result<OwnedFd> {
    let dev = mount::new_file_system(c"tmpfs", &SMALL, 0)?;
    for device in DEVICES {
        make_mount_point(dev.as_fd(), Path::new(device.name), false)?;
    }
    populate_dev(dev.as_fd())?;
    Ok(dev)
}

/// Adds what can be mounted in a file system only when it is attached, at `inside`: Linux before
/// 6.15 mounts nothing in a detached tree.
pub(super) fn finish(
    kind: FileSystem,
    of_host: &OfHost,
    root: BorrowedFd<'_>,
    inside: &Path,
) -> io::Result<()> {
    match of_host {
        OfHost::Nothing | OfHost::Whole(_) | OfHost::Spare => Ok(()),
        OfHost::Devices(nulls) if kind == FileSystem::Proc => cover(root, inside, nulls),
        OfHost::Devices(devices) => bind_devices(root, inside, devices),
        OfHost::Parts(parts) => etc::bind_parts(root, inside, parts),
    }
}

/// How many inodes a file system of this size gets. Files are memory, too: one for each page is the
/// kernel's default without a size, and enough for a small one.
fn inodes_for(size: u64) -> u64 {
    const PAGE: u64 = 4096;
    (size / PAGE).max(1024)
}

fn decimal(number: u64) -> CString {
    CString::new(number.to_string()).unwrap_or_default()
}

/// A device that every program may expect.
#[derive(Debug, Clone, Copy)]
struct Device {
    name: &'static str,
    outside: &'static CStr,
    /// Major and minor number (devices.txt of the kernel).
    number: (u64, u64),
}

const fn device(name: &'static str, outside: &'static CStr, number: (u64, u64)) -> Device {
    Device {
        name,
        outside,
        number,
    }
}

/// All of them; every other one of the host stays outside.
const DEVICES: [Device; 6] = [
    device("null", c"/dev/null", (1, 3)),
    device("zero", c"/dev/zero", (1, 5)),
    device("full", c"/dev/full", (1, 7)),
    device("random", c"/dev/random", (1, 8)),
    device("urandom", c"/dev/urandom", (1, 9)),
    device("tty", c"/dev/tty", (5, 0)),
];

/// The directories in `/dev`, which other file systems are mounted on.
pub(super) const DEV_DIRECTORIES: [&str; 2] = ["pts", "shm"];

/// Makes `/dev` with nodes of its own, where this process may: mknod(2) is refused in many
/// containers, and in user namespaces. To bind the host's takes eight calls each.
fn make_with_nodes() -> io::Result<Option<OwnedFd>> {
    // A test that takes this barrier away is about the host's nodes.
    let may = way::rootless().is_none() && credentials::may_make_nodes()?;
    if !may || !Barrier::ReadOnlyDevices.stands() {
        return Ok(None);
    }
    let dev = mount::new_file_system(c"tmpfs", &SMALL, 0)?;
    let before = umask(Mode::empty());
    let mode = Mode::from_bits_truncate(0o666);
    let made = DEVICES.iter().try_for_each(|device| {
        let (major, minor) = device.number;
        mknodat(
            &dev,
            device.name,
            SFlag::S_IFCHR,
            mode,
            makedev(major, minor),
        )
    });
    umask(before);
    match made {
        Ok(()) => {
            populate_dev(dev.as_fd())?;
            Ok(Some(dev))
        }
        Err(Errno::EPERM | Errno::EACCES) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// Binds the host's device nodes one by one.
fn bind_devices(root: BorrowedFd<'_>, dev: &Path, devices: &[OwnedFd]) -> io::Result<()> {
    for (Device { name, .. }, device) in DEVICES.iter().zip(devices) {
        bind_device(device, resolve(root, &dev.join(name))?.as_fd())?;
    }
    Ok(())
}

fn bind_device(device: &OwnedFd, target: BorrowedFd<'_>) -> io::Result<()> {
    let change = mount::Change {
        // The host's node is read-only, since its times would tell one box of another; the device
        // is not. Those of a terminal's change all the same when it is used.
        set: MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC | Barrier::ReadOnlyDevices.of(MOUNT_ATTR_RDONLY),
        ..mount::Change::default()
    };
    mount::change(device.as_fd(), c"", change)?;
    mount::attach(device.as_fd(), target, c"")
}

/// Files of proc that tell about this machine and others on it, and not about the program's
/// processes: how it was booted, whose keys it has, how busy its devices are (proc(5)).
const COVERED: [&str; 4] = ["cmdline", "interrupts", "keys", "key-users"];

/// Puts something empty over them; a kernel need not have all.
fn cover(root: BorrowedFd<'_>, proc: &Path, nulls: &[OwnedFd]) -> io::Result<()> {
    for (name, null) in COVERED.iter().zip(nulls) {
        match resolve(root, &proc.join(name)) {
            Ok(target) => bind_device(null, target.as_fd())?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Adds everything but the devices.
fn populate_dev(dev: BorrowedFd<'_>) -> io::Result<()> {
    for (name, target) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
        ("ptmx", "pts/ptmx"),
    ] {
        symlinkat(target, dev, name)?;
    }
    for directory in DEV_DIRECTORIES {
        mkdirat(dev, directory, Mode::from_bits_truncate(0o755))?;
    }
    Ok(())
}
