//! How a run ended and what is said about it: [`Ending`] and [`Usage`] in, status and message out.
//! Pure: [`meta`], [`json`] and [`summary`] only format, and the writing is done elsewhere.

mod circumstances;
mod explained;
pub(crate) mod json;
pub(crate) mod meta;
mod names;
mod obstacle;
pub(crate) mod summary;

use std::time::Duration;

pub(crate) use circumstances::{Circumstances, Stages, limit_of};
pub(crate) use obstacle::{Format, Found, Helper, Obstacle, Stream, Text, errno_of, in_words};

use crate::cgroup::{CpuTime, LeafUsage};
use crate::error::printable;
use crate::plan::{Deadlines, Decided};
use crate::quantity::Bytes;
use crate::sys::process::{Exit, ResourceUsage};

/// The exit code of a program that could not be executed, as a shell has it.
pub(crate) const EXIT_NOT_EXECUTED: u8 = 127;

/// Why a run is over: the first cause, whatever followed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The program ended by itself, or a signal of its own making ended it.
    Program(Exit),
    /// The keeper killed it.
    Killed(KillReason),
    /// The sandbox did not work.
    Failed(String),
}

/// Why the keeper killed the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KillReason {
    /// CPU time.
    CpuTime,
    /// Wall time.
    WallTime,
    /// The output was longer than whoever reads it takes.
    Output,
    /// The keeper was sent this signal.
    Interrupted(i32),
}

/// What a run used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Usage {
    /// CPU time.
    pub(crate) cpu: CpuTime,
    /// Time from the start of the program to its end.
    pub(crate) wall: Duration,
    /// The usage of all processes that were waited for, by init's getrusage(2); `None` when init
    /// was gone before it could report.
    pub(crate) processes: Option<ResourceUsage>,
    /// What only the cgroup knows.
    pub(crate) leaf: LeafUsage,
}

/// Why there was never a program, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unstarted {
    /// Until its end, its process waited to open a redirection.
    NotOpened(String),
    /// It could not be executed.
    NotExecuted(String),
}

impl Unstarted {
    /// Puts an obstacle of the run with this plan into words.
    pub(crate) fn of(obstacle: &Obstacle, plan: &Decided) -> Self {
        let words = printable(&in_words(obstacle, plan));
        match obstacle {
            Obstacle::Opening(_) => Self::NotOpened(words),
            Obstacle::Execution { .. } => Self::NotExecuted(words),
        }
    }
}

/// A run that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Report {
    /// How it ended.
    pub(crate) ending: Ending,
    /// What it used; `None` when the program never started.
    pub(crate) usage: Option<Usage>,
    /// The limits that the usage is compared with.
    pub(crate) deadlines: Deadlines,
    /// Why the program never began, if that is so.
    pub(crate) unstarted: Option<Unstarted>,
    /// The limit of each process's address space.
    pub(crate) address_space: Option<Bytes>,
}

/// The verdict. isolate's `status` and words follow from it; the JSON report says more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Exit code 0 within all limits.
    Ok,
    /// `RE`: another exit code.
    ExitCode(i32),
    /// `RE`, with exit code 127: the program was never there, since it could not be executed.
    NotExecuted(String),
    /// `TO`: neither was it, since its process still waited for a redirection.
    NotOpened(String),
    /// `SG`: a signal.
    Signal(i32),
    /// `SG`: the kernel killed it by this signal, because it had reached its memory limit.
    Memory(i32),
    /// `SG`: the kernel killed it for memory, and a time limit is exceeded as well, either before
    /// that or while it was dying. Nobody knows which of the two came first.
    MemoryAndTime(i32),
    /// `SG`: the sandbox was told to stop.
    Interrupted(i32),
    /// `TO`: CPU time.
    CpuTime,
    /// `TO`: wall time.
    WallTime,
    /// `SG`, as for a file above its limit: the output was too long.
    Output,
    /// `XX`: the sandbox did not work.
    Internal(String),
}

impl Report {
    /// The verdict. A limit that was exceeded counts even if the program ended before it was
    /// killed.
    pub(crate) fn verdict(&self) -> Verdict {
        let exit = match &self.ending {
            Ending::Failed(message) => return Verdict::Internal(message.clone()),
            Ending::Killed(KillReason::CpuTime) => return Verdict::CpuTime,
            Ending::Killed(KillReason::WallTime) => return self.wall_time(),
            Ending::Killed(KillReason::Output) => return Verdict::Output,
            Ending::Killed(KillReason::Interrupted(signal)) => {
                return Verdict::Interrupted(*signal);
            }
            Ending::Program(exit) => *exit,
        };
        let over =
            |used: Duration, limit: Option<Duration>| limit.is_some_and(|limit| used > limit);
        let was_oom = self.usage.is_some_and(|usage| usage.leaf.was_oom());
        if let Some(usage) = &self.usage {
            let cpu = over(usage.cpu.total, self.deadlines.cpu);
            let wall = over(usage.wall, self.deadlines.wall);
            match exit {
                Exit::Signal(libc::SIGKILL) if (cpu || wall) && was_oom => {
                    return Verdict::MemoryAndTime(libc::SIGKILL);
                }
                _ if cpu => return Verdict::CpuTime,
                _ if wall => return self.wall_time(),
                _ => {}
            }
        }
        match (exit, &self.unstarted) {
            (Exit::Code(_), Some(Unstarted::NotExecuted(words))) => {
                Verdict::NotExecuted(words.clone())
            }
            (Exit::Code(0), _) => Verdict::Ok,
            (Exit::Code(code), _) => Verdict::ExitCode(code),
            (Exit::Signal(libc::SIGKILL), _) if was_oom => Verdict::Memory(libc::SIGKILL),
            (Exit::Signal(signal), _) => Verdict::Signal(signal),
        }
    }

    /// The verdict on a run that is above its wall time.
    fn wall_time(&self) -> Verdict {
        match &self.unstarted {
            Some(Unstarted::NotOpened(words)) => Verdict::NotOpened(words.clone()),
            Some(Unstarted::NotExecuted(_)) | None => Verdict::WallTime,
        }
    }

    /// Whether the program ever began.
    pub(crate) fn has_begun(&self) -> bool {
        self.unstarted.is_none() && !self.is_starved()
    }

    /// Why it did not.
    pub(crate) fn reason(&self) -> Option<&str> {
        match &self.unstarted {
            _ if self.is_starved() => {
                Some("the memory limit of the run is too small for the program to begin with")
            }
            Some(Unstarted::NotOpened(words) | Unstarted::NotExecuted(words)) => Some(words),
            None => None,
        }
    }

    fn is_starved(&self) -> bool {
        self.usage.is_some_and(|usage| usage.leaf.starved)
    }

    /// Whether the sandbox ended the program.
    pub(crate) fn was_killed(&self) -> bool {
        match self.ending {
            Ending::Program(_) => false,
            Ending::Killed(_) => true,
            Ending::Failed(_) => self.usage.is_some(),
        }
    }
}

impl Verdict {
    /// isolate's two letters; `None` for success.
    pub(crate) fn status(&self) -> Option<&'static str> {
        match self {
            Self::Ok => None,
            Self::ExitCode(_) | Self::NotExecuted(_) => Some("RE"),
            Self::Signal(_)
            | Self::Memory(_)
            | Self::MemoryAndTime(_)
            | Self::Interrupted(_)
            | Self::Output => Some("SG"),
            Self::CpuTime | Self::WallTime | Self::NotOpened(_) => Some("TO"),
            Self::Internal(_) => Some("XX"),
        }
    }

    /// isolate's words; clients compare them.
    pub(crate) fn message(&self) -> Option<String> {
        Some(match self {
            Self::Ok => return None,
            Self::ExitCode(code) => format!("Exited with error status {code}"),
            Self::Output => format!("Caught fatal signal {}", libc::SIGXFSZ),
            Self::NotExecuted(_) => format!("Exited with error status {EXIT_NOT_EXECUTED}"),
            Self::Signal(signal) | Self::Memory(signal) => format!("Caught fatal signal {signal}"),
            Self::MemoryAndTime(signal) => format!(
                "Caught fatal signal {signal} (out of memory; a time limit was exceeded as well)"
            ),
            Self::Interrupted(_) => "Interrupted".to_owned(),
            Self::CpuTime => "Time limit exceeded".to_owned(),
            Self::WallTime | Self::NotOpened(_) => "Time limit exceeded (wall clock)".to_owned(),
            Self::Internal(message) => message.clone(),
        })
    }

    /// The exit code of `--run`.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Internal(_) => 2,
            _ => 1,
        }
    }
}

/// Seconds with three digits, as in the meta file and the status line. They are rounded up: a time
/// above its limit never reads as one within it.
pub(crate) fn seconds(time: Duration) -> String {
    let millis = time.as_micros().div_ceil(1000);
    format!("{}.{:03}", millis / 1000, millis % 1000)
}

/// The line on stderr at the end of `--run`.
pub(crate) fn status_line(report: &Report) -> String {
    match (report.verdict().message(), &report.usage) {
        (Some(message), _) => message,
        (None, Some(usage)) => {
            format!(
                "OK ({} sec real, {} sec wall)",
                seconds(usage.cpu.total),
                seconds(usage.wall)
            )
        }
        (None, None) => "OK".to_owned(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    pub(crate) use super::json::tests::circumstances;
    use super::*;

    pub(crate) fn usage(cpu_ms: u64, wall_ms: u64) -> Usage {
        Usage {
            cpu: CpuTime {
                total: Duration::from_millis(cpu_ms),
                ..CpuTime::default()
            },
            wall: Duration::from_millis(wall_ms),
            processes: Some(ResourceUsage {
                max_rss_kib: 1234,
                voluntary_switches: 5,
                forced_switches: 6,
                ..ResourceUsage::default()
            }),
            leaf: LeafUsage::default(),
        }
    }

    pub(crate) fn report(ending: Ending, usage: Option<Usage>) -> Report {
        let deadlines = Deadlines {
            cpu: Some(Duration::from_secs(1)),
            cpu_extra: Duration::from_secs(2),
            wall: Some(Duration::from_secs(10)),
        };
        Report {
            ending,
            usage,
            deadlines,
            unstarted: None,
            address_space: None,
        }
    }

    #[test]
    fn the_verdict_is_the_first_cause_or_the_limit_that_was_exceeded() {
        let ended =
            |exit, cpu, wall| report(Ending::Program(exit), Some(usage(cpu, wall))).verdict();
        assert_eq!(ended(Exit::Code(0), 1000, 10_000), Verdict::Ok);
        assert_eq!(ended(Exit::Code(3), 1000, 1000), Verdict::ExitCode(3));
        assert_eq!(ended(Exit::Signal(11), 1, 1), Verdict::Signal(11));
        assert_eq!(ended(Exit::Code(0), 1001, 1), Verdict::CpuTime);
        assert_eq!(ended(Exit::Signal(9), 1001, 20_000), Verdict::CpuTime);
        assert_eq!(ended(Exit::Code(3), 1, 10_001), Verdict::WallTime);
        let killed = |reason| report(Ending::Killed(reason), Some(usage(1, 1))).verdict();
        assert_eq!(killed(KillReason::WallTime), Verdict::WallTime);
        assert_eq!(killed(KillReason::Interrupted(15)).status(), Some("SG"));
    }

    #[test]
    fn a_program_that_the_kernel_killed_for_memory_and_that_is_over_time_is_told_as_both() {
        let verdict = |exit, cpu_ms, oom_events| {
            let mut usage = usage(cpu_ms, 1);
            usage.leaf.oom_kills = Some(1);
            usage.leaf.oom_events = Some(oom_events);
            report(Ending::Program(exit), Some(usage)).verdict()
        };
        let both = verdict(Exit::Signal(9), 1001, 1);
        assert_eq!(both, Verdict::MemoryAndTime(9));
        assert_eq!(both.status(), Some("SG"));
        let message = both.message().unwrap();
        assert!(message.starts_with("Caught fatal signal 9"), "{message}");
        assert_eq!(verdict(Exit::Signal(9), 1000, 1), Verdict::Memory(9));
        assert_eq!(verdict(Exit::Signal(9), 1000, 0), Verdict::Signal(9));
        assert_eq!(verdict(Exit::Code(1), 1000, 1), Verdict::ExitCode(1));
        assert_eq!(verdict(Exit::Signal(11), 1001, 1), Verdict::CpuTime);
        assert_eq!(verdict(Exit::Signal(9), 1001, 0), Verdict::CpuTime);
    }

    #[test]
    fn what_never_began_is_told_as_such_and_has_isolates_status_all_the_same() {
        let of = |ending, unstarted| Report {
            unstarted: Some(unstarted),
            ..report(ending, Some(usage(1, 1)))
        };
        let not_executed = of(
            Ending::Program(Exit::Code(127)),
            Unstarted::NotExecuted("why".into()),
        );
        let verdict = not_executed.verdict();
        assert_eq!(verdict, Verdict::NotExecuted("why".into()));
        let told = (verdict.status(), verdict.message(), verdict.exit_code());
        let isolates = Verdict::ExitCode(127);
        assert_eq!(told, (isolates.status(), isolates.message(), 1));
        let waited = || Unstarted::NotOpened("why".into());
        let killed = of(Ending::Killed(KillReason::WallTime), waited()).verdict();
        assert_eq!(killed, Verdict::NotOpened("why".into()));
        let told = (killed.status(), killed.message(), killed.exit_code());
        let isolates = Verdict::WallTime;
        assert_eq!(told, (isolates.status(), isolates.message(), 1));
        let interrupted = of(Ending::Killed(KillReason::Interrupted(2)), waited());
        assert_eq!(interrupted.verdict(), Verdict::Interrupted(2));
        assert!(!interrupted.has_begun());
    }

    #[test]
    fn a_time_above_its_limit_never_reads_as_one_within_it() {
        for (micros, text) in [
            (0, "0.000"),
            (1, "0.001"),
            (1000, "0.001"),
            (1_000_001, "1.001"),
            (61_234_000, "61.234"),
        ] {
            assert_eq!(seconds(Duration::from_micros(micros)), text);
        }
    }

    #[test]
    fn the_status_line_is_isolates() {
        let ok = report(Ending::Program(Exit::Code(0)), Some(usage(12, 345)));
        assert_eq!(status_line(&ok), "OK (0.012 sec real, 0.345 sec wall)");
        let failed = report(Ending::Program(Exit::Code(1)), Some(usage(12, 345)));
        assert_eq!(status_line(&failed), "Exited with error status 1");
    }
}
