//! Asks polkit whether a process may do something, for the broker. The subject is the process that
//! called the broker, according to the kernel. What needs which action is decided by others.
//!
//! Asking and waiting are apart: [`Authority::connect`] begins the handshake with the bus,
//! [`Authority::ask`] sends a question, [`Authority::wait`] takes the answers. There is one
//! descriptor and no thread. Only root may ask for others and give details (polkit(8)).
//!
//! Every failure is a "no": without a bus, without polkit, without an answer that makes sense.

mod action;
mod call;
mod denied;
#[cfg(test)]
mod fake_bus;
pub(crate) mod grounds;
mod link;
mod next;
mod quiet;
#[cfg(test)]
mod tests;
mod when_allowed;

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use nix::errno::Errno;

use crate::bus::{self, BusError, Carries};
use crate::clock::{Moment, Timer};
use crate::error::chain;
use crate::sys::poll::{self, Until, readable};
pub(crate) use action::Action;
pub(crate) use call::Dialog;
use call::{Told, Verdict};
pub(crate) use denied::{Denied, Why};
pub(crate) use link::Link;
use next::{Heard, Next, may_pass, why_not};
use when_allowed::WhenAllowed;

/// The process that wants to do something, as the kernel knows it and never as it says itself.
#[derive(Debug)]
pub(crate) struct Subject {
    /// Its number, in this process's PID namespace.
    pub(crate) pid: i32,
    /// When it started, in clock ticks since boot (proc_pid_stat(5), field 22).
    pub(crate) start_time: u64,
    /// Its user when it connected. polkit goes by this user, and not by the one that the process
    /// has now.
    pub(crate) uid: u32,
    /// A descriptor of it.
    pub(crate) pidfd: OwnedFd,
}

/// A question.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Question {
    action: Action,
    /// Details that polkit's rules can look up.
    details: BTreeMap<String, String>,
}

/// A question without an answer.
#[derive(Debug)]
struct Pending {
    question: Question,
    /// Its number on the link; `None` when it was not sent yet.
    sent: Option<u32>,
}

/// polkit, for one connection of a caller. Its answers are remembered for that long, each for the
/// same details only.
#[derive(Debug)]
pub(crate) struct Authority {
    subject: Subject,
    dialog: Dialog,
    /// Where the bus is.
    bus: PathBuf,
    /// What the next connection to the bus may have beside its messages.
    carries: Carries,
    /// How long each answer is waited for.
    patience: Duration,
    link: Option<Result<Link, BusError>>,
    /// The questions without an answer, in the order of asking.
    pending: Vec<Pending>,
    remembered: Vec<(Question, Verdict)>,
    /// Whether there was a "no".
    has_denied: bool,
    /// A "no" that needed no question.
    refused: Option<Denied>,
    /// Whether the connection was lost before.
    has_lost_bus: bool,
    when_allowed: WhenAllowed,
    /// Reports when the time for another try has come.
    pause: Option<Timer>,
}

/// How long each answer is waited for: a busy or emulated machine takes its time to start polkit.
const PATIENCE: Duration = Duration::from_secs(60);

/// The same when somebody has to find their password.
const PATIENCE_WITH_PEOPLE: Duration = Duration::from_secs(300);

/// The time between the loss of the bus and another try.
const PAUSE: Duration = Duration::from_millis(100);

impl Authority {
    /// Makes an authority, without asking anything. `link` is a connection that was made ahead.
    pub(crate) fn new(subject: Subject, dialog: Dialog, link: Option<Link>) -> Self {
        Self {
            subject,
            dialog,
            bus: bus::address().into(),
            carries: Carries::Descriptors,
            patience: match dialog {
                Dialog::Possible => PATIENCE_WITH_PEOPLE,
                Dialog::Impossible => PATIENCE,
            },
            link: link.map(Ok),
            pending: Vec::new(),
            remembered: Vec::new(),
            has_denied: false,
            refused: None,
            has_lost_bus: false,
            when_allowed: WhenAllowed::default(),
            pause: None,
        }
    }

    /// Whether somebody may be asked for a password.
    pub(crate) fn dialog(&self) -> Dialog {
        self.dialog
    }

    /// Whether answers are awaited; not, when all is known.
    pub(crate) fn is_asking(&self) -> bool {
        !self.pending.is_empty() || self.refused.is_some()
    }

    /// Calls `then` when all that was asked is allowed, with whether it would be to others as well.
    pub(crate) fn when_allowed(&mut self, then: impl FnOnce(bool) + 'static) {
        self.when_allowed.set(then);
    }

    /// Begins to connect to the bus, if that was not done yet. [`Self::wait`] reports a failure.
    pub(crate) fn connect(&mut self) {
        if self.link.is_none() {
            self.link = Some(Link::connect(&self.bus, self.carries));
        }
    }

    /// Asks without waiting for the answer. A remembered answer is not asked for again.
    pub(crate) fn ask(&mut self, action: Action, details: &[(&str, String)]) {
        if let Some((name, _)) = details.iter().find(|(_, value)| value.contains('\0')) {
            let denied = self.denied(action, Why::Detail((*name).to_owned()));
            self.refused.get_or_insert(denied);
            return;
        }
        let details = details
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()));
        let question = Question {
            action,
            details: details.collect(),
        };
        let known = self.remembered.iter().find(|(asked, _)| *asked == question);
        match known.map(|(_, verdict)| why_not(*verdict)) {
            Some(None) => {}
            Some(Some(why)) => {
                let denied = self.denied(action, why);
                self.refused.get_or_insert(denied);
            }
            None => {
                let sent = None;
                self.pending.push(Pending { question, sent });
                self.send();
            }
        }
    }

    /// Waits for the answers to all questions, or for the first "no". Questions without an answer
    /// are withdrawn then.
    pub(crate) fn wait(&mut self) -> Result<(), Denied> {
        let answered = match self.refused.take() {
            Some(denied) => Err(denied),
            None => self.wait_for_answers(),
        };
        self.concluded(answered)
    }

    fn concluded(&mut self, answered: Result<(), Denied>) -> Result<(), Denied> {
        answered
            .inspect(|()| self.when_allowed.happen(&self.remembered))
            .inspect_err(|_| {
                self.has_denied = true;
                self.withdraw();
            })
    }

    /// Asks and waits. A remembered answer is not asked for again.
    pub(crate) fn may(&mut self, action: Action, details: &[(&str, String)]) -> Result<(), Denied> {
        self.ask(action, details);
        self.wait()
    }

    /// Goes on as far as possible without waiting: whether everything is allowed, or `None` while
    /// answers are still to come. The caller has to watch the time.
    pub(crate) fn proceed(&mut self) -> Option<Result<(), Denied>> {
        let answered = match self.refused.take() {
            Some(denied) => Err(denied),
            None => self.proceed_without_waiting()?,
        };
        Some(self.concluded(answered))
    }

    /// Whether [`Self::proceed`] has something to do now.
    pub(crate) fn has_mail(&self) -> bool {
        matches!(&self.link, Some(Ok(link)) if link.has_mail())
    }

    /// Readable when [`Self::proceed`] has something to do.
    pub(crate) fn ready(&self) -> Option<BorrowedFd<'_>> {
        match (&self.pause, &self.link) {
            (Some(pause), _) => Some(pause.as_fd()),
            (None, Some(Ok(link))) => Some(link.as_fd()),
            (None, Some(Err(_)) | None) => None,
        }
    }

    fn proceed_without_waiting(&mut self) -> Option<Result<(), Denied>> {
        while !self.pending.is_empty() {
            let next = self.take().transpose()?;
            if let Err(denied) = self.conclude(next) {
                return Some(Err(denied));
            }
        }
        Some(Ok(()))
    }

    fn wait_for_answers(&mut self) -> Result<(), Denied> {
        let mut since = None;
        while !self.pending.is_empty() {
            let next = self.next(&mut since);
            if matches!(next, Ok(Next::Allowed)) {
                since = None;
            }
            self.conclude(next)?;
        }
        Ok(())
    }

    /// Takes in what came next: a "no" is an error, and after anything else the wait goes on.
    fn conclude(&mut self, next: Result<Next, BusError>) -> Result<(), Denied> {
        // The question without an answer is still there.
        let first = self.pending.first();
        let first = first.map_or(Action::UseBox, |first| first.question.action);
        let (action, error) = match next {
            Ok(Next::Allowed) => return Ok(()),
            Ok(Next::Not(action, why)) => return Err(self.denied(action, why)),
            Ok(Next::Never(why)) => return Err(self.denied(first, why)),
            Ok(Next::Failed(action, error)) => (action, error),
            Err(error) => (first, error),
        };
        // The state of the connection is unknown now.
        self.link = None;
        self.pending.iter_mut().for_each(|asked| asked.sent = None);
        if self.has_lost_bus || !may_pass(&error) {
            return Err(self.denied(action, Why::from_error(error)));
        }
        log::info!("asking polkit again: {}", chain(&error));
        self.has_lost_bus = true;
        if matches!(error, BusError::Descriptors) {
            // Nothing was restarted.
            self.carries = Carries::Bytes;
            return Ok(());
        }
        let armed = Timer::new().and_then(|timer| timer.set_after(PAUSE).map(|()| timer));
        let failed =
            |errno: Errno| self.denied(action, Why::from_error(BusError::Transfer(errno.into())));
        self.pause = Some(armed.map_err(failed)?);
        Ok(())
    }

    fn withdraw(&mut self) {
        self.pending.clear();
        if let Some(Ok(link)) = &mut self.link {
            link.cancel();
        }
    }

    /// Sends the questions that were not sent yet. A person is asked one thing at a time, since
    /// their agent has one dialog.
    fn send(&mut self) {
        let (Ok(pid), Ok(uid)) = (
            u32::try_from(self.subject.pid),
            i32::try_from(self.subject.uid),
        ) else {
            return;
        };
        self.connect();
        let Some(Ok(link)) = &mut self.link else {
            return;
        };
        let subject = &self.subject;
        for asked in self.pending.iter_mut().filter(|asked| asked.sent.is_none()) {
            if self.dialog == Dialog::Possible && link.is_asking() {
                return;
            }
            let told = Told { pid, uid, subject };
            match link.ask(told, &asked.question, self.dialog) {
                Ok(serial) => asked.sent = Some(serial),
                Err(error) => {
                    self.link = Some(Err(error));
                    return;
                }
            }
        }
    }

    /// Waits for the next answer. Messages that are not one do not prolong the time.
    fn next(&mut self, since: &mut Option<Moment>) -> Result<Next, BusError> {
        let now = || Moment::now().map_err(|errno| BusError::Transfer(errno.into()));
        let begin = *since.get_or_insert(now()?);
        loop {
            if let Some(next) = self.take()? {
                return Ok(next);
            }
            let left = self.patience.saturating_sub(now()?.since(begin));
            if left.is_zero() {
                return Ok(Next::Never(Why::TimedOut(self.patience)));
            }
            let link = self.ready().ok_or(BusError::Disconnected)?;
            let sources = [
                (Heard::Answer, readable(link)),
                (Heard::End, readable(self.subject.pidfd.as_fd())),
            ];
            let heard = poll::first(sources, Until::within(left)).map_err(BusError::Transfer)?;
            if heard == Some(Heard::End) {
                return Ok(Next::Never(Why::Ended));
            }
        }
    }

    /// Whether it is too early for another try.
    fn is_paused(&mut self) -> Result<bool, BusError> {
        let Some(pause) = &self.pause else {
            return Ok(false);
        };
        let is_over = pause.has_reported();
        let is_over = is_over.map_err(|errno| BusError::Transfer(errno.into()))?;
        self.pause.take_if(|_| is_over);
        Ok(!is_over)
    }

    /// The next answer that is there, after sending the questions that were not sent yet.
    fn take(&mut self) -> Result<Option<Next>, BusError> {
        if i32::try_from(self.subject.uid).is_err() {
            return Ok(Some(Next::Never(Why::UidTooLarge)));
        }
        if self.subject.pid < 1 {
            return Ok(Some(Next::Never(Why::NoPid)));
        }
        if self.is_paused()? {
            return Ok(None);
        }
        self.send();
        let link = match self.link.take() {
            Some(Ok(link)) => self.link.insert(Ok(link)).as_mut(),
            Some(Err(error)) => return Err(error),
            None => return Err(BusError::Disconnected),
        };
        let Ok(link) = link else {
            return Err(BusError::Disconnected);
        };
        while let Some((serial, says)) = link.next()? {
            let answered = |asked: &Pending| asked.sent == Some(serial);
            let Some(at) = self.pending.iter().position(answered) else {
                continue;
            };
            let action = self.pending[at].question.action;
            let verdict = match says {
                Ok(verdict) => verdict,
                Err(error) => return Ok(Some(Next::Failed(action, error))),
            };
            self.remembered
                .push((self.pending.remove(at).question, verdict));
            return Ok(Some(match why_not(verdict) {
                None => Next::Allowed,
                Some(why) => Next::Not(action, why),
            }));
        }
        Ok(None)
    }

    fn denied(&self, action: Action, why: Why) -> Denied {
        let uid = self.subject.uid;
        Denied { uid, action, why }
    }
}
