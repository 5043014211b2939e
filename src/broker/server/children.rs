//! The keepers of all requests, as the broker's own process sees them, and connections that wait for one.
//!
//! Until a keeper knows who may do what, it has cost its caller nothing: so few of each user's are at that point at
//! the same time, and the user's other connections wait. Nobody waits for another user.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::account::{Answer, Question, Told};
use super::foresight::Foresight;
use crate::failure::Failure;
use crate::plan::ceilings::Amounts;
use crate::plan::ledger::Ledger;
use crate::sys::process;
use crate::systemd::ScopeSpec;

/// How many keepers of one user may be receiving or examining a request.
const MOST_ARRIVING: usize = 32;
/// How many requests of one user may be there at all. What runs are allowed to take is the administrator's to say
/// (`[limits]`); this keeps one user's connections from using up descriptors and processes before that is asked.
const MOST_OF_A_USER: usize = 256;
/// The same for all users together.
const MOST: usize = 2048;

/// One keeper.
#[derive(Debug)]
struct Child {
    /// The user whose request it serves.
    uid: u32,
    pidfd: OwnedFd,
    /// Where it asks, until it has no more to ask.
    account: Option<OwnedFd>,
    /// What it was given; `None` until it has asked.
    given: Option<Amounts>,
    /// The scope that its run had.
    scope: Option<ScopeSpec>,
}

/// A connection without a keeper.
#[derive(Debug)]
pub(super) struct Waiting {
    /// Who connected.
    pub(super) uid: u32,
    /// The connection.
    pub(super) connection: OwnedFd,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Children {
    keepers: Vec<Child>,
    /// Processes that turn connections away.
    ushers: Vec<OwnedFd>,
    waiting: VecDeque<Waiting>,
    ledger: Ledger,
    foresight: Foresight,
}

impl Children {
    /// Lets a connection wait for a keeper; refuses when there are too many, and gives it back.
    pub(super) fn enqueue(&mut self, waiting: Waiting) -> Result<(), (Failure, Waiting)> {
        let uid = waiting.uid;
        let keepers = self.keepers.iter().map(|child| child.uid);
        let theirs = keepers
            .chain(self.waiting.iter().map(|waiting| waiting.uid))
            .filter(|other| *other == uid)
            .count();
        let all = self.keepers.len() + self.waiting.len();
        let refused = |whose: &str, number, most| {
            Failure::new(format!(
                "{whose} {number} requests under way, of at most {most}: wait until some of them have ended"
            ))
        };
        if theirs >= MOST_OF_A_USER {
            let refusal = refused(&format!("user {uid} has"), theirs, MOST_OF_A_USER);
            return Err((refusal, waiting));
        }
        if all >= MOST {
            return Err((refused("all users together have", all, MOST), waiting));
        }
        self.waiting.push_back(waiting);
        Ok(())
    }

    /// Takes the first connection whose user may have another keeper.
    pub(super) fn next(&mut self) -> Option<Waiting> {
        let may_have_another = |uid: u32| {
            let keepers = self.keepers.iter();
            let arriving = keepers.filter(|child| child.uid == uid && child.given.is_none());
            arriving.count() < MOST_ARRIVING
        };
        let first = self
            .waiting
            .iter()
            .position(|waiting| may_have_another(waiting.uid))?;
        self.waiting.remove(first)
    }

    /// Takes note of a new keeper.
    pub(super) fn add(&mut self, uid: u32, pidfd: OwnedFd, account: OwnedFd) {
        self.keepers.push(Child {
            uid,
            pidfd,
            account: Some(account),
            given: None,
            scope: None,
        });
    }

    /// Takes note of a process that turns connections away.
    pub(super) fn add_usher(&mut self, pidfd: OwnedFd) {
        self.ushers.push(pidfd);
    }

    /// Where each child is heard: keepers first by their questions, then, like the others, by their end. One that has no
    /// more to ask may not end for a long time: closing its caller's descriptors can take as long as their caller likes.
    pub(super) fn heard_at(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let keepers = self.keepers.iter();
        keepers
            .map(|child| child.account.as_ref().unwrap_or(&child.pidfd).as_fd())
            .chain(self.ushers.iter().map(AsFd::as_fd))
    }

    /// Hears the children at these places, which rise; whether a keeper has ended that had a request to carry out.
    pub(super) fn hear(&mut self, places: &[usize]) -> bool {
        let mut have_ended = false;
        for place in places.iter().rev() {
            if let Some(usher) = place.checked_sub(self.keepers.len()) {
                take_leave(self.ushers.swap_remove(usher).as_fd());
                continue;
            }
            let child = &mut self.keepers[*place];
            if let Some(account) = child.account.take() {
                child.account = hear(child, &mut self.ledger, account);
                continue;
            }
            let child = self.keepers.swap_remove(*place);
            if child.given.is_some() {
                have_ended = true;
                self.foresight.note(child.scope);
            }
            let given = child.given.unwrap_or_default();
            self.ledger.release(child.uid, given);
            take_leave(child.pidfd.as_fd());
        }
        have_ended
    }

    /// What is known of requests to come.
    pub(super) fn foresight(&self) -> &Foresight {
        &self.foresight
    }
}

/// Hears a keeper, answers its one question, and gives its account back; `None` when it has no more to say, or says what it
/// should not.
fn hear(child: &mut Child, ledger: &mut Ledger, account: OwnedFd) -> Option<OwnedFd> {
    let question = match Told::receive(account.as_fd())? {
        Told::Question(question) => *question,
        Told::Scope(scope) => {
            child.scope = Some(scope);
            return None;
        }
    };
    if child.given.is_some() {
        return None;
    }
    let Question { amounts, ceilings } = question;
    let answer = ledger.reserve(child.uid, amounts, &ceilings);
    child.given = Some(answer.as_ref().map_or(Amounts::default(), |()| amounts));
    let answer = Answer(answer.map_err(|refusal| refusal.to_string()));
    // A keeper that is gone is heard again.
    answer.send(account.as_fd()).ok();
    Some(account)
}

/// Takes leave of a child whose descriptor says that it has ended.
fn take_leave(pidfd: BorrowedFd<'_>) {
    process::wait_for(pidfd).ok();
}
