//! What a call has to say, as texts only, whatever they are about.

use serde::{Deserialize, Serialize};

/// What a command has to say, besides what its program printed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Answer {
    /// For standard output.
    pub(crate) stdout: String,
    /// For standard error: a line without its end.
    pub(crate) stderr: Option<String>,
    /// The exit code.
    pub(crate) code: u8,
}

impl Answer {
    /// An answer on standard output, after a success.
    pub(crate) fn tell(stdout: impl Into<String>) -> Self {
        Self {
            stdout: stdout.into(),
            ..Self::default()
        }
    }

    /// An answer on standard error that says why there is no other one.
    pub(crate) fn complain(stderr: impl Into<String>, code: u8) -> Self {
        Self {
            stderr: Some(stderr.into()),
            code,
            ..Self::default()
        }
    }
}

/// What a command has to say to programs. A text that nobody asked for is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Results {
    /// For the meta file.
    pub(crate) meta: String,
    /// For the report.
    pub(crate) report: String,
}
