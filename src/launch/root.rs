//! The root file system of the sandbox: a fresh tmpfs with one mount per directory rule.
//!
//! init builds it with the mount API that works on descriptors, so neither `/` nor any directory of
//! the host has to serve as a stage, and ends on it with pivot_root(2): the old root is not merely
//! hidden, it is gone from the mount namespace. Where the mount namespace never had any of the
//! host's mounts (`spare`), there is nothing to be gone: below is a directory with nothing but a
//! `/dev`.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use libc::{MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY};
use nix::fcntl::{OFlag, openat};
use nix::mount::{MntFlags, umount2};
use nix::sys::stat::Mode;
use nix::unistd::{chdir, chroot, fchdir, pivot_root};

use super::file_systems::{self, OfHost};
use super::message::StepFailure;
use super::mount_point::{make_mount_point, resolve};
use super::purpose::Purpose;
use super::shown_cgroup::ShownCgroup;
use super::spare_dev;
use super::step::Step;
use crate::barrier::Barrier;
use crate::dir_rule::{DirFlags, FileSystem};
use crate::sys::mount;

/// One directory rule, ready to be mounted.
#[derive(Debug)]
pub(crate) struct Mount {
    /// Where, relative to the new root.
    pub(crate) inside: PathBuf,
    /// What.
    pub(crate) source: MountSource,
    /// How.
    pub(crate) flags: DirFlags,
}

/// What is mounted.
#[derive(Debug)]
pub(crate) enum MountSource {
    /// A detached copy of a tree of the host, made by the keeper.
    Tree {
        /// The copy.
        tree: OwnedFd,
        /// Whether its root is a directory.
        is_directory: bool,
    },
    /// A new file system.
    FileSystem(FileSystem),
}

/// What the root of the mount namespace is before there is one for the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OldRoot {
    /// The host's: it goes.
    Hosts,
    /// A directory of a [spare](super::spare), which nobody can write to.
    Spares,
}

/// Takes what the rules' file systems will show of the host, before init leaves its mounts. Where
/// it may go among those of a spare and share what lies there with other runs (`may_share`), that
/// is left until then.
pub(super) fn take(
    mounts: &[Option<Mount>],
    purpose: Purpose,
    may_share: bool,
) -> Result<Vec<OfHost>, StepFailure> {
    let of_host = |(index, mount): (usize, &Option<Mount>)| match mount {
        Some(Mount {
            source: MountSource::FileSystem(kind),
            ..
        }) if may_share && *kind == FileSystem::Dev && spare_dev::fits(mounts, index) => {
            Ok(OfHost::Spare)
        }
        Some(Mount {
            source: MountSource::FileSystem(kind),
            ..
        }) => file_systems::take(*kind, purpose).map_err(StepFailure::at_index(Step::Mount, index)),
        _ => Ok(OfHost::Nothing),
    };
    mounts.iter().enumerate().map(of_host).collect()
}

/// Takes what was left.
fn take_rest(of_host: &mut [OfHost], purpose: Purpose, old: OldRoot) -> Result<(), StepFailure> {
    for (index, of_host) in of_host.iter_mut().enumerate() {
        if let OfHost::Spare = of_host {
            let taken = match old {
                OldRoot::Spares => spare_dev::copy().map(OfHost::Whole),
                OldRoot::Hosts => file_systems::take(FileSystem::Dev, purpose),
            };
            *of_host = taken.map_err(StepFailure::at_index(Step::Mount, index))?;
        }
    }
    Ok(())
}

/// Builds the root and changes to it, with `/` as working directory; returns a mount that is left
/// to the program's process. Without `may_have_users`, this is the second obstacle to user
/// namespaces: the kernel makes none for a process with another root than its mount namespace
/// (user_namespaces(7), chroot).
pub(super) fn build(
    mounts: &[Option<Mount>],
    mut of_host: Vec<OfHost>,
    purpose: Purpose,
    may_have_users: bool,
    old: OldRoot,
) -> Result<Option<ShownCgroup>, StepFailure> {
    take_rest(&mut of_host, purpose, old)?;
    let here = nix::fcntl::AT_FDCWD;
    let private = mount::Change {
        recursive: true,
        ..mount::Change::default()
    };
    mount::change(here, c"/", private).map_err(StepFailure::at(Step::PrivateMounts))?;
    let attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
    // The program cannot write to the root, so room for mount points is enough.
    let options = [(c"mode", c"755"), (c"size", c"4m"), (c"nr_inodes", c"4096")];
    let root = mount::new_file_system(c"tmpfs", &options, attributes)
        .map_err(StepFailure::at(Step::RootFileSystem))?;
    // init changes to this root anyway, and the mount namespace is its own.
    mount::attach(root.as_fd(), here, c"/").map_err(StepFailure::at(Step::RootFileSystem))?;
    for (index, mount) in mounts
        .iter()
        .enumerate()
        .filter_map(|(index, mount)| Some((index, mount.as_ref()?)))
    {
        make_mount_point(root.as_fd(), &mount.inside, mount.source.is_directory())
            .map_err(StepFailure::at_index(Step::MountPoint, index))?;
    }
    let first = root;
    let second = if may_have_users || !Barrier::SecondRoot.stands() {
        None
    } else {
        attach_again(first.as_fd()).map_err(StepFailure::at(Step::RootFileSystem))?
    };
    let root = second.as_ref().unwrap_or(&first);
    for (index, of_host) in of_host.iter().enumerate() {
        attach(root.as_fd(), mounts, index, purpose, of_host)?;
    }
    let shown = shown_cgroup(root.as_fd(), mounts)?;
    let seal = mount::Change {
        set: MOUNT_ATTR_RDONLY,
        ..mount::Change::default()
    };
    Barrier::SealedRoot
        .raise(|| mount::change(root.as_fd(), c"", seal))
        .map_err(StepFailure::at(Step::SealRoot))?;
    fchdir(&first).map_err(StepFailure::at(Step::PivotRoot))?;
    match old {
        OldRoot::Hosts => {
            // With two equal arguments the old root ends up on top of the new one: pivot_root(2),
            // NOTES.
            pivot_root(".", ".").map_err(StepFailure::at(Step::PivotRoot))?;
            Barrier::OldRootDetached
                .raise(|| umount2(".", MntFlags::MNT_DETACH))
                .map_err(StepFailure::at(Step::DetachOldRoot))?;
        }
        // The new root is on top of it. To let go of it takes a grace period of the kernel's.
        OldRoot::Spares => chroot(".").map_err(StepFailure::at(Step::PivotRoot))?,
    }
    if second.is_some() {
        fchdir(root).map_err(StepFailure::at(Step::PivotRoot))?;
        chroot(".").map_err(StepFailure::at(Step::PivotRoot))?;
    }
    chdir("/").map_err(StepFailure::at(Step::PivotRoot))?;
    Ok(shown)
}

/// Where the run's own cgroup is to be shown. A process does this that has it as the root of its
/// cgroup namespace, unlike init.
fn shown_cgroup(
    root: BorrowedFd<'_>,
    mounts: &[Option<Mount>],
) -> Result<Option<ShownCgroup>, StepFailure> {
    let is_cgroup =
        |mount: &Mount| matches!(mount.source, MountSource::FileSystem(FileSystem::Cgroup));
    for (index, mount) in mounts.iter().enumerate() {
        let Some(mount) = mount.as_ref().filter(|mount| is_cgroup(mount)) else {
            continue;
        };
        return match resolve(root, &mount.inside) {
            Ok(target) => Ok(Some(ShownCgroup {
                target,
                index,
                maybe: mount.flags.maybe,
            })),
            // Another rule hides the place.
            Err(error) if mount.flags.maybe && error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StepFailure::at_index(Step::Mount, index)(error)),
        };
    }
    Ok(None)
}

/// Mounts the root a second time, on a directory of its own, for the program. The first mount,
/// which has this directory, stays the root of the mount namespace. `None` if there is no `/box`;
/// later this is found to be an error.
fn attach_again(root: BorrowedFd<'_>) -> io::Result<Option<OwnedFd>> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let target = match openat(root, "box", flags, Mode::empty()) {
        Err(nix::errno::Errno::ENOENT) => return Ok(None),
        other => other?,
    };
    let again = mount::copy_tree(root, false)?;
    mount::attach(again.as_fd(), target.as_fd(), c"")?;
    Ok(Some(again))
}

impl MountSource {
    /// Whether its mount point is a directory.
    pub(super) fn is_directory(&self) -> bool {
        match self {
            Self::Tree { is_directory, .. } => *is_directory,
            Self::FileSystem(_) => true,
        }
    }
}

fn attach(
    root: BorrowedFd<'_>,
    mounts: &[Option<Mount>],
    index: usize,
    purpose: Purpose,
    of_host: &OfHost,
) -> Result<(), StepFailure> {
    let Some(Mount {
        inside,
        source,
        flags,
    }) = &mounts[index]
    else {
        return Ok(());
    };
    let new;
    let tree = match source {
        MountSource::Tree { tree, .. } => tree,
        MountSource::FileSystem(FileSystem::Cgroup) => return Ok(()),
        MountSource::FileSystem(kind) => {
            let made = match of_host {
                OfHost::Whole(made) => made,
                _ => {
                    new = file_systems::make(*kind, purpose, of_host)
                        .map_err(StepFailure::at_index(Step::NewFileSystem, index))?;
                    &new
                }
            };
            // A new file system was never writable for the program, so later rules may have mount
            // points in it.
            if kind.is_ours() {
                for later in mounts[index + 1..].iter().flatten() {
                    if let Ok(below) = later.inside.strip_prefix(inside) {
                        make_mount_point(made.as_fd(), below, later.source.is_directory())
                            .map_err(StepFailure::at_index(Step::MountPoint, index))?;
                    }
                }
            }
            made
        }
    };
    let change = mount::Change {
        set: attributes(source, *flags),
        clear: 0,
        recursive: !flags.not_recursive,
    };
    mount::change(tree.as_fd(), c"", change).map_err(StepFailure::at_index(Step::Mount, index))?;
    let target = resolve(root, inside).map_err(StepFailure::at_index(Step::Mount, index))?;
    mount::attach(tree.as_fd(), target.as_fd(), c"")
        .map_err(StepFailure::at_index(Step::Mount, index))?;
    match source {
        MountSource::FileSystem(kind) => file_systems::finish(*kind, of_host, root, inside)
            .map_err(StepFailure::at_index(Step::Mount, index)),
        MountSource::Tree { .. } => Ok(()),
    }
}

/// The mount attributes of a rule. They hold for everything in the tree, unlike those of a bind
/// mount by mount(8).
fn attributes(source: &MountSource, flags: DirFlags) -> mount::Attributes {
    let is_dev = matches!(
        source,
        MountSource::FileSystem(FileSystem::Dev | FileSystem::Devpts)
    );
    let mut attributes = Barrier::NoSuidMounts.of(MOUNT_ATTR_NOSUID);
    if !flags.writable {
        attributes |= Barrier::ReadOnlyMounts.of(MOUNT_ATTR_RDONLY);
    }
    if !flags.devices && !is_dev {
        attributes |= Barrier::NoDevMounts.of(MOUNT_ATTR_NODEV);
    }
    if flags.no_exec {
        attributes |= MOUNT_ATTR_NOEXEC;
    }
    attributes
}
