//! The actions that polkit is asked about.

use std::fmt;

/// An action of polkit/io.github.isolate_run.policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// To make, run in and clean up boxes of one's own.
    UseBox,
    /// To give a program the network.
    ShareNetwork,
    /// To give a program devices.
    UseDevices,
    /// To do the same with other users' boxes.
    ManageBoxes,
    /// To see them.
    SeeBoxes,
}

impl Action {
    /// polkit's name for it.
    pub(crate) fn id(self) -> &'static str {
        match self {
            Self::UseBox => "io.github.isolate_run.use-box",
            Self::ShareNetwork => "io.github.isolate_run.share-network",
            Self::UseDevices => "io.github.isolate_run.use-devices",
            Self::ManageBoxes => "io.github.isolate_run.manage-boxes",
            Self::SeeBoxes => "io.github.isolate_run.see-boxes",
        }
    }
}

impl fmt::Display for Action {
    /// Writes what the user does: `use a box`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UseBox => "use a box",
            Self::ShareNetwork => "share the network",
            Self::UseDevices => "use devices",
            Self::ManageBoxes => "manage the boxes of others",
            Self::SeeBoxes => "see the boxes of others",
        })
    }
}
