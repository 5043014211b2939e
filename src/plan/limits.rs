//! Who keeps which limit: the keeper, and in case it was stopped, others that are slower.

use std::time::Duration;

use nix::sys::resource::{RLIM_INFINITY, Resource};

use crate::config::settings::Limits;

/// How much later than the keeper init kills the program.
const INIT_PATIENCE: Duration = Duration::from_secs(1);
/// How much later than the keeper systemd kills it: its clock includes the set-up, and the age of a
/// scope that was made ahead.
const SCOPE_PATIENCE: Duration = Duration::from_secs(60);
/// By how many seconds a process may exceed the CPU limit before the kernel kills it.
const CPU_PATIENCE: u64 = 2;

/// Limits that the keeper watches. `None` is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Deadlines {
    /// Above this CPU time the verdict is "time limit exceeded".
    pub(crate) cpu: Option<Duration>,
    /// Above this CPU time, and above `cpu`, the program is killed.
    pub(crate) cpu_extra: Duration,
    /// Above this wall time the program is killed.
    pub(crate) wall: Option<Duration>,
}

impl Deadlines {
    /// The deadlines among all limits.
    pub(super) fn of(limits: &Limits) -> Self {
        Self {
            cpu: limits.time,
            cpu_extra: limits.extra_time.unwrap_or_default(),
            wall: limits.wall_time,
        }
    }

    /// The wall time above which the keeper kills the program.
    pub(crate) fn keeper(&self) -> Option<Duration> {
        self.wall
    }

    /// The wall time above which init kills it: a keeper that was stopped watches no clock.
    pub(crate) fn init(&self) -> Option<Duration> {
        self.wall.map(|wall| wall.saturating_add(INIT_PATIENCE))
    }

    /// The age of the scope at which systemd kills it, in case both were stopped.
    pub(crate) fn scope(&self) -> Option<Duration> {
        self.wall.map(|wall| wall.saturating_add(SCOPE_PATIENCE))
    }

    /// The CPU time above which the program is killed.
    pub(crate) fn cpu_kill(&self) -> Option<Duration> {
        self.cpu.map(|limit| limit.max(self.cpu_extra))
    }
}

/// A limit that the kernel keeps for each process (setrlimit(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rlimit {
    /// Of what.
    pub(crate) resource: Resource,
    /// What holds. A process may raise it.
    pub(crate) soft: u64,
    /// As far as that.
    pub(crate) hard: u64,
}

impl Rlimit {
    /// A limit that no process can raise.
    pub(crate) fn firm(resource: Resource, limit: u64) -> Self {
        Self {
            resource,
            soft: limit,
            hard: limit,
        }
    }
}

/// The rlimits to set. Limits that nobody asked for stay as the caller has them; only the stack's
/// is lifted, as in isolate.
pub(super) fn rlimits(limits: &Limits) -> Vec<Rlimit> {
    let stack = limits.stack.map_or(RLIM_INFINITY, |bytes| bytes.0);
    let soft_stack = limits.soft_stack.map_or(stack, |soft| soft.0.min(stack));
    let mut all = vec![
        (Resource::RLIMIT_MEMLOCK, 0),
        // One byte is less than any dump, so there is none. It also keeps the kernel from piping
        // the program's memory to a handler on the host: core(5), "Piping core dumps to a program".
        (Resource::RLIMIT_CORE, limits.core.0.max(1)),
        // No program runs before its keeper, or takes back the niceness that its caller gave up.
        (Resource::RLIMIT_RTPRIO, 0),
        (Resource::RLIMIT_NICE, 0),
    ];
    // The keeper kills the program long before this, unless it was stopped.
    let cpu_kill = Deadlines::of(limits).cpu_kill();
    let backstop = cpu_kill.map(|limit| limit.as_secs().saturating_add(CPU_PATIENCE));
    let optional = [
        (Resource::RLIMIT_CPU, backstop),
        (
            Resource::RLIMIT_AS,
            limits.address_space.map(|bytes| bytes.0),
        ),
        (
            Resource::RLIMIT_FSIZE,
            limits.file_size.map(|bytes| bytes.0),
        ),
        (Resource::RLIMIT_NOFILE, limits.open_files.map(u64::from)),
        (Resource::RLIMIT_NPROC, limits.processes.map(u64::from)),
    ];
    all.extend(
        optional
            .into_iter()
            .filter_map(|(resource, limit)| Some((resource, limit?))),
    );
    let stack = Rlimit {
        resource: Resource::RLIMIT_STACK,
        soft: soft_stack,
        hard: stack,
    };
    let firm = all
        .into_iter()
        .map(|(resource, limit)| Rlimit::firm(resource, limit));
    std::iter::once(stack).chain(firm).collect()
}

#[cfg(test)]
mod tests {
    use super::super::RunPlan;
    use super::super::run::tests::{given, nowhere, plan};
    use super::*;
    use crate::quantity::Bytes;

    #[test]
    fn zero_lifts_a_limit_and_none_keeps_the_default() {
        let limit = |plan: &RunPlan, which| {
            plan.rlimits
                .iter()
                .find(|rlimit| rlimit.resource == which)
                .map(|rlimit| rlimit.hard)
        };
        let default = plan(&["--run", "a"], nowhere()).unwrap();
        assert_eq!(limit(&default, Resource::RLIMIT_NOFILE), Some(1024));
        assert_eq!(limit(&default, Resource::RLIMIT_NPROC), Some(1));
        assert_eq!(limit(&default, Resource::RLIMIT_CORE), Some(1));
        assert_eq!(limit(&default, Resource::RLIMIT_STACK), Some(RLIM_INFINITY));
        assert_eq!(limit(&default, Resource::RLIMIT_RTPRIO), Some(0));
        assert_eq!(limit(&default, Resource::RLIMIT_NICE), Some(0));
        let lifted = plan(
            &["-n0", "-p", "-t0", "-k0", "--core=0", "--run", "a"],
            nowhere(),
        )
        .unwrap();
        assert_eq!(limit(&lifted, Resource::RLIMIT_NOFILE), None);
        assert_eq!(limit(&lifted, Resource::RLIMIT_NPROC), None);
        assert_eq!(lifted.deadlines, Deadlines::default());
        let cg = plan(&["--cg", "--cg-mem=64M", "-p5", "--run", "a"], given()).unwrap();
        assert_eq!(
            (cg.leaf.memory, cg.leaf.processes),
            (Some(Bytes(64 << 20)), Some(5))
        );
    }

    #[test]
    fn the_soft_limit_of_the_stack_is_below_the_hard_one() {
        let stack = |stack, soft_stack| {
            let limits = Limits {
                stack,
                soft_stack,
                ..Limits::default()
            };
            let stack = rlimits(&limits)[0];
            assert_eq!(stack.resource, Resource::RLIMIT_STACK);
            (stack.soft, stack.hard)
        };
        let (small, large) = (Some(Bytes(64 << 20)), Some(Bytes(256 << 20)));
        assert_eq!(stack(None, None), (RLIM_INFINITY, RLIM_INFINITY));
        assert_eq!(stack(None, small), (64 << 20, RLIM_INFINITY));
        assert_eq!(stack(large, small), (64 << 20, 256 << 20));
        assert_eq!(stack(small, large), (64 << 20, 64 << 20));
        assert_eq!(stack(small, None), (64 << 20, 64 << 20));
    }

    #[test]
    fn whoever_is_behind_the_keeper_waits_longer() {
        let deadlines = plan(&["-w5", "--run", "a"], nowhere()).unwrap().deadlines;
        let (keeper, init, scope) = (deadlines.keeper(), deadlines.init(), deadlines.scope());
        assert_eq!(keeper, Some(Duration::from_secs(5)));
        assert!(keeper < init && init < scope);
        assert_eq!(Deadlines::default().scope(), None);
    }

    #[test]
    fn a_program_is_killed_only_above_both_cpu_limits() {
        let kill = |arguments: &[&str]| plan(arguments, nowhere()).unwrap().deadlines.cpu_kill();
        assert_eq!(
            kill(&["-t1", "-x0.5", "--run", "a"]),
            Some(Duration::from_secs(1))
        );
        assert_eq!(
            kill(&["-t1", "-x2", "--run", "a"]),
            Some(Duration::from_secs(2))
        );
        assert_eq!(kill(&["-x2", "--run", "a"]), None);
    }
}
