//! The two lines to systemd: the system bus, and systemd's own socket.

use std::path::Path;

use crate::bus::{Bus, BusError, Carries};
use crate::way;

/// systemd's own socket, which takes root's calls. systemd(1) calls it private. It is slower than
/// the bus, since systemd tells everybody there of all that happens to all units.
const PRIVATE: &str = "/run/systemd/private";

/// The private socket of the systemd that is asked: the machine's or the user's.
fn private() -> &'static Path {
    way::rootless().map_or(Path::new(PRIVATE), |rootless| &rootless.systemd)
}

/// Whether there is a line.
pub(crate) fn is_there() -> bool {
    Bus::is_there() || private().exists()
}

/// Connects to systemd by the bus, and to systemd itself where there is no bus.
pub(crate) fn connect(carries: Carries) -> Result<Bus, BusError> {
    Bus::connect(carries).or_else(|error| directly().map_err(|_| error))
}

/// Connects to systemd itself. Nobody else can hold up or overhear what is said there.
pub(super) fn directly() -> Result<Bus, BusError> {
    Bus::to_peer(private(), Carries::Descriptors)
}

/// Connects to systemd itself, and by the bus where that does not work: for what is rare, and must
/// not wait for a bus that somebody has hung.
pub(super) fn undisturbed() -> Result<Bus, BusError> {
    directly().or_else(|_| Bus::connect(Carries::Bytes))
}
