//! One run from its plan to its report, in a box that is ours meanwhile: what `--run` and `exec`
//! share.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::sys::resource::Resource;

use super::finished::Finished;
use super::lease::{begin, copy_of};
use super::{Ahead, Asked, Context, Rights};
use crate::box_dir::{BoxDir, Handover, Kept, Lock, Record, check_unused};
use crate::caller::lift_open_files;
use crate::cgroup::Place;
use crate::cpus::Lease;
use crate::failure::Failure;
use crate::home::{Home, Left, Successor, dismiss_kept};
use crate::keeper::{self, Outcome, Signals};
use crate::launch::sources::Sources;
use crate::launch::{Coming, Foreground, InitSetup, Namespaces, Network, ProgramSetup, standard};
use crate::plan::{BoxPlan, Decided, RunInputs, RunPlan, resolve};
use crate::quantity::{BoxId, Bytes};
use crate::report::{Circumstances, Report, Unstarted, limit_of};
use crate::request::{ProgramRequest, RunKind};
use crate::sys::descriptors::{first_terminal, put_on_input_and_output, put_on_streams};
use crate::sys::exec::Image;
use crate::sys::process::inheritable_descriptors;
use crate::systemd::ScopeSpec;

/// Decides the run.
pub(super) fn plan_run(
    context: Context<'_>,
    kind: RunKind,
    request: &ProgramRequest,
    place: Place,
    box_id: BoxId,
    lease: Option<&Lease>,
) -> Result<RunPlan, Failure> {
    let Asked {
        granted,
        settings,
        caller,
        environment,
        ..
    } = context.asked;
    Ok(resolve(RunInputs {
        kind,
        cg: context.common().cg,
        request,
        granted,
        settings,
        place,
        box_id,
        leased: lease.map(Lease::cpus),
        uid: caller.uid,
        called_by_root: caller.called_by_root,
        of_batch: context.asked.of_batch,
        environment,
    })?)
}

/// What a run needs besides its plan.
#[derive(Debug, Clone, Copy)]
pub(super) struct BoxRun<'a> {
    pub(super) context: Context<'a>,
    pub(super) box_plan: &'a BoxPlan,
    pub(super) box_dir: &'a BoxDir,
    pub(super) lock: &'a Lock,
    /// The CPUs that it has to itself.
    pub(super) lease: Option<&'a Lease>,
    /// What is known of the box: whose the files in it are, between runs and during one.
    pub(super) record: Record,
    pub(super) signals: &'a Signals<'a>,
    /// Where an earlier run may have left a scope.
    pub(super) left: Left,
    /// For how many seconds the scope of the box's next run is kept ready; 0: there is none.
    pub(super) keep_ready: u32,
}

impl BoxRun<'_> {
    /// Runs the program of the plan.
    pub(super) fn run(self, plan: RunPlan, ahead: &mut Ahead) -> Result<Finished, Failure> {
        if plan.quota.is_some() {
            self.box_dir.set_quota(plan.quota, self.record.ids.uid)?;
        }
        begin(self.lease, self.record.ids.uid)?;
        lift_open_files().map_err(Failure::at(
            "cannot raise the limit of open files (RLIMIT_NOFILE)",
        ))?;
        // The handshake goes on while the sandbox is laid out.
        let Ahead {
            bus,
            namespaces,
            coming,
        } = std::mem::take(ahead);
        let namespaces = || namespaces.or_else(|| coming.and_then(Coming::wait));
        let home = Home::find(&plan, self.box_plan.id, bus, self.left)?;
        let outlasts = plan.scope.as_ref().is_some_and(|spec| spec.outlasts_runs);
        let kept = home.holder().filter(|_| outlasts);
        let (setup, handover) = self.prepare(&plan, namespaces)?;
        let outcome = self.launch_and_supervise(&plan, setup, handover, home, kept);
        // Whatever happened: the caller gets the files back.
        let Record { ids, owner, .. } = self.record;
        let special = plan.special_files;
        let given_back = self.box_dir.give_back(handover, ids, owner, special);
        // In every case: all processes of the program are dead.
        self.lock.write(&self.record, None)?;
        if outcome.is_err() {
            kept.into_iter().for_each(dismiss_kept);
        }
        let (outcome, successor) = outcome?;
        let Outcome {
            ending,
            usage,
            stages,
            obstacle,
            init,
            home,
        } = outcome;
        home.clear();
        // It had time to end while the files were given back.
        drop(init);
        let (unit, cgroup) = (home.unit(), home.path().map(Path::to_owned));
        let left = home.finish();
        let left_to = left.as_ref().ok().copied().flatten();
        let given_back = given_back.map_err(Failure::from).and(left.map(drop));
        let unstarted = obstacle.map(|obstacle| Unstarted::of(&obstacle, &plan));
        let Decided {
            deadlines,
            leaf,
            rlimits,
            quota,
            syscalls,
            share_net,
            place,
            ..
        } = plan.into_parts();
        let mut finished = Finished {
            report: Report {
                ending,
                usage,
                deadlines,
                unstarted,
                address_space: limit_of(&rlimits, Resource::RLIMIT_AS).map(Bytes),
            },
            circumstances: Circumstances {
                box_id: self.box_plan.id,
                ids,
                handover,
                manager: place.manager(),
                why_no_cgroup: place.why_none().map(str::to_owned),
                unit,
                cgroup,
                leaf,
                leased: None,
                rlimits,
                quota,
                syscalls,
                share_net,
                asked: self.context.asked.at,
                stages,
            },
            successor: None,
            kept: None,
        };
        if let Err(failure) = given_back {
            finished.fail(&failure);
        }
        if finished.has_failed() {
            left_to.into_iter().for_each(dismiss_kept);
        } else {
            finished.successor = successor;
            finished.kept = left_to;
        }
        Ok(finished)
    }

    /// Opens and lays out everything that init and the program's process need.
    fn prepare<'p>(
        &'p self,
        plan: &'p RunPlan,
        namespaces: impl FnOnce() -> Option<Namespaces>,
    ) -> Result<(InitSetup<'p>, Handover), Failure> {
        let Record { ids, owner, .. } = self.record;
        let sources = Sources {
            opened: &self.context.asked.directories,
            caller: self.context.asked.caller,
            box_dir: self.box_dir,
            owner,
            ids,
        };
        standard::hand_on(plan)?;
        let (mounts, handover) = sources.copy_trees(&plan.directories, self.handover(plan))?;
        let foreground = match plan.tty_hack.then(terminal).transpose()?.flatten() {
            None => None,
            // The caller's session is not ours.
            Some(terminal) if self.context.by_broker.is_some() => {
                let (caller, ids) = (self.context.asked.caller.uid, self.record.ids);
                if let Err(errno) = standard::give_terminal(terminal.as_fd(), caller, ids) {
                    log::info!("the program cannot open its terminal anew: {errno}");
                }
                Some(Foreground::OwnSession(terminal))
            }
            Some(terminal) => Some(Foreground::CallersSession(terminal)),
        };
        let name = plan.arguments.first();
        let name = name.map_or(&b""[..], |name| name.to_bytes());
        let program = ProgramSetup {
            uid: self.record.ids.uid,
            gid: self.record.ids.gid,
            inheritance: self.context.asked.inheritance.as_ref(),
            shows_itself: !plan.cg_timing || matches!(plan.place, Place::Nowhere { .. }),
            rlimits: &plan.rlimits,
            leaf_limits_processes: plan.leaf.controlled && plan.leaf.processes.is_some(),
            inherited: if plan.inherit_fds {
                inheritable_descriptors()
                    .map_err(Failure::at("cannot list the open descriptors"))?
            } else {
                Vec::new()
            },
            foreground,
            stdin: plan.stdin.as_deref(),
            stdout: plan.stdout.as_deref(),
            stderr: &plan.stderr,
            directory: plan.chdir.as_deref(),
            image: Image::new(&plan.candidates, &plan.arguments, &plan.environment),
            complaint: match plan.kind {
                // The line about the run says it, and in more words.
                RunKind::Exec if !self.context.common().silent => Vec::new(),
                RunKind::Exec | RunKind::Run => [&b"execve(\""[..], name, &b"\"): "[..]].concat(),
            },
            may_starve: plan.may_starve(),
        };
        let null = File::options().read(true).write(true).open("/dev/null");
        let lock = self.lock.fd().try_clone_to_owned();
        let setup = InitSetup {
            mounts,
            network: if plan.share_net {
                Network::Hosts
            } else {
                Network::Own
            },
            awaits_permission: self.context.rights().is_some_and(Rights::are_awaited),
            namespaces: namespaces(),
            syscalls: plan.syscalls,
            patience: plan.deadlines.init(),
            lock: lock.map_err(Failure::at("cannot copy the lock"))?,
            lease: copy_of(self.lease)?,
            null: null.map_err(Failure::at("cannot open /dev/null"))?.into(),
            program,
        };
        Ok((setup, handover))
    }

    /// How the files of the box are to become the program's, where the file system can.
    fn handover(self, plan: &RunPlan) -> Handover {
        let Record { ids, owner, .. } = self.record;
        let has_quota = || self.box_dir.has_quota(ids.uid);
        let why = plan.why_given(owner);
        let is_open = || self.box_dir.is_open_to_others();
        let why = why
            .or_else(|| has_quota().then_some("the box has a disk quota"))
            .or_else(|| is_open().then_some("others than its owner may look into the box"));
        match why {
            None => Handover::IdMapped,
            Some(why) => {
                log::info!("the files of the box are given to the program: {why}");
                Handover::Given
            }
        }
    }

    fn launch_and_supervise(
        self,
        plan: &RunPlan,
        setup: InitSetup<'_>,
        handover: Handover,
        home: Home,
        kept: Option<Kept>,
    ) -> Result<(Outcome, Option<Successor>), Failure> {
        let (init, mut home) = home.move_in(&setup, plan)?;
        // This comes after the request to systemd: where all have to share two CPUs, the bus would
        // not read it for some time.
        let begun = init.begin();
        let begun = begun.map_err(Failure::at("cannot tell init to begin"));
        // While systemd and init work.
        let ready = begun
            .and_then(|()| self.give_to_program(plan, handover, kept))
            .and_then(|()| self.let_go_of_streams(&setup));
        if let Err(failure) = ready {
            // First init, which is in the cgroups, then these.
            home.part_with(&init);
            drop(init);
            return Err(failure);
        }
        let terminal = match &setup.program.foreground {
            Some(Foreground::CallersSession(terminal)) => Some(terminal.try_clone()),
            Some(Foreground::OwnSession(_)) | None => None,
        };
        let awaits_permission = setup.awaits_permission;
        drop(setup);
        // Descriptors that a user hands on would be open in there as well.
        let hands_on = plan.inherit_fds && self.context.by_broker.is_some();
        let next = plan.scope.clone();
        let next = next.filter(|_| self.keep_ready > 0 && !hands_on);
        let next = next.filter(|next| !home.is_kept(next));
        let next = next.map(ScopeSpec::of_any_time);
        let successor = next.and_then(|next| Successor::make(&next, self.keep_ready, self.lock));
        let outcome = {
            let permission = self.context.rights().filter(|_| awaits_permission);
            let permission = permission.map(Rights::permission);
            keeper::supervise(plan, init, home, self.signals, permission)
        };
        if let Some(Ok(terminal)) = terminal {
            if let Err(errno) = nix::unistd::tcsetpgrp(&terminal, nix::unistd::getpgrp()) {
                // The terminal is gone; then nobody needs a foreground group any more.
                log::info!("cannot take the terminal back: {errno}");
            }
        }
        Ok((outcome?, successor))
    }

    /// Our copies keep pipes open whose end somebody waits for when the program has closed them.
    fn let_go_of_streams(self, setup: &InitSetup<'_>) -> Result<(), Failure> {
        let null = setup.null.as_fd();
        let let_go = match self.context.by_broker {
            // stderr is where this process tells how the run ended.
            None => put_on_input_and_output(null),
            Some(_) => put_on_streams(null),
        };
        let what = "cannot put /dev/null in the place of the program's streams";
        let_go.map_err(Failure::at(what))
    }

    /// Makes the files in the box the program's, which the record of the box has to say before.
    ///
    /// Who keeps the scope for further runs is noted again: whatever becomes of this keeper.
    fn give_to_program(
        self,
        plan: &RunPlan,
        handover: Handover,
        kept: Option<Kept>,
    ) -> Result<(), Failure> {
        let Record { ids, owner, .. } = self.record;
        check_unused(ids)?;
        let running = Record {
            running: true,
            ..self.record
        };
        self.lock.write(&running, kept)?;
        let special = plan.special_files;
        Ok(self
            .box_dir
            .give_to_program(handover, ids, owner, special)?)
    }
}

/// A terminal among the standard descriptors; `--tty-hack` does nothing without one.
fn terminal() -> Result<Option<OwnedFd>, Failure> {
    first_terminal([&io::stdout(), &io::stdin(), &io::stderr()])
        .map_err(Failure::at("cannot copy the terminal"))
}
