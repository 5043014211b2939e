//! The program's process, from its clone to its execve: a straight line of named steps.
//!
//! It starts as a copy of init, in the leaf, as root. What needs root comes first; then it is the box
//! user for good. It then waits for the keeper's word, so that nothing above that line is in the
//! program's time; below it are the steps that may block on what the caller named.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::SigSet;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{
    Gid, Pid, Uid, chdir, getpgrp, setgroups, setpgid, setresgid, setresuid, tcsetpgrp, write,
};

use super::message::{StepFailure, ToInit, ToKeeper};
use super::step::Step;
use crate::sys::exec::Image;
use crate::sys::{credentials, process};

/// Everything the program's process needs, decided and laid out before the clone.
#[derive(Debug)]
pub(crate) struct ProgramSetup {
    /// The ids of the box.
    pub(crate) uid: u32,
    /// The same for the group.
    pub(crate) gid: u32,
    /// Limits by setrlimit(2), soft and hard alike.
    pub(crate) rlimits: Vec<(Resource, u64)>,
    /// System call filters.
    pub(crate) filter: Vec<libc::sock_filter>,
    /// Whether the process is in a leaf and gets a cgroup namespace rooted there.
    pub(crate) in_leaf: bool,
    /// Whether descriptors above 2 stay open.
    pub(crate) inherit_fds: bool,
    /// The terminal whose foreground group the program becomes.
    pub(crate) foreground: Option<OwnedFd>,
    /// Redirections.
    pub(crate) stdin: Option<CString>,
    /// The same.
    pub(crate) stdout: Option<CString>,
    /// The same.
    pub(crate) stderr: StderrSetup,
    /// Where to go before execve.
    pub(crate) directory: Option<CString>,
    /// The program.
    pub(crate) image: Image,
    /// `execve("X"): `, printed in front of the reason when it fails.
    pub(crate) complaint: Vec<u8>,
}

/// What becomes of descriptor 2.
#[derive(Debug)]
pub(crate) enum StderrSetup {
    /// It stays.
    Inherit,
    /// It is opened.
    File(CString),
    /// It becomes a copy of descriptor 1.
    ToStdout,
}

/// Becomes the program, or tells the keeper why not.
pub(super) fn run(setup: &ProgramSetup, keeper: BorrowedFd<'_>) -> ! {
    let failure = match set_up(setup, keeper) {
        Ok(()) => match become_program(setup) {
            Ok(never) => match never {},
            Err(failure) => failure,
        },
        Err(failure) => failure,
    };
    if failure.step == Step::Execute {
        // The program is at fault, not the sandbox: its own stderr and exit code say so.
        let reason = Errno::from_raw(failure.errno).desc();
        for part in [&setup.complaint[..], reason.as_bytes(), b"\n"] {
            if write(io::stderr(), part).is_err() {
                break;
            }
        }
        process::exit_now(127);
    }
    // When even this cannot be sent, the keeper is gone, and init with it.
    drop(ToKeeper::Failed(failure).send(keeper, None));
    process::exit_now(2)
}

fn set_up(setup: &ProgramSetup, keeper: BorrowedFd<'_>) -> Result<(), StepFailure> {
    setpgid(Pid::from_raw(0), Pid::from_raw(0)).map_err(failed(Step::ProcessGroup))?;
    if let Some(terminal) = &setup.foreground {
        // SIGTTOU is still blocked here, as everything is, so a background group may do this.
        tcsetpgrp(terminal, getpgrp()).map_err(failed(Step::Foreground))?;
    }
    if setup.in_leaf {
        // Only now: a namespace made with the clone would be rooted in init's cgroup.
        unshare(CloneFlags::CLONE_NEWCGROUP).map_err(failed(Step::CgroupNamespace))?;
    }
    // Before the uid changes: CAP_SYS_RESOURCE is needed to raise hard limits.
    for (index, (resource, limit)) in setup.rlimits.iter().enumerate() {
        setrlimit(*resource, *limit, *limit).map_err(|errno| StepFailure {
            step: Step::Rlimit,
            index: u32::try_from(index).unwrap_or(u32::MAX),
            errno: errno as i32,
        })?;
    }
    // Before the uid changes: CAP_SETPCAP is needed.
    credentials::drop_bounding_set().map_err(os_failed(Step::BoundingSet))?;
    let (uid, gid) = (Uid::from_raw(setup.uid), Gid::from_raw(setup.gid));
    setresgid(gid, gid, gid).map_err(failed(Step::GroupIds))?;
    setgroups(&[]).map_err(failed(Step::GroupIds))?;
    setresuid(uid, uid, uid).map_err(failed(Step::UserIds))?;
    credentials::drop_capabilities().map_err(os_failed(Step::Capabilities))?;
    nix::sys::prctl::set_no_new_privs().map_err(failed(Step::NoNewPrivileges))?;
    umask(Mode::from_bits_truncate(0o022));
    if !setup.inherit_fds {
        process::close_on_exec_from(3).map_err(os_failed(Step::CloseOnExec))?;
    }
    // The caller's nohup and the keeper's signalfd are not the program's business.
    process::reset_signal_dispositions();
    SigSet::empty()
        .thread_set_mask()
        .map_err(failed(Step::Signals))?;
    if !setup.filter.is_empty() {
        credentials::install_filter(&setup.filter).map_err(os_failed(Step::Filter))?;
    }
    let used = process::resource_usage(process::UsageOf::Myself)
        .map_err(os_failed(Step::HearFromKeeper))?;
    ToKeeper::Prepared(used)
        .send(keeper, None)
        .map_err(os_failed(Step::HearFromKeeper))?;
    match ToInit::receive(keeper) {
        Ok(Some((ToInit::Run, _))) => Ok(()),
        Ok(_) => Err(StepFailure {
            step: Step::HearFromKeeper,
            index: 0,
            errno: libc::ECANCELED,
        }),
        Err(error) => Err(os_failed(Step::HearFromKeeper)(error)),
    }
}

fn become_program(setup: &ProgramSetup) -> Result<std::convert::Infallible, StepFailure> {
    if let Some(path) = &setup.stdin {
        redirect(path, OFlag::O_RDONLY, 0, Step::OpenStdin)?;
    }
    let output = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_TRUNC;
    if let Some(path) = &setup.stdout {
        redirect(path, output, 1, Step::OpenStdout)?;
    }
    match &setup.stderr {
        StderrSetup::Inherit => {}
        StderrSetup::File(path) => redirect(path, output, 2, Step::OpenStderr)?,
        StderrSetup::ToStdout => {
            nix::unistd::dup2_stderr(io::stdout()).map_err(failed(Step::StderrToStdout))?;
        }
    }
    if let Some(directory) = &setup.directory {
        chdir(directory.as_c_str()).map_err(failed(Step::ChangeDirectory))?;
    }
    Err(os_failed(Step::Execute)(setup.image.execute()))
}

/// Opens a path of the sandbox as the box user and puts it where the program expects it.
fn redirect(path: &CString, flags: OFlag, number: i32, step: Step) -> Result<(), StepFailure> {
    let file = open(
        path.as_c_str(),
        flags | OFlag::O_CLOEXEC,
        Mode::from_bits_truncate(0o666),
    )
    .map_err(failed(step))?;
    if file.as_raw_fd() == number {
        // Descriptor `number` was closed when the sandbox was called; then only the flag is in the way.
        nix::fcntl::fcntl(
            &file,
            nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty()),
        )
        .map_err(failed(step))?;
        std::mem::forget(file);
        return Ok(());
    }
    match number {
        0 => nix::unistd::dup2_stdin(&file),
        1 => nix::unistd::dup2_stdout(&file),
        _ => nix::unistd::dup2_stderr(&file),
    }
    .map_err(failed(step))
}

fn failed(step: Step) -> impl Fn(Errno) -> StepFailure {
    move |errno| StepFailure {
        step,
        index: 0,
        errno: errno as i32,
    }
}

fn os_failed(step: Step) -> impl Fn(io::Error) -> StepFailure {
    move |error| StepFailure {
        step,
        index: 0,
        errno: error.raw_os_error().unwrap_or(libc::EINVAL),
    }
}
