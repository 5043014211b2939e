//! What is wanted of `config`.

use std::path::PathBuf;

/// What `config` is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConfigRequest {
    /// The command.
    pub(crate) task: ConfigTask,
    /// `--config`: with this file instead of the installed configuration and its drop-ins.
    pub(crate) config: Option<PathBuf>,
    /// `--rootless`: that of a user who does without the broker.
    pub(crate) rootless: bool,
    /// `--json`.
    pub(crate) json: bool,
}

/// The commands of `config`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ConfigTask {
    /// `show`: all that holds, and where it is from.
    Show,
    /// `get KEY`.
    Get(String),
    /// `set KEY VALUE` and `unset KEY`.
    Change(KeyChange),
    /// `edit`.
    Edit {
        /// `--drop-in`: the name of the drop-in, instead of the main file.
        drop_in: Option<String>,
    },
    /// `diff`: from the defaults to what holds, or from one file to another.
    Diff(Option<(PathBuf, PathBuf)>),
    /// `import`.
    Import(ImportSource),
    /// `digest`.
    Digest,
    /// `schema`.
    Schema,
}

/// A change of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyChange {
    /// The key, as in `boxes.count`.
    pub(crate) key: String,
    /// Its new value, as TOML or as a bare text; `None` takes the key out.
    pub(crate) value: Option<String>,
    /// The name of the drop-in that is changed.
    pub(crate) drop_in: Option<String>,
}

/// What `config import` reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ImportSource {
    /// The file that isolate would read on this machine.
    Installed,
    /// `-`.
    Stdin,
    /// A file.
    File(PathBuf),
}
