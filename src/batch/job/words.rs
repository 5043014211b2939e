//! The keys of a job and their types; `docs/job.schema.json` explains them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::word::{Bound, Count, Size, Time};

/// A job: files, and programs that are run one after the other or together.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Job {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) format: Option<u32>,
    pub(crate) id: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) files: Vec<GivenFile>,
    pub(crate) steps: Vec<Step>,
}

/// A file that is put into a box before its first step.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GivenFile {
    pub(crate) name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) text: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) base64: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) path: Option<String>,
    /// Its digest: it is taken from the cache, or put there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sha256: Option<String>,
    /// Of a file of the cache: the box gets a copy that can be changed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) writable: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) mode: Option<String>,
    #[serde(default, rename = "box", skip_serializing_if = "Option::is_none")]
    pub(crate) in_box: Option<String>,
}

/// One program.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Step {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    pub(crate) argv: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) env: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) chdir: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) stdin: Option<Input>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) stdout: Option<Output>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) stderr: Option<Output>,
    #[serde(default)]
    pub(crate) limits: Limits,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) dirs: Vec<String>,
    #[serde(default = "yes")]
    pub(crate) default_dirs: bool,
    #[serde(default)]
    pub(crate) network: bool,
    #[serde(default)]
    pub(crate) on: On,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) repeat: Option<u32>,
    #[serde(default, rename = "box", skip_serializing_if = "Option::is_none")]
    pub(crate) in_box: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pair_with: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) talks_with: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) transcript: Option<FileWithBound>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) collect: Vec<Collect>,
}

fn yes() -> bool {
    true
}

/// When a step is run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum On {
    /// When all before it succeeded.
    #[default]
    Ok,
    /// Whatever happened before.
    Always,
}

/// Where standard input comes from; without one there is none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Input {
    /// A file inside, opened as the program.
    File(String),
    /// A file of the caller's.
    Path(String),
    /// This text.
    Text(String),
    /// These bytes.
    Base64(String),
    /// The file of the cache with this digest.
    Sha256(String),
    /// Standard output of the step with this name, which runs at the same time.
    Pipe(String),
}

/// Where an output goes; without one it is dropped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Output {
    /// A file inside, opened as the program.
    File(String),
    /// A file of the caller's.
    Path(FileWithBound),
    /// The result.
    Inline(Inline),
    /// Standard input of the step with this name, which runs at the same time.
    Pipe(String),
    /// For standard error: wherever standard output goes.
    Stdout {},
}

/// A file of the caller's that is written up to a bound.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileWithBound {
    pub(crate) name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) max: Option<Bound>,
}

/// An output that is in the result.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Inline {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) max: Option<Bound>,
    /// What is more than `max` is dropped and does not end the run.
    #[serde(default)]
    pub(crate) cut: bool,
}

/// Limits, in the words of isolate.toml.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Limits {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) time: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) extra_time: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) wall_time: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) mem: Option<Size>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cg_mem: Option<Size>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) stack: Option<Size>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) fsize: Option<Size>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) core: Option<Bound>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) open_files: Option<Count>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) processes: Option<Count>,
    /// Of each output stream that does not say its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) output: Option<Bound>,
}

/// A file that is taken out of the box after the step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Collect {
    pub(crate) name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) max: Option<Bound>,
    /// Where to; without it the content is in the result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) path: Option<String>,
}

/// Ends a job.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cancel {
    pub(crate) cancel: String,
}

impl Step {
    /// One without anything but the default directories.
    pub(crate) fn new() -> Self {
        Self {
            default_dirs: true,
            ..Self::default()
        }
    }

    /// What the step is called: its name, or its number.
    pub(crate) fn name_or(&self, number: usize) -> String {
        self.name.clone().unwrap_or_else(|| number.to_string())
    }
}
