//! A line of the input: a job, the cancelling of one, or neither, and why.

use std::fmt;

use serde_json::Value;

use super::course::Course;
use super::words::{Cancel, Job};

/// What a line says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Line {
    /// Carry this out.
    Job(Box<Job>),
    /// End the job with this id.
    Cancel(String),
    /// Nothing.
    Empty,
}

/// Why a line was not understood, or cannot be carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    /// The job's id, if the line has one.
    pub(crate) id: Option<String>,
    /// The key, as in `steps[0].limits.time`, or the column where the text is no JSON; empty where
    /// it is the line as a whole.
    pub(crate) field: String,
    /// What is wrong, and what is allowed.
    pub(crate) reason: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.field.as_str() {
            "" => f.write_str(&self.reason),
            field => write!(f, "{field}: {}", self.reason),
        }
    }
}

impl Refused {
    fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            id: None,
            field: field.into(),
            reason: reason.into(),
        }
    }
}

impl Line {
    /// Reads a line.
    pub(crate) fn read(line: &[u8]) -> Result<Self, Refused> {
        if line.trim_ascii().is_empty() {
            return Ok(Self::Empty);
        }
        let value: Value = serde_json::from_slice(line).map_err(|error| {
            Refused::new(format!("column {}", error.column()), not_json(&error))
        })?;
        let Some(object) = value.as_object() else {
            return Err(Refused::new("", format!("this is no object; {A_JOB}")));
        };
        if object.contains_key("cancel") {
            let cancel: Cancel = take(value)?;
            return Ok(Self::Cancel(cancel.cancel));
        }
        let id = object.get("id").and_then(Value::as_str).map(str::to_owned);
        let with_id = |refused| Refused {
            id: id.clone(),
            ..refused
        };
        let job: Job = take(value).map_err(with_id)?;
        Course::of(&job).map_err(|(field, reason)| with_id(Refused::new(field, reason)))?;
        Ok(Self::Job(Box::new(job)))
    }
}

/// What a job looks like, for somebody who sends something else.
const A_JOB: &str = r#"a line is a job, as {"id": "1", "steps": [{"argv": ["/bin/echo", "hello"]}]} (isolate-run help batch)"#;

/// Why a text is no JSON, without the place, which is told apart.
fn not_json(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let reason = match text.split(" at line ").next().unwrap_or_default() {
        // What the reader looks for when a word begins like true, false or null.
        "expected ident" | "expected value" => "no value begins like this",
        reason if error.is_eof() && reason.starts_with("EOF") => {
            "it ends too early; a job is on one line"
        }
        reason => reason,
    };
    format!("this is no JSON: {reason}; {A_JOB}")
}

fn take<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, Refused> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let field = if path == "." { String::new() } else { path };
        Refused::new(field, error.into_inner().to_string())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(line: &str) -> (Option<String>, String) {
        let refused = Line::read(line.as_bytes()).unwrap_err();
        (refused.id.clone(), refused.to_string())
    }

    #[test]
    fn a_line_is_a_job_or_cancels_one() {
        let job = Line::read(br#"{"id":"a","steps":[{"argv":["/bin/true"]}]}"#).unwrap();
        assert!(matches!(job, Line::Job(job) if job.id == "a" && job.steps.len() == 1));
        let cancel = Line::read(br#"{"cancel":"a"}"#).unwrap();
        assert_eq!(cancel, Line::Cancel("a".into()));
        assert_eq!(Line::read(b" \r").unwrap(), Line::Empty);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place_and_the_id() {
        for (line, id, words) in [
            (
                "{",
                None,
                "column 1: this is no JSON: it ends too early; a job is on one line; a line is a job, as {",
            ),
            (
                "hello",
                None,
                "column 1: this is no JSON: no value begins like this; ",
            ),
            (
                "truth",
                None,
                "column 4: this is no JSON: no value begins like this; ",
            ),
            ("7", None, "no object"),
            ("{\"id\":\"a\"}", Some("a"), "missing field `steps`"),
            (
                r#"{"id":"a","steps":[{"argv":["x"],"limits":{"time":"soon"}}]}"#,
                Some("a"),
                "steps[0].limits.time: ",
            ),
            (
                r#"{"id":"a","steps":[{"argv":["x"],"limits":{"tim":1}}]}"#,
                Some("a"),
                "steps[0].limits.tim: unknown field `tim`",
            ),
            (
                r#"{"id":"a","steps":[{"argv":[]}]}"#,
                Some("a"),
                "steps[0].argv: ",
            ),
            (r#"{"cancel":"a","id":"b"}"#, None, "unknown field `id`"),
            (r#"{"id":7,"steps":[]}"#, None, "id: invalid type"),
        ] {
            let (found, text) = refused(line);
            assert_eq!(found.as_deref(), id, "{line}");
            assert!(text.contains(words), "{line}: {text}");
        }
    }
}
