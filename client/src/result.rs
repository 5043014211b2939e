//! What `isolate-run batch` says of a job.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What became of a job as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Everything was carried out; the reports say with what verdicts.
    Done,
    /// It makes no sense, or is not allowed.
    Refused,
    /// The sandbox did not work, which says nothing about any program.
    Internal,
    /// Somebody wanted it to end.
    Cancelled,
}

/// A line of a batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BatchResult {
    /// The number of the form.
    pub format: u32,
    /// The job's; none of a line that has none.
    pub id: Option<String>,
    /// What became of it.
    pub outcome: Outcome,
    /// Why it is not done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The steps, as far as it came.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<StepResult>,
    /// Everything else, as it came.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// What became of a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepResult {
    /// Its name, or its number.
    pub name: String,
    /// What `--report` says, whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<Value>,
    /// Everything else, as it came.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl BatchResult {
    /// The verdict of each step that was run.
    pub fn verdicts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.steps.iter().filter_map(|step| {
            let verdict = step.report.as_ref()?.get("verdict")?.as_str()?;
            Some((step.name.as_str(), verdict))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_whole_after_it_was_read() {
        let text = r#"{"format":1,"id":"a","outcome":"done","steps":[{"name":"0","report":{"verdict":"ok"},"stdout":{"text":"7\n"}}],"together":[]}"#;
        let result: BatchResult = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&result).unwrap(), text);
        assert_eq!(result.verdicts().collect::<Vec<_>>(), [("0", "ok")]);
    }
}
