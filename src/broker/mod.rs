//! Callers who are not root: the broker, a service with root's rights, and what the caller's own process does.
//!
//! ```text
//! caller's process                 broker                     keeper, one for each request
//! opens all that they named
//! [`client`] ───── connects ─────▶ accepts, counts [`server`]
//!                                    └─ clones ─────────────▶ who is it? (kernel)      [`server::peer`]
//!      ───── announcement, request, descriptors ────────────▶ what is wanted?          [`protocol`]
//!                                                             may they? (polkit)       [`crate::polkit`]
//!                                  ◀─ may they have so much? ─ (ceilings)              [`crate::pool`]
//!                                                             the same way as root's   [`crate::commands`]
//!      ───── signals ───────────────────────────────────────▶
//!      ◀──── log lines, then the answer ─────────────────────
//! writes the meta file, prints, exits
//! ```
//!
//! Nothing that the caller names is resolved on the privileged side, and nothing of their environment, working
//! directory, umask, limits, signals or terminal is there: what counts of these comes as data or as descriptors.

use crate::failure::Failure;
use crate::request::Common;

mod bounded;
pub(crate) mod client;
#[cfg(fuzzing)]
pub mod fuzzing;
mod protocol;
pub(crate) mod server;
mod wire;

/// Where the broker listens, unless told otherwise.
pub(crate) const SOCKET: &str = "/run/isolate/broker.sock";

/// Names another socket, for callers. Theirs to choose: whoever listens there gets what they would have opened anyway.
pub(crate) const SOCKET_VARIABLE: &str = "ISOLATE_RUN_BROKER";

/// What root alone may ask for, and why; `None` when nothing is.
fn of_root(common: &Common) -> Option<Failure> {
    if common.acts_for.is_some() {
        return Some(Failure::new("Only root may use --as-uid and --as-gid"));
    }
    common.config.as_ref().map(|_| {
        Failure::new(
            "Only root may choose the configuration (--config): others have that of isolate.service",
        )
    })
}
