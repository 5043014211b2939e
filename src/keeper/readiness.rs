//! What must arrive before the program starts: the scope from systemd, the permission from polkit.

use std::os::fd::AsFd;

use super::Keeper;
use super::phase::Event;
use crate::clock::Moment;
use crate::error::chain;
use crate::sys::poll::{self, readable};

impl Keeper<'_> {
    /// Hears systemd; the cgroups are set up in the scope once that is there.
    pub(super) fn take_home(&mut self) -> Option<Event> {
        match self.home.proceed(&self.init, &self.plan.leaf) {
            Ok(false) => None,
            Ok(true) => {
                self.stages.cgroup_ready = Moment::now().ok();
                Some(Event::CgroupReady)
            }
            Err(failure) => Some(self.told_by_init().unwrap_or_else(|| {
                // Nobody knows better.
                Event::Failed(failure.text().to_owned())
            })),
        }
    }

    /// What an init has said that failed, and took its scope along.
    fn told_by_init(&mut self) -> Option<Event> {
        while self.hears_init && poll::is_so(readable(self.init.socket.as_fd())).ok()? {
            if let Some(event @ Event::Failed(_)) = self.hear().ok()? {
                log::info!("there is no scope, for init failed before");
                return Some(event);
            }
        }
        None
    }

    /// Hears polkit.
    pub(super) fn take_permission(&mut self) -> Option<Event> {
        let answer = self.permission?.borrow_mut().proceed()?;
        self.permission = None;
        Some(match answer {
            Ok(()) => Event::Permitted,
            Err(denied) => Event::Failed(chain(&denied)),
        })
    }
}
