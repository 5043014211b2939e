//! What must arrive before the program starts: the scope from systemd, the permission from polkit.

use super::Keeper;
use super::phase::Event;
use crate::clock::Moment;
use crate::error::chain;

impl Keeper<'_> {
    /// Hears systemd; the cgroups are set up in the scope once that is there.
    pub(super) fn take_home(&mut self) -> Option<Event> {
        match self.home.proceed(&self.init, &self.plan.leaf) {
            Ok(false) => None,
            Ok(true) => {
                self.stages.cgroup_ready = Moment::now().ok();
                Some(Event::CgroupReady)
            }
            Err(failure) => Some(Event::Failed(failure.text().to_owned())),
        }
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
