//! Whether a job from the queue makes sense and asks only for what it may have. It comes from
//! strangers: what it says of paths is of their machine, or an attempt at ours. Pure.

use isolate_run_client::{FleetJob, Input, Output, Step};

use crate::fail::known_format;
use crate::names::{is_digest, is_id};
use crate::settings::AllowSettings;

/// What the worker is for, and what its configuration allows.
#[derive(Debug)]
pub(crate) struct Rules<'a> {
    pub(crate) pool: &'a str,
    pub(crate) allow: &'a AllowSettings,
}

/// A message that is no job, as far as it can be told what it was meant to be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unreadable {
    /// The id, if there is one that a result can have.
    pub(crate) id: Option<String>,
    /// What is wrong.
    pub(crate) reason: String,
    /// It is in a form that is newer than this worker: nothing need be wrong.
    pub(crate) newer: Option<Newer>,
}

/// What can be told of a job in a newer form: what every form has.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Newer {
    pub(crate) format: u64,
    pub(crate) attempt: u32,
    pub(crate) submitted: u64,
    pub(crate) not_after: Option<u64>,
    pub(crate) trace: Option<String>,
}

/// Reads a job. `message_id` is what the server knows the message by.
pub(crate) fn read(payload: &[u8], message_id: Option<&str>) -> Result<FleetJob, Unreadable> {
    let value: Result<serde_json::Value, _> = serde_json::from_slice(payload);
    let own = value.as_ref().ok().and_then(|value| value["id"].as_str());
    let sent = message_id.and_then(|text| text.split('#').next());
    let id = own.or(sent).filter(|id| is_id(id)).map(str::to_owned);
    let unreadable = |reason: String| Unreadable {
        id: id.clone(),
        reason,
        newer: None,
    };
    let value = value.map_err(|error| unreadable(format!("the job is no JSON: {error}")))?;
    let known = u64::from(known_format());
    if let Some(format) = value["format"].as_u64().filter(|format| *format > known) {
        let reason =
            format!("the job has format {format}, and this worker knows {known}: upgrade it");
        let attempt = value["attempt"].as_u64();
        let newer = Newer {
            format,
            attempt: attempt
                .and_then(|number| number.try_into().ok())
                .unwrap_or(1),
            submitted: value["submitted"].as_u64().unwrap_or_default(),
            not_after: value["not_after"].as_u64(),
            trace: value["trace"].as_str().map(str::to_owned),
        };
        return Err(Unreadable {
            newer: Some(newer),
            ..unreadable(reason)
        });
    }
    let job = serde_json::from_value::<FleetJob>(value);
    let job = job.map_err(|error| unreadable(format!("the job makes no sense: {error}")))?;
    match is_id(&job.id) {
        true => Ok(job),
        false => Err(unreadable(
            "id: it has to be 1 to 128 letters, digits, '-' and '_'".into(),
        )),
    }
}

/// What is wrong with a job, or not allowed.
pub(crate) fn check(job: &FleetJob, queue: &str, rules: &Rules<'_>) -> Result<(), String> {
    if job.queue != queue {
        return Err(format!(
            "queue: the job says '{}' and was sent to '{queue}'",
            job.queue
        ));
    }
    if job.pool != rules.pool {
        return Err(format!(
            "pool: the job says '{}' and was sent to '{}'",
            job.pool, rules.pool
        ));
    }
    if job.attempt == 0 {
        return Err("attempt: they count from 1".into());
    }
    let repeats = |step: &Step| step.repeat.unwrap_or(1).max(1) as usize;
    let steps: usize = job.steps.iter().map(repeats).sum();
    if job.steps.is_empty() || steps > rules.allow.steps {
        return Err(format!(
            "steps: there are {steps}, and 1 to {} are allowed",
            rules.allow.steps
        ));
    }
    if job.files.len() > rules.allow.files {
        let (found, most) = (job.files.len(), rules.allow.files);
        return Err(format!("files: there are {found}, and {most} are allowed"));
    }
    for (index, file) in job.files.iter().enumerate() {
        if file.path.is_some() {
            return Err(format!("files[{index}].path: {NO_PATHS}"));
        }
        if file
            .sha256
            .as_deref()
            .is_some_and(|digest| !is_digest(digest))
        {
            return Err(format!(
                "files[{index}].sha256: it has to be 64 of 0-9 and a-f"
            ));
        }
    }
    for (index, step) in job.steps.iter().enumerate() {
        check_step(step, rules).map_err(|reason| format!("steps[{index}].{reason}"))?;
    }
    Ok(())
}

/// Why paths of the caller's are refused.
const NO_PATHS: &str =
    "a job of a fleet has no files of the caller's: name them by sha256, and have results inline";

fn check_step(step: &Step, rules: &Rules<'_>) -> Result<(), String> {
    match &step.stdin {
        Some(Input::Path(_)) => return Err(format!("stdin.path: {NO_PATHS}")),
        Some(Input::Sha256(digest)) if !is_digest(digest) => {
            return Err("stdin.sha256: it has to be 64 of 0-9 and a-f".into());
        }
        _ => {}
    }
    for (key, output) in [("stdout", &step.stdout), ("stderr", &step.stderr)] {
        if matches!(output, Some(Output::Path(_))) {
            return Err(format!("{key}.path: {NO_PATHS}"));
        }
    }
    if step.transcript.is_some() {
        return Err(format!("transcript: {NO_PATHS}"));
    }
    if step.collect.iter().any(|collect| collect.path.is_some()) {
        return Err(format!("collect: {NO_PATHS}"));
    }
    if step.network && !rules.allow.network {
        return Err("network: it is not allowed here (worker.toml, allow.network)".into());
    }
    if let Some(rule) = step
        .dirs
        .iter()
        .find(|rule| !rules.allow.dirs.contains(rule))
    {
        return Err(format!(
            "dirs: '{rule}' is not allowed here (worker.toml, allow.dirs)"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn job(step: serde_json::Value, files: serde_json::Value) -> FleetJob {
        serde_json::from_value(json!({
            "format": 1, "id": "a", "attempt": 1, "queue": "q", "pool": "p", "submitted": 0,
            "files": files, "steps": [step],
        }))
        .unwrap()
    }

    fn said(job: &FleetJob, allow: &AllowSettings) -> String {
        let rules = Rules { pool: "p", allow };
        check(job, "q", &rules).err().unwrap_or_default()
    }

    #[test]
    fn what_is_allowed_passes_and_what_is_not_is_named() {
        let mut allow = AllowSettings::default();
        let step = json!({"argv": ["x"], "stdin": {"text": ""}, "stdout": {"inline": {}}});
        assert_eq!(said(&job(step, json!([])), &allow), "");
        let steps = [
            (
                json!({"argv": ["x"], "stdin": {"path": "/etc/passwd"}}),
                "steps[0].stdin.path",
            ),
            (
                json!({"argv": ["x"], "stdin": {"sha256": "../../etc/passwd"}}),
                "steps[0].stdin.sha256",
            ),
            (
                json!({"argv": ["x"], "stdout": {"path": {"name": "/x"}}}),
                "steps[0].stdout.path",
            ),
            (
                json!({"argv": ["x"], "stderr": {"path": {"name": "/x"}}}),
                "steps[0].stderr.path",
            ),
            (
                json!({"argv": ["x"], "transcript": {"name": "/x"}}),
                "steps[0].transcript",
            ),
            (
                json!({"argv": ["x"], "collect": [{"name": "a", "path": "/x"}]}),
                "steps[0].collect",
            ),
            (json!({"argv": ["x"], "network": true}), "allow.network"),
            (json!({"argv": ["x"], "dirs": ["/etc"]}), "allow.dirs"),
            (
                json!({"argv": ["x"], "repeat": 2000}),
                "steps: there are 2000",
            ),
        ];
        for (step, part) in steps {
            let said = said(&job(step, json!([])), &allow);
            assert!(said.contains(part), "{part}: {said}");
        }
        let step = json!({"argv": ["x"]});
        for (file, part) in [
            (json!({"name": "a", "path": "/etc/passwd"}), "files[0].path"),
            (json!({"name": "a", "sha256": "x"}), "files[0].sha256"),
        ] {
            let said = said(&job(step.clone(), json!([file])), &allow);
            assert!(said.contains(part), "{part}: {said}");
        }
        (allow.network, allow.dirs) = (true, vec!["/data".into()]);
        let step = json!({"argv": ["x"], "network": true, "dirs": ["/data"]});
        assert_eq!(said(&job(step, json!([])), &allow), "");
    }

    #[test]
    fn a_job_that_was_sent_elsewhere_is_refused() {
        let job = job(json!({"argv": ["x"]}), json!([]));
        let allow = AllowSettings::default();
        let rules = Rules {
            pool: "p",
            allow: &allow,
        };
        assert!(check(&job, "other", &rules).is_err());
        let rules = Rules {
            pool: "fast",
            allow: &allow,
        };
        assert!(check(&job, "q", &rules).is_err());
    }

    #[test]
    fn what_is_no_job_still_has_an_id_if_one_can_be_found() {
        let id = |payload: &str, message: Option<&str>| {
            read(payload.as_bytes(), message).unwrap_err().id
        };
        assert_eq!(id("{", Some("a#1")), Some("a".into()));
        assert_eq!(id(r#"{"id":"b"}"#, Some("a#1")), Some("b".into()));
        assert_eq!(id(r#"{"id":"b.>"}"#, None), None);
        let newer = br#"{"id":"b","format":2,"attempt":3,"not_after":5,"gpu":{}}"#;
        let newer = read(newer, None).unwrap_err();
        assert!(newer.reason.contains("upgrade"), "{newer:?}");
        let newer = newer.newer.unwrap();
        assert_eq!(
            (newer.format, newer.attempt, newer.not_after),
            (2, 3, Some(5))
        );
        // A key that is not known is a mistake: a job says the lowest format that has all its keys.
        let odd = read(br#"{"id":"b","format":1,"gpu":{}}"#, None).unwrap_err();
        assert!(odd.newer.is_none() && odd.reason.contains("gpu"), "{odd:?}");
    }
}
