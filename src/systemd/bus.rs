//! StartTransientUnit over the system bus. The only file that names zbus.
//!
//! The address is fixed: the client library would follow `DBUS_SYSTEM_BUS_ADDRESS` anywhere. Every call
//! has a time-out; the match for JobRemoved is installed before the call whose job it reports.

use std::fmt;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use zbus::blocking::{Connection, MessageIterator, connection};
use zbus::zvariant::{Fd, OwnedObjectPath, Value};
use zbus::{MatchRule, message};

use super::ScopeSpec;

const ADDRESS: &str = "unix:path=/run/dbus/system_bus_socket";
const SYSTEMD: &str = "org.freedesktop.systemd1";
const MANAGER_PATH: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
/// A busy PID 1 has been seen to take seconds; after this it is not busy but stuck.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Why a unit was not started.
#[derive(Debug)]
pub(crate) enum BusError {
    /// The bus cannot be reached.
    Connect(zbus::Error),
    /// A call failed.
    Call(zbus::Error),
    /// The connection ended before the job did.
    Disconnected,
    /// The job ended otherwise than well.
    Job(String),
}

impl fmt::Display for BusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => {
                write!(
                    f,
                    "cannot connect to the system bus at {ADDRESS} (is dbus running?): {error}"
                )
            }
            Self::Call(error) => write!(f, "systemd refused: {error}"),
            Self::Disconnected => f.write_str("the connection to the system bus was cut"),
            Self::Job(result) => write!(f, "systemd's job for it ended as '{result}'"),
        }
    }
}

impl std::error::Error for BusError {}

impl BusError {
    /// Whether the same request may well succeed a moment later: the bus or systemd was being restarted,
    /// or the name was taken.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            Self::Disconnected => true,
            Self::Connect(error) => matches!(
                error,
                zbus::Error::InputOutput(_) | zbus::Error::Handshake(_)
            ),
            Self::Call(zbus::Error::MethodError(name, ..)) => [
                "org.freedesktop.DBus.Error.NoReply",
                "org.freedesktop.DBus.Error.Disconnected",
                "org.freedesktop.DBus.Error.LimitsExceeded",
                "org.freedesktop.DBus.Error.NameHasNoOwner",
                "org.freedesktop.DBus.Error.ServiceUnknown",
                "org.freedesktop.systemd1.UnitExists",
            ]
            .contains(&name.as_str()),
            Self::Call(error) => matches!(error, zbus::Error::InputOutput(_)),
            Self::Job(_) => false,
        }
    }
}

/// The connection and the match of a request that was answered. Dropping them takes a round trip to the
/// bus, which nobody needs to wait for: do it when the answer has been passed on.
#[derive(Debug)]
pub(super) struct Session {
    _jobs: MessageIterator,
    _connection: Connection,
}

/// Starts a scope that holds init, and waits until systemd says that it is there.
pub(super) fn start_scope(
    spec: &ScopeSpec,
    unit: &str,
    init_pid: i32,
    init_pidfd: BorrowedFd<'_>,
) -> Result<Session, BusError> {
    let connection = connection::Builder::address(ADDRESS)
        .and_then(|builder| builder.method_timeout(TIMEOUT).build())
        .map_err(BusError::Connect)?;
    // arg2 is the unit: the bus daemon filters, so other units' jobs do not wake us.
    let rule = MatchRule::builder()
        .msg_type(message::Type::Signal)
        .sender(SYSTEMD)
        .and_then(|rule| rule.path(MANAGER_PATH))
        .and_then(|rule| rule.interface(MANAGER))
        .and_then(|rule| rule.member("JobRemoved"))
        .and_then(|rule| rule.arg(2, unit))
        .map_err(BusError::Call)?
        .build();
    let mut jobs =
        MessageIterator::for_match_rule(rule, &connection, Some(4)).map_err(BusError::Call)?;
    let job = call(&connection, spec, unit, init_pid, init_pidfd)?;
    for signal in &mut jobs {
        let signal = signal.map_err(BusError::Call)?;
        let body = signal.body();
        let (_, removed, _, result): (u32, OwnedObjectPath, &str, &str) =
            body.deserialize().map_err(BusError::Call)?;
        if removed != job {
            continue;
        }
        if result != "done" {
            return Err(BusError::Job(result.to_owned()));
        }
        return Ok(Session {
            _jobs: jobs,
            _connection: connection,
        });
    }
    Err(BusError::Disconnected)
}

/// Properties that an older systemd does not know, each with what stands in for it.
const OPTIONAL: [&str; 2] = ["PIDFDs", "OOMPolicy"];

fn call(
    connection: &Connection,
    spec: &ScopeSpec,
    unit: &str,
    init_pid: i32,
    init_pidfd: BorrowedFd<'_>,
) -> Result<OwnedObjectPath, BusError> {
    let mut unknown: Vec<&str> = Vec::new();
    loop {
        let properties = properties(spec, init_pid, init_pidfd, &unknown);
        let auxiliary: Vec<(&str, Vec<(&str, Value<'_>)>)> = Vec::new();
        let arguments = (unit, "fail", properties, auxiliary);
        match connection.call_method(
            Some(SYSTEMD),
            MANAGER_PATH,
            Some(MANAGER),
            "StartTransientUnit",
            &arguments,
        ) {
            Ok(reply) => return reply.body().deserialize().map_err(BusError::Call),
            Err(error) => match refused_property(&error).filter(|name| !unknown.contains(name)) {
                Some(name) => unknown.push(name),
                None => return Err(BusError::Call(error)),
            },
        }
    }
}

/// The optional property that systemd says it does not know.
fn refused_property(error: &zbus::Error) -> Option<&'static str> {
    let zbus::Error::MethodError(name, Some(text), _) = error else {
        return None;
    };
    let unknown = [
        "org.freedesktop.DBus.Error.PropertyReadOnly",
        "org.freedesktop.DBus.Error.UnknownProperty",
    ];
    if !unknown.contains(&name.as_str()) {
        return None;
    }
    OPTIONAL
        .into_iter()
        .find(|property| text.contains(property))
}

/// The properties of the scope: systemd.scope(5), systemd.resource-control(5), systemd.kill(5).
fn properties<'a>(
    spec: &'a ScopeSpec,
    init_pid: i32,
    init_pidfd: BorrowedFd<'a>,
    unknown: &[&str],
) -> Vec<(&'static str, Value<'a>)> {
    let mut properties: Vec<(&str, Value<'_>)> = vec![
        ("Description", spec.description.as_str().into()),
        ("Slice", spec.slice.as_str().into()),
        // Implies Delegate=yes. Only what the leaf uses: each controller more costs at every fork.
        ("DelegateControllers", spec.controllers.clone().into()),
        // Otherwise a scope that failed stays loaded for ever.
        ("CollectMode", "inactive-or-failed".into()),
        // `systemctl stop` and the backstop kill at once; there is nothing that could end in order.
        ("KillSignal", libc::SIGKILL.into()),
        ("TimeoutStopUSec", 2_000_000_u64.into()),
        // TasksMax stays at systemd's default: what protects the host from a run without --cg.
    ];
    if let Some(limit) = spec.runtime_max {
        let micros = u64::try_from(limit.as_micros()).unwrap_or(u64::MAX);
        properties.push(("RuntimeMaxUSec", micros.into()));
    }
    if unknown.contains(&"PIDFDs") {
        properties.push(("PIDs", vec![init_pid as u32].into()));
    } else {
        properties.push(("PIDFDs", vec![Fd::from(init_pidfd)].into()));
    }
    if !unknown.contains(&"OOMPolicy") {
        // An OOM kill in the leaf is the program's ending, not the scope's.
        properties.push(("OOMPolicy", "continue".into()));
    }
    properties
}
