//! What is known of the run's use of time and memory, as it becomes known.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use super::meter::Meter;
use crate::cgroup::{CgroupError, CpuTime, Leaf, LeafUsage};
use crate::clock::Moment;
use crate::error::chain;
use crate::report::Usage;
use crate::sys::process::ResourceUsage;

/// The figures of one run.
#[derive(Debug, Default)]
pub(super) struct Figures {
    /// What the program's process had used before it began, and when that was.
    begun: Option<(ResourceUsage, Moment)>,
    ended: Option<Moment>,
    meter: Option<Meter>,
    starved: bool,
    usage: Option<Usage>,
}

impl Figures {
    /// The program has begun.
    pub(super) fn begin(&mut self, used: ResourceUsage, moment: Moment) {
        self.begun = Some((used, moment));
    }

    /// The program's main process has ended.
    pub(super) fn end(&mut self, moment: Moment) {
        self.ended = Some(moment);
    }

    /// Whether the program has begun.
    pub(super) fn have_begun(&self) -> bool {
        self.begun.is_some()
    }

    /// The program had too little memory to begin with.
    pub(super) fn starve(&mut self) {
        self.starved = true;
    }

    /// Whether it had.
    pub(super) fn is_starved(&self) -> bool {
        self.starved
    }

    /// Forgets everything: the program never began, so the sandbox used what was used.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// Decides where the CPU time is read from now on. Returns the moment when the program began.
    pub(super) fn watch(
        &mut self,
        leaf: Option<&Leaf>,
        program: Option<BorrowedFd<'_>>,
    ) -> Result<Moment, String> {
        let (used, moment) = self
            .begun
            .ok_or_else(|| "the program began without saying so".to_owned())?;
        self.meter = Some(Meter::start(leaf, program, used));
        Ok(moment)
    }

    /// The CPU time of the program until now. `None` when its process has gone: its end will tell.
    pub(super) fn cpu_time_so_far(
        &self,
        leaf: Option<&Leaf>,
    ) -> Result<Option<Duration>, CgroupError> {
        match &self.meter {
            Some(meter) => meter.so_far(leaf),
            None => Ok(None),
        }
    }

    /// Reads every figure, while init keeps the cgroups alive. `processes` is the usage of all
    /// processes that init knows to have been waited for.
    pub(super) fn read(
        &mut self,
        leaf: Option<&Leaf>,
        processes: ResourceUsage,
    ) -> Result<(), String> {
        leaf.map_or(Ok(()), Leaf::check_pins)
            .map_err(|error| chain(&error))?;
        let leaf_usage = leaf.map_or(Ok(LeafUsage::default()), Leaf::usage);
        let leaf_usage = LeafUsage {
            starved: self.starved,
            ..leaf_usage.map_err(|error| chain(&error))?
        };
        let (Some((before, begun)), Some(meter)) = (&self.begun, &self.meter) else {
            // It never began, and only the lack of memory is a verdict on it.
            self.usage = leaf_usage.was_oom().then(|| Usage {
                cpu: CpuTime::default(),
                wall: Duration::ZERO,
                processes: Some(processes),
                leaf: leaf_usage,
            });
            return Ok(());
        };
        let ended = match self.ended {
            Some(ended) => ended,
            None => Moment::now().map_err(|errno| chain(&errno))?,
        };
        let cpu = meter
            .total(leaf, &processes)
            .map_err(|error| chain(&error))?;
        self.usage = Some(Usage {
            cpu,
            wall: ended.since(*begun),
            processes: Some(ResourceUsage {
                voluntary_switches: processes
                    .voluntary_switches
                    .saturating_sub(before.voluntary_switches),
                forced_switches: processes
                    .forced_switches
                    .saturating_sub(before.forced_switches),
                ..processes
            }),
            leaf: leaf_usage,
        });
        Ok(())
    }

    /// What was read.
    pub(super) fn usage(&self) -> Option<Usage> {
        self.usage
    }
}
