//! The slots, as the main process of a batch has them: made when there is a job for them, handed
//! jobs, heard, and waited for at the end.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::frames::{Channel, Kind, numbers, read_numbers};
use super::office::House;
use super::slot;
use crate::output::write_all;
use crate::sys::descriptors::put_on_input_and_output;
use crate::sys::poll::{self, Until, readable};
use crate::sys::process::{self, Cloned};

/// How long slots may take to remove their boxes at the end.
const PATIENCE: Duration = Duration::from_secs(120);

/// One slot.
#[derive(Debug)]
struct Slot {
    channel: Channel,
    pidfd: OwnedFd,
    /// The id of the job that it has.
    job: Option<String>,
    /// The boxes that it has.
    boxes: Vec<u32>,
}

/// All slots.
#[derive(Debug)]
pub(super) struct Crew {
    house: House,
    most: usize,
    slots: Vec<Slot>,
    /// Boxes of slots that were killed.
    orphans: Vec<u32>,
}

/// What was heard.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// The line of a result.
    Result(Vec<u8>),
    /// The process that had this job is gone.
    Gone(String),
}

impl Crew {
    /// At most so many, and none yet.
    pub(super) fn new(house: House, most: usize) -> Self {
        Self {
            house,
            most: most.max(1),
            slots: Vec::new(),
            orphans: Vec::new(),
        }
    }

    /// How many jobs may run at the same time.
    pub(super) fn most(&self) -> usize {
        self.most
    }

    /// Whether there is a slot without a job, or may be another slot.
    pub(super) fn has_room(&self) -> bool {
        self.slots.len() < self.most || self.slots.iter().any(|slot| slot.job.is_none())
    }

    /// The ids of the jobs that are being carried out.
    pub(super) fn jobs(&self) -> impl Iterator<Item = &str> {
        self.slots.iter().filter_map(|slot| slot.job.as_deref())
    }

    /// Hands a job to a slot that has none.
    pub(super) fn hand(&mut self, id: &str, line: &[u8]) -> io::Result<()> {
        let idle = self.slots.iter().position(|slot| slot.job.is_none());
        let at = match idle {
            Some(at) => at,
            None => {
                let slot = self.make()?;
                self.slots.push(slot);
                self.slots.len() - 1
            }
        };
        let orphans = std::mem::take(&mut self.orphans);
        let slot = &mut self.slots[at];
        slot.job = Some(id.to_owned());
        // One that is gone is heard of.
        if !orphans.is_empty() {
            slot.channel.send(Kind::Remove, &numbers(orphans)).ok();
        }
        slot.channel.send(Kind::Job, line).ok();
        Ok(())
    }

    fn make(&mut self) -> io::Result<Slot> {
        self.house.call_broker();
        let (ours, theirs) = UnixStream::pair()?;
        match process::clone(0, None)? {
            Cloned::Child => {
                // The channels of its fellows are not its business, nor where jobs come from and
                // results go.
                let kept = Vec::from_iter(self.house.shared());
                let ready = process::close_all_but(&kept, theirs.as_fd()).and_then(|()| {
                    let null = File::options().read(true).write(true).open("/dev/null")?;
                    Ok(put_on_input_and_output(null.as_fd())?)
                });
                let lived = ready.map_err(|_| ()).and_then(|()| {
                    slot::live(self.house.clone(), Channel::new(theirs)).map_err(|failure| {
                        log::warn!("a process of the batch ends: {failure}");
                    })
                });
                process::exit_now(i32::from(lived.is_err()))
            }
            Cloned::Parent { pidfd, .. } => Ok(Slot {
                channel: Channel::new(ours),
                pidfd,
                job: None,
                boxes: Vec::new(),
            }),
        }
    }

    /// Tells the slot with this job that it is to end, by this signal; whether there is one.
    pub(super) fn cancel(&mut self, id: &str, signal: u32) -> bool {
        let slot = self
            .slots
            .iter_mut()
            .find(|slot| slot.job.as_deref() == Some(id));
        let content = numbers([signal]);
        slot.is_some_and(|slot| slot.channel.send(Kind::Cancel, &content).is_ok())
    }

    /// Readable when there is something to hear; the place of each is told to [`Self::hear`].
    pub(super) fn heard_at(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.slots.iter().map(|slot| slot.channel.stream().as_fd())
    }

    /// Hears the slots at these places, which rise.
    pub(super) fn hear(&mut self, places: &[usize]) -> Vec<Said> {
        let mut said = Vec::new();
        for place in places.iter().rev() {
            let slot = &mut self.slots[*place];
            let failed = slot.channel.receive().is_err();
            while let Some((kind, content)) = slot.channel.take() {
                match kind {
                    Kind::Boxes => slot.boxes = read_numbers(&content),
                    Kind::Result => {
                        slot.job = None;
                        said.push(Said::Result(content));
                    }
                    Kind::Job | Kind::Cancel | Kind::Remove => {}
                }
            }
            if failed || slot.channel.is_over() {
                let gone = self.slots.swap_remove(*place);
                process::wait_for(gone.pidfd.as_fd()).ok();
                self.orphans.extend(gone.boxes);
                said.extend(gone.job.map(Said::Gone));
            }
        }
        said
    }

    /// Lets all slots go, and waits until nothing of them is left.
    pub(super) fn dismiss(mut self) {
        if !self.orphans.is_empty() {
            let orphans = numbers(std::mem::take(&mut self.orphans));
            if self.slots.is_empty() {
                let slot = self.make();
                self.slots.extend(slot);
            }
            if let Some(slot) = self.slots.first_mut() {
                slot.channel.send(Kind::Remove, &orphans).ok();
            }
        }
        let until = Until::within(PATIENCE);
        let slots: Vec<_> = self.slots.drain(..).collect();
        let slots = slots.into_iter().map(|slot| (slot.pidfd, slot.boxes));
        // The end of its channel is what tells each that there is no more.
        for (pidfd, boxes) in slots.collect::<Vec<_>>() {
            if !has_left(pidfd.as_fd(), until) {
                let text = stuck(&boxes);
                // A message that cannot be written cannot be reported either.
                write_all(io::stderr(), text.as_bytes()).ok();
            }
        }
    }
}

/// Waits for the end of a slot; one that does not end is killed, and this is false.
fn has_left(pidfd: BorrowedFd<'_>, until: Until) -> bool {
    let ended = poll::first([((), readable(pidfd))], until);
    if matches!(ended, Ok(None)) {
        process::send_signal(pidfd, libc::SIGKILL).ok();
        return false;
    }
    process::wait_for(pidfd).ok();
    true
}

/// What is said of it.
fn stuck(boxes: &[u32]) -> String {
    let boxes: Vec<_> = boxes.iter().map(u32::to_string).collect();
    let boxes = match &boxes[..] {
        [] => String::new(),
        boxes => format!(
            ", and these boxes may be left: {} (isolate-run gc)",
            boxes.join(", ")
        ),
    };
    format!(
        "isolate-run: a process of the batch did not end within {} s: it was killed{boxes}\n",
        PATIENCE.as_secs()
    )
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_slot_that_does_not_end_is_killed_and_told() {
        let begin = |seconds| {
            let child = Command::new("sleep").arg(seconds).spawn().unwrap();
            let pid = i32::try_from(child.id()).unwrap();
            (child, process::pidfd_of(pid).unwrap())
        };
        let (_child, pidfd) = begin("0");
        assert!(has_left(pidfd.as_fd(), Until::Forever));
        let (mut child, pidfd) = begin("1000");
        let soon = Until::within(Duration::from_millis(20));
        assert!(!has_left(pidfd.as_fd(), soon));
        assert!(!child.wait().unwrap().success());
        let text = stuck(&[7, 8]);
        assert!(
            text.ends_with("may be left: 7, 8 (isolate-run gc)\n"),
            "{text}"
        );
    }
}
