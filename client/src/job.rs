//! A job of `isolate-run batch`. A key that is not known here is an error: whoever looks at a job
//! for what it may have must have seen all of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A list of steps that run in boxes of their own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// The number of the form; none is the present one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<u32>,
    /// What its result is found by.
    pub id: String,
    /// What is in the boxes before the first step.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<JobFile>,
    /// The programs.
    pub steps: Vec<Step>,
}

/// A file that is put into a box.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobFile {
    /// Where it is in the box.
    pub name: String,
    /// What is in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The same for bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
    /// A file of the caller's that is copied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Its digest, by which it is found in a cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Of a file with a digest: whether the box has a copy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writable: Option<bool>,
    /// Permissions in octal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// The box, if not the job's own.
    #[serde(default, rename = "box", skip_serializing_if = "Option::is_none")]
    pub box_name: Option<String>,
}

/// A program, and what is around it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// What others call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// The environment.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Where it starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chdir: Option<String>,
    /// Standard input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin: Option<Input>,
    /// Standard output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdout: Option<Output>,
    /// Standard error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stderr: Option<Output>,
    /// Limits by the names of `isolate.toml`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub limits: Map<String, Value>,
    /// Directory rules.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dirs: Vec<String>,
    /// Whether the default rules come first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_dirs: Option<bool>,
    /// Whether it has the machine's network.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub network: bool,
    /// When it is run: `ok` or `always`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<String>,
    /// How often it is run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat: Option<u32>,
    /// Its box, if not the job's own.
    #[serde(default, rename = "box", skip_serializing_if = "Option::is_none")]
    pub box_name: Option<String>,
    /// The step that it talks with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pair_with: Option<String>,
    /// Steps that it is the manager of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub talks_with: Vec<String>,
    /// A file of the caller's for what they say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transcript: Option<Value>,
    /// Files that are taken out afterwards.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub collect: Vec<Collect>,
}

/// Standard input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Input {
    /// A file in the box.
    File(String),
    /// A file of the caller's.
    Path(String),
    /// These characters.
    Text(String),
    /// These bytes.
    Base64(String),
    /// A file of the cache.
    Sha256(String),
    /// What another step prints.
    Pipe(String),
}

/// Standard output or standard error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Output {
    /// A file in the box.
    File(String),
    /// A file of the caller's, with its bound.
    Path(Value),
    /// The result, with its bound.
    Inline(Map<String, Value>),
    /// What another step reads.
    Pipe(String),
    /// Wherever standard output goes.
    Stdout(Map<String, Value>),
}

/// A file that is taken out of a box.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Collect {
    /// Where it is in the box.
    pub name: String,
    /// The longest that is taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<Value>,
    /// The file of the caller's that it is copied to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

impl Job {
    /// The line that a batch reads.
    ///
    /// # Errors
    ///
    /// None that a job of these types can have; JSON says so all the same.
    pub fn to_line(&self) -> serde_json::Result<String> {
        serde_json::to_string(self)
    }

    /// All digests that it names, each once.
    #[must_use]
    pub fn digests(&self) -> Vec<&str> {
        let files = self.files.iter().filter_map(|file| file.sha256.as_deref());
        let inputs = self.steps.iter().filter_map(|step| match &step.stdin {
            Some(Input::Sha256(digest)) => Some(digest.as_str()),
            _ => None,
        });
        let mut all: Vec<&str> = files.chain(inputs).collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_the_same_after_it_was_read() {
        let text = r#"{"id":"a","files":[{"name":"x","sha256":"00","box":"b"}],"steps":[{"name":"s","argv":["/bin/cat"],"stdin":{"sha256":"11"},"stdout":{"inline":{"max":"1M"}},"limits":{"time":"1s"},"collect":[{"name":"o"}]}]}"#;
        let job: Job = serde_json::from_str(text).unwrap();
        assert_eq!(job.to_line().unwrap(), text);
        assert_eq!(job.digests(), ["00", "11"]);
    }

    #[test]
    fn what_is_not_known_is_an_error() {
        for text in [
            r#"{"id":"a","steps":[],"x":1}"#,
            r#"{"id":"a","steps":[{"argv":[],"x":1}]}"#,
            r#"{"id":"a","steps":[{"argv":[],"stdin":{"url":"x"}}]}"#,
            r#"{"id":"a","steps":[],"files":[{"name":"n","url":"x"}]}"#,
        ] {
            assert!(serde_json::from_str::<Job>(text).is_err(), "{text}");
        }
    }
}
