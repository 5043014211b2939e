//! A slot: a process that takes one job after the other and carries it out, alone with its boxes.
//! It ends when the main process has no more for it, or is gone; then nothing of it is left.

mod exceeded;
mod files;
mod given;
mod relay;
mod rooms;
mod stage;
mod streams;
mod verdict;

use std::os::fd::{AsFd, BorrowedFd};

use super::frames::{Channel, Kind, numbers, read_numbers};
use super::job::words::{Job, On};
use super::job::{Course, Group, Line};
use super::office::{House, Office};
use super::result::{JobResult, Outcome, StepResult};
use crate::failure::Failure;
use crate::quantity::BoxId;
use crate::sys::poll::{self, Until, readable};
use rooms::{Room, Rooms};
use stage::Ended;

/// What the main process may say while a job is carried out.
pub(super) struct Telephone<'a> {
    channel: &'a mut Channel,
    /// The job is to end.
    is_cancelled: bool,
    signal: Option<i32>,
}

impl Telephone<'_> {
    /// Readable when there is something to hear.
    fn ready(&self) -> Option<BorrowedFd<'_>> {
        (!self.channel.is_over()).then(|| self.channel.stream().as_fd())
    }

    /// Hears it.
    fn answer(&mut self) {
        let failed = self.channel.receive().is_err();
        while let Some((kind, content)) = self.channel.take() {
            if kind == Kind::Cancel {
                let number = read_numbers(&content).first().copied();
                self.hang_up(number.and_then(|number| i32::try_from(number).ok()));
            }
        }
        if failed || self.channel.is_over() {
            self.hang_up(None);
        }
    }

    fn hang_up(&mut self, signal: Option<i32>) {
        self.is_cancelled = true;
        self.signal = Some(signal.unwrap_or(libc::SIGTERM));
    }

    /// The signal that runs are to be sent, once.
    fn take_signal(&mut self) -> Option<i32> {
        self.signal.take()
    }
}

/// The life of a slot.
pub(super) fn live(house: House, mut channel: Channel) -> Result<(), Failure> {
    let mut office = Office::open(house)?;
    let mut rooms = Rooms::default();
    office.stand_by();
    let ended = serve(&mut office, &mut rooms, &mut channel);
    rooms.remove_all(&mut office);
    ended
}

fn serve(office: &mut Office, rooms: &mut Rooms, channel: &mut Channel) -> Result<(), Failure> {
    loop {
        while let Some((kind, content)) = channel.take() {
            match kind {
                Kind::Job => {
                    let line = work(office, rooms, channel, &content);
                    if channel.send(Kind::Result, &line).is_err() {
                        return Ok(());
                    }
                    office.hear()?;
                    office.stand_by();
                }
                Kind::Remove => {
                    for id in read_numbers(&content) {
                        rooms::remove(office, BoxId(id));
                    }
                }
                // It came after the end of the job.
                Kind::Cancel | Kind::Boxes | Kind::Result => {}
            }
        }
        if channel.is_over() {
            return Ok(());
        }
        let awaited = [channel.stream().as_fd()]
            .into_iter()
            .chain(office.heard_at());
        let ready = poll::each(awaited.map(readable), Until::Forever);
        let ready = ready.map_err(Failure::at("cannot wait for a job"))?;
        office.hear()?;
        office.stand_by();
        if ready[0] {
            channel
                .receive()
                .map_err(Failure::at("cannot receive a job"))?;
        }
    }
}

/// Carries out the job of a line; the line of its result.
fn work(office: &mut Office, rooms: &mut Rooms, channel: &mut Channel, line: &[u8]) -> Vec<u8> {
    let job = match Line::read(line) {
        Ok(Line::Job(job)) => job,
        // The main process has read those of an input before, and does not send them.
        Ok(Line::Cancel(_) | Line::Empty) => return Vec::new(),
        Err(refused) => return JobResult::of_line(refused, "-", 1).to_line(),
    };
    let mut result = JobResult::new(Some(job.id.clone()), Outcome::Done, None);
    match Course::of(&job) {
        Ok(course) => {
            let work = Work {
                office,
                rooms,
                telephone: Telephone {
                    channel,
                    is_cancelled: false,
                    signal: None,
                },
                job: &job,
                course: &course,
            };
            if let Err((outcome, failure)) = work.carry_out(&mut result) {
                (result.outcome, result.reason) = (outcome, Some(failure.to_string()));
            }
        }
        Err((field, reason)) => {
            result.outcome = Outcome::Refused;
            (result.field, result.reason) = (Some(field), Some(reason));
        }
    }
    rooms.leave();
    result.to_line()
}

/// A job under way.
struct Work<'a> {
    office: &'a mut Office,
    rooms: &'a mut Rooms,
    telephone: Telephone<'a>,
    job: &'a Job,
    course: &'a Course,
}

impl Work<'_> {
    fn carry_out(mut self, result: &mut JobResult) -> Result<(), (Outcome, Failure)> {
        let mut is_ok = true;
        let last = self.course.groups.len().saturating_sub(1);
        for (at, group) in self.course.groups.iter().enumerate() {
            let mut steps = group.steps().map(|at| &self.job.steps[at]);
            if !is_ok && !steps.any(|step| step.on == On::Always) {
                result.steps.extend(group.steps().map(|at| StepResult {
                    name: self.job.steps[at].name_or(at),
                    skipped: true,
                    ..StepResult::default()
                }));
                continue;
            }
            let repeat = self.job.steps[group.first].repeat;
            for repetition in 1..=repeat.unwrap_or(1) {
                let is_last = at == last && repetition == repeat.unwrap_or(1);
                let repetition = repeat.map(|_| repetition);
                is_ok &= self.perform(group, repetition, is_last, result)?;
                if self.telephone.is_cancelled {
                    return Err((Outcome::Cancelled, Failure::new("the job was to end")));
                }
            }
        }
        Ok(())
    }

    /// Carries out one group, and takes down what became of it; whether all went well.
    fn perform(
        &mut self,
        group: &Group,
        repetition: Option<u32>,
        is_last: bool,
        result: &mut JobResult,
    ) -> Result<bool, (Outcome, Failure)> {
        let mut rooms: Vec<Room> = Vec::new();
        for at in group.steps() {
            let name = &self.course.boxes[at];
            let room = self.rooms.enter(self.office, self.job, name);
            let ids = numbers(self.rooms.ids());
            // That the main process is gone is heard elsewhere.
            self.telephone.channel.send(Kind::Boxes, &ids).ok();
            rooms.push(room?);
        }
        let ended = stage::perform(
            self.office,
            &mut self.telephone,
            self.job,
            group,
            &rooms,
            is_last,
        )?;
        if group.count > 1 {
            result
                .together
                .push(verdict::together(self.job, group, &ended));
        }
        let mut first_failure = None;
        let mut is_ok = true;
        for ((at, room), ended) in group.steps().zip(&rooms).zip(ended) {
            let step = &self.job.steps[at];
            let Ended {
                report,
                stdout,
                stderr,
                failure,
                renewed,
            } = ended;
            self.rooms.note_renewed(room.id, renewed);
            is_ok &= report
                .as_ref()
                .is_some_and(|report| report["verdict"] == "ok");
            let collect = step.collect.iter();
            let collected = match &report {
                Some(_) => collect
                    .map(|wanted| files::collect(&room.dir, wanted))
                    .collect(),
                None => Vec::new(),
            };
            let name = step.name_or(at);
            if let (Some((outcome, reason)), None) = (failure, &first_failure) {
                first_failure = Some((outcome, Failure::new(format!("step '{name}': {reason}"))));
            }
            result.steps.push(StepResult {
                name,
                repetition,
                skipped: false,
                report,
                stdout,
                stderr,
                collected,
            });
        }
        match first_failure {
            // What was to end has no other reason.
            Some(failure) if !self.telephone.is_cancelled => Err(failure),
            _ => Ok(is_ok),
        }
    }
}
