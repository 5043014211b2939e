//! The steps that init and the program's process take, in their order: the list *is* this enum.

use serde::{Deserialize, Serialize};

/// A step of the set-up inside the namespaces. The words for each are [`Step::words`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Step {
    /// init: die with the keeper.
    DieWithKeeper,
    /// init: give up what the program is not to have from the caller.
    Ordinary,
    /// init: make the other namespaces.
    Namespaces,
    /// init: set the names of the host and of its domain.
    HostName,
    /// init: bring the loopback interface up.
    Loopback,
    /// init: cut the mount namespace off from the host's.
    PrivateMounts,
    /// init: make the tmpfs that becomes the root.
    RootFileSystem,
    /// init: make the mount point of a rule.
    MountPoint,
    /// init: make the file system of a rule.
    NewFileSystem,
    /// init: mount a rule.
    Mount,
    /// init: make the root read-only.
    SealRoot,
    /// init: change to the new root.
    PivotRoot,
    /// init: let go of the old root.
    DetachOldRoot,
    /// init: change to `/box`.
    ChangeToBox,
    /// init: let the program run on every CPU.
    LeaveCpu,
    /// init: leave the caller's session keyring.
    Keyring,
    /// init: the capability bounding set, which the program inherits.
    BoundingSet,
    /// init: make the system call filter.
    CompileFilter,
    /// init, program: hear from the keeper.
    HearFromKeeper,
    /// init: make the program's process.
    CloneProgram,
    /// init: give up capabilities.
    RestrictInit,
    /// init: wait for processes.
    Wait,
    /// program: own session.
    Session,
    /// program: own process group.
    ProcessGroup,
    /// program: become the terminal's foreground group.
    Foreground,
    /// program: own cgroup namespace.
    CgroupNamespace,
    /// init, program: close what is not theirs.
    CloseDescriptors,
    /// program: what it would have from the caller, were it their child.
    Inherit,
    /// program: a timer that ends it, should it not become the program in time.
    Patience,
    /// program: a resource limit.
    Rlimit,
    /// program: group ids.
    GroupIds,
    /// program: user ids.
    UserIds,
    /// program: capability sets.
    Capabilities,
    /// program: no_new_privs.
    NoNewPrivileges,
    /// program: install the system call filter.
    Filter,
    /// program: unblock signals.
    Signals,
    /// program: tell the keeper that the clock starts.
    StartClock,
    /// program: open standard input.
    OpenStdin,
    /// program: open standard output.
    OpenStdout,
    /// program: open standard error.
    OpenStderr,
    /// program: send standard error to standard output.
    StderrToStdout,
    /// program: change directory.
    ChangeDirectory,
    /// program: execve.
    Execute,
}

impl Step {
    /// What could not be done; the object follows where the step has one.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::DieWithKeeper => "cannot make init die with the keeper",
            Self::Ordinary => {
                "cannot give the program an ordinary priority (CPU, I/O, timers, /proc/self/oom_score_adj)"
            }
            Self::Namespaces => "cannot make the IPC, UTS and network namespaces of the sandbox",
            Self::HostName => "cannot set the names of the host and of its domain in the sandbox",
            Self::Loopback => "cannot bring up the loopback interface of the sandbox",
            Self::PrivateMounts => "cannot make the mounts of the sandbox private",
            Self::RootFileSystem => "cannot make the root file system of the sandbox",
            Self::MountPoint => "cannot make the mount point of directory rule",
            Self::NewFileSystem => "cannot make the file system of directory rule",
            Self::Mount => "cannot mount directory rule",
            Self::SealRoot => "cannot make the root of the sandbox read-only",
            Self::PivotRoot => "cannot change to the root of the sandbox",
            Self::DetachOldRoot => "cannot detach the root of the host",
            Self::ChangeToBox => "cannot change to the directory '/box' of the sandbox",
            Self::LeaveCpu => "cannot let the program run on every CPU",
            Self::Keyring => "cannot leave the session keyring of the caller",
            Self::BoundingSet => "cannot empty the capability bounding set of the sandbox",
            Self::CompileFilter => "cannot compile the system call filter of the program",
            Self::Filter => "cannot install the system call filter of the program",
            Self::HearFromKeeper => "init cannot hear from the keeper",
            Self::CloneProgram => "cannot make the program's process",
            Self::RestrictInit => "cannot take the capabilities of init away",
            Self::Wait => "init cannot wait for the program",
            Self::Session => "cannot make a session for the program",
            Self::ProcessGroup => "cannot make a process group for the program",
            Self::Foreground => "cannot put the program into the foreground of the terminal",
            Self::CgroupNamespace => "cannot make a cgroup namespace for the program",
            Self::CloseDescriptors => "cannot close the descriptors of the sandbox",
            Self::Inherit => "cannot give the caller's limits and CPUs to the program",
            Self::Patience => "cannot limit the time that the program may take to begin",
            Self::Rlimit => "cannot set resource limit",
            Self::GroupIds => "cannot set the group of the program",
            Self::UserIds => "cannot set the user of the program",
            Self::Capabilities => "cannot take the capabilities of the program away",
            Self::NoNewPrivileges => "cannot set no_new_privs for the program",
            Self::Signals => "cannot unblock the signals of the program",
            Self::StartClock => "the program's process cannot reach the keeper",
            Self::OpenStdin => "cannot open standard input",
            Self::OpenStdout => "cannot open standard output",
            Self::OpenStderr => "cannot open standard error",
            Self::StderrToStdout => "cannot send standard error to standard output",
            Self::ChangeDirectory => "cannot change directory to",
            Self::Execute => "cannot execute",
        }
    }
}
