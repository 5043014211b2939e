//! What a process has from its parent and a program may notice: limits, CPUs, niceness. A caller
//! who uses the broker is not the parent of their program, so these travel as data and are set only
//! in the program's process.

use std::io;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::sys::priority;

/// The limits that travel.
const RESOURCES: [Resource; 15] = [
    Resource::RLIMIT_AS,
    Resource::RLIMIT_CORE,
    Resource::RLIMIT_CPU,
    Resource::RLIMIT_DATA,
    Resource::RLIMIT_FSIZE,
    Resource::RLIMIT_LOCKS,
    Resource::RLIMIT_MEMLOCK,
    Resource::RLIMIT_MSGQUEUE,
    Resource::RLIMIT_NICE,
    Resource::RLIMIT_NOFILE,
    Resource::RLIMIT_NPROC,
    Resource::RLIMIT_RSS,
    Resource::RLIMIT_RTPRIO,
    Resource::RLIMIT_SIGPENDING,
    Resource::RLIMIT_STACK,
];

/// Everything that one process passes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Inheritance {
    /// Soft and hard limit of each of [`RESOURCES`].
    limits: Vec<(u64, u64)>,
    /// The CPUs that it may run on.
    cpus: Vec<u16>,
    /// How nice it is, -20 to 19.
    nice: i32,
}

impl Inheritance {
    /// What this process passes on.
    pub(crate) fn of_process() -> io::Result<Self> {
        let limits = RESOURCES.map(getrlimit).into_iter();
        let affinity = sched_getaffinity(Pid::from_raw(0))?;
        let cpus = 0..CpuSet::count();
        Ok(Self {
            limits: limits.collect::<nix::Result<_>>()?,
            cpus: cpus
                .filter(|cpu| affinity.is_set(*cpu).unwrap_or(false))
                .filter_map(|cpu| u16::try_from(cpu).ok())
                .collect(),
            nice: priority::niceness()?,
        })
    }

    /// The CPUs that it may run on.
    pub(crate) fn cpus(&self) -> impl Iterator<Item = u32> {
        self.cpus.iter().copied().map(u32::from)
    }

    /// The part that somebody with `own` can pass on: no limit above theirs, and no lower niceness.
    /// `None` when it makes no sense.
    pub(crate) fn within(self, own: &Self) -> Option<Self> {
        let limits = self.limits.iter().zip(&own.limits);
        let bounded = limits.map(|((soft, hard), (_, most))| {
            let hard = *hard.min(most);
            (*soft.min(&hard), hard)
        });
        let known = |cpu: &u16| usize::from(*cpu) < CpuSet::count();
        let makes_sense = self.limits.len() == RESOURCES.len() && self.cpus.iter().all(known);
        makes_sense.then(|| Self {
            limits: bounded.collect(),
            nice: self.nice.clamp(own.nice, 19),
            cpus: self.cpus,
        })
    }

    /// Gives all of it to the calling process. CPUs that the control group forbids stay forbidden.
    pub(crate) fn apply(&self) -> io::Result<()> {
        for (resource, (soft, hard)) in RESOURCES.into_iter().zip(&self.limits) {
            setrlimit(resource, *soft, *hard)?;
        }
        let mut affinity = CpuSet::new();
        for cpu in &self.cpus {
            affinity.set(usize::from(*cpu))?;
        }
        match sched_setaffinity(Pid::from_raw(0), &affinity) {
            // None of these CPUs is there or allowed. Then the allowed ones count, as for a child
            // that is moved to other CPUs than its parent.
            Ok(()) | Err(nix::errno::Errno::EINVAL) => {}
            Err(errno) => return Err(errno.into()),
        }
        priority::set_niceness(self.nice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Inheritance {
        Inheritance {
            limits: vec![(10, 100); RESOURCES.len()],
            cpus: vec![0, 1],
            nice: 0,
        }
    }

    #[test]
    fn nobody_gets_more_than_there_is_to_pass_on() {
        let asked = |soft, hard, nice| Inheritance {
            limits: vec![(soft, hard); RESOURCES.len()],
            cpus: vec![1],
            nice,
        };
        let got = |asked: Inheritance| {
            let got = asked.within(&own()).unwrap();
            assert_eq!(got.cpus, [1]);
            (got.limits[0], got.nice)
        };
        assert_eq!(got(asked(5, 50, 3)), ((5, 50), 3));
        assert_eq!(got(asked(u64::MAX, u64::MAX, -20)), ((100, 100), 0));
        assert_eq!(got(asked(70, 60, 100)), ((60, 60), 19));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let few = Inheritance {
            limits: vec![(1, 1)],
            ..own()
        };
        assert_eq!(few.within(&own()), None);
        let cpus = vec![u16::MAX];
        assert_eq!(Inheritance { cpus, ..own() }.within(&own()), None);
    }

    #[test]
    fn this_process_can_have_what_it_has() {
        let mine = Inheritance::of_process().unwrap();
        assert!(!mine.cpus.is_empty());
        assert_eq!(mine.clone().within(&mine), Some(mine.clone()));
        mine.apply().unwrap();
        assert_eq!(Inheritance::of_process().unwrap(), mine);
    }
}
