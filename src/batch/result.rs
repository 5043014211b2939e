//! The result of a job: one line, in the form of `docs/result.schema.json`. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::job::{FORMAT, Refused};

/// What became of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// All steps were carried out or left out; their reports say with what verdicts.
    Done,
    /// It makes no sense, or is not allowed.
    Refused,
    /// The sandbox did not work: this is no verdict.
    Internal,
    /// Somebody wanted it to end.
    Cancelled,
}

/// A result.
#[derive(Debug, Serialize)]
pub(crate) struct JobResult {
    pub(crate) format: u32,
    pub(crate) id: Option<String>,
    pub(crate) outcome: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    /// Of a line that was refused: where it came from, the key, and its number from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) line: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) field: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) steps: Vec<StepResult>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) together: Vec<Together>,
}

/// What became of a step.
#[derive(Debug, Default, Serialize)]
pub(crate) struct StepResult {
    pub(crate) name: String,
    /// Of a step that is repeated: from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) repetition: Option<u32>,
    /// It was left out, because one before it failed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) skipped: bool,
    /// The object of `--report`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) report: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stdout: Option<Content>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stderr: Option<Content>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) collected: Vec<Collected>,
}

/// Bytes: text where they are UTF-8.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Content {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) base64: Option<String>,
    /// There was more than the bound allows.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) truncated: bool,
}

/// A file that was taken out of the box.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Collected {
    pub(crate) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) path: Option<String>,
    /// Why it was not taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}

/// What became of steps that ran together.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Together {
    pub(crate) steps: Vec<String>,
    /// The step that failed first, by itself and not because of another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cause: Option<String>,
    /// Whether steps waited for each other until the time was over.
    pub(crate) deadlock: bool,
    /// The steps that waited.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) waited: Vec<String>,
}

impl Content {
    /// These bytes.
    pub(crate) fn new(bytes: Vec<u8>, truncated: bool) -> Self {
        match String::from_utf8(bytes) {
            Ok(text) => Self {
                text: Some(text),
                base64: None,
                truncated,
            },
            Err(error) => Self {
                text: None,
                base64: Some(STANDARD.encode(error.as_bytes())),
                truncated,
            },
        }
    }
}

impl JobResult {
    /// One without anything but its outcome.
    pub(crate) fn new(id: Option<String>, outcome: Outcome, reason: Option<String>) -> Self {
        Self {
            format: FORMAT,
            id,
            outcome,
            reason,
            source: None,
            line: None,
            field: None,
            steps: Vec::new(),
            together: Vec::new(),
        }
    }

    /// That of a line that was not understood.
    pub(crate) fn of_line(refused: Refused, source: &str, line: u64) -> Self {
        Self {
            source: Some(source.to_owned()),
            line: Some(line),
            field: Some(refused.field).filter(|field| !field.is_empty()),
            ..Self::new(refused.id, Outcome::Refused, Some(refused.reason))
        }
    }

    /// The line, with its end.
    pub(crate) fn to_line(&self) -> Vec<u8> {
        // It has only strings, numbers and what was JSON before, so this cannot fail.
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        line.push(b'\n');
        line
    }
}

/// The part of a line of results that says whether all went well. Of the rest, which may be long,
/// nothing is kept.
#[derive(Debug, Deserialize)]
pub(super) struct Gist {
    outcome: Outcome,
    steps: Option<Vec<StepGist>>,
}

#[derive(Debug, Deserialize)]
struct StepGist {
    #[serde(default)]
    skipped: bool,
    report: Option<ReportGist>,
}

#[derive(Debug, Deserialize)]
struct ReportGist {
    verdict: String,
}

impl Gist {
    /// That of a line; `None`: this is no result.
    pub(super) fn of(line: &[u8]) -> Option<Self> {
        serde_json::from_slice(line).ok()
    }

    /// Whether the job was carried out.
    pub(super) fn is_done(&self) -> bool {
        self.outcome == Outcome::Done
    }

    /// Whether it was, and each of its runs ended as it should.
    pub(super) fn is_success(&self) -> bool {
        let is_ok = |report: &ReportGist| report.verdict == "ok";
        let is_ok = |step: &StepGist| step.skipped || step.report.as_ref().is_some_and(is_ok);
        let steps = self.steps.as_ref();
        self.is_done() && steps.is_some_and(|steps| steps.iter().all(is_ok))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_text_where_they_can_be() {
        let text = Content::new(b"a\xc3\xa9".to_vec(), false);
        assert_eq!(text.text.as_deref(), Some("a\u{e9}"));
        let bytes = Content::new(vec![0xff], true);
        assert_eq!(
            (bytes.base64.as_deref(), bytes.truncated),
            (Some("/w=="), true)
        );
    }

    #[test]
    fn a_result_says_whether_all_went_well() {
        let run = |verdict: &str| {
            let report = Some(serde_json::json!({"verdict": verdict, "exit_code": 0}));
            StepResult {
                report,
                ..StepResult::default()
            }
        };
        let left_out = || StepResult {
            skipped: true,
            ..StepResult::default()
        };
        let gist = |outcome, steps| {
            let result = JobResult {
                steps,
                ..JobResult::new(Some("a".into()), outcome, None)
            };
            let gist = Gist::of(&result.to_line()).unwrap();
            (gist.is_done(), gist.is_success())
        };
        let (all, none) = ((true, true), (false, false));
        assert_eq!(gist(Outcome::Done, vec![run("ok"), left_out()]), all);
        let failed = vec![run("ok"), run("signal")];
        assert_eq!(gist(Outcome::Done, failed), (true, false));
        let unreported = vec![StepResult::default()];
        assert_eq!(gist(Outcome::Done, unreported), (true, false));
        assert_eq!(gist(Outcome::Internal, vec![run("ok")]), none);
        assert_eq!(gist(Outcome::Refused, vec![]), none);
        assert!(Gist::of(b"{}").is_none() && Gist::of(b"").is_none());
    }
}
