//! The keepers of all requests, as the pool's own process sees them, and what waits for one.
//!
//! A keeper costs its caller nothing until it knows who may do what, so only a few keepers of one
//! user may be at that point; the user's other requests wait. No user waits for another. When there
//! are too many requests, one goes that has not been authorised ([`super::crowd`]).
//!
//! Requests are counted for whoever answers for a uid ([`super::owners`]), and what runs take is
//! counted for each uid.

use std::collections::{HashMap, VecDeque};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::account::{Answer, Question, Told, begin};
use super::crowd::{Guest, Regulars, who_makes_room};
use super::ledger::Ledger;
use super::owners::Owners;
use super::spare::Handed;
use crate::failure::Failure;
use crate::plan::ceilings::Amounts;
use crate::sys::process;

/// How many keepers of one user may be receiving or examining a request.
const MOST_ARRIVING: usize = 32;
/// How many requests of one user may be under way. The administrator says what runs may take
/// (`[ceilings]`); this bounds descriptors and processes before that is asked.
const MOST_OF_A_USER: usize = 256;
/// The same for all users together.
const MOST: usize = 2048;
/// How many killed keepers may still be ending. A kill takes effect at once.
const MOST_LEAVING: usize = 256;
/// How many bytes the long requests ([`super::account::SHORT`]) that were not authorised may have
/// together.
const MOST_LONG: usize = 64 << 20;

/// One keeper.
#[derive(Debug)]
struct Child {
    /// The user whose request it serves.
    uid: u32,
    /// Who answers for that user.
    owner: u32,
    /// Requests are numbered as they come.
    serial: u64,
    pidfd: OwnedFd,
    /// Where it asks, until it has no more to ask.
    account: Option<OwnedFd>,
    /// What it was given; `None` until it has asked.
    given: Option<Amounts>,
    /// Its user may do what was asked for.
    is_authorised: bool,
    /// The length of its request, if that is long.
    long: usize,
    /// It was killed, and its end has not been seen yet.
    is_leaving: bool,
    /// It has no request of its own, and hands over those of its user.
    is_steward: bool,
}

/// A request without a keeper.
#[derive(Debug)]
pub(super) struct Waiting {
    /// The user who made it.
    uid: u32,
    /// Who answers for that user.
    owner: u32,
    /// Requests are numbered as they come.
    serial: u64,
    /// What a keeper is handed.
    pub(super) handed: Handed,
}

/// A request that no keeper gets, and why.
pub(super) type Refused = (Failure, OwnedFd);

/// What was heard of the children.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// A keeper has ended that had carried out a request.
    pub(super) has_ended: bool,
    /// Requests that no keeper gets.
    pub(super) refused: Vec<Refused>,
    /// What the front is to remember, each of a user.
    pub(super) notes: Vec<(u32, Vec<u8>)>,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Children {
    keepers: Vec<Child>,
    /// Processes that turn requests away.
    ushers: Vec<OwnedFd>,
    waiting: VecDeque<Waiting>,
    /// How many requests there have been.
    serial: u64,
    owners: Owners,
    regulars: Regulars,
    ledger: Ledger,
}

impl Children {
    /// Reads again which user answers for which uid. To be called before requests are enqueued.
    pub(super) fn look_at_owners(&mut self) {
        self.owners.refresh();
    }

    /// Lets a request wait for a keeper. When there are too many, this returns the one that is
    /// refused: this one, or another that waited. A keeper may be killed instead.
    pub(super) fn enqueue(&mut self, uid: u32, handed: Handed) -> Option<Refused> {
        self.serial += 1;
        let waiting = Waiting {
            uid,
            owner: self.owners.of(uid),
            serial: self.serial,
            handed,
        };
        let keepers = self.staying().map(|child| child.owner);
        let theirs = keepers
            .chain(self.waiting.iter().map(|waiting| waiting.owner))
            .filter(|owner| *owner == waiting.owner)
            .count();
        if theirs >= MOST_OF_A_USER {
            let whose = format!("{} has", self.owners.in_words(waiting.owner));
            let refusal = refusal(&whose, theirs, MOST_OF_A_USER);
            return Some((refusal, waiting.handed.0));
        }
        let all = self.staying().count() + self.waiting.len();
        let refused = if all >= MOST {
            let refusal = refusal("all users together have", all, MOST);
            match self.make_room(&waiting) {
                Room::None => return Some((refusal, waiting.handed.0)),
                Room::OfKeeper => None,
                Room::Of(other) => Some((refusal, other.handed.0)),
            }
        } else {
            None
        };
        self.waiting.push_back(waiting);
        refused
    }

    /// The keepers that were not killed.
    fn staying(&self) -> impl Iterator<Item = &Child> {
        self.keepers.iter().filter(|child| !child.is_leaving)
    }

    fn guest(&self, child: &Child, share: usize) -> Guest {
        Guest {
            owner: child.owner,
            serial: child.serial,
            is_regular: self.regulars.has(child.uid),
            share,
        }
    }

    /// Makes room for a request at the cost of another.
    fn make_room(&mut self, newcomer: &Waiting) -> Room {
        let of_waiting = |waiting: &Waiting| Guest {
            owner: waiting.owner,
            serial: waiting.serial,
            is_regular: self.regulars.has(waiting.uid),
            share: 1,
        };
        let keepers = self.staying().filter(|child| !child.is_authorised);
        let guests: Vec<Guest> = keepers
            .map(|child| self.guest(child, 1))
            .chain(self.waiting.iter().map(of_waiting))
            .collect();
        let newcomer = of_waiting(newcomer);
        let Some(serial) = who_makes_room(&guests, newcomer) else {
            return Room::None;
        };
        let place = self.waiting.iter().position(|one| one.serial == serial);
        match place.and_then(|place| self.waiting.remove(place)) {
            Some(other) => Room::Of(other),
            None if self.kill(serial) => Room::OfKeeper,
            None => Room::None,
        }
    }

    /// Kills a keeper whose request was not authorised. Returns whether it did: it may be gone, and
    /// only so many may be ending.
    fn kill(&mut self, serial: u64) -> bool {
        if self.keepers.len() - self.staying().count() >= MOST_LEAVING {
            return false;
        }
        let mut keepers = self.keepers.iter_mut();
        let Some(child) = keepers.find(|child| child.serial == serial) else {
            return false;
        };
        // Its last message may say that the request is authorised.
        let account = child.account.as_ref();
        if account.is_some_and(|account| Told::lies_ready(account.as_fd())) {
            return false;
        }
        child.is_leaving = true;
        // If it has ended already, the loop will notice.
        process::send_signal(child.pidfd.as_fd(), libc::SIGKILL).ok();
        true
    }

    /// Puts a request that could not be served back, before all others.
    pub(super) fn put_back(&mut self, waiting: Waiting) {
        self.waiting.push_front(waiting);
    }

    /// Takes the first request whose user may have another keeper.
    pub(super) fn next(&mut self) -> Option<Waiting> {
        let mut arriving: HashMap<u32, usize> = HashMap::new();
        let is_arriving = |child: &&Child| child.given.is_none() && !child.is_steward;
        for child in self.staying().filter(is_arriving) {
            *arriving.entry(child.owner).or_default() += 1;
        }
        let may_have_another = |waiting: &Waiting| {
            arriving.get(&waiting.owner).copied().unwrap_or_default() < MOST_ARRIVING
        };
        let first = self.waiting.iter().position(may_have_another)?;
        self.waiting.remove(first)
    }

    /// Adds a new keeper, and lets it begin, since it has its channel to itself now.
    pub(super) fn add(&mut self, waiting: Waiting, pidfd: OwnedFd, account: OwnedFd) {
        let Waiting {
            uid,
            owner,
            serial,
            handed,
        } = waiting;
        drop(handed);
        // If the keeper is gone, the loop will notice its end.
        begin(account.as_fd()).ok();
        self.keepers.push(Child {
            uid,
            owner,
            serial,
            pidfd,
            account: Some(account),
            given: None,
            is_authorised: false,
            long: 0,
            is_leaving: false,
            is_steward: false,
        });
    }

    /// Adds a process that turns requests away.
    pub(super) fn add_usher(&mut self, pidfd: OwnedFd) {
        self.ushers.push(pidfd);
    }

    /// What is readable when a child has something to say: a keeper's questions, and then, as with
    /// other children, its end. That may be long after the last question, because a caller decides
    /// how long it takes to close their descriptors.
    pub(super) fn heard_at(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let keepers = self.keepers.iter();
        keepers
            .map(|child| child.account.as_ref().unwrap_or(&child.pidfd).as_fd())
            .chain(self.ushers.iter().map(AsFd::as_fd))
    }

    /// Hears the children at these places, in rising order.
    pub(super) fn hear(&mut self, places: &[usize]) -> Heard {
        let mut heard = Heard::default();
        for place in places.iter().rev() {
            if let Some(usher) = place.checked_sub(self.keepers.len()) {
                take_leave(self.ushers.swap_remove(usher).as_fd());
                continue;
            }
            if let Some(account) = self.keepers[*place].account.take() {
                let told = Told::receive(account.as_fd());
                let goes_on = match told {
                    None => false,
                    Some((Told::Another, descriptors)) => {
                        heard.refused.extend(self.take_over(*place, descriptors));
                        true
                    }
                    Some((Told::Authorised(note), _)) => {
                        heard.notes.push((self.note_authorised(*place), note));
                        true
                    }
                    Some((told, _)) => self.listen(*place, told, account.as_fd()),
                };
                self.keepers[*place].account = Some(account).filter(|_| goes_on);
                continue;
            }
            let child = self.keepers.swap_remove(*place);
            if child.given.is_some() {
                heard.has_ended = true;
            }
            let given = child.given.unwrap_or_default();
            self.ledger.release(child.uid, given);
            take_leave(child.pidfd.as_fd());
        }
        heard
    }

    /// Notes that the request of this keeper is authorised. Returns whose it is.
    fn note_authorised(&mut self, place: usize) -> u32 {
        let child = &mut self.keepers[place];
        child.is_authorised = true;
        self.regulars.note(child.uid);
        child.uid
    }

    /// Takes another request of the user of this keeper.
    fn take_over(&mut self, place: usize, descriptors: Vec<OwnedFd>) -> Option<Refused> {
        let child = &mut self.keepers[place];
        child.is_steward = true;
        let uid = child.uid;
        let mut descriptors = descriptors.into_iter();
        let channel = descriptors.next()?;
        self.enqueue(uid, (channel, descriptors.next()))
    }

    /// Notes what a keeper says, and answers. Returns whether it may say more.
    fn listen(&mut self, place: usize, told: Told, account: BorrowedFd<'_>) -> bool {
        let answer = match told {
            Told::Long(length) => self.let_in(place, length),
            Told::Question(question) => {
                let child = &mut self.keepers[place];
                if child.given.is_some() {
                    return false;
                }
                let Question { amounts, ceilings } = *question;
                let who = || self.owners.in_words(child.uid);
                let answer = self.ledger.reserve(child.uid, amounts, &ceilings, who);
                let given = answer.as_ref().map_or(Amounts::default(), |()| amounts);
                child.given = Some(given);
                answer.map_err(|refusal| refusal.to_string())
            }
            // These were taken before.
            Told::Another | Told::Authorised(_) => return true,
        };
        // If the keeper is gone, the loop will notice its end.
        Answer(answer).send(account).ok();
        true
    }

    /// Lets a keeper receive a long request. Others may have to make room.
    fn let_in(&mut self, place: usize, length: usize) -> Result<(), String> {
        loop {
            let newcomer = self.guest(&self.keepers[place], length);
            let long = self
                .staying()
                .filter(|child| child.long > 0 && !child.is_authorised);
            let guests: Vec<Guest> = long.map(|child| self.guest(child, child.long)).collect();
            let sum: usize = guests.iter().map(|guest| guest.share).sum();
            if sum.saturating_add(length) <= MOST_LONG {
                self.keepers[place].long = length;
                return Ok(());
            }
            let makes_room = who_makes_room(&guests, newcomer);
            if !makes_room.is_some_and(|serial| self.kill(serial)) {
                return Err(format!(
                    "too many long requests are arriving: give the command again in a moment, or a shorter one than \
                     {length} bytes"
                ));
            }
        }
    }
}

/// What was given up to make room.
enum Room {
    /// Nobody.
    None,
    /// A request that waited.
    Of(Waiting),
    /// A keeper.
    OfKeeper,
}

fn refusal(whose: &str, number: usize, most: usize) -> Failure {
    Failure::new(format!(
        "{whose} {number} requests under way, of at most {most}: wait until some of them have ended"
    ))
}

/// Reaps a child that has ended.
fn take_leave(pidfd: BorrowedFd<'_>) {
    process::wait_for(pidfd).ok();
}
