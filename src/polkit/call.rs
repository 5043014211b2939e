//! The question to polkit and its answer: CheckAuthorization of
//! org.freedesktop.PolicyKit1.Authority.

use std::collections::{BTreeMap, HashMap};
use std::os::fd::AsFd;

use zbus::Message;
use zbus::zvariant::{Fd, Value};

use super::{Question, Subject};
use crate::barrier::Barrier;
use crate::bus::{BusError, Carries, Incoming, call_of_the_bus};

/// polkit's well-known name. The bus starts polkit for a call to it.
const POLKIT: &str = "org.freedesktop.PolicyKit1";
const AUTHORITY_PATH: &str = "/org/freedesktop/PolicyKit1/Authority";
const AUTHORITY: &str = "org.freedesktop.PolicyKit1.Authority";

/// AllowUserInteraction: somebody may be asked for a password.
const ALLOW_USER_INTERACTION: u32 = 1;

/// Whether somebody may be asked for a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialog {
    /// There is a person who can answer.
    Possible,
    /// There is nobody.
    Impossible,
}

/// What polkit answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Yes.
    Allowed {
        /// Because somebody gave a password a short time ago, which counts for one process, or for
        /// those that are like it to polkit, and can be taken back.
        by_password: bool,
    },
    /// No.
    NotAllowed,
    /// Somebody would have to authenticate, but nobody could be asked to.
    Challenge {
        /// A password of the user's own would do; otherwise it has to be an administrator's.
        own: bool,
    },
    /// Somebody was asked to authenticate and did not.
    Dismissed,
}

/// A subject in the form that polkit takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Told<'a> {
    pub(super) pid: u32,
    /// The user, as an int32. polkit does not see a uid of another type, and looks in /proc for the
    /// process's user, who may change meanwhile.
    pub(super) uid: i32,
    pub(super) subject: &'a Subject,
}

/// The question. polkit goes by the pidfd and the uid (since 124), or by the pid, the start time
/// and the uid in older versions and without a pidfd, and ignores the rest.
pub(super) fn check(
    told: Told<'_>,
    question: &Question,
    dialog: Dialog,
    cancellation_id: &str,
    carries: Carries,
) -> zbus::Result<Message> {
    let mut process: HashMap<&str, Value<'_>> = HashMap::from([
        ("pid", told.pid.into()),
        ("start-time", told.subject.start_time.into()),
        ("uid", told.uid.into()),
    ]);
    if carries == Carries::Descriptors {
        process.insert("pidfd", Fd::from(told.subject.pidfd.as_fd()).into());
    }
    let flags = match dialog {
        Dialog::Possible => ALLOW_USER_INTERACTION,
        Dialog::Impossible => 0,
    };
    call("CheckAuthorization")?.build(&(
        ("unix-process", process),
        question.action.id(),
        &question.details,
        flags,
        cancellation_id,
    ))
}

/// Withdraws a question, so that its dialog disappears.
pub(super) fn cancel(cancellation_id: &str) -> zbus::Result<Message> {
    call("CancelCheckAuthorization")?.build(&cancellation_id)
}

/// Asks the bus who polkit is. The answer is a unique name, like that of a message's sender.
pub(super) fn look_up() -> zbus::Result<Message> {
    call_of_the_bus("GetNameOwner", &POLKIT)
}

fn call(member: &str) -> zbus::Result<zbus::message::Builder<'_>> {
    Message::method_call(AUTHORITY_PATH, member)?
        .destination(POLKIT)?
        .interface(AUTHORITY)
}

/// Reads the answer. Its one argument is a structure, which the library does not tell from its
/// members.
pub(super) fn verdict(answer: &Incoming) -> Result<Verdict, BusError> {
    let (is_authorized, is_challenge, details): (bool, bool, BTreeMap<String, String>) =
        answer.body()?;
    let says = |key: &str, value: &str| details.get(key).is_some_and(|said| said == value);
    Ok(match (is_authorized, is_challenge) {
        _ if !Barrier::Polkit.stands() => Verdict::Allowed { by_password: false },
        (true, false) => Verdict::Allowed {
            by_password: details.contains_key("polkit.temporary_authorization_id"),
        },
        // polkit never says both.
        (true, true) => Verdict::NotAllowed,
        (false, true) => Verdict::Challenge {
            own: ["auth_self", "auth_self_keep"]
                .iter()
                .any(|result| says("polkit.result", result)),
        },
        (false, false) if says("polkit.dismissed", "true") => Verdict::Dismissed,
        (false, false) => Verdict::NotAllowed,
    })
}
