//! Why a conversation with the bus ended, and whether another one may end better.

use std::fmt;
use std::io;

use super::{Incoming, address};
use crate::way;

/// Why a conversation with the bus ended.
#[derive(Debug)]
pub(crate) enum BusError {
    /// The bus cannot be reached.
    Connect(io::Error),
    /// The bus does not accept this process.
    Rejected(String),
    /// Reading or writing failed.
    Transfer(io::Error),
    /// A message cannot be built or understood.
    Message(zbus::Error),
    /// The bus ended the connection.
    Disconnected,
    /// Somebody has sent us a descriptor that nobody asked for, and the connection is no longer of
    /// any use.
    Descriptors,
    /// The answer to the call is an error.
    Refused {
        /// The name of who was asked, as people know it: `systemd`.
        by: &'static str,
        /// The error's name, as `org.freedesktop.DBus.Error.NoReply`.
        name: String,
        /// Its text.
        text: String,
    },
    /// The job that was asked for did not end well.
    Job(String),
}

impl fmt::Display for BusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(_) => write!(
                f,
                "cannot connect to {} bus at {} (is dbus running?)",
                match way::rootless() {
                    Some(_) => "the user's",
                    None => "the system",
                },
                address().display()
            ),
            Self::Rejected(answer) => {
                write!(f, "the system bus does not let this process in ({answer})")
            }
            Self::Transfer(_) => f.write_str("cannot talk to the system bus"),
            Self::Message(_) => f.write_str("cannot make sense of the system bus"),
            Self::Disconnected => f.write_str("the connection to the system bus was cut"),
            Self::Descriptors => f.write_str("a stranger has sent descriptors over the system bus"),
            Self::Refused { by, name, text } => write!(f, "{by} refused: {text} ({name})"),
            Self::Job(result) => write!(f, "systemd's job for it ended as '{result}'"),
        }
    }
}

impl std::error::Error for BusError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Connect(error) | Self::Transfer(error) => Some(error),
            Self::Message(error) => Some(error),
            _ => None,
        }
    }
}

impl BusError {
    /// The name of the error of somebody who has waited for another in vain.
    pub(crate) const TIMEOUT: &str = "org.freedesktop.DBus.Error.Timeout";

    /// The error with which somebody answered a call.
    pub(crate) fn refusal(by: &'static str, error: &Incoming) -> Self {
        Self::Refused {
            by,
            name: error.error_name.clone(),
            // By convention, the first argument is a text for people.
            text: error.body().unwrap_or_default(),
        }
    }

    /// Whether somebody has answered with this error.
    pub(crate) fn is_named(&self, error: &str) -> bool {
        matches!(self, Self::Refused { name, .. } if name == error)
    }

    /// Whether the same request may succeed a moment later: the bus, or who was asked, was being
    /// restarted, or the name was taken.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            // What made no sense on this connection may make sense on another one.
            Self::Connect(_)
            | Self::Disconnected
            | Self::Descriptors
            | Self::Transfer(_)
            | Self::Message(_) => true,
            Self::Refused { name, .. } => [
                "org.freedesktop.DBus.Error.NoReply",
                "org.freedesktop.DBus.Error.Disconnected",
                "org.freedesktop.DBus.Error.LimitsExceeded",
                "org.freedesktop.DBus.Error.NameHasNoOwner",
                "org.freedesktop.DBus.Error.ServiceUnknown",
                Self::TIMEOUT,
                "org.freedesktop.systemd1.UnitExists",
            ]
            .contains(&name.as_str()),
            Self::Rejected(_) | Self::Job(_) => false,
        }
    }
}

impl From<zbus::Error> for BusError {
    fn from(error: zbus::Error) -> Self {
        Self::Message(error)
    }
}
