//! One connection to the bus for questions to polkit: it knows who sent an answer, and to which
//! question.

use std::mem;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use super::Question;
use super::call::{self, Dialog, Told, Verdict};
use crate::bus::{Bus, BusError, Carries, Incoming, Pending};

/// The bus itself: nobody else can have this name as a sender.
const BUS: &str = "org.freedesktop.DBus";

/// The number of a question, and polkit's verdict or the reason why there is none.
pub(super) type Answer = (u32, Result<Verdict, BusError>);

/// The connection.
#[derive(Debug)]
pub(crate) struct Link {
    bus: Bus,
    /// The calls that were not answered, or whose answers were not taken.
    calls: Vec<Call>,
    /// polkit's unique name, when it is known.
    polkit: Option<String>,
    /// The call that asks for this name.
    lookup: Option<Pending>,
    /// How many questions there have been: cancellation ids must differ.
    asked: u32,
}

/// A question under way.
#[derive(Debug)]
struct Call {
    pending: Pending,
    cancellation_id: String,
    answer: Option<Answered>,
}

/// An answer whose sender may still have to be looked up.
#[derive(Debug)]
struct Answered {
    sender: String,
    says: Result<Verdict, BusError>,
    /// polkit's name was asked for after the answer had come.
    looked_up: bool,
}

impl Link {
    /// Begins to connect.
    pub(super) fn connect(bus: &Path, carries: Carries) -> Result<Self, BusError> {
        Bus::connect_to(bus, carries).map(Self::new)
    }

    fn new(bus: Bus) -> Self {
        Self {
            bus,
            calls: Vec::new(),
            polkit: None,
            lookup: None,
            asked: 0,
        }
    }

    /// Begins to look up polkit before there is a question.
    pub(crate) fn ahead(bus: Bus) -> Result<Self, BusError> {
        let mut new = Self::new(bus);
        new.look_up()?;
        Ok(new)
    }

    /// Whether [`Self::next`] has something although nothing new has come.
    pub(super) fn has_mail(&self) -> bool {
        self.bus.has_mail()
    }

    /// Whether descriptors can be sent over this connection, which makes a second one without them
    /// possible.
    pub(crate) fn carries_descriptors(&self) -> bool {
        self.bus.carries() == Carries::Descriptors
    }

    /// Takes what has come while there was no question; false when the connection is no longer of
    /// any use.
    pub(crate) fn is_alive(&mut self) -> bool {
        self.next().is_ok()
    }

    /// Asks, and returns the number by which [`Self::next`] refers to the question.
    pub(super) fn ask(
        &mut self,
        told: Told<'_>,
        question: &Question,
        dialog: Dialog,
    ) -> Result<u32, BusError> {
        self.asked += 1;
        let cancellation_id = self.asked.to_string();
        let carries = self.bus.carries();
        let check = call::check(told, question, dialog, &cancellation_id, carries)?;
        let pending = Pending::send(&mut self.bus, check, "polkit")?;
        self.calls.push(Call {
            pending,
            cancellation_id,
            answer: None,
        });
        // This is sent behind the question, so that it costs no time.
        if self.polkit.is_none() && self.lookup.is_none() {
            self.look_up()?;
        }
        self.bus.flush()?;
        Ok(pending.serial())
    }

    /// Whether an answer is still to come.
    pub(super) fn is_asking(&self) -> bool {
        !self.calls.is_empty()
    }

    /// The next answer; `None` when no more has come.
    pub(super) fn next(&mut self) -> Result<Option<Answer>, BusError> {
        loop {
            if let Some(answer) = self.settle()? {
                return Ok(Some(answer));
            }
            let Some(message) = self.bus.receive()? else {
                return Ok(None);
            };
            self.take(&message)?;
        }
    }

    /// Withdraws the questions without an answer. It does not matter whether polkit receives that.
    pub(super) fn cancel(&mut self) {
        for call in mem::take(&mut self.calls) {
            let told = call::cancel(&call.cancellation_id)
                .map_err(BusError::from)
                .and_then(|cancel| Pending::send(&mut self.bus, cancel, "polkit"));
            if let Err(error) = told {
                log::debug!("cannot withdraw a question to polkit: {error}");
            }
        }
    }

    fn look_up(&mut self) -> Result<(), BusError> {
        self.lookup = Some(Pending::send(
            &mut self.bus,
            call::look_up()?,
            "the system bus",
        )?);
        let answers = self
            .calls
            .iter_mut()
            .filter_map(|call| call.answer.as_mut());
        answers.for_each(|answer| answer.looked_up = true);
        Ok(())
    }

    /// Takes in a message.
    fn take(&mut self, message: &Incoming) -> Result<(), BusError> {
        if let Some(name) = self
            .lookup
            .and_then(|lookup| lookup.is_answered_by(message))
        {
            // An error says that polkit is being started.
            if message.sender == BUS {
                self.lookup = None;
                self.polkit = name.is_ok().then(|| message.body()).transpose()?;
            }
            return Ok(());
        }
        for call in self.calls.iter_mut().filter(|call| call.answer.is_none()) {
            if let Some(says) = call.pending.is_answered_by(message) {
                call.answer = Some(Answered {
                    sender: message.sender.clone(),
                    says: says.and_then(|()| call::verdict(message)),
                    looked_up: false,
                });
                break;
            }
        }
        Ok(())
    }

    /// Takes an answer that is polkit's own. The bus lets nobody answer another's call, unless its
    /// configuration was loosened.
    fn settle(&mut self) -> Result<Option<Answer>, BusError> {
        if self.lookup.is_some() {
            return Ok(None);
        }
        let mut unknown = false;
        for at in 0..self.calls.len() {
            let call = &mut self.calls[at];
            let Some(answer) = &call.answer else { continue };
            // The bus itself says that nobody can be asked.
            let is_refused = answer.says.is_err() && answer.sender == BUS;
            if is_refused || self.polkit.as_ref() == Some(&answer.sender) {
                let call = self.calls.remove(at);
                return Ok(call
                    .answer
                    .map(|answer| (call.pending.serial(), answer.says)));
            }
            if answer.looked_up {
                log::warn!("{} answers for polkit, and is not it", answer.sender);
                call.answer = None;
            } else {
                // polkit was just starting, or has been replaced.
                unknown = true;
            }
        }
        if unknown {
            self.look_up()?;
        }
        Ok(None)
    }
}

impl AsFd for Link {
    /// Readable when [`Self::next`] may have something.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bus.as_fd()
    }
}
