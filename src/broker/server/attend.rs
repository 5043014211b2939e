//! A keeper's part of the conversation with its caller, from the connection to the last word.

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::SigSet;
use nix::sys::socket::{setsockopt, sockopt::SendTimeout};
use nix::sys::time::TimeVal;

use super::account::Account;
use super::adopt::adopt;
use super::authorise;
use super::peer::Peer;
use super::spare::{Beginning, Prepared};
use crate::answer::{Answer, Results};
use crate::broker::of_root;
use crate::broker::protocol::{Called, Reply};
use crate::broker::wire::{receive_request, send_reply};
use crate::caller::Caller;
use crate::caller::Inheritance;
use crate::caller::Line;
use crate::caller::OpenedDirs;
use crate::cgroup::{Place, find_place};
use crate::cli::{self, Call};
use crate::clock::Moment;
use crate::commands::{Context, Rights};
use crate::config::ceilings::Ceilings;
use crate::config::settings::Settings;
use crate::config::{self, ConfigSource};
use crate::failure::Failure;
use crate::keeper::Signals;
use crate::logging;
use crate::plan::ceilings;
use crate::polkit::Authority;
use crate::request::{Command, Request};
use crate::sys::socket::die_when_heard;
use crate::systemd::{ensure_cpu_quota, slice_path};

/// How long a request may take to arrive. It is there in no time, unless somebody wants to keep us busy.
const REQUEST_PATIENCE: Duration = Duration::from_secs(5);
/// The longest message that a failure has, in characters: those of 4 bytes fit in a packet, too.
const LONGEST_MESSAGE: usize = 16 << 10;
/// The most rules for directories. Each is compared with every other one.
const MOST_RULES: usize = 1024;
/// How long the caller's process may take to read the last word.
const REPLY_PATIENCE: i64 = 10;

/// Serves one connection.
pub(super) fn attend(beginning: Beginning, config: Option<&Path>) {
    let Beginning {
        account,
        mut connection,
        prepared,
    } = beginning;
    let mut admitted = admit(&mut connection, account, prepared, config);
    let done = match &mut admitted {
        Ok((context, _)) => {
            let done = carry_out(context);
            // Whoever hears that it is over may unmount what they had opened.
            drop(std::mem::take(&mut context.directories));
            done
        }
        Err(failure) => Err(failure.clone()),
    };
    let reply = match done {
        Ok((answer, results)) => Reply::Done(answer, results),
        Err(failure) => Reply::Failed(cut(&failure.to_string())),
    };
    // A caller who is gone, or does not listen, learns nothing. Only now is the rest let go: nobody waits for that.
    send_reply(connection.as_fd(), &reply).ok();
    if let (Reply::Done(..), Ok((context, account))) = (reply, admitted) {
        // One with descriptors of the caller's uses nothing that was made ahead: see below.
        let scope = context.scope.take();
        if let Some(scope) = scope.filter(|_| !context.request.inherit_fds) {
            account.tell_scope(scope);
        }
    }
}

fn carry_out(context: &Context) -> Result<(Answer, Results), Failure> {
    let done = context.carry_out();
    if let (Err(_), Some(rights)) = (&done, &context.rights) {
        // Somebody who may do nothing at all is told that, and not what else did not work.
        rights.wait()?;
    }
    done
}

/// What of a message can be sent, should it repeat a very long word.
fn cut(message: &str) -> String {
    message.chars().take(LONGEST_MESSAGE).collect()
}

/// Tells a caller that nobody will serve them.
pub(super) fn refuse(connection: BorrowedFd<'_>, refusal: &Failure) {
    send_reply(connection, &Reply::Failed(refusal.to_string())).ok();
}

/// Takes a request in, up to where it can be carried out. What it takes is its own as long as the account is there.
fn admit(
    connection: &mut OwnedFd,
    account: OwnedFd,
    mut prepared: Prepared,
    config: Option<&Path>,
) -> Result<(Context, Account), Failure> {
    let mut account =
        Account::new(account).map_err(Failure::at("cannot hear the broker's own process"))?;
    // Those of the broker are not ours.
    let own_signals = SigSet::empty().thread_set_mask();
    own_signals
        .and_then(|()| Signals::hold_back_write_errors())
        .map_err(Failure::at("cannot set which signals are blocked"))?;
    setsockopt(connection, SendTimeout, &TimeVal::new(REPLY_PATIENCE, 0)).map_err(Failure::at(
        "cannot bound the time for the answer on the caller's connection",
    ))?;
    let Peer { ids, mut subject } = Peer::of(connection.as_fd())?;
    let (bytes, descriptors) = receive_request(connection.as_fd(), REQUEST_PATIENCE)?;
    let called = Called::from_bytes(&bytes, descriptors.len())?;
    drop(bytes);
    let mut request = read(&called)?;
    if !called.inherited.is_empty() {
        // Their numbers may be among these.
        prepared = Prepared::default();
    }
    let own = &mut [&mut *connection, account.channel(), &mut subject.pidfd];
    let cannot_adopt = Failure::at("cannot take over the caller's descriptors");
    let rest = adopt(descriptors, &called.inherited, own).map_err(cannot_adopt)?;
    let directories = OpenedDirs::from_parts(&request.dirs, &called.directories, rest)
        .ok_or_else(|| Failure::new("the request names other directories than those it opened"))?;
    let Prepared { polkit, ahead, .. } = prepared;
    // The answers are on their way while there is other work: see below.
    let details = authorise::details(&request);
    let mut authority = Authority::new(subject, called.interactive, polkit);
    for action in authorise::needed(&request) {
        authority.ask(action, &details);
    }
    let own = Inheritance::of_process();
    let own = own.map_err(Failure::at(
        "cannot find out the limits of the broker's process",
    ))?;
    let inheritance = called.inheritance.clone().within(&own);
    let inheritance = inheritance
        .ok_or_else(|| Failure::new("the limits and CPUs of the caller make no sense"))?;
    log_to(connection.as_fd(), request.verbosity).map_err(Failure::at(
        "cannot copy the caller's connection for what is logged",
    ))?;
    let mut settings = config::load(&ConfigSource::new(config))?.settings;
    // A run is made ready meanwhile; its program begins when it is allowed. A person who is asked for a password takes
    // longer than a run may, and the other commands are done too soon.
    if called.interactive || request.command != Command::Run {
        authority.wait()?;
    }
    let amounts = ceilings::apply(&mut request, &settings)?;
    account.ask(amounts, settings.ceilings.clone())?;
    let place = give_slice(&mut settings, ids.uid)?;
    account.wait()?;
    // A caller who is gone ends this process, until the run begins: then it is the run that ends.
    die_when_heard(connection.as_fd())
        .map_err(Failure::at("cannot watch for the end of the caller"))?;
    let line = connection.try_clone();
    let line = line.map_err(Failure::at(
        "cannot copy the caller's connection for their signals",
    ))?;
    let context = Context {
        request,
        settings,
        place: Some(place),
        caller: Caller {
            uid: ids.uid,
            gid: ids.gid,
            called_by_root: ids.uid == 0,
        },
        rights: Some(Rights::new(authority, details)),
        asked: Moment::from_nanoseconds(called.asked),
        environment: called.environment(),
        directories,
        inheritance: Some(inheritance),
        line: Some(Line::new(line)),
        ahead: RefCell::new(ahead),
        scope: RefCell::default(),
    };
    Ok((context, account))
}

/// Reads the command line as the caller's own process did. What is root's is not for those who come this way.
pub(super) fn read(called: &Called) -> Result<Request, Failure> {
    let request = match cli::parse(called.argv()) {
        Ok(Call::Request(request)) => *request,
        Ok(Call::ImportConfig(_) | Call::Broker(_)) => {
            return Err(Failure::new(
                "the broker carries out commands about boxes alone",
            ));
        }
        Err(error) => return Err(error.into()),
    };
    match request.command {
        Command::Init | Command::Run | Command::Cleanup | Command::Exec => {}
        Command::Version | Command::CheckConfig | Command::PrintCgRoot => {
            return Err(Failure::new(
                "the broker carries out commands about boxes alone",
            ));
        }
    }
    if let Some(refusal) = of_root(&request) {
        return Err(refusal);
    }
    if request.dirs.len() > MOST_RULES {
        return Err(Failure::new(format!(
            "at most {MOST_RULES} directory rules (--dir) are allowed"
        )));
    }
    Ok(request)
}

/// Gives a user's runs a slice of their own, with the CPU quotas that are configured for it and the slice of all; and says
/// where they are.
fn give_slice(settings: &mut Settings, uid: u32) -> Result<Place, Failure> {
    let own = slice_of(&settings.cgroup.slice, uid);
    let all = std::mem::replace(&mut settings.cgroup.slice, own.clone());
    let Ceilings { user, total, .. } = &settings.ceilings;
    let place = find_place(&settings.cgroup)?;
    let Place::Systemd { mount_point, .. } = &place else {
        return match user.cpu_quota.or(total.cpu_quota) {
            None => Ok(place),
            Some(_) => Err(Failure::new(
                "a CPU quota (limits.cpu_quota) needs systemd, and here the runs are not in its hands",
            )),
        };
    };
    for (slice, quota) in [(all, total.cpu_quota), (own, user.cpu_quota)] {
        ensure_cpu_quota(&slice, &mount_point.join(slice_path(&slice)), quota)?;
    }
    Ok(place)
}

/// The slice for a user's runs, in the slice of all: the kernel shares CPU time out among slices, so that a user with many
/// runs does not get more of it than one with a single run (systemd.slice(5), systemd.resource-control(5), CPUWeight=).
fn slice_of(slice: &str, uid: u32) -> String {
    match slice.strip_suffix(".slice") {
        // The root slice is in front of no name.
        None | Some("-") => format!("isolate-u{uid}.slice"),
        Some(stem) => format!("{stem}-u{uid}.slice"),
    }
}

/// Sends what is logged (`-v`) to the caller.
fn log_to(connection: BorrowedFd<'_>, verbosity: u8) -> io::Result<()> {
    if verbosity > 0 {
        let connection = connection.try_clone_to_owned()?;
        logging::start_to(verbosity, move |line| {
            // A run does not wait for somebody who does not read.
            send_reply(connection.as_fd(), &Reply::Log(line)).ok();
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slice_of_a_user_is_in_the_slice_of_all() {
        assert_eq!(slice_of("isolate.slice", 7), "isolate-u7.slice");
        assert_eq!(slice_of("a-b.slice", 7), "a-b-u7.slice");
        assert_eq!(slice_of("-.slice", 7), "isolate-u7.slice");
    }

    fn called(line: &str) -> Called {
        let inheritance = Inheritance::of_process().unwrap();
        let argv: Vec<_> = line.split(' ').map(Into::into).collect();
        Called::new(
            &argv,
            Vec::new(),
            0,
            Vec::new(),
            Vec::new(),
            inheritance,
            false,
        )
    }

    #[test]
    fn only_commands_about_boxes_are_read_and_what_is_roots_is_refused() {
        for line in ["i --init", "i --run a", "i --cleanup", "i exec a"] {
            assert!(read(&called(line)).is_ok(), "{line}");
        }
        for (line, reason) in [
            ("i --version", "commands about boxes"),
            ("i --check-config", "commands about boxes"),
            ("i --print-cg-root", "commands about boxes"),
            ("i config import /etc/shadow", "commands about boxes"),
            ("i broker", "commands about boxes"),
            ("i --what", "what"),
            ("", "no command"),
            ("i --help", ""),
            ("i --as-uid=0 --as-gid=0 --init", "Only root"),
            ("i --config=/etc/shadow --init", "Only root"),
            (
                &format!("i{} --init", " -da=".repeat(MOST_RULES + 1)),
                "at most 1024 directory rules",
            ),
        ] {
            let refused = read(&called(line)).unwrap_err().to_string();
            assert!(refused.contains(reason), "{line}: {refused}");
        }
    }
}
