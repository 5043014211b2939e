//! The loop of the main process: takes work, hands it to slots, tells what came of it, and ends in
//! good order, whoever wants it to end.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::crew::{Crew, Said};
use super::office::House;
use super::result::{JobResult, Outcome};
use crate::caller::INTERRUPT;
use crate::failure::Failure;
use crate::sys::poll::{self, Until, readable, writable};

/// Where jobs come from, and where their results go.
pub(crate) trait Work {
    /// Readable when [`Self::next`] may have more than before.
    fn ready(&self) -> Option<BorrowedFd<'_>>;

    /// The next thing to do, without waiting for it.
    fn next(&mut self) -> Result<Next, Failure>;

    /// Takes the line of a result; whether to go on.
    fn take(&mut self, line: &[u8]) -> Result<Flow, Failure>;

    /// Writable when there is room for something that [`Self::write`] has to write.
    fn writable(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Writes, without waiting; whether to go on.
    fn write(&mut self) -> Result<Flow, Failure> {
        Ok(Flow::GoOn)
    }

    /// Whether so much waits to be written that no further job should begin.
    fn is_full(&self) -> bool {
        false
    }

    /// What is under way changed: so many jobs are being carried out.
    fn show(&mut self, _running: usize) {}
}

/// What there is to do.
#[derive(Debug)]
pub(crate) enum Next {
    /// A job: its id, and its line.
    Job(String, Vec<u8>),
    /// End this job.
    Cancel(String),
    /// Nothing yet.
    Later,
    /// Nothing any more.
    End,
}

/// Whether to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    /// Yes.
    GoOn,
    /// No more jobs begin, and those under way end.
    Stop,
}

/// What is under way.
struct Conductor<'a, W> {
    work: &'a mut W,
    crew: Crew,
    /// Jobs that were read and wait for a slot.
    waiting: VecDeque<(String, Vec<u8>)>,
    has_ended: bool,
    stopped_by: Option<Signal>,
}

/// Carries out all work, `most` jobs at a time; the signal that ended it early.
pub(crate) fn conduct(
    work: &mut impl Work,
    house: House,
    most: usize,
) -> Result<Option<Signal>, Failure> {
    let signals = watch().map_err(Failure::at("cannot take over the signals of this process"))?;
    let mut conductor = Conductor {
        work,
        crew: Crew::new(house, most),
        waiting: VecDeque::new(),
        has_ended: false,
        stopped_by: None,
    };
    let done = conductor.run(&signals);
    // Whatever happened: what runs is ended, and nothing is left.
    conductor.crew.dismiss();
    done.map(|()| conductor.stopped_by)
}

fn watch() -> nix::Result<SignalFd> {
    let watched: SigSet = INTERRUPT.into_iter().collect();
    watched.thread_block()?;
    SignalFd::with_flags(&watched, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
}

impl<W: Work> Conductor<'_, W> {
    fn run(&mut self, signals: &SignalFd) -> Result<(), Failure> {
        loop {
            self.read()?;
            self.hand_over()?;
            self.work.show(self.crew.jobs().count());
            let is_idle = self.crew.jobs().next().is_none();
            if self.has_ended && is_idle && self.work.writable().is_none() {
                return Ok(());
            }
            self.wait(signals)?;
        }
    }

    /// Whether there is more to read: as many jobs as run at a time wait, and as many again, so
    /// that what ends one of them is read.
    fn may_read(&self) -> bool {
        let most = self.crew.most().saturating_mul(2);
        !self.has_ended && self.waiting.len() < most && !self.work.is_full()
    }

    /// Reads as much as can begin soon.
    fn read(&mut self) -> Result<(), Failure> {
        while self.may_read() {
            match self.work.next()? {
                Next::Job(id, line) => {
                    let is_known = self.crew.jobs().any(|known| known == id)
                        || self.waiting.iter().any(|(known, _)| *known == id);
                    if is_known {
                        let reason = "a job with this id is under way already";
                        self.tell(&id, Outcome::Refused, reason)?;
                    } else {
                        self.waiting.push_back((id, line));
                    }
                }
                Next::Cancel(id) => self.cancel(&id)?,
                Next::Later => return Ok(()),
                Next::End => self.has_ended = true,
            }
        }
        Ok(())
    }

    fn cancel(&mut self, id: &str) -> Result<(), Failure> {
        let at = self.waiting.iter().position(|(waiting, _)| waiting == id);
        if at.and_then(|at| self.waiting.remove(at)).is_some() {
            return self.tell(id, Outcome::Cancelled, "it had not begun");
        }
        // One that is not there has ended by now.
        self.crew.cancel(id, Signal::SIGTERM as u32);
        Ok(())
    }

    fn hand_over(&mut self) -> Result<(), Failure> {
        while self.crew.has_room() {
            let Some((id, line)) = self.waiting.pop_front() else {
                break;
            };
            let handed = self.crew.hand(&id, &line);
            handed.map_err(Failure::at("cannot make a process for jobs"))?;
        }
        Ok(())
    }

    fn wait(&mut self, signals: &SignalFd) -> Result<(), Failure> {
        let input = self.work.ready().filter(|_| self.may_read());
        let own = [
            readable(signals.as_fd()),
            readable(input),
            writable(self.work.writable()),
        ];
        let before = own.len();
        let slots = self.crew.heard_at().map(readable);
        let ready = poll::each(own.into_iter().chain(slots), Until::Forever);
        let ready = ready.map_err(Failure::at("cannot wait for the end of a job"))?;
        if ready[0] {
            let signal = signals.read_signal().ok().flatten();
            let signal = signal.and_then(|info| Signal::try_from(info.ssi_signo as i32).ok());
            self.stop(signal)?;
        }
        if ready[2] && self.work.write()? == Flow::Stop {
            self.stop(None)?;
        }
        let slots = ready.iter().skip(before).enumerate();
        let places: Vec<usize> = slots.filter_map(|(at, is)| is.then_some(at)).collect();
        for said in self.crew.hear(&places) {
            match said {
                Said::Result(line) => self.take(&line)?,
                Said::Gone(id) => {
                    let reason = "the process that carried it out was killed";
                    self.tell(&id, Outcome::Internal, reason)?;
                }
            }
        }
        Ok(())
    }

    fn tell(&mut self, id: &str, outcome: Outcome, reason: &str) -> Result<(), Failure> {
        let result = JobResult::new(Some(id.to_owned()), outcome, Some(reason.to_owned()));
        self.take(&result.to_line())
    }

    fn take(&mut self, line: &[u8]) -> Result<(), Failure> {
        if self.work.take(line)? == Flow::Stop || self.work.write()? == Flow::Stop {
            self.stop(None)?;
        }
        Ok(())
    }

    /// Begins no more jobs, and ends those under way, whose results are told.
    fn stop(&mut self, signal: Option<Signal>) -> Result<(), Failure> {
        self.has_ended = true;
        self.stopped_by = self.stopped_by.or(signal);
        let signal = signal.unwrap_or(Signal::SIGTERM) as u32;
        let running: Vec<String> = self.crew.jobs().map(str::to_owned).collect();
        for id in running {
            self.crew.cancel(&id, signal);
        }
        for (id, _) in std::mem::take(&mut self.waiting) {
            self.tell(&id, Outcome::Cancelled, "it had not begun")?;
        }
        Ok(())
    }
}
