//! What a check finds: a verdict, what was measured, and what would mend it.

use serde::Serialize;

use super::change::Change;
use crate::remedy::Remedy;

/// How bad it is. The later, the worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Verdict {
    /// Nothing to check here, or nothing that this user can see.
    NotApplicable,
    /// As it should be.
    Ok,
    /// Worth knowing.
    Note,
    /// Times, memory or verdicts may differ from run to run, or runs may reach too far.
    Warning,
    /// Runs fail, or cannot be trusted.
    Error,
}

impl Verdict {
    /// Every verdict, the worst first.
    pub(super) const WORST_FIRST: [Self; 5] = [
        Self::Error,
        Self::Warning,
        Self::Note,
        Self::Ok,
        Self::NotApplicable,
    ];

    /// The word for people.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::NotApplicable => "-",
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    /// How bad it is.
    pub(super) verdict: Verdict,
    /// What was measured, in a few words.
    pub(super) value: String,
    /// What to do, in words; none where nothing is to be done or the changes say it.
    pub(super) advice: Option<String>,
    /// A command for the administrator, where no change of doctor's mends it.
    pub(super) command: Option<String>,
    /// What `--fix` would do.
    pub(super) changes: Vec<Change>,
    /// Whether root would see more.
    pub(super) needs_root: bool,
}

impl Finding {
    pub(super) fn new(verdict: Verdict, value: impl Into<String>) -> Self {
        Self {
            verdict,
            value: value.into(),
            advice: None,
            command: None,
            changes: Vec::new(),
            needs_root: false,
        }
    }

    pub(super) fn ok(value: impl Into<String>) -> Self {
        Self::new(Verdict::Ok, value)
    }

    pub(super) fn note(value: impl Into<String>) -> Self {
        Self::new(Verdict::Note, value)
    }

    pub(super) fn warning(value: impl Into<String>) -> Self {
        Self::new(Verdict::Warning, value)
    }

    pub(super) fn error(value: impl Into<String>) -> Self {
        Self::new(Verdict::Error, value)
    }

    pub(super) fn not_applicable(value: impl Into<String>) -> Self {
        Self::new(Verdict::NotApplicable, value)
    }

    /// What only root can see.
    pub(super) fn for_root_only() -> Self {
        Self {
            needs_root: true,
            ..Self::not_applicable("only root can see it")
        }
    }

    pub(super) fn advise(mut self, words: impl Into<String>) -> Self {
        self.advice = Some(words.into());
        self
    }

    pub(super) fn remedy(self, remedy: Remedy) -> Self {
        self.advise(remedy.words())
    }

    pub(super) fn command(mut self, command: impl Into<String>) -> Self {
        self.command = Some(command.into());
        self
    }

    pub(super) fn change(mut self, change: Change) -> Self {
        self.changes.push(change);
        self
    }

    /// The commands that mend it, a line each.
    pub(super) fn commands(&self) -> Vec<String> {
        let changes = self.changes.iter().map(Change::command);
        self.command.iter().cloned().chain(changes).collect()
    }
}
