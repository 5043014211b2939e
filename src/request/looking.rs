//! What is wanted of the commands that look after boxes.

use std::time::Duration;

use super::BoxCommand;

/// What `gc` is to remove.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GcRequest {
    /// Boxes that were not used for so long.
    pub(crate) older_than: Duration,
    /// `--dry-run`: it is only told.
    pub(crate) dry_run: bool,
    /// `--all`: those of all users.
    pub(crate) all: bool,
    /// `--removed`: nothing but what removed boxes have left.
    pub(crate) leftovers: bool,
}

/// What `logs` is to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogsRequest {
    /// `--since`, in systemd's words.
    pub(crate) since: Option<String>,
    /// `--lines`: the most entries.
    pub(crate) lines: u32,
    /// `--json`.
    pub(crate) json: bool,
    /// `--user`: a name or a number.
    pub(crate) user: Option<String>,
    /// `--follow`.
    pub(crate) follow: bool,
}

/// How `status` is to look, and to tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct StatusRequest {
    /// At whose boxes.
    pub(crate) whose: Whose,
    /// For whom it is told.
    pub(crate) form: StatusForm,
}

/// Whose boxes are meant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Whose {
    /// All that the caller may see without being asked for a password.
    #[default]
    Visible,
    /// `--all`: those of all users.
    All,
    /// `--mine`: the caller's own.
    Mine,
}

/// The form of what `status` prints.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum StatusForm {
    /// A table for people.
    #[default]
    Table,
    /// `--json`.
    Json,
    /// `--prometheus`.
    Metrics,
    /// `--watch`: the table, drawn anew after so long.
    Watch(Duration),
}

impl BoxCommand {
    /// Its name, for those who only tell of it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Init(_) => "init",
            Self::Run(_) => "run",
            Self::Cleanup => "cleanup",
            Self::Exec(_) | Self::Keep(_) => "exec",
            Self::Enter(_) => "shell",
            Self::Status(_) => "status",
            Self::Kill => "kill",
            Self::Gc(_) => "gc",
            Self::Logs(_) => "logs",
        }
    }

    /// Whether it is about box 0 when no box is named.
    pub(crate) fn is_about_box_0(&self) -> bool {
        matches!(
            self,
            Self::Init(_) | Self::Run(_) | Self::Cleanup | Self::Kill
        )
    }
}
