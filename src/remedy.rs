//! What mends something that is wrong with the machine. A remedy is data, so that errors, `doctor`
//! and the documentation say the same.

use std::fmt;
use std::io;

use nix::errno::Errno;

use crate::error::chain;

/// What mends something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// cgroup v2 has no memory controller.
    EnableMemory,
    /// A cgroup does not have a controller.
    EnableController,
    /// systemd is to be asked, but cannot be.
    OtherManager,
    /// No delegated cgroup is there.
    GiveCgroup,
    /// The configuration wants no cgroups.
    ManagerAuto,
    /// There is nobody who makes cgroups.
    BootSystemd,
    /// A user may not use boxes.
    JoinGroup,
    /// A user may not do something beyond that.
    PolkitRule,
    /// polkit does not know our actions.
    InstallPolicy,
    /// There is no polkit.
    InstallPolkit,
    /// polkit does not answer in time.
    StartPolkit,
    /// polkit answers with an error.
    ReadPolkitLog,
    /// The root directory is no mount point.
    BindRoot,
    /// A container does not let us mount.
    AllowMounts,
    /// A mount point is missing inside another directory.
    MakeMountPoint,
    /// The box is not among the directories.
    KeepBoxRule,
    /// The root directory may not be changed.
    AllowChroot,
    /// No process can be made.
    RaiseProcesses,
    /// A limit of open files is too high.
    LowerOpenFiles,
    /// A limit may not be raised.
    AllowResource,
    /// The memory limit does not suffice for the set-up.
    RaiseMemory,
    /// The file system could have quotas, but has none.
    EnableQuotas,
    /// The file system can have no quotas.
    MoveBoxes,
    /// Quotas may not be set.
    AllowQuotas,
    /// There are too many mount or PID namespaces.
    RaiseFirstNamespaces,
    /// There are too many IPC, UTS or network namespaces.
    RaiseNamespaces,
    /// There are too many cgroup namespaces.
    RaiseCgroupNamespaces,
    /// There are too many mounts, or namespaces for them.
    RaiseMounts,
    /// Namespaces may not be made.
    AllowNamespaces,
    /// A network device may not be changed.
    AllowNetwork,
    /// Capabilities may not be given up.
    AllowCapabilities,
    /// Ids may not be taken.
    AllowIds,
    /// Owners may not be changed.
    AllowOwners,
    /// Modes of others' files may not be changed.
    AllowModes,
    /// Others' files may not be opened.
    AllowFiles,
    /// Others' processes may not be killed.
    AllowKill,
    /// This user namespace does not have the ids.
    MapIds,
    /// /proc is not there.
    MountProc,
    /// Too many files are open.
    RaiseOpenFiles,
    /// A path of the host was given where one of the sandbox is wanted.
    NameInside,
    /// The user of the box has no rights to a file.
    LetBoxUser,
    /// A user has no systemd of their own at the moment.
    StartUsersManager,
    /// A user has no subordinate ids.
    AddSubIds,
    /// The programs that map subordinate ids are missing.
    InstallUidmap,
    /// They are there and do not do it.
    RepairUidmap,
    /// There are too many user namespaces.
    RaiseUserNamespaces,
    /// User namespaces may not be made or used.
    AllowUserNamespaces,
    /// A user's systemd does not have a controller.
    DelegateToUser,
    /// Something that takes root.
    AskRoot,
}

impl Remedy {
    /// The remedy for disk quotas that cannot be set or looked at for this reason.
    pub(crate) fn for_quotas(errno: Errno) -> Option<Self> {
        match errno {
            Errno::ESRCH => Some(Self::EnableQuotas),
            Errno::ENOSYS | Errno::EOPNOTSUPP | Errno::EINVAL => Some(Self::MoveBoxes),
            Errno::EPERM | Errno::EACCES => Some(Self::AllowQuotas),
            _ => None,
        }
    }

    /// The remedy for a step on a file of a box, as in "change the owner of", that cannot be done
    /// for this reason.
    pub(crate) fn for_files(step: &str, errno: Errno) -> Option<Self> {
        let gives = step.contains("owner") || step.contains("group");
        match errno {
            Errno::EPERM if gives => Some(Self::AllowOwners),
            Errno::EINVAL | Errno::EOVERFLOW if gives => Some(Self::MapIds),
            Errno::EPERM if step.contains("mode") => Some(Self::AllowModes),
            Errno::EACCES => Some(Self::AllowFiles),
            _ => None,
        }
    }

    /// The remedy for a mount that cannot be made for this reason.
    pub(crate) fn for_mounts(errno: Errno) -> Option<Self> {
        match errno {
            Errno::EPERM => Some(Self::AllowMounts),
            Errno::ENOSPC => Some(Self::RaiseMounts),
            Errno::EMFILE | Errno::ENFILE => Some(Self::RaiseOpenFiles),
            _ => None,
        }
    }

    /// An error of the system with the remedy beside it.
    pub(crate) fn beside(remedy: Option<Self>, error: io::Error) -> io::Error {
        match remedy {
            Some(remedy) => io::Error::other(format!("{} ({remedy})", chain(&error))),
            None => error,
        }
    }

    /// What is wrong, as far as the remedy needs it, and what to do.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::EnableMemory => {
                "boot with cgroup v2 alone (systemd.unified_cgroup_hierarchy=1 and no \
                 cgroup_disable=memory on the kernel's command line) or enable it in \
                 cgroup.subtree_control of the cgroups above, or run without --cg"
            }
            Self::EnableController => {
                "enable it in cgroup.subtree_control of the cgroups above, or run without --cg"
            }
            Self::OtherManager => "set it to auto, delegated or none",
            Self::GiveCgroup => {
                "name one in [cgroup] root; a container gets its own read-write from podman by \
                 --security-opt unmask=/sys/fs/cgroup, from Docker 28 by --security-opt \
                 writable-cgroups=true, see docs/containers.md"
            }
            Self::ManagerAuto => "set it to auto",
            Self::BootSystemd => {
                "boot with systemd, or name a delegated cgroup in [cgroup] root; in a container, \
                 make /sys/fs/cgroup writable (docs/containers.md)"
            }
            Self::JoinGroup => {
                "an administrator lets a user in by: usermod -aG isolate USER (and a new login), \
                 a service by SupplementaryGroups=isolate, or either by a rule in /etc/polkit-1/rules.d"
            }
            Self::PolkitRule => "an administrator allows it by a rule in /etc/polkit-1/rules.d",
            Self::InstallPolicy => {
                "/usr/share/polkit-1/actions/io.github.isolate_run.policy is missing or broken; install it again: apt \
                 install --reinstall ./isolate-run_*.deb, or ./install in the source"
            }
            Self::InstallPolkit => {
                "install polkit, the package 'polkitd' or 'polkit'; is it running? systemctl \
                 status polkit"
            }
            Self::StartPolkit => "is it running? systemctl status polkit",
            Self::ReadPolkitLog => "see: journalctl -u polkit",
            Self::BindRoot => {
                "the root directory is not a mount point, as in a plain chroot; bind it on itself \
                 first"
            }
            Self::AllowMounts => {
                "this container does not allow mounts; it needs CAP_SYS_ADMIN and no seccomp \
                 filter on them"
            }
            Self::MakeMountPoint => {
                "its place inside another rule's directory does not exist; make the directory there"
            }
            Self::KeepBoxRule => "keep a directory rule for 'box'",
            Self::AllowChroot => {
                "this container, or the service of the broker, lacks CAP_SYS_CHROOT"
            }
            Self::RaiseProcesses => "the machine or the slice is at its limit of processes",
            Self::LowerOpenFiles => {
                "it is above the sysctl fs.nr_open, or this container lacks CAP_SYS_RESOURCE"
            }
            Self::AllowResource => "this container lacks CAP_SYS_RESOURCE",
            Self::RaiseMemory => "the memory limit of the run is too small for its set-up",
            Self::EnableQuotas => {
                "user quotas are not enabled there: make the file system with quotas (ext4: \
                 tune2fs -O quota) or mount it with usrquota and run quotaon"
            }
            Self::MoveBoxes => {
                "this file system or kernel has no user quotas: put the boxes on ext4 or xfs, or \
                 limit the size of a tmpfs"
            }
            Self::RaiseFirstNamespaces => {
                "a limit of namespaces is reached: raise the sysctls user.max_mnt_namespaces and \
                 user.max_pid_namespaces"
            }
            Self::RaiseNamespaces => {
                "a limit of namespaces is reached: raise the sysctls user.max_ipc_namespaces, \
                 user.max_uts_namespaces and user.max_net_namespaces"
            }
            Self::RaiseCgroupNamespaces => {
                "a limit of namespaces is reached: raise the sysctl user.max_cgroup_namespaces"
            }
            Self::RaiseMounts => {
                "a limit of mounts is reached: raise the sysctls user.max_mnt_namespaces and \
                 fs.mount-max"
            }
            Self::AllowNamespaces => {
                "this container or service does not allow namespaces; it needs CAP_SYS_ADMIN and \
                 no seccomp filter on them"
            }
            Self::AllowNetwork => "this container or service lacks CAP_NET_ADMIN",
            Self::AllowCapabilities => "this container or service lacks CAP_SETPCAP",
            Self::AllowIds => "this container or service lacks CAP_SETUID or CAP_SETGID",
            Self::AllowOwners => "this container or service lacks CAP_CHOWN",
            Self::AllowModes => "this container or service lacks CAP_FOWNER",
            Self::AllowFiles => "this container or service lacks CAP_DAC_OVERRIDE",
            Self::AllowKill => "this container or service lacks CAP_KILL",
            Self::MapIds => {
                "the ids of the box are not mapped in this user namespace, see /proc/self/uid_map \
                 and gid_map: map them, or choose others by [boxes] first_uid and first_gid"
            }
            Self::MountProc => "/proc is not mounted here: mount -t proc proc /proc",
            Self::RaiseOpenFiles => {
                "the limit of open files is reached, and each directory rule takes one: raise it \
                 by ulimit -n"
            }
            Self::NameInside => {
                "this is a path inside of the sandbox, where a file of the box is /box/NAME, or \
                 just NAME"
            }
            Self::LetBoxUser => {
                "it is opened as the user of the box: let that user in by chmod or setfacl, or \
                 name a file in /box"
            }
            Self::StartUsersManager => {
                "log in as this user, or have an administrator keep it running: loginctl enable-linger USER"
            }
            Self::AddSubIds => {
                "an administrator gives some: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER"
            }
            Self::InstallUidmap => "an administrator installs it: apt install uidmap",
            Self::RepairUidmap => {
                "it must be set-user-ID (or have capabilities) and the user's ids must be in /etc/subuid and \
                 /etc/subgid: apt install --reinstall uidmap"
            }
            Self::RaiseUserNamespaces => {
                "a limit of namespaces is reached: sysctl user.max_user_namespaces=10000"
            }
            Self::AllowUserNamespaces => {
                "this machine does not let ordinary users have user namespaces: sysctl \
                 kernel.apparmor_restrict_unprivileged_userns=0 where AppArmor restricts them (or a profile with \
                 'userns,'), sysctl kernel.unprivileged_userns_clone=1 where Debian's kernel does; a container must \
                 allow them"
            }
            Self::DelegateToUser => {
                "the user's systemd was not given it: an administrator writes the two lines '[Service]' and \
                 'Delegate=cpu cpuset io memory pids' to /etc/systemd/system/user@.service.d/delegate.conf and \
                 restarts user@UID.service; or do without it"
            }
            Self::AskRoot => "it takes root, or a broker that acts for users (docs/broker.md)",
            Self::AllowQuotas => {
                "CAP_SYS_ADMIN is needed, and in a container that its filter of system calls lets \
                 quotactl_fd pass"
            }
        }
    }
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}
