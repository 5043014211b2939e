//! Which actions of polkit a request needs, and what an administrator's rules can see of it. Pure.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use crate::dir_rule::DirRequest;
use crate::polkit::Action;
use crate::request::{BoxCall, BoxChoice, BoxCommand};

/// The actions that the request needs, whoever owns its box. Members of `[broker] groups` may use
/// boxes anyway.
pub(super) fn needed(call: &BoxCall, is_member: bool) -> Vec<Action> {
    let mut dirs = call.command.dirs().iter();
    let uses_devices = dirs.any(|dir| matches!(dir, DirRequest::Set(rule) if rule.flags.devices));
    let program = call.command.program();
    let shares_net = program.is_some_and(|(_, program)| program.share_net);
    let mut actions = Vec::new();
    actions.extend((!is_member).then_some(Action::UseBox));
    actions.extend(shares_net.then_some(Action::ShareNetwork));
    actions.extend(uses_devices.then_some(Action::UseDevices));
    actions
}

/// What rules can look up: the request as it was made, and the groups of the caller's process.
/// Options that were not given are absent. Times are in seconds, memory in bytes; 0 is no limit.
pub(super) fn details(call: &BoxCall, groups: String) -> Vec<(&'static str, String)> {
    let BoxCall { common, command } = call;
    let seconds = |time: Duration| time.as_secs_f64().to_string();
    let program = command.program().map(|(_, program)| program);
    let limits = program.map(|program| &program.limits);
    let name = program.and_then(|program| program.argv.first());
    let any_box = match command {
        BoxCommand::Init(_) | BoxCommand::Run(_) | BoxCommand::Cleanup | BoxCommand::Kill => "0",
        BoxCommand::Exec(_) | BoxCommand::Keep(_) | BoxCommand::Enter(_) => "auto",
        BoxCommand::Status(_) | BoxCommand::Gc(_) | BoxCommand::Logs(_) => "all",
    };
    let box_id = match common.box_id {
        Some(BoxChoice::Number(id)) => id.to_string(),
        Some(BoxChoice::Auto) => "auto".to_owned(),
        None => any_box.to_owned(),
    };
    let details = [
        ("command", Some(command.name().to_owned())),
        ("box-id", Some(box_id)),
        ("groups", Some(groups)),
        ("program", name.map(|name| shown(name))),
        ("time", limits.and_then(|limits| limits.time).map(seconds)),
        (
            "wall-time",
            limits.and_then(|limits| limits.wall_time).map(seconds),
        ),
        (
            "memory",
            limits
                .and_then(|limits| limits.cg_mem)
                .map(|memory| memory.0.to_string()),
        ),
        (
            "processes",
            limits
                .and_then(|limits| limits.processes)
                .map(|number| number.to_string()),
        ),
        (
            "quota",
            command
                .quota()
                .map(|quota| format!("{},{}", quota.blocks, quota.inodes)),
        ),
    ];
    details
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
}

/// A program's name, cut at the length of the longest path. A longer one cannot be executed, and
/// others use the bus, too.
fn shown(name: &OsStr) -> String {
    let bytes = name.as_bytes();
    let longest = bytes.len().min(libc::PATH_MAX as usize);
    String::from_utf8_lossy(&bytes[..longest]).into_owned()
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    fn call(line: &str) -> BoxCall {
        let argv = line.split(' ').map(OsString::from);
        crate::cli::parse(argv).unwrap().into_box_call()
    }

    #[test]
    fn what_reaches_out_of_the_box_needs_an_action_of_its_own() {
        let of = |line| needed(&call(line), false);
        assert_eq!(of("i --init"), [Action::UseBox]);
        assert_eq!(of("i --dir=dev --run a"), [Action::UseBox]);
        assert_eq!(
            of("i --share-net -d dev:dev --run a"),
            [Action::UseBox, Action::ShareNetwork, Action::UseDevices]
        );
        assert_eq!(needed(&call("i --run a"), true), []);
        let reaching_out = call("i --share-net --run a");
        assert_eq!(needed(&reaching_out, true), [Action::ShareNetwork]);
        // The same if a later rule replaces this one.
        let replaced = of("i -d dev:dev -d dev= --run a");
        assert_eq!(replaced, [Action::UseBox, Action::UseDevices]);
    }

    #[test]
    fn rules_see_what_was_asked_for() {
        let of = |line: &str| {
            let details = details(&call(line), "a b".to_owned());
            let shown = details
                .iter()
                .map(|(name, value)| format!("{name}={value}"));
            shown.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            of("i --init -q 10,5"),
            "command=init box-id=0 groups=a b quota=10,5"
        );
        assert_eq!(
            of("i --cleanup -b 7"),
            "command=cleanup box-id=7 groups=a b"
        );
        assert_eq!(
            of("i --init -b auto"),
            "command=init box-id=auto groups=a b"
        );
        let long = format!("i --run {}", "x".repeat(3_000_000));
        assert!(of(&long).len() < 5000);
        assert_eq!(
            of("i exec a"),
            "command=exec box-id=auto groups=a b program=a"
        );
        assert_eq!(
            of("i --cg -b 3 -t 1.5 -w 0 --cg-mem=64M -p9 --run -- /bin/x y"),
            "command=run box-id=3 groups=a b program=/bin/x time=1.5 wall-time=0 memory=67108864 processes=9"
        );
    }
}
