//! The way of one run, from a plan to a report, in a box that is ours for as long: what `--run` and `exec`
//! share.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::ahead::{Ahead, ScopeAhead};
use super::run_cgroups::Cgroups;
use super::{Context, Rights};
use crate::box_dir::{BoxDir, Lock, Record};
use crate::cgroup::{Place, Subtree};
use crate::failure::Failure;
use crate::keeper::{self, Outcome, Signals};
use crate::launch::sources::Sources;
use crate::launch::{Foreground, InitSetup, Namespaces, ProgramSetup};
use crate::plan::{BoxPlan, RunPlan};
use crate::report::{Circumstances, Ending, Report};
use crate::sys::exec::Image;
use crate::sys::process::inheritable_descriptors;
use crate::systemd::ScopeSpec;

/// A keeper that was stopped watches no clock. init does, and ends the program when it is so much over its
/// wall limit;
const INIT_PATIENCE: Duration = Duration::from_secs(1);
/// and systemd does, with patience for the set-up as well, and for a scope that was made ahead, should both have been stopped.
const SCOPE_PATIENCE: Duration = Duration::from_secs(60);

/// What a run needs besides its plan.
#[derive(Debug, Clone, Copy)]
pub(super) struct BoxRun<'a> {
    pub(super) context: &'a Context,
    pub(super) box_plan: &'a BoxPlan,
    pub(super) box_dir: &'a BoxDir,
    pub(super) lock: &'a Lock,
    /// What is known of the box: whose the files in it are, between runs and during one.
    pub(super) record: Record,
    pub(super) signals: &'a Signals<'a>,
}

/// A run that is over.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) report: Report,
    pub(super) circumstances: Circumstances,
}

impl BoxRun<'_> {
    /// Runs the program of the plan.
    pub(super) fn run(self, plan: RunPlan) -> Result<Finished, Failure> {
        if plan.quota.is_some() {
            self.box_dir.set_quota(plan.quota, self.record.ids.uid)?;
        }
        // A rule, a descriptor: what the caller may have open at most is more than enough, what is usual is not.
        if let Ok((_, most)) = getrlimit(Resource::RLIMIT_NOFILE) {
            let raised = setrlimit(Resource::RLIMIT_NOFILE, most, most);
            raised.map_err(Failure::at(
                "cannot raise the limit of open files (RLIMIT_NOFILE)",
            ))?;
        }
        // The handshake goes on while the sandbox is laid out.
        let Ahead {
            bus,
            namespaces,
            scope: mut scope_ahead,
        } = self.context.ahead.take();
        let spec = self.scope_spec(&plan);
        let cgroups = match spec.clone() {
            Some(spec) => Cgroups::in_scope(spec, bus, &mut scope_ahead),
            None => {
                ScopeAhead::end_if_ready(&mut scope_ahead);
                Cgroups::without_systemd(&plan, self.box_plan.id)?
            }
        };
        let setup = self.prepare(&plan, namespaces)?;
        let outcome = self.launch_and_supervise(&plan, setup, cgroups);
        // Whatever happened: the caller gets the files back.
        let given_back =
            self.box_dir
                .give_back(self.record.ids, self.record.owner, plan.special_files);
        // In every case: all processes of the program are dead.
        self.lock.write(&self.record)?;
        let Outcome {
            mut ending,
            usage,
            unit,
            stages,
            subtree,
            init,
        } = outcome?;
        // It had time to end while the files were given back.
        drop(init);
        let cgroup = subtree.as_ref().map(|subtree| subtree.path().to_owned());
        let finished = subtree.map_or(Ok(()), Subtree::finish);
        if let Err(failure) = given_back
            .map_err(Failure::from)
            .and(finished.map_err(Failure::from))
        {
            if !matches!(ending, Ending::Failed(_)) {
                ending = Ending::Failed(failure.to_string());
            }
        }
        if !matches!(ending, Ending::Failed(_)) {
            self.context.scope.replace(spec);
        }
        let report = Report {
            ending,
            usage,
            deadlines: plan.deadlines,
        };
        let circumstances = Circumstances {
            box_id: self.box_plan.id,
            ids: self.record.ids,
            cg: plan.cg,
            manager: plan.place.manager(),
            unit,
            cgroup,
            leaf: plan.leaf,
            rlimits: plan.rlimits,
            quota: plan.quota,
            syscalls: plan.syscalls,
            share_net: plan.share_net,
            asked: self.context.asked,
            stages,
        };
        Ok(Finished {
            report,
            circumstances,
        })
    }

    /// Opens and lays out everything that init and the program's process need.
    fn prepare(self, plan: &RunPlan, namespaces: Option<Namespaces>) -> Result<InitSetup, Failure> {
        let sources = Sources {
            opened: &self.context.directories,
            caller: self.context.caller,
            box_dir: self.box_dir,
            ids: self.record.ids,
        };
        let mounts = sources.copy_trees(&plan.directories)?;
        let foreground = match plan.tty_hack.then(terminal).transpose()?.flatten() {
            None => None,
            // The caller's session is not ours.
            Some(terminal) if self.context.line.is_some() => Some(Foreground::OwnSession(terminal)),
            Some(terminal) => Some(Foreground::CallersSession(terminal)),
        };
        let name = plan.arguments.first();
        let name = name.map_or(&b""[..], |name| name.to_bytes());
        let program = ProgramSetup {
            uid: self.record.ids.uid,
            gid: self.record.ids.gid,
            inheritance: self.context.inheritance.clone(),
            shows_itself: !plan.cg_timing || matches!(plan.place, Place::Nowhere { .. }),
            rlimits: plan.rlimits.clone(),
            inherited: if plan.inherit_fds {
                inheritable_descriptors()
                    .map_err(Failure::at("cannot list the open descriptors"))?
            } else {
                Vec::new()
            },
            foreground,
            stdin: plan.stdin.clone(),
            stdout: plan.stdout.clone(),
            stderr: plan.stderr.clone(),
            directory: plan.chdir.clone(),
            image: Image::new(
                plan.candidates.clone(),
                plan.arguments.clone(),
                plan.environment.clone(),
            ),
            complaint: [&b"execve(\""[..], name, &b"\"): "[..]].concat(),
        };
        let null = File::options().read(true).write(true).open("/dev/null");
        let lock = self.lock.fd().try_clone_to_owned();
        Ok(InitSetup {
            mounts,
            own_network: !plan.share_net,
            awaits_permission: self.context.rights.is_some(),
            namespaces,
            syscalls: plan.syscalls,
            patience: plan
                .deadlines
                .wall
                .map(|wall| wall.saturating_add(INIT_PATIENCE)),
            lock: lock.map_err(Failure::at("cannot copy the lock"))?,
            null: null.map_err(Failure::at("cannot open /dev/null"))?.into(),
            program,
        })
    }

    fn launch_and_supervise(
        self,
        plan: &RunPlan,
        setup: InitSetup,
        cgroups: Cgroups,
    ) -> Result<Outcome, Failure> {
        let (init, mut cgroups) = cgroups.launch(&setup, &plan.leaf)?;
        // Not before systemd was asked: where all have to share two CPUs, the bus would not hear of it for some time.
        let begun = init.begin();
        let begun = begun.map_err(Failure::at("cannot tell init to begin"));
        // While systemd and init work.
        if let Err(failure) = begun.and_then(|()| self.give_to_program(plan)) {
            // First init, which is in the cgroups, then these.
            cgroups.part_with(&init);
            drop(init);
            return Err(failure);
        }
        let terminal = match &setup.program.foreground {
            Some(Foreground::CallersSession(terminal)) => Some(terminal.try_clone()),
            Some(Foreground::OwnSession(_)) | None => None,
        };
        // Our copies keep pipes open whose end somebody waits for when the program has closed them.
        let let_go = Failure::at("cannot put /dev/null in the place of the program's streams");
        nix::unistd::dup2_stdin(&setup.null).map_err(&let_go)?;
        nix::unistd::dup2_stdout(&setup.null).map_err(&let_go)?;
        if self.context.line.is_some() {
            // Otherwise it is where this process tells how the run ended.
            nix::unistd::dup2_stderr(&setup.null).map_err(&let_go)?;
        }
        drop(setup);
        let outcome = {
            let permission = self.context.rights.as_ref().map(Rights::permission);
            keeper::supervise(plan, init, cgroups, self.signals, permission)
        };
        if let Some(Ok(terminal)) = terminal {
            if let Err(errno) = nix::unistd::tcsetpgrp(&terminal, nix::unistd::getpgrp()) {
                // The terminal is gone; then nobody needs a foreground group any more.
                log::info!("cannot take the terminal back: {errno}");
            }
        }
        Ok(outcome?)
    }

    /// Makes the files in the box the program's, which the record of the box has to say before.
    fn give_to_program(self, plan: &RunPlan) -> Result<(), Failure> {
        let Record { ids, owner, .. } = self.record;
        self.lock.write(&Record {
            running: true,
            ..self.record
        })?;
        Ok(self
            .box_dir
            .give_to_program(ids, owner, plan.special_files)?)
    }

    /// The scope that the run needs, should it be in one.
    fn scope_spec(self, plan: &RunPlan) -> Option<ScopeSpec> {
        let Place::Systemd { mount_point, .. } = &plan.place else {
            return None;
        };
        let mut controllers = plan.leaf.required_controllers();
        if plan.cg {
            controllers.push("pids");
        }
        let wall = plan.deadlines.wall;
        Some(ScopeSpec {
            box_id: self.box_plan.id,
            uid: self.context.caller.uid,
            slice: plan.slice.clone(),
            mount_point: mount_point.clone(),
            controllers: controllers.into_iter().map(str::to_owned).collect(),
            runtime_max: wall.map(|wall| wall.saturating_add(SCOPE_PATIENCE)),
        })
    }
}

/// A terminal among the standard descriptors; `--tty-hack` does nothing without one.
fn terminal() -> Result<Option<OwnedFd>, Failure> {
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
