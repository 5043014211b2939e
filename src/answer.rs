//! What a call has to say: texts alone, whatever they are about.

use serde::{Deserialize, Serialize};

/// What a command has to say, besides what its program printed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Answer {
    /// For standard output.
    pub(crate) stdout: String,
    /// For standard error; a line without its end.
    pub(crate) stderr: Option<String>,
    /// The exit code.
    pub(crate) code: u8,
}

impl Answer {
    /// Tells something on standard output, and that all is well.
    pub(crate) fn tell(stdout: impl Into<String>) -> Self {
        Self {
            stdout: stdout.into(),
            ..Self::default()
        }
    }

    /// Tells on standard error why there is nothing else to say.
    pub(crate) fn complain(stderr: impl Into<String>, code: u8) -> Self {
        Self {
            stderr: Some(stderr.into()),
            code,
            ..Self::default()
        }
    }
}

/// What a command has to say to programs. Empty where nobody asked for it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Results {
    /// For the meta file.
    pub(crate) meta: String,
    /// For the report.
    pub(crate) report: String,
}
