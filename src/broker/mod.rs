//! Callers who are not root: the broker, a service with root's rights, and the part of the caller's
//! own process. The broker owns the question who may ask for what. It does not own how a request is
//! carried out, which is the same as for root ([`crate::commands`]).
//!
//! ```text
//! caller's process: [`client`]     broker: [`server`]      keeper, one for each request
//! opens all that they named
//! ────── connects ───────────────▶ accepts, counts
//!                                  └─ clones ────────────▶ who is it? (kernel)
//! ────── announcement, request, descriptors ─────────────▶ what is wanted? [`protocol`]
//!                                                          may they? [`crate::polkit`]
//!                                  ◀─ may they have it? ── (ceilings) [`crate::pool`]
//!                                                          as for root [`crate::commands`]
//! ────── signals ────────────────────────────────────────▶
//! ◀───── log lines, then the answer ──────────────────────
//! writes the meta file, prints, exits
//! ```
//!
//! The privileged side resolves nothing that the caller names. It has nothing of their environment,
//! working directory, umask, limits, signals or terminal: the parts of these that count come as
//! data or as descriptors.

pub(crate) use choice::{acts_itself, look_as_caller};

use crate::failure::Failure;
use crate::request::Common;

mod bounded;
mod choice;
pub(crate) mod client;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod opening;
mod protocol;
mod reply;
pub(crate) mod server;
mod wire;

/// Where the broker listens, unless it is told otherwise.
pub(crate) const SOCKET: &str = "/run/isolate/broker.sock";

/// The variable that names another socket, for callers. They may choose it: whoever listens there
/// gets what they could have opened anyway.
pub(crate) const SOCKET_VARIABLE: &str = "ISOLATE_RUN_BROKER";

/// Why the call has an option that only root may use; `None` when it has none.
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
