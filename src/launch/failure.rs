//! The words for a step that failed inside: the step, its object, the reason, and what to do next.

use nix::errno::Errno;
use nix::sys::resource::{RLIM_INFINITY, Resource};

use super::message::StepFailure;
use super::step::Step;
use crate::plan::{RunPlan, StderrPlan};
use crate::remedy::Remedy;

/// Whether the memory limit of the leaf may be behind an error on the way to the program: execve
/// copies arguments into new pages, and a message needs a buffer.
pub(crate) fn may_be_shortage(errno: i32) -> bool {
    matches!(
        errno,
        libc::ENOMEM | libc::E2BIG | libc::ENOBUFS | libc::EFAULT
    )
}

/// One line for the keeper's stderr and the meta file.
pub(crate) fn describe(failure: &StepFailure, plan: &RunPlan) -> String {
    let reason = Errno::from_raw(failure.errno).desc();
    let step = failure.step.words();
    let object = object(failure, plan)
        .map(|object| format!(" {object}"))
        .unwrap_or_default();
    let remedy = remedy(failure, plan)
        .map(|remedy| format!(" ({remedy})"))
        .unwrap_or_default();
    format!("{step}{object}: {reason}{remedy}")
}

fn object(failure: &StepFailure, plan: &RunPlan) -> Option<String> {
    let index = failure.index as usize;
    let quoted =
        |path: Option<&std::ffi::CString>| path.map(|path| format!("'{}'", path.to_string_lossy()));
    match failure.step {
        Step::MountPoint | Step::NewFileSystem | Step::Mount => plan
            .directories
            .get(index)
            .map(|rule| format!("'{}'", rule.inside.display())),
        Step::Rlimit => plan.rlimits.get(index).map(|rlimit| match rlimit.hard {
            RLIM_INFINITY => format!("{} to unlimited", name_of(rlimit.resource)),
            limit => format!("{} to {limit}", name_of(rlimit.resource)),
        }),
        Step::OpenStdin => quoted(plan.stdin.as_ref()),
        Step::OpenStdout => quoted(plan.stdout.as_ref()),
        Step::OpenStderr => match &plan.stderr {
            StderrPlan::File(path) => quoted(Some(path)),
            StderrPlan::Inherit | StderrPlan::ToStdout => None,
        },
        Step::ChangeDirectory => quoted(plan.chdir.as_ref()),
        _ => None,
    }
}

fn remedy(failure: &StepFailure, plan: &RunPlan) -> Option<Remedy> {
    let resource = plan
        .rlimits
        .get(failure.index as usize)
        .map(|rlimit| rlimit.resource);
    match (failure.step, failure.errno) {
        (Step::PrivateMounts, libc::EINVAL) => Some(Remedy::BindRoot),
        (Step::PrivateMounts | Step::RootFileSystem, libc::EPERM) => Some(Remedy::AllowMounts),
        (Step::Mount, libc::ENOENT) => Some(Remedy::MakeMountPoint),
        (Step::ChangeToBox, libc::ENOENT) => Some(Remedy::KeepBoxRule),
        (Step::PivotRoot, libc::EPERM) => Some(Remedy::AllowChroot),
        (Step::Namespaces | Step::HostName, libc::EPERM) => Some(Remedy::AllowNamespaces),
        (Step::Namespaces, libc::ENOSPC) => Some(Remedy::RaiseNamespaces),
        (Step::CgroupNamespace, libc::EPERM) => Some(Remedy::AllowNamespaces),
        (Step::CgroupNamespace, libc::ENOSPC) => Some(Remedy::RaiseCgroupNamespaces),
        (Step::Loopback, libc::EPERM) => Some(Remedy::AllowNetwork),
        (Step::BoundingSet, libc::EPERM) => Some(Remedy::AllowCapabilities),
        (Step::RestrictInit, libc::EPERM) => Some(Remedy::AllowKill),
        (Step::GroupIds | Step::UserIds, libc::EPERM) => Some(Remedy::AllowIds),
        (Step::GroupIds | Step::UserIds, libc::EINVAL) => Some(Remedy::MapIds),
        (Step::Mount | Step::NewFileSystem | Step::RootFileSystem, errno @ libc::ENOSPC)
        | (Step::Mount | Step::NewFileSystem, errno @ libc::EPERM) => {
            Remedy::for_mounts(Errno::from_raw(errno))
        }
        (Step::OpenStdin | Step::OpenStdout | Step::OpenStderr, errno) => {
            of_redirection(errno, failure.step, plan)
        }
        (Step::CloneProgram, libc::EAGAIN) => Some(Remedy::RaiseProcesses),
        (Step::Rlimit, libc::EPERM) if resource == Some(Resource::RLIMIT_NOFILE) => {
            Some(Remedy::LowerOpenFiles)
        }
        (Step::Rlimit, libc::EPERM) => Some(Remedy::AllowResource),
        (_, libc::ENOMEM) if plan.leaf.memory.is_some() => Some(Remedy::RaiseMemory),
        _ => None,
    }
}

/// What to do about a redirection that cannot be opened.
fn of_redirection(errno: i32, step: Step, plan: &RunPlan) -> Option<Remedy> {
    let path = match step {
        Step::OpenStdin => plan.stdin.as_ref(),
        Step::OpenStdout => plan.stdout.as_ref(),
        _ => match &plan.stderr {
            StderrPlan::File(path) => Some(path),
            StderrPlan::Inherit | StderrPlan::ToStdout => None,
        },
    };
    match errno {
        libc::ENOENT | libc::ENOTDIR if path?.to_bytes().starts_with(b"/") => {
            Some(Remedy::NameInside)
        }
        libc::EACCES => Some(Remedy::LetBoxUser),
        _ => None,
    }
}

fn name_of(resource: Resource) -> &'static str {
    match resource {
        Resource::RLIMIT_AS => "RLIMIT_AS",
        Resource::RLIMIT_CPU => "RLIMIT_CPU",
        Resource::RLIMIT_CORE => "RLIMIT_CORE",
        Resource::RLIMIT_FSIZE => "RLIMIT_FSIZE",
        Resource::RLIMIT_MEMLOCK => "RLIMIT_MEMLOCK",
        Resource::RLIMIT_NOFILE => "RLIMIT_NOFILE",
        Resource::RLIMIT_NPROC => "RLIMIT_NPROC",
        Resource::RLIMIT_STACK => "RLIMIT_STACK",
        _ => "a limit",
    }
}
