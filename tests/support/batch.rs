//! Batches: jobs as lines, results as lines, each as its schema says.

use std::fs;
use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;

use boon::{Compiler, SchemaIndex, Schemas};
use serde_json::{Value, json};

use super::{TestBox, isolate_command, wait_until};

/// The schemas of jobs and of results.
fn schemas() -> &'static (Schemas, SchemaIndex, SchemaIndex) {
    static ALL: OnceLock<(Schemas, SchemaIndex, SchemaIndex)> = OnceLock::new();
    ALL.get_or_init(|| {
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        let mut add = |name: &str| {
            let text = std::fs::read_to_string(super::source(&format!("docs/{name}"))).unwrap();
            let schema = serde_json::from_str(&text).unwrap();
            compiler
                .add_resource(&format!("http://x/{name}"), schema)
                .unwrap();
        };
        for name in ["report", "job"] {
            add(&format!("{name}.schema.json"));
        }
        let schema = super::schemas::closed("result");
        let name = "http://x/result.schema.json";
        compiler.add_resource(name, schema).unwrap();
        let mut compile = |name| compiler.compile(name, &mut schemas).unwrap();
        let job = compile("http://x/job.schema.json");
        let result = compile("http://x/result.schema.json");
        (schemas, job, result)
    })
}

/// Whether a job is as the schema says.
pub(crate) fn is_valid_job(job: &Value) -> bool {
    let (schemas, job_schema, _) = schemas();
    schemas.validate(job, *job_schema).is_ok()
}

/// Reads a line of results, which is as the schema says.
pub(crate) fn result_of(line: &str) -> Value {
    let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    let (schemas, _, result) = schemas();
    if let Err(error) = schemas.validate(&value, *result) {
        panic!("{error:#}\n{line}");
    }
    value
}

/// Results by the ids of their jobs. No job has two.
pub(crate) fn results_of(text: &str) -> std::collections::BTreeMap<String, Value> {
    let mut all = std::collections::BTreeMap::new();
    for line in text.lines() {
        let result = result_of(line);
        let id = result["id"].as_str().unwrap_or("-").to_owned();
        assert!(all.insert(id, result).is_none(), "twice: {line}");
    }
    all
}

/// A command of `batch` (or another verb that runs many) for the caller of this box.
pub(crate) fn batch_command(test_box: &TestBox, caller: Option<u32>, args: &[&str]) -> Command {
    let mut command = match caller {
        None => {
            let mut command = isolate_command(&args[..1]);
            command.arg("--config").arg(test_box.config_file());
            command.args(&args[1..]);
            command
        }
        Some(uid) => {
            let mut command = test_box.broker().command(uid);
            command.args(args);
            command
        }
    };
    command.current_dir(test_box.out());
    command
}

/// A batch under way, which is sent jobs.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) process: Child,
    stdin: Option<ChildStdin>,
}

impl Batch {
    /// Starts one.
    pub(crate) fn start(test_box: &TestBox, caller: Option<u32>, args: &[&str]) -> Self {
        let args = [&["batch"], args].concat();
        let mut command = batch_command(test_box, caller, &args);
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.stderr(Stdio::piped()).spawn().unwrap();
        Self {
            stdin: process.stdin.take(),
            process,
        }
    }

    /// Sends a line.
    pub(crate) fn send(&mut self, job: &Value) {
        let mut line = job.to_string();
        line.push('\n');
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(line.as_bytes()).unwrap();
    }

    /// The next result.
    pub(crate) fn next_result(&mut self) -> Value {
        // Nothing of what comes after it may be read here.
        let stdout = self.process.stdout.as_mut().unwrap();
        let mut line = Vec::new();
        while line.last() != Some(&b'\n') {
            let mut byte = [0];
            stdout.read_exact(&mut byte).unwrap();
            line.push(byte[0]);
        }
        result_of(std::str::from_utf8(&line).unwrap())
    }

    /// Closes the input, and waits for the end: the exit code, what was told, and stderr.
    pub(crate) fn finish(mut self) -> (i32, String, String) {
        drop(self.stdin.take());
        let output = self.process.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let code = output.status.code().unwrap_or(-1);
        (code, text(output.stdout), text(output.stderr))
    }
}

/// Nothing of a batch is left: no box, no lock, no process.
pub(crate) fn assert_nothing_left(test_box: &TestBox) {
    wait_until("all boxes are gone", || {
        let boxes = fs::read_dir(test_box.root()).into_iter().flatten().count();
        boxes == 0 && test_box.processes().is_empty()
    });
}

/// Carries out these jobs, each of which is as the schema says.
pub(crate) fn batch(
    test_box: &TestBox,
    caller: Option<u32>,
    args: &[&str],
    jobs: &[Value],
) -> (i32, std::collections::BTreeMap<String, Value>) {
    let mut batch = Batch::start(test_box, caller, args);
    for job in jobs {
        assert!(is_valid_job(job), "{job}");
        batch.send(job);
    }
    let (code, stdout, stderr) = batch.finish();
    assert_eq!(stderr, "");
    (code, results_of(&stdout))
}

/// A step that runs a shell script, with its output in the result.
pub(crate) fn shell(script: &str) -> Value {
    json!({
        "argv": ["/bin/sh", "-c", script],
        "stdout": {"inline": {}},
        "limits": {"processes": 20, "wall_time": "60s"},
    })
}

/// The same with more keys.
pub(crate) fn shell_with(script: &str, more: Value) -> Value {
    let mut step = shell(script);
    let object = step.as_object_mut().unwrap();
    object.extend(more.as_object().unwrap().clone());
    step
}
