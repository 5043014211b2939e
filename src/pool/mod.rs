//! Many keepers, each with one request and a process of its own: standing by, handing over,
//! counting, reserving, making room and reaping.
//!
//! The pool owns the processes and what they were given, and nothing else. Where requests come
//! from, what they are and who may make them is the business of a [`Front`], which is handed in: a
//! request is a descriptor and a uid here. The pool's own process reads nothing that comes over
//! that descriptor, and never waits for anybody.
//!
//! The pool's own process never closes the last copy of such a descriptor. This would also close
//! descriptors that lie in it unreceived, and the sender decides how long that takes (socket(7),
//! SO_LINGER). The end of a process does not linger.

mod account;
mod children;
mod crowd;
mod ledger;
mod owners;
mod spare;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::failure::Failure;
use crate::sys::process::{self, Cloned};
use crate::sys::socket;
pub(crate) use account::{Account, RESTARTING};
use children::{Children, Refused};
pub(crate) use spare::{Beginning, Prepared};
use spare::{Handed, Meanwhile, Spare};

/// Where requests come from, and how they are carried out.
pub(crate) trait Front {
    /// What a keeper makes before there is a request.
    type Prepared: Prepared;

    /// In a keeper that stands by: makes it.
    fn prepare(&self) -> io::Result<Self::Prepared>;

    /// In a keeper that was handed a request: carries it out. The process ends after that.
    fn attend(&self, beginning: Beginning<Self::Prepared>);

    /// In the pool's own process: remembers what a keeper has told of the request of this user. The
    /// keepers that are made after that have it.
    fn remember(&mut self, uid: u32, note: &[u8]);

    /// In a process of its own: tells whoever made the request that there will be no keeper.
    fn refuse(&self, channel: BorrowedFd<'_>, refusal: &Failure);
}

/// The keepers of one front.
#[derive(Debug)]
pub(crate) struct Pool<F> {
    front: F,
    children: Children,
    spare: Option<Spare>,
    /// Whether a request was carried out since keepers were last heard, or none has come yet.
    has_ended: bool,
    refused: Vec<Refused>,
}

impl<F: Front> Pool<F> {
    /// One without keepers.
    pub(crate) fn new(front: F) -> Self {
        Self {
            front,
            children: Children::default(),
            spare: None,
            has_ended: true,
            refused: Vec::new(),
        }
    }

    /// Makes a keeper stand by once a request has been carried out; earlier this would take time
    /// from the run that is being prepared. A keeper that served no real request is not replaced,
    /// so that a flood at the front does not become one on the bus.
    pub(crate) fn stand_by(&mut self) -> io::Result<()> {
        match self.has_ended {
            true => self.stand_by_at_once(),
            false => Ok(()),
        }
    }

    /// Has a keeper stand by, although the last request may not be over: whoever makes the requests
    /// knows that no run is being made ready.
    pub(crate) fn stand_by_at_once(&mut self) -> io::Result<()> {
        if self.spare.is_none() {
            self.spare = Some(make_spare(&self.front, Meanwhile::Prepare)?);
        }
        Ok(())
    }

    /// What is readable when there is something to hear; the place of each is told to
    /// [`Self::hear`].
    pub(crate) fn heard_at(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.children.heard_at()
    }

    /// Hears the children at these places, which rise.
    pub(crate) fn hear(&mut self, places: &[usize]) {
        let heard = self.children.hear(places);
        self.has_ended = heard.has_ended;
        self.refused.extend(heard.refused);
        for (uid, note) in heard.notes {
            self.front.remember(uid, &note);
        }
    }

    /// Reads again which user answers for which uid. To be called before requests are taken.
    pub(crate) fn look_at_owners(&mut self) {
        self.children.look_at_owners();
    }

    /// Takes a request of this user, which waits for [`Self::serve`] or for [`Self::turn_away`].
    pub(crate) fn take(&mut self, uid: u32, channel: OwnedFd) {
        let refused = self.children.enqueue(uid, (channel, None));
        self.refused.extend(refused);
    }

    /// Gives the next request a keeper: the one that stands by, or a new one. Returns `None` if no
    /// request may have one now. After an error the request keeps its place.
    pub(crate) fn serve(&mut self) -> Option<io::Result<()>> {
        let waiting = self.children.next()?;
        Some(match self.keeper_for(&waiting.handed) {
            Ok(Spare { pidfd, account }) => {
                self.children.add(waiting, pidfd, account);
                Ok(())
            }
            Err(error) => {
                self.children.put_back(waiting);
                Err(error)
            }
        })
    }

    /// Gives the next request a new keeper: what the one that stands by has prepared is of no use
    /// to it.
    pub(crate) fn serve_unprepared(&mut self) -> Option<io::Result<()>> {
        let spare = self.spare.take();
        let served = self.serve();
        self.spare = spare;
        served
    }

    fn keeper_for(&mut self, handed: &Handed) -> io::Result<Spare> {
        let handed_over = self
            .spare
            .take()
            .and_then(|spare| match spare.hand_over(handed) {
                Ok(()) => Some(spare),
                Err(_) => {
                    // The spare has died.
                    process::wait_for(spare.pidfd.as_fd()).ok();
                    None
                }
            });
        match handed_over {
            Some(spare) => Ok(spare),
            None => {
                let spare = make_spare(&self.front, Meanwhile::Nothing)?;
                spare.hand_over(handed)?;
                Ok(spare)
            }
        }
    }

    /// Tells the refused callers why, and hangs up, in a process that ends after this.
    pub(crate) fn turn_away(&mut self) -> io::Result<()> {
        if self.refused.is_empty() {
            return Ok(());
        }
        // They leave the list when the new process has their channels; after a failure they wait.
        let (ours, theirs) = socket::pair()?;
        match process::clone(0, None)? {
            Cloned::Child => {
                drop(ours);
                for (refusal, channel) in &self.refused {
                    self.front.refuse(channel.as_fd(), refusal);
                }
                wait_for_end(theirs.as_fd());
                process::exit_now(0)
            }
            Cloned::Parent { pidfd, .. } => {
                self.refused.clear();
                drop(ours);
                self.children.add_usher(pidfd);
                Ok(())
            }
        }
    }

    /// Leaves everything to the end of this process: keepers go on, and what waits is hung up on.
    pub(crate) fn leave(self) {
        std::mem::forget(self);
    }
}

/// Waits until the pool has closed its side of a pair: by then it has closed the channels, too.
fn wait_for_end(pair: BorrowedFd<'_>) {
    let mut nothing = [0];
    while socket::receive(pair, &mut nothing).is_ok_and(|(length, _)| length > 0) {}
}

/// Clones a keeper that stands by. In its own process this returns only when it has nothing more to
/// do.
fn make_spare<F: Front>(front: &F, meanwhile: Meanwhile) -> io::Result<Spare> {
    match Spare::make(front, meanwhile)? {
        Ok(spare) => Ok(spare),
        Err(beginning) => {
            front.attend(beginning);
            process::exit_now(0)
        }
    }
}
