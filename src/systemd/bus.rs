//! StartTransientUnit over the system bus. The only file that names zbus.
//!
//! The address is fixed: the client library would follow `DBUS_SYSTEM_BUS_ADDRESS` anywhere. The whole
//! conversation has a time-out; the match for JobRemoved is installed before the call whose job it
//! reports. It all happens in the thread that calls: each thread more would cost a run as much as a
//! message does.

use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use futures_lite::{StreamExt, future};
use zbus::zvariant::{Fd, OwnedObjectPath, Value};
use zbus::{Connection, Message, MessageStream, connection, message};

use super::ScopeSpec;

const SOCKET: &str = "/run/dbus/system_bus_socket";
const SYSTEMD: &str = "org.freedesktop.systemd1";
const MANAGER_PATH: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const JOB_REMOVED: &str = "JobRemoved";
/// A busy PID 1 has been seen to take seconds; after this it is not busy but stuck.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Why a unit was not started.
#[derive(Debug)]
pub(crate) enum BusError {
    /// The bus cannot be reached.
    Connect(io::Error),
    /// A call failed.
    Call(zbus::Error),
    /// There was no answer in time.
    Timeout,
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
                    "cannot connect to the system bus at {SOCKET} (is dbus running?): {error}"
                )
            }
            Self::Call(error) => write!(f, "systemd refused: {error}"),
            Self::Timeout => write!(f, "systemd did not answer within {} s", TIMEOUT.as_secs()),
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
            Self::Connect(_) => true,
            Self::Call(zbus::Error::MethodError(name, ..)) => [
                "org.freedesktop.DBus.Error.NoReply",
                "org.freedesktop.DBus.Error.Disconnected",
                "org.freedesktop.DBus.Error.LimitsExceeded",
                "org.freedesktop.DBus.Error.NameHasNoOwner",
                "org.freedesktop.DBus.Error.ServiceUnknown",
                "org.freedesktop.systemd1.UnitExists",
            ]
            .contains(&name.as_str()),
            Self::Call(error) => matches!(
                error,
                zbus::Error::InputOutput(_) | zbus::Error::Handshake(_)
            ),
            Self::Timeout | Self::Job(_) => false,
        }
    }
}

/// Starts a scope that holds init, and waits until systemd says that it is there.
pub(super) fn start_scope(
    spec: &ScopeSpec,
    unit: &str,
    init_pid: i32,
    init_pidfd: BorrowedFd<'_>,
) -> Result<(), BusError> {
    let stream = UnixStream::connect(SOCKET).map_err(BusError::Connect)?;
    async_io::block_on(async {
        let patience = async {
            async_io::Timer::after(TIMEOUT).await;
            Err(BusError::Timeout)
        };
        let request = async {
            // Without the client's own threads: this one does all the work.
            let connection = connection::Builder::unix_stream(stream)
                .internal_executor(false)
                .build()
                .await
                .map_err(BusError::Call)?;
            log::debug!("connected to the system bus");
            let executor = connection.executor().clone();
            let work = async {
                loop {
                    executor.tick().await;
                }
            };
            future::or(
                request_scope(&connection, spec, unit, init_pid, init_pidfd),
                work,
            )
            .await
        };
        future::or(request, patience).await
    })
}

/// One conversation: the match and the call leave together, since the bus keeps their order.
async fn request_scope(
    connection: &Connection,
    spec: &ScopeSpec,
    unit: &str,
    init_pid: i32,
    init_pidfd: BorrowedFd<'_>,
) -> Result<(), BusError> {
    let mut incoming = MessageStream::from(connection);
    let add_match = match_job_of(unit).map_err(BusError::Call)?;
    connection.send(&add_match).await.map_err(BusError::Call)?;
    let mut unknown: Vec<&str> = Vec::new();
    let mut call = start_unit(unit, properties(spec, init_pid, init_pidfd, &unknown))
        .map_err(BusError::Call)?;
    connection.send(&call).await.map_err(BusError::Call)?;
    let mut job: Option<OwnedObjectPath> = None;
    while let Some(message) = incoming.next().await {
        let message = message.map_err(BusError::Call)?;
        let answers = |question: &Message| {
            message.header().reply_serial() == Some(question.primary_header().serial_num())
        };
        match message.message_type() {
            message::Type::Error if answers(&call) => {
                let error = zbus::Error::from(message);
                match refused_property(&error).filter(|name| !unknown.contains(name)) {
                    Some(name) => unknown.push(name),
                    None => return Err(BusError::Call(error)),
                }
                call = start_unit(unit, properties(spec, init_pid, init_pidfd, &unknown))
                    .map_err(BusError::Call)?;
                connection.send(&call).await.map_err(BusError::Call)?;
            }
            message::Type::Error if answers(&add_match) => {
                return Err(BusError::Call(zbus::Error::from(message)));
            }
            message::Type::MethodReturn if answers(&call) => {
                log::debug!("systemd has queued the start of {unit}");
                job = Some(message.body().deserialize().map_err(BusError::Call)?);
            }
            message::Type::Signal if is_job_removed(&message) => {
                let body = message.body();
                let (_, removed, _, result): (u32, OwnedObjectPath, &str, &str) =
                    body.deserialize().map_err(BusError::Call)?;
                match (job.as_ref() == Some(&removed), result) {
                    (true, "done") => return Ok(()),
                    (true, result) => return Err(BusError::Job(result.to_owned())),
                    (false, _) => {}
                }
            }
            _ => {}
        }
    }
    Err(BusError::Disconnected)
}

/// JobRemoved of jobs for this unit and no other: the bus daemon compares arg2, so that the jobs of
/// other units do not wake us.
fn match_job_of(unit: &str) -> zbus::Result<Message> {
    let rule = format!(
        "type='signal',sender='{SYSTEMD}',path='{MANAGER_PATH}',interface='{MANAGER}',\
         member='{JOB_REMOVED}',arg2='{unit}'"
    );
    Message::method_call("/org/freedesktop/DBus", "AddMatch")?
        .destination("org.freedesktop.DBus")?
        .interface("org.freedesktop.DBus")?
        .build(&rule)
}

fn start_unit(unit: &str, properties: Vec<(&str, Value<'_>)>) -> zbus::Result<Message> {
    let auxiliary: Vec<(&str, Vec<(&str, Value<'_>)>)> = Vec::new();
    Message::method_call(MANAGER_PATH, "StartTransientUnit")?
        .destination(SYSTEMD)?
        .interface(MANAGER)?
        .build(&(unit, "fail", properties, auxiliary))
}

/// The bus daemon has checked the sender: only signals that match the rule come here.
fn is_job_removed(message: &Message) -> bool {
    let header = message.header();
    header.member().is_some_and(|member| member == JOB_REMOVED)
        && header
            .interface()
            .is_some_and(|interface| interface == MANAGER)
}

/// Properties that an older systemd does not know; [`properties`] does without them.
const OPTIONAL: [&str; 2] = ["PIDFDs", "OOMPolicy"];

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
