//! What must arrive before the program starts: the scope from systemd, the permission from polkit.

use super::phase::Event;
use super::{CgroupState, Keeper};
use crate::cgroup::{ScopeProcesses, Subtree};
use crate::clock::Moment;
use crate::error::chain;

impl Keeper<'_> {
    /// Hears systemd, and sets up the cgroups in the scope once the scope is there.
    pub(super) fn take_scope(&mut self) -> Option<Event> {
        let CgroupState::Requested(request, holder) = &mut self.cgroups else {
            return None;
        };
        let scope = match request.proceed() {
            Ok(None) => return None,
            Ok(Some(scope)) => scope,
            Err(error) => {
                self.cgroups = CgroupState::None;
                return Some(Event::Failed(chain(&error)));
            }
        };
        let init = Some(self.init.pid);
        let processes = match holder {
            None => ScopeProcesses {
                inside: init,
                outside: None,
            },
            Some(holder) => ScopeProcesses {
                inside: Some(holder.pid()),
                outside: init,
            },
        };
        let subtree = Subtree::in_scope(&scope.path, &self.plan.leaf, processes);
        if let Some(holder) = holder.take() {
            holder.end();
        }
        self.unit = Some(scope.unit);
        match subtree {
            Ok(subtree) => {
                log::info!("init {} is in {}", self.init.pid, scope.path.display());
                self.cgroups = CgroupState::Ready(subtree);
                self.stages.cgroup_ready = Moment::now().ok();
                Some(Event::CgroupReady)
            }
            Err(error) => {
                self.cgroups = CgroupState::None;
                Some(Event::Failed(chain(&error)))
            }
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
