//! A process that keeps a scope, when it has nothing else to do: how long it stays, and what it is
//! told meanwhile.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use nix::sys::signalfd::SignalFd;

use super::holder::{DISMISSAL, RETIREMENT};
use crate::cgroup::value_of;
use crate::launch::Ready;
use crate::sys::poll::{self, Until, readable};

/// How often the process looks whether a run is over whose namespaces it is in.
const LOOK: Duration = Duration::from_secs(2);

/// For how long the process stays when its box was removed. Many have a box made anew for each run.
const RETIRED: Duration = Duration::from_millis(500);

/// How many cgroups there may be below a slice for that; a scope has one, and up to two in it.
/// `[ceilings]` bounds the boxes of a user, and not what waits when these are gone.
const FEW: u64 = 100;

/// The file of a slice that tells how many cgroups are below it (cgroups(7), cgroup.stat).
pub(super) const CROWD: &str = "cgroup.stat";

/// Whether somebody who is not needed may stay in a slice for a while, by this file of its.
pub(super) fn is_spacious(crowd: &File) -> bool {
    ask(crowd, has_few, false)
}

/// Whether these are few, by its text. Pure.
fn has_few(crowd: &str) -> bool {
    value_of(crowd, "nr_descendants").is_some_and(|number| number <= FEW)
}

/// What the process sees of where it stays.
pub(super) struct Stay {
    /// Lists the processes of its cgroup.
    pub(super) processes: File,
    /// [`CROWD`] of its slice.
    pub(super) crowd: File,
    /// The same of its scope.
    pub(super) beside: File,
    /// How many cgroups there are in the scope when no run is there.
    pub(super) own: u64,
}

impl Stay {
    /// Whether no other process is in the cgroup.
    fn is_alone(&self) -> io::Result<bool> {
        let mut list = [0; 4096];
        let length = self.processes.read_at(&mut list, 0)?;
        Ok(list[..length].iter().filter(|byte| **byte == b'\n').count() <= 1)
    }

    /// Whether all processes of the runs in the scope are dead. The leaf of a run goes when they
    /// are; init is not in the list any more when it has begun to end, and to end the others.
    fn is_over(&self) -> io::Result<bool> {
        let has_leaf = |text: &str| value_of(text, "nr_descendants") != Some(self.own);
        Ok(self.is_alone()? && !ask(&self.beside, has_leaf, true))
    }

    /// Stays in the scope until nobody has used it for so long, and makes namespaces for the next
    /// run after each one, if it can.
    pub(super) fn rest(
        &self,
        time: Duration,
        orders: &SignalFd,
        mut ready: Option<Ready>,
    ) -> io::Result<()> {
        let looks = ready.is_some();
        // Where it cannot, init makes them.
        let mut make = |are_dead| drop(ready.as_mut().map(|ready| ready.make(are_dead)));
        make(false);
        let mut end = Instant::now() + time;
        loop {
            let next = match looks {
                true => end.min(Instant::now() + LOOK),
                false => end,
            };
            poll::first([((), readable(orders.as_fd()))], Until::At(next))?;
            match take_order(orders)? {
                Some(Order::End) => return Ok(()),
                Some(Order::Retire) if !is_spacious(&self.crowd) => return Ok(()),
                Some(order) => {
                    // It may come late, when the next run goes on.
                    make(self.is_over()?);
                    end = Instant::now()
                        + match order {
                            Order::Retire => time.min(RETIRED),
                            _ => time,
                        };
                }
                // A run may take longer than that.
                None if !self.is_alone()? => end = end.max(Instant::now() + LOOK),
                None if Instant::now() >= end => return Ok(()),
                // The namespaces of a run keep what it left in them, as shared memory, while this
                // process is there, and a keeper that was killed tells nobody that the run is over.
                None => make(false),
            }
        }
    }
}

/// Asks the text of a short file of the kernel's, or says `in_doubt`.
fn ask(file: &File, question: impl Fn(&str) -> bool, in_doubt: bool) -> bool {
    let mut text = [0; 4096];
    let length = file.read_at(&mut text, 0).unwrap_or(0);
    std::str::from_utf8(&text[..length]).map_or(in_doubt, question)
}

/// What the process is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Order {
    /// Its scope was of use.
    Rest,
    /// Its box was removed.
    Retire,
    /// It is not needed.
    End,
}

/// What the process was told, if anything. Of several orders that lie there the kernel does not say
/// which came last. The stronger one counts: at worst the process ends though its box was made
/// anew, and the next run has to ask for another scope.
pub(super) fn take_order(orders: &SignalFd) -> io::Result<Option<Order>> {
    let mut heard = None;
    while let Some(order) = orders.read_signal()? {
        let order = match order.ssi_signo {
            number if number == DISMISSAL as u32 => Order::End,
            number if number == RETIREMENT as u32 => Order::Retire,
            _ => Order::Rest,
        };
        heard = heard.max(Some(order));
    }
    Ok(heard)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_not_needed_stays_among_few() {
        let stat = |number| format!("nr_descendants {number}\nnr_dying_descendants 999\n");
        assert!(has_few(&stat(0)) && has_few(&stat(FEW)));
        assert!(!has_few(&stat(FEW + 1)));
        assert!(!has_few("") && !has_few("nr_descendants x\n"));
    }
}
