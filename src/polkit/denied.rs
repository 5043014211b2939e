//! Why a user may not do something, in words: who, what, by which action, and what an administrator
//! can do.

use std::fmt;
use std::time::Duration;

use super::Action;
use crate::bus::BusError;
use crate::failure::{Explained, Kind};
use crate::remedy::Remedy;
use crate::user::Who;

/// A "no". Every failure is one.
#[derive(Debug)]
pub(crate) struct Denied {
    /// The user that it is about.
    pub(crate) uid: u32,
    /// What they may not do.
    pub(crate) action: Action,
    /// Why.
    pub(crate) why: Why,
}

/// Why a user may not do something.
#[derive(Debug)]
pub(crate) enum Why {
    /// polkit says so.
    NotAllowed,
    /// Somebody would have to give a password, but nobody can be asked.
    Challenge {
        /// The user's own password would do; otherwise it must be an administrator's.
        own: bool,
    },
    /// Somebody was asked for a password and did not give it.
    Dismissed,
    /// polkit does not know users with such large numbers.
    UidTooLarge,
    /// polkit cannot be told the process, which is in a PID namespace out of sight.
    NoPid,
    /// A detail is a text that cannot go over the bus.
    Detail(String),
    /// The process has ended.
    Ended,
    /// polkit does not know the action.
    NotRegistered(BusError),
    /// There is no bus.
    NoBus(BusError),
    /// There is no polkit on the bus.
    NoPolkit(BusError),
    /// polkit could not be asked, or did not answer the question.
    Failed(BusError),
    /// There was no answer in this time.
    TimedOut(Duration),
}

impl Why {
    /// The reason in an error that came in the place of an answer.
    pub(super) fn from_error(error: BusError) -> Self {
        match &error {
            BusError::Connect(_) | BusError::Rejected(_) => Self::NoBus(error),
            BusError::Refused { text, .. } if text.ends_with(" is not registered") => {
                Self::NotRegistered(error)
            }
            BusError::Refused { name, .. } if says_that_nobody_is_there(name) => {
                Self::NoPolkit(error)
            }
            _ => Self::Failed(error),
        }
    }

    fn cause(&self) -> Option<&BusError> {
        match self {
            Self::NotRegistered(error)
            | Self::NoBus(error)
            | Self::NoPolkit(error)
            | Self::Failed(error) => Some(error),
            _ => None,
        }
    }
}

/// Whether the bus says by this error that it has no polkit and cannot start it.
fn says_that_nobody_is_there(name: &str) -> bool {
    [
        "org.freedesktop.DBus.Error.ServiceUnknown",
        "org.freedesktop.DBus.Error.NameHasNoOwner",
        "org.freedesktop.DBus.Error.TimedOut",
        "org.freedesktop.systemd1.NoSuchUnit",
        "org.freedesktop.systemd1.UnitMasked",
    ]
    .contains(&name)
        || name.starts_with("org.freedesktop.DBus.Error.Spawn.")
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { uid, action, why } = self;
        let id = action.id();
        write!(f, "{} may not {action}: ", Who(*uid))?;
        match why {
            Why::NotAllowed => {
                write!(f, "polkit does not allow {id}; {}", remedy(*action))
            }
            Why::Challenge { own } => {
                let whose = if *own {
                    "the user's"
                } else {
                    "an administrator's"
                };
                write!(
                    f,
                    "{id} would need {whose} password, and nobody can be asked here; {}",
                    remedy(*action)
                )
            }
            Why::Dismissed => write!(f, "{id} needs a password, and none was given"),
            Why::UidTooLarge => write!(
                f,
                "polkit cannot be asked for {id}: it knows no user ids above {}",
                i32::MAX
            ),
            Why::NoPid => write!(
                f,
                "polkit cannot be asked for {id}: the calling process is in another PID namespace"
            ),
            Why::Detail(name) => write!(
                f,
                "polkit cannot be asked for {id}: there is a null character in '{name}'"
            ),
            Why::Ended => write!(f, "the calling process ended before polkit allowed {id}"),
            Why::NotRegistered(_) => {
                write!(f, "polkit does not know {id} ({})", Remedy::InstallPolicy)
            }
            // The cause says what to do.
            Why::NoBus(_) => write!(f, "polkit cannot be asked for {id}"),
            Why::NoPolkit(_) => write!(
                f,
                "polkit cannot be asked for {id} ({})",
                Remedy::InstallPolkit
            ),
            Why::Failed(_) => write!(
                f,
                "polkit did not answer for {id} ({})",
                Remedy::ReadPolkitLog
            ),
            Why::TimedOut(time) => write!(
                f,
                "polkit did not answer for {id} within {} s ({})",
                time.as_secs(),
                Remedy::StartPolkit
            ),
        }
    }
}

impl std::error::Error for Denied {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.why.cause().map(|error| error as _)
    }
}

impl Explained for Denied {
    fn kind(&self) -> Kind {
        Kind::Denied
    }
}

/// How an administrator allows it.
fn remedy(action: Action) -> Remedy {
    match action {
        Action::UseBox => Remedy::JoinGroup,
        Action::ShareNetwork | Action::UseDevices | Action::ManageBoxes | Action::SeeBoxes => {
            Remedy::PolkitRule
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(action: Action, why: Why) -> String {
        let uid = 4_100_000_000;
        Denied { uid, action, why }.to_string()
    }

    #[test]
    fn a_no_names_the_action_and_what_an_administrator_can_do() {
        assert_eq!(
            text(Action::UseBox, Why::NotAllowed),
            "user 4100000000 may not use a box: polkit does not allow io.github.isolate_run.use-box; an administrator \
             lets a user in by: usermod -aG isolate USER (and a new login), a service by SupplementaryGroups=isolate, \
             or either by a rule in /etc/polkit-1/rules.d"
        );
        assert_eq!(
            text(Action::ShareNetwork, Why::Challenge { own: false }),
            "user 4100000000 may not share the network: io.github.isolate_run.share-network would need an \
             administrator's password, and nobody can be asked here; an administrator allows it by a rule in \
             /etc/polkit-1/rules.d"
        );
    }

    #[test]
    fn the_group_is_a_way_in_and_to_nothing_more() {
        for action in [
            Action::ShareNetwork,
            Action::UseDevices,
            Action::ManageBoxes,
        ] {
            let text = text(action, Why::NotAllowed);
            assert!(text.contains(action.id()), "{text}");
            assert!(
                text.contains("/etc/polkit-1/rules.d") && !text.contains("usermod"),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_missing_is_told_apart() {
        let refused = |name: &str, text: &str| {
            Why::from_error(BusError::Refused {
                by: "polkit",
                name: format!("org.freedesktop.{name}"),
                text: text.into(),
            })
        };
        let unknown = refused(
            "PolicyKit1.Error.Failed",
            "Action io.github.isolate_run.use-box is not registered",
        );
        assert!(matches!(unknown, Why::NotRegistered(_)), "{unknown:?}");
        for name in ["ServiceUnknown", "Spawn.ChildExited"] {
            let missing = refused(&format!("DBus.Error.{name}"), "");
            assert!(matches!(missing, Why::NoPolkit(_)), "{missing:?}");
        }
        let other = refused("PolicyKit1.Error.Failed", "Process 7 is not there");
        assert!(matches!(other, Why::Failed(_)), "{other:?}");
    }
}
