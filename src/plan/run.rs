//! One run: from what was asked, granted and configured to what will be done.

use std::ffi::{CString, OsStr, OsString};
use std::ops::Deref;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use super::directories::directories;
use super::granted::Granted;
use super::handover::why_given;
use super::limits::{Deadlines, Rlimit, rlimits};
use super::program::{always_fit, candidates, environment};
use super::scope::{leaf_of, scope};
use super::{Refusal, require_cg, require_memory};
use crate::box_dir::SpecialFiles;
use crate::cgroup::{LeafLimits, Place};
use crate::config::settings::Settings;
use crate::dir_rule::DirRule;
use crate::quantity::{BoxId, CpuList, DiskQuota, Ids};
use crate::request::{ProgramRequest, RunKind, StderrRequest};
use crate::syscall_set::{Restriction, SyscallSet};
use crate::systemd::ScopeSpec;

/// One run, decided. It can be read but not changed; only [`resolve`] makes one.
#[derive(Debug)]
pub(crate) struct RunPlan(Decided);

impl Deref for RunPlan {
    type Target = Decided;

    fn deref(&self) -> &Decided {
        &self.0
    }
}

/// What was decided for a run.
#[derive(Debug)]
pub(crate) struct Decided {
    /// By which command.
    pub(crate) kind: RunKind,
    /// Where the run's cgroup comes from.
    pub(crate) place: Place,
    /// The scope that it needs, if systemd makes its cgroup.
    pub(crate) scope: Option<ScopeSpec>,
    /// CPU time is that of the cgroup and not that of the main process.
    pub(crate) cg_timing: bool,
    /// Limits that the keeper watches.
    pub(crate) deadlines: Deadlines,
    /// Limits that the cgroup keeps.
    pub(crate) leaf: LeafLimits,
    /// Limits that the kernel keeps for each process.
    pub(crate) rlimits: Vec<Rlimit>,
    /// Disk quota, if one was asked for.
    pub(crate) quota: Option<DiskQuota>,
    /// What is mounted where.
    pub(crate) directories: Vec<DirRule>,
    /// System calls that are refused.
    pub(crate) syscalls: SyscallSet,
    /// Keep the caller's network namespace.
    pub(crate) share_net: bool,
    /// Keep descriptors above 2.
    pub(crate) inherit_fds: bool,
    /// Become the terminal's foreground process group.
    pub(crate) tty_hack: bool,
    /// What becomes of symbolic links, devices, FIFOs and sockets in the box.
    pub(crate) special_files: SpecialFiles,
    /// The file that standard input is redirected from, opened inside.
    pub(crate) stdin: Option<CString>,
    /// The file that standard output is redirected to, opened inside.
    pub(crate) stdout: Option<CString>,
    /// Where standard error goes, opened inside.
    pub(crate) stderr: StderrPlan,
    /// Where the program starts, relative to `/box`.
    pub(crate) chdir: Option<CString>,
    /// The paths to execute: each is tried if the one before does not exist.
    pub(crate) candidates: Vec<CString>,
    /// The program's arguments, with its name first.
    pub(crate) arguments: Vec<CString>,
    /// The program's environment.
    pub(crate) environment: Vec<CString>,
}

/// Where the program's standard error goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StderrPlan {
    /// Where the caller's goes.
    Inherit,
    /// To a file inside.
    File(CString),
    /// Where its standard output goes.
    ToStdout,
}

/// What a run depends on.
#[derive(Debug)]
pub(crate) struct RunInputs<'a> {
    /// What is run.
    pub(crate) kind: RunKind,
    /// Whether control-group mode was asked for.
    pub(crate) cg: bool,
    /// The rest of the request.
    pub(crate) request: &'a ProgramRequest,
    /// The part of it that is granted.
    pub(crate) granted: &'a Granted,
    /// What is configured.
    pub(crate) settings: &'a Settings,
    /// Where its cgroup comes from.
    pub(crate) place: Place,
    /// Its box.
    pub(crate) box_id: BoxId,
    /// The CPUs that are leased to it.
    pub(crate) leased: Option<&'a CpuList>,
    /// The user whose run it is.
    pub(crate) uid: u32,
    /// Whether root asks, for whomever.
    pub(crate) called_by_root: bool,
    /// Whether it is one of many of a batch.
    pub(crate) of_batch: bool,
    /// The variables that `--env` and `--full-env` take from.
    pub(crate) environment: &'a [(OsString, OsString)],
}

/// Decides a run in a box.
pub(crate) fn resolve(inputs: RunInputs<'_>) -> Result<RunPlan, Refusal> {
    let RunInputs {
        kind,
        cg: asks_for_cg,
        request,
        granted,
        settings,
        place,
        box_id,
        leased,
        uid,
        called_by_root,
        of_batch,
        environment: of_caller,
    } = inputs;
    let limits = &granted.limits;
    let is_exec = kind == RunKind::Exec;
    // exec is for people who did not choose a mode: they get the better one where there is one.
    let cg = asks_for_cg || (is_exec && place.require_memory().is_ok());
    if asks_for_cg {
        require_cg(&place)?;
    } else if is_exec && limits.cg_mem.is_some() {
        require_memory(&place)?;
    }
    if let (Some(_), Place::Nowhere { reason }) = (settings.pin_of(box_id), &place) {
        return Err(Refusal(format!(
            "box {box_id} is bound to CPUs by [[pin]] in the configuration, which needs a cgroup: {reason}"
        )));
    }
    let of_box = leaf_of(settings, box_id, cg);
    let leaf = LeafLimits {
        memory: limits.cg_mem,
        processes: limits.processes,
        // They are among those of a pin.
        cpus: leased.cloned().or(of_box.cpus),
        ..of_box
    };
    let deadlines = Deadlines::of(limits);
    let scope = scope(settings, &place, box_id, uid, &leaf).map(|scope| ScopeSpec {
        runtime_max: deadlines.scope(),
        outlasts_runs: settings.scope_outlasts_runs(of_batch),
        ..scope
    });
    let directories = directories(kind, request, settings, &leaf, &place)?;
    let environment = environment(request, of_caller, kind);
    let program = request.argv.first();
    let program = program.ok_or_else(|| Refusal("no program was given".into()))?;
    let search = match kind {
        RunKind::Run => None,
        RunKind::Exec => environment.get(OsStr::new("PATH")),
    };
    let candidates = candidates(program, search);
    let syscalls = match request.syscalls {
        Some(flags) => settings
            .syscalls
            .with_flags(flags)
            .map_err(|error| Refusal(format!("--syscalls: {error}")))?,
        None => settings.syscalls,
    };
    let lifts_io_uring = settings.syscalls.contains(Restriction::IoUring)
        && !syscalls.contains(Restriction::IoUring);
    if lifts_io_uring && !called_by_root {
        // No filter sees its calls: they could make a set-user-ID file in the caller's directory.
        return Err(Refusal(
            "--syscalls: only root may lift io-uring (8): take a sum that has 8 in it, or have an administrator take \
             \"io-uring\" out of [syscalls] deny"
                .into(),
        ));
    }
    Ok(RunPlan(Decided {
        kind,
        scope,
        cg_timing: request.cg_timing || !cg,
        deadlines,
        leaf,
        rlimits: rlimits(limits),
        quota: granted.quota(),
        directories,
        syscalls,
        share_net: request.share_net,
        inherit_fds: request.inherit_fds,
        tty_hack: request.tty_hack,
        special_files: if request.special_files {
            SpecialFiles::Keep
        } else {
            SpecialFiles::Remove
        },
        stdin: request.stdin.as_deref().map(c_path).transpose()?,
        stdout: request.stdout.as_deref().map(c_path).transpose()?,
        stderr: match &request.stderr {
            StderrRequest::Inherit => StderrPlan::Inherit,
            StderrRequest::File(path) => StderrPlan::File(c_path(path)?),
            StderrRequest::ToStdout => StderrPlan::ToStdout,
        },
        chdir: request.chdir.as_deref().map(c_path).transpose()?,
        candidates: candidates
            .iter()
            .map(|path| c_path(path))
            .collect::<Result<_, _>>()?,
        arguments: request
            .argv
            .iter()
            .map(|word| c_string(word))
            .collect::<Result<_, _>>()?,
        environment: environment.into_strings(),
        place,
    }))
}

impl RunPlan {
    /// All of it, once the run is over.
    pub(crate) fn into_parts(self) -> Decided {
        self.0
    }

    /// Whether execve(2) can fail with E2BIG only for lack of memory in the leaf: the arguments and
    /// the environment are shorter than the kernel always allows.
    pub(crate) fn may_starve(&self) -> bool {
        let is_limited = self.leaf.controlled && self.leaf.memory.is_some();
        is_limited && always_fit(self.arguments.iter().chain(&self.environment))
    }

    /// Why the files of a box of `owner` must be given to the box user for this run, if they must;
    /// otherwise they may stay its owner's on disk.
    pub(crate) fn why_given(&self, owner: Ids) -> Option<&'static str> {
        why_given(owner, self.quota, &self.syscalls, &self.directories)
    }

    /// How many CPUs the program can keep busy at once, at most. `available` is the number that the
    /// caller may use.
    pub(crate) fn parallel(&self, available: usize) -> u32 {
        let cpus = self.leaf.cpus.as_ref().map_or(available, CpuList::count);
        let cpus = u32::try_from(cpus).unwrap_or(u32::MAX);
        self.leaf
            .processes
            .map_or(cpus, |processes| processes.min(cpus))
    }
}

fn c_path(path: &Path) -> Result<CString, Refusal> {
    c_string(path.as_os_str())
}

fn c_string(text: &OsStr) -> Result<CString, Refusal> {
    CString::new(text.to_owned().into_vec()).map_err(|_| {
        Refusal(format!(
            "'{}' contains a NUL byte",
            text.to_string_lossy().escape_debug()
        ))
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::plan::grant;

    pub(crate) fn nowhere() -> Place {
        Place::Nowhere {
            reason: "no cgroup".into(),
        }
    }

    pub(crate) fn given() -> Place {
        Place::Delegated {
            root: "/cg".into(),
            has_memory: true,
        }
    }

    pub(crate) fn plan(arguments: &[&str], place: Place) -> Result<RunPlan, Refusal> {
        let argv = std::iter::once("isolate-run")
            .chain(arguments.iter().copied())
            .map(OsString::from);
        let call = crate::cli::parse(argv).unwrap().into_box_call();
        let settings = Settings::default();
        let granted = grant(&call, &settings, None)?;
        let (kind, request) = call.command.program().unwrap();
        resolve(RunInputs {
            kind,
            cg: call.common.cg,
            request,
            granted: &granted,
            settings: &settings,
            place,
            box_id: BoxId(0),
            leased: None,
            uid: 7,
            called_by_root: false,
            of_batch: false,
            environment: &[],
        })
    }

    #[test]
    fn io_uring_is_lifted_by_root_alone() {
        for flags in ["0", "7", "23"] {
            let refused = plan(&["--syscalls", flags, "--run", "a"], nowhere()).unwrap_err();
            assert!(refused.to_string().contains("only root"), "{refused}");
        }
        for flags in ["8", "31"] {
            plan(&["--syscalls", flags, "--run", "a"], nowhere()).unwrap();
        }
    }

    #[test]
    fn control_group_mode_is_refused_without_a_cgroup_and_chosen_by_exec_with_one() {
        let refusal = plan(&["--cg", "--run", "--", "a"], nowhere())
            .unwrap_err()
            .to_string();
        assert_eq!(
            refusal,
            "--cg is not possible: no cgroup; or run without --cg"
        );
        assert!(plan(&["exec", "--cg-mem=64M", "--", "a"], nowhere()).is_err());
        assert!(plan(&["exec", "--", "a"], given()).unwrap().leaf.controlled);
        assert!(
            !plan(&["exec", "--", "a"], nowhere())
                .unwrap()
                .leaf
                .controlled
        );
        assert!(
            !plan(&["--run", "--", "a"], given())
                .unwrap()
                .leaf
                .controlled
        );
    }

    #[test]
    fn a_scope_follows_from_the_plan() {
        let systemd = || Place::Systemd {
            mount_point: "/cg".into(),
            has_memory: true,
        };
        let scope = |arguments: &[&str]| plan(arguments, systemd()).unwrap().into_parts().scope;
        let bare = scope(&["--run", "a"]).unwrap();
        assert_eq!((bare.uid, bare.runtime_max), (7, None));
        assert_eq!(bare.controllers, [] as [&str; 0]);
        let limited = scope(&["--cg", "-w1", "--run", "a"]).unwrap();
        assert_eq!(limited.controllers, ["memory", "pids", "cpu"]);
        assert!(limited.runtime_max.is_some());
        let given = plan(&["--cg", "--run", "a"], given()).unwrap();
        assert_eq!(given.scope, None);
    }
}
