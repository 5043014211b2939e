//! What `docs/batch.md` shows is as the schemas say, and `batch` refuses what makes no sense before anything else.

use std::fs;
use std::process::Stdio;

use serde_json::Value;

use crate::support::batch::{is_valid_job, result_of};
use crate::support::{finish, isolate_command, source};

/// The JSON texts that a document shows.
fn examples(document: &str) -> Vec<Value> {
    let text = fs::read_to_string(source(document)).unwrap();
    let blocks = text.split("```json\n").skip(1);
    let blocks = blocks.map(|block| block.split("```").next().unwrap());
    blocks
        .map(|block| serde_json::from_str(block).unwrap_or_else(|error| panic!("{error}: {block}")))
        .collect()
}

#[test]
fn every_example_is_as_its_schema_says() {
    let examples = examples("docs/batch.md");
    let (results, jobs): (Vec<_>, Vec<_>) = examples
        .iter()
        .partition(|example| example.get("outcome").is_some());
    assert_eq!((jobs.len(), results.len()), (3, 1));
    assert!(jobs.iter().all(|job| is_valid_job(job)));
    for result in results {
        result_of(&result.to_string());
    }
}

#[test]
fn the_schema_of_jobs_refuses_what_batch_refuses() {
    for job in [
        r#"{"id":"a"}"#,
        r#"{"id":"","steps":[{"argv":["a"]}]}"#,
        r#"{"id":"a","steps":[{"argv":["a"],"what":1}]}"#,
        r#"{"id":"a","steps":[{"argv":["a"],"stdin":{"text":"","file":"x"}}]}"#,
        r#"{"id":"a","files":[{"name":"x"}],"steps":[{"argv":["a"]}]}"#,
        r#"{"id":"a","files":[{"name":"x","sha256":"7"}],"steps":[{"argv":["a"]}]}"#,
        r#"{"id":"a","files":[{"name":"x","text":"","writable":true}],"steps":[{"argv":["a"]}]}"#,
        r#"{"cancel":"a","id":"b"}"#,
    ] {
        assert!(!is_valid_job(&serde_json::from_str(job).unwrap()), "{job}");
    }
    assert!(is_valid_job(&serde_json::json!({"cancel": "a"})));
}

#[test]
fn a_command_line_with_a_mistake_says_what_is_wrong() {
    for (args, words) in [
        (&["batch", "-j0"][..], "--jobs: at least one job at a time"),
        (&["batch", "--jobs=x"], "--jobs: 'x' is not"),
        (&["batch", "--resume="], "--resume: the name is empty"),
    ] {
        let mut command = isolate_command(args);
        command.stdin(Stdio::null());
        let output = finish(command);
        assert_eq!(output.code, 2);
        assert!(output.stderr.contains(words), "{}", output.stderr);
    }
}
