//! A keeper's part of the conversation with its caller, from the connection to the last word.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use super::adopt::adopt;
use super::allowed::Before;
use super::arrival::{Arrived, Request, arrive};
use super::authorise;
use super::circumstances;
use super::groups;
use super::known::Known;
use super::peer::Peer;
use super::prepared::Prepared;
use super::read::read;
use super::steward;
use crate::broker::reply::Reply;
use crate::broker::wire::send_reply;
use crate::caller::{Caller, Inheritance, Line, OpenedDirs};
use crate::cgroup::Place;
use crate::chronicle::{Memory, Told};
use crate::clock::Moment;
use crate::commands::{Ahead, Asked, Brokered, Rights, carry_out};
use crate::config::ceilings::Ceilings;
use crate::config::settings::Settings;
use crate::config::{self, ConfigSource};
use crate::failure::Failure;
use crate::home::find_place;
use crate::logging;
use crate::plan::grant;
use crate::polkit::{Authority, Dialog};
use crate::pool::{Account, Beginning};
use crate::request::BoxCommand;
use crate::sys::socket::{die_when_heard, live_on};
use crate::systemd::{ensure_cpu_quota, slice_of_user, slice_path};

/// The longest message of a failure, in characters. It fits into a packet at 4 bytes for each.
const LONGEST_MESSAGE: usize = 16 << 10;

/// Serves one connection, or the channel of one request.
pub(super) fn attend(beginning: Beginning<Prepared>, config: Option<&Path>, known: &Known) {
    let Beginning {
        account,
        channel: mut connection,
        beside,
        prepared,
    } = beginning;
    let mut memory = Memory::new(true);
    let arrived = arrive(&mut connection, account, beside, &mut memory);
    let admitted = match arrived {
        Ok(Arrived::Series(account, peer)) => {
            drop(prepared);
            return steward::serve(&connection, account, peer);
        }
        Ok(Arrived::Request(request)) => admit(
            &mut connection,
            *request,
            prepared,
            config,
            known,
            &mut memory,
        ),
        Err(failure) => Err(failure),
    };
    answer(&connection, admitted, &memory);
}

/// Carries out an admitted request, sends the last word, and writes down what came of it.
pub(super) fn answer(connection: &OwnedFd, admitted: Result<Admitted, Failure>, memory: &Memory) {
    let (done, _kept) = match admitted {
        Ok(admitted) => {
            let Admitted {
                asked,
                brokered,
                mut ahead,
                account,
            } = admitted;
            // This closes what the caller had opened: a caller that hears of the end may unmount
            // it.
            let done = carry_out(asked, Some(&brokered), &mut ahead);
            (done, Some((brokered, ahead, account)))
        }
        Err(failure) => (Err(failure), None),
    };
    let (reply, told) = match done {
        Ok(done) => (Reply::Done(done.answer, done.results), done.told),
        Err(failure) => (Reply::Failed(cut(failure.text())), Told::Failed(failure)),
    };
    // From here on this process survives its caller, so that the result is written down.
    live_on().ok();
    // A caller that is gone, or does not listen, learns nothing. What was kept is released after
    // this: nobody should wait for that.
    send_reply(connection.as_fd(), &reply).ok();
    memory.keep(&told);
}

/// A request that may be carried out.
pub(super) struct Admitted {
    pub(super) asked: Asked,
    pub(super) brokered: Brokered,
    pub(super) ahead: Ahead,
    /// Keeps reserved what the request was granted.
    pub(super) account: Account,
}

/// The part of a message that can be sent: it may repeat a very long word.
fn cut(message: &str) -> String {
    message.chars().take(LONGEST_MESSAGE).collect()
}

/// Tells a caller that nobody will serve them.
pub(super) fn refuse(connection: BorrowedFd<'_>, refusal: &Failure) {
    send_reply(connection, &Reply::Failed(refusal.to_string())).ok();
}

/// Has a request allowed, up to the point where it can be carried out.
fn admit(
    connection: &mut OwnedFd,
    request: Request,
    mut prepared: Prepared,
    config: Option<&Path>,
    known: &Known,
    memory: &mut Memory,
) -> Result<Admitted, Failure> {
    let Request {
        mut account,
        peer,
        mut allowed,
        called,
        descriptors,
    } = request;
    let Peer {
        ids,
        mut subject,
        groups,
    } = peer;
    let call = read(&called)?;
    memory.ask(&call);
    if !called.inherited.is_empty() {
        // What was prepared may have one of the numbers to be inherited.
        prepared = Prepared::default();
    }
    let mut own = vec![&mut *connection, account.channel(), &mut subject.pidfd];
    own.extend(allowed.line());
    let own = &mut own[..];
    let cannot_adopt = Failure::at("cannot take over the caller's descriptors");
    let rest = adopt(descriptors, &called.inherited, own).map_err(cannot_adopt)?;
    let directories = OpenedDirs::from_parts(call.command.dirs(), &called.directories, rest)
        .ok_or_else(|| Failure::new("the request names other directories than those it opened"))?;
    let directories = match called.directories.is_empty() {
        true => directories,
        false => directories.of_process(subject.pidfd.try_clone().map_err(Failure::at(
            "cannot copy the descriptor of the calling process",
        ))?),
    };
    let Prepared { polkit, ahead, .. } = prepared;
    let mut settings = config::load(&ConfigSource::new(config))?.settings;
    memory.configure(&settings, &call);
    // polkit works on the answers while this process goes on: they are waited for below.
    let names = fs::read("/etc/group").unwrap_or_default();
    let names = String::from_utf8_lossy(&names);
    let is_member = groups::are_among(&groups, &settings.broker.groups, &names);
    let details = authorise::details(&call, groups::names(&groups, &names));
    let needed = authorise::needed(&call, is_member);
    let keep = Duration::from_secs(settings.broker.keep_answers.into());
    let counts = !needed.is_empty() && !keep.is_zero();
    let before = Before {
        answers: known.of(ids.uid),
        circumstances: counts.then(|| circumstances::of(&subject)).flatten(),
        keep,
    };
    let dialog = match called.interactive {
        true => Dialog::Possible,
        false => Dialog::Impossible,
    };
    let mut authority = Authority::new(subject, dialog, polkit);
    let authorised = account.authorised();
    let authorised = authorised.map_err(Failure::at("cannot tell the broker's own process"))?;
    allowed.ask(&mut authority, &before, &needed, &details, authorised)?;
    let own = Inheritance::of_process();
    let own = own.map_err(Failure::at(
        "cannot find out the limits of the broker's process",
    ))?;
    let inheritance = called.inheritance.clone().within(&own);
    let inheritance = inheritance
        .ok_or_else(|| Failure::new("the limits and CPUs of the caller make no sense"))?;
    log_to(connection.as_fd(), call.common.verbosity).map_err(Failure::at(
        "cannot copy the caller's connection for what is logged",
    ))?;
    // A run is prepared meanwhile, and its program waits for the permission. This takes too long if
    // a person is asked for a password, and other commands would be over before the answer.
    let is_run = matches!(call.command, BoxCommand::Run(_));
    if called.interactive || !is_run || !authority.is_asking() {
        authority.wait()?;
    }
    let granted = grant(&call, &settings, Some(&settings.ceilings))?;
    account.ask(granted.amounts(), settings.ceilings.clone())?;
    let place = give_slice(&mut settings, ids.uid)?;
    account.wait()?;
    // The end of the caller ends this process; once a run has begun, it ends the run instead.
    die_when_heard(connection.as_fd())
        .map_err(Failure::at("cannot watch for the end of the caller"))?;
    let line = connection.try_clone();
    let line = line.map_err(Failure::at(
        "cannot copy the caller's connection for their signals",
    ))?;
    Ok(Admitted {
        asked: Asked {
            call,
            granted,
            settings,
            caller: Caller {
                uid: ids.uid,
                gid: ids.gid,
                called_by_root: ids.uid == 0,
            },
            at: Moment::from_nanoseconds(called.asked),
            environment: called.environment(),
            directories,
            of_batch: called.of_batch,
            renews: called.of_batch && called.renews,
            inheritance: Some(inheritance),
        },
        brokered: Brokered {
            place,
            rights: Some(Rights::new(authority, details)),
            line: Line::new(line),
        },
        ahead,
        account,
    })
}

/// Gives a user's runs a slice of their own and returns where it is. Both this slice and that of
/// all users get the CPU quotas that are configured.
fn give_slice(settings: &mut Settings, uid: u32) -> Result<Place, Failure> {
    let own = slice_of_user(&settings.cgroup.slice, uid);
    let all = std::mem::replace(&mut settings.cgroup.slice, own.clone());
    let Ceilings { user, total, .. } = &settings.ceilings;
    let place = find_place(&settings.cgroup)?;
    let Place::Systemd { mount_point, .. } = &place else {
        return match user.cpu_quota.or(total.cpu_quota) {
            None => Ok(place),
            Some(_) => Err(Failure::new(
                "a CPU quota (ceilings.cpu_quota) needs systemd, and here the runs are not in its hands",
            )),
        };
    };
    for (slice, quota) in [(all, total.cpu_quota), (own, user.cpu_quota)] {
        ensure_cpu_quota(&slice, &mount_point.join(slice_path(&slice)), quota)?;
    }
    Ok(place)
}

/// Sends what is logged (`-v`) to the caller.
pub(super) fn log_to(connection: BorrowedFd<'_>, verbosity: u8) -> io::Result<()> {
    if verbosity > 0 {
        let connection = connection.try_clone_to_owned()?;
        logging::start_to(verbosity, move |line| {
            // A run does not wait for a caller that does not read.
            send_reply(connection.as_fd(), &Reply::Log(line)).ok();
        });
    }
    Ok(())
}
