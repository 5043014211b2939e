//! `--run`: one program in a box that was made before. `exec` shares all of it but the box.

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::AsFd;

use super::boxes::{box_plan, busy, check_owner};
use super::{Answer, Context, Failure};
use crate::box_dir::{Absent, BoxDir, Lock, Owner};
use crate::cgroup::{Place, Subtree, find_place};
use crate::keeper::{self, CgroupState, Outcome, Signals};
use crate::launch::sources::open_sources;
use crate::launch::{self, InitSetup, ProgramSetup, StderrSetup, filter};
use crate::plan::{BoxPlan, RunPlan, StderrPlan};
use crate::report::{Ending, Report, meta, status_line};
use crate::sys::exec::Image;
use crate::systemd::{Bus, BusError, ScopeRequest, ScopeSpec};

/// Runs the program; the answer's meta text is for the meta file.
pub(crate) fn run(context: &Context) -> Result<(Answer, String), Failure> {
    let Context {
        request,
        settings,
        caller,
    } = context;
    let box_plan = box_plan(context)?;
    let lock = Lock::acquire(
        &box_plan.locks,
        box_plan.id,
        Absent::Report,
        busy(request.wait),
    )?;
    let not_found = || {
        let cg = if request.cg { " --cg" } else { "" };
        Failure::new(format!("Box not found, did you run `isolate{cg} --init'?"))
    };
    let lock = lock.ok_or_else(not_found)?;
    let record = lock.record()?.ok_or_else(not_found)?;
    check_owner(&record, *caller)?;
    if !record.ready {
        return Err(Failure::new("This box was not initialized properly"));
    }
    if record.cg != request.cg {
        return Err(Failure::new(
            "This box was initialized with an incompatible control group mode",
        ));
    }
    let box_dir = BoxDir::open(&box_plan.root, box_plan.id)?.ok_or_else(not_found)?;
    let environment: Vec<(OsString, OsString)> = std::env::vars_os().collect();
    let place = find_place(&settings.cgroup)?;
    let plan = RunPlan::resolve(request, settings, place, box_plan.id, &environment)?;
    let signals = Signals::take_over()?;
    let report = in_box(
        context,
        &box_plan,
        plan,
        &box_dir,
        &lock,
        record.owner,
        &signals,
    )?
    .report;
    let verdict = report.verdict();
    let quiet = request.silent && !matches!(report.ending, Ending::Failed(_));
    let answer = Answer {
        stderr: (!quiet).then(|| status_line(&report)),
        code: verdict.exit_code(),
        ..Answer::default()
    };
    Ok((answer, meta::format(&report, request.cg)))
}

/// A run that is over, and what held it.
pub(super) struct Finished {
    pub(super) report: Report,
    pub(super) holder: String,
    pub(super) cg: bool,
}

/// The way of one run, from a plan to a report, in a box that is ours for as long.
pub(super) fn in_box(
    context: &Context,
    box_plan: &BoxPlan,
    plan: RunPlan,
    box_dir: &BoxDir,
    lock: &Lock,
    owner: Owner,
    signals: &Signals,
) -> Result<Finished, Failure> {
    if plan.quota.is_some() {
        box_dir.set_quota(plan.quota, box_plan.ids.uid)?;
    }
    // The handshake goes on while the sandbox is laid out.
    let bus = matches!(plan.place, Place::Systemd { .. }).then(Bus::connect);
    let setup = prepare(context, box_plan, &plan, box_dir, lock)?;
    box_dir.give_to_program(box_plan.ids, owner, plan.special_files)?;
    let outcome = launch_and_supervise(context, box_plan, &plan, setup, bus, signals);
    // Whatever happened: the caller gets the files back.
    let given_back = box_dir.give_back(box_plan.ids, owner, plan.special_files);
    let Outcome {
        mut ending,
        usage,
        holder,
        subtree,
    } = outcome?;
    let finished = subtree.map_or(Ok(()), Subtree::finish);
    if let Err(failure) = given_back
        .map_err(Failure::from)
        .and(finished.map_err(Failure::from))
    {
        if !matches!(ending, Ending::Failed(_)) {
            ending = Ending::Failed(failure.to_string());
        }
    }
    let report = Report {
        ending,
        usage,
        deadlines: plan.deadlines,
    };
    Ok(Finished {
        report,
        holder,
        cg: plan.cg,
    })
}

/// Opens and lays out everything that init and the program's process need.
fn prepare(
    context: &Context,
    box_plan: &BoxPlan,
    plan: &RunPlan,
    box_dir: &BoxDir,
    lock: &Lock,
) -> Result<InitSetup, Failure> {
    let mounts = open_sources(&plan.directories, box_dir, context.caller, box_plan.ids)?;
    let foreground = if plan.tty_hack { terminal()? } else { None };
    let program = ProgramSetup {
        uid: box_plan.ids.uid,
        gid: box_plan.ids.gid,
        rlimits: plan.rlimits.clone(),
        filter: filter::compile(plan.syscalls)?,
        in_leaf: !matches!(plan.place, Place::Nowhere { .. }),
        inherit_fds: plan.inherit_fds,
        foreground,
        stdin: plan.stdin.clone(),
        stdout: plan.stdout.clone(),
        stderr: match &plan.stderr {
            StderrPlan::Inherit => StderrSetup::Inherit,
            StderrPlan::File(path) => StderrSetup::File(path.clone()),
            StderrPlan::ToStdout => StderrSetup::ToStdout,
        },
        directory: plan.chdir.clone(),
        image: Image::new(
            plan.candidates.clone(),
            plan.arguments.clone(),
            plan.environment.clone(),
        ),
        complaint: [
            &b"execve(\""[..],
            plan.arguments
                .first()
                .map_or(&b""[..], |name| name.to_bytes()),
            &b"\"): "[..],
        ]
        .concat(),
    };
    let null = File::options().read(true).write(true).open("/dev/null");
    let null = null.map_err(Failure::at("cannot open /dev/null"))?;
    Ok(InitSetup {
        mounts,
        own_network: !plan.share_net,
        lock: lock
            .fd()
            .try_clone_to_owned()
            .map_err(Failure::at("cannot copy the lock"))?,
        null: null.into(),
        program,
    })
}

/// A terminal among the standard descriptors; `--tty-hack` does nothing without one.
fn terminal() -> Result<Option<std::os::fd::OwnedFd>, Failure> {
    use std::io::IsTerminal;
    let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    let descriptors = [
        (stdout.as_fd(), stdout.is_terminal()),
        (stdin.as_fd(), stdin.is_terminal()),
        (stderr.as_fd(), stderr.is_terminal()),
    ];
    let Some((terminal, _)) = descriptors
        .into_iter()
        .find(|(_, is_terminal)| *is_terminal)
    else {
        return Ok(None);
    };
    terminal
        .try_clone_to_owned()
        .map(Some)
        .map_err(Failure::at("cannot copy the terminal"))
}

fn launch_and_supervise(
    context: &Context,
    box_plan: &BoxPlan,
    plan: &RunPlan,
    setup: InitSetup,
    bus: Option<Result<Bus, BusError>>,
    signals: &Signals,
) -> Result<Outcome, Failure> {
    let delegated = match &plan.place {
        Place::Delegated { root, .. } => Some(Subtree::delegated(root, box_plan.id, &plan.leaf)?),
        Place::Systemd { .. } | Place::Nowhere { .. } => None,
    };
    log::debug!("everything is laid out; cloning init");
    let init = launch::spawn(&setup, delegated.as_ref().map(Subtree::init_fd))
        .map_err(Failure::at("cannot clone init into new namespaces"))?;
    let cgroups = match (&plan.place, delegated) {
        (Place::Systemd { mount_point, .. }, _) => {
            let pidfd = init.pidfd.try_clone();
            let pidfd = pidfd.map_err(Failure::at("cannot copy the pidfd of init"))?;
            CgroupState::Requested(ScopeRequest::start(
                bus.unwrap_or_else(Bus::connect),
                scope_spec(context, box_plan, plan),
                mount_point.clone(),
                init.pid,
                pidfd,
            )?)
        }
        (_, Some(subtree)) => CgroupState::Ready(subtree),
        (_, None) => CgroupState::None,
    };
    let terminal = setup
        .program
        .foreground
        .as_ref()
        .map(|terminal| terminal.try_clone());
    // Our copies keep pipes open whose end somebody waits for when the program has closed them.
    nix::unistd::dup2_stdin(&setup.null)?;
    nix::unistd::dup2_stdout(&setup.null)?;
    drop(setup);
    let outcome = keeper::supervise(plan, init, cgroups, signals);
    if let Some(Ok(terminal)) = terminal {
        if let Err(errno) = nix::unistd::tcsetpgrp(&terminal, nix::unistd::getpgrp()) {
            // The terminal is gone; then nobody needs a foreground group any more.
            log::info!("cannot take the terminal back: {errno}");
        }
    }
    Ok(outcome?)
}

fn scope_spec(context: &Context, box_plan: &BoxPlan, plan: &RunPlan) -> ScopeSpec {
    let mut controllers = plan.leaf.required_controllers();
    if plan.cg {
        controllers.push("pids");
    }
    ScopeSpec {
        label: box_plan.id.to_string(),
        slice: plan.slice.clone(),
        description: format!(
            "isolate-run: a program in box {} for uid {} (keeper is PID {})",
            box_plan.id,
            context.caller.uid,
            std::process::id()
        ),
        controllers,
        // A keeper that was stopped watches no clock; systemd does, with patience for the set-up.
        runtime_max: plan
            .deadlines
            .wall
            .map(|wall| wall.saturating_add(std::time::Duration::from_secs(60))),
    }
}
