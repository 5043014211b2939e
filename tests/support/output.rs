//! What commands and runs leave: exit code, output, meta file.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

/// The figures in the meta file of every run, in their order.
pub(crate) const FIGURES: [&str; 5] = [
    "time",
    "time-wall",
    "max-rss",
    "csw-voluntary",
    "csw-forced",
];

/// Those of a run in control-group mode.
pub(crate) const CG_FIGURES: [&str; 6] = [
    "time",
    "time-wall",
    "max-rss",
    "csw-voluntary",
    "csw-forced",
    "cg-mem",
];

/// A command that has ended.
#[derive(Debug, Clone)]
#[must_use]
pub(crate) struct Output {
    /// The exit code; of a signal, the negative number.
    pub(crate) code: i32,
    /// What was printed, as text.
    pub(crate) stdout: String,
    /// What was printed as error, as text.
    pub(crate) stderr: String,
}

impl Output {
    pub(super) fn new(status: ExitStatus, stdout: &[u8], stderr: &[u8]) -> Self {
        let code = status.code().or(status.signal().map(|signal| -signal));
        Self {
            code: code.unwrap(),
            stdout: String::from_utf8_lossy(stdout).into_owned(),
            stderr: String::from_utf8_lossy(stderr).into_owned(),
        }
    }

    /// Exit code 0.
    #[track_caller]
    pub(crate) fn assert_success(&self) {
        assert_eq!(self.code, 0, "{self:?}");
    }

    /// Exit code 0 and not a word.
    #[track_caller]
    pub(crate) fn assert_silent_success(&self) {
        assert_eq!(
            (self.code, self.stdout.as_str(), self.stderr.as_str()),
            (0, "", "")
        );
    }

    /// This exit code, nothing on standard output, and words on standard error that contain `message`.
    #[track_caller]
    pub(crate) fn assert_refused(&self, code: i32, message: &str) {
        assert_eq!((self.code, self.stdout.as_str()), (code, ""), "{self:?}");
        assert!(
            self.stderr.contains(message),
            "{message:?} is not in {self:?}"
        );
    }
}

/// A run that is over.
#[derive(Debug, Clone)]
#[must_use]
pub(crate) struct Run {
    /// The exit code of the sandbox; of a signal, the negative number.
    pub(crate) code: i32,
    /// What sandbox and program printed, as text.
    pub(crate) stdout: String,
    /// What sandbox and program printed as error, as text.
    pub(crate) stderr: String,
    /// The meta file.
    pub(crate) meta: Meta,
}

impl Run {
    pub(super) fn new(output: Output, meta: Meta) -> Self {
        Self {
            code: output.code,
            stdout: output.stdout,
            stderr: output.stderr,
            meta,
        }
    }

    /// The program ended by itself with exit code 0.
    #[track_caller]
    pub(crate) fn assert_ok(&self) -> &Self {
        assert_eq!(
            (self.code, self.meta.get("exitcode")),
            (0, Some("0")),
            "{self:?}"
        );
        self
    }

    /// Exit code of the sandbox, and the `status` and `message` of the meta file.
    #[track_caller]
    pub(crate) fn assert_verdict(&self, code: i32, status: &str, message: &str) -> &Self {
        let found = (self.code, self.meta.get("status"), self.meta.get("message"));
        assert_eq!(found, (code, Some(status), Some(message)), "{self:?}");
        self
    }

    /// The sandbox did not run the program: exit code 2, status XX, and this in the message on standard error.
    #[track_caller]
    pub(crate) fn assert_failed(&self, message: &str) -> &Self {
        assert_eq!(
            (self.code, self.meta.get("status")),
            (2, Some("XX")),
            "{self:?}"
        );
        assert!(
            self.stderr.contains(message),
            "{message:?} is not in {self:?}"
        );
        self
    }

    /// The keys of the meta file, all of them and in this order.
    #[track_caller]
    pub(crate) fn assert_keys(&self, keys: &[&str]) -> &Self {
        assert_eq!(self.meta.keys(), keys, "{self:?}");
        self
    }
}

/// A meta file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Meta {
    /// The text as it is.
    pub(crate) raw: String,
    /// Its lines, parted at the first colon.
    pub(crate) lines: Vec<(String, String)>,
}

impl Meta {
    /// Reads the text; every line must end and have a colon.
    #[track_caller]
    pub(crate) fn parse(raw: &str) -> Self {
        assert!(
            raw.is_empty() || raw.ends_with('\n'),
            "no end of line: {raw:?}"
        );
        let part = |line: &str| {
            let (key, value) = line.split_once(':').unwrap_or_else(|| panic!("{line:?}"));
            (key.to_owned(), value.to_owned())
        };
        Self {
            raw: raw.to_owned(),
            lines: raw.lines().map(part).collect(),
        }
    }

    /// The keys in their order.
    pub(crate) fn keys(&self) -> Vec<&str> {
        self.lines.iter().map(|(key, _)| key.as_str()).collect()
    }

    /// The value of a key, which stands there at most once.
    #[track_caller]
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        let mut found = self.lines.iter().filter(|(name, _)| name == key);
        let value = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "{key} twice: {}", self.raw);
        value
    }

    /// The number that a key has.
    #[track_caller]
    pub(crate) fn number(&self, key: &str) -> f64 {
        let value = self
            .get(key)
            .unwrap_or_else(|| panic!("no {key}: {}", self.raw));
        value.parse().unwrap_or_else(|_| panic!("{key}:{value}"))
    }
}
