//! What the file systems of a sandbox have to know of its run.

use super::namespaces::Network;
use crate::quantity::Ids;

/// For what a file system is made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Purpose {
    /// The ids of the program.
    pub(super) ids: Ids,
    /// The network that it sees.
    pub(super) network: Network,
}
