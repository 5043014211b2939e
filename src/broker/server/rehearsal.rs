//! A made-up request, which goes through the code of every request. Code that has run once in a
//! process takes a fraction of the time later. Nothing of it leaves the process.

use super::authorise;
use super::groups;
use super::read::read;
use crate::broker::protocol::{Called, STANDARD, words};
use crate::caller::Inheritance;
use crate::caller::OpenedDirs;
use crate::config::settings::Settings;
use crate::home::find_place;
use crate::systemd;

/// Encodes a request, reads it, and encodes the question to systemd that would follow.
pub(super) fn rehearse(settings: Option<&Settings>) {
    let Ok(own) = Inheritance::of_process() else {
        return;
    };
    let received = made_up(own.clone())
        .to_bytes()
        .map(|bytes| Called::from_bytes(&bytes, STANDARD));
    if let Ok(Ok(called)) = received {
        examine(&called, &own);
    }
    if let Some(settings) = settings {
        drop(find_place(&settings.cgroup));
    }
    systemd::rehearse();
}

/// A request that nobody has made.
fn made_up(inheritance: Inheritance) -> Called {
    let argv = ["isolate-run", "--run", "--", "/bin/true"].map(Into::into);
    Called {
        argv: words(argv),
        environment: Vec::new(),
        asked: 0,
        inherited: Vec::new(),
        directories: Vec::new(),
        inheritance,
        interactive: false,
        of_batch: false,
        renews: false,
    }
}

/// Reads a request and derives what polkit would be asked. The fuzz targets use this, too.
pub(in crate::broker) fn examine(called: &Called, own: &Inheritance) {
    if let Ok(call) = read(called) {
        let is_member = groups::are_among(&[0], &["root".into()], "root:x:0:");
        let groups = groups::names(&[0], "root:x:0:");
        drop(authorise::details(&call, groups));
        drop(authorise::needed(&call, is_member));
        let Called { directories, .. } = called;
        drop(OpenedDirs::from_parts(call.command.dirs(), directories, []));
        drop(called.inheritance.clone().within(own));
        drop(called.environment());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::BoxCommand;

    #[test]
    fn what_is_rehearsed_is_a_run() {
        let own = Inheritance::of_process().unwrap();
        let call = read(&made_up(own)).unwrap();
        assert!(matches!(call.command, BoxCommand::Run(_)));
        rehearse(Some(&Settings::default()));
        rehearse(None);
    }
}
