//! isolate-run-meta(5): the meta file, the report and the exit codes.

use serde_json::Value;

use super::{Font, Roff, link};

/// The form of the report.
const SCHEMA: &str = include_str!("../../../docs/report.schema.json");

/// The keys of the meta file.
const META: [(&str, &str); 12] = [
    (
        "time",
        "CPU time in seconds, rounded up to the millisecond: that of every process of the run.",
    ),
    ("time-wall", "Time on the clock in seconds, likewise."),
    (
        "max-rss",
        "The largest resident set of any one process, in KiB.",
    ),
    (
        "csw-voluntary",
        "Context switches because the program waited.",
    ),
    (
        "csw-forced",
        "Context switches because others had their turn.",
    ),
    (
        "cg-mem",
        "With --cg: the peak of the memory of all processes together, in KiB.",
    ),
    (
        "cg-oom-killed",
        "1 when the kernel killed the program for its memory limit.",
    ),
    (
        "exitcode",
        "The exit code of a program that ended by itself.",
    ),
    (
        "exitsig",
        "The signal that ended the program, or that interrupted the sandbox.",
    ),
    ("killed", "1 when the sandbox ended the program."),
    (
        "status",
        "Absent for success; RE: an exit code other than 0; SG: a signal; TO: out of time; XX: the sandbox did not work.",
    ),
    ("message", "The same in words."),
];

/// The exit codes: what happened, of --run, of exec.
const CODES: [(&str, &str, &str); 7] = [
    ("the program exited with 0", "0", "0"),
    ("it exited with N", "1", "N"),
    ("a signal N killed it", "1", "128 + N"),
    ("it ran out of time", "1", "124"),
    ("the sandbox was interrupted by a signal N", "1", "128 + N"),
    ("the sandbox did not work", "2", "125"),
    ("the command line is wrong", "2", "2"),
];

/// The page.
pub(super) fn page() -> String {
    let about = "Results of isolate-run: meta file, report and exit codes";
    let mut roff = Roff::new("isolate-run-meta", "5", about);
    roff.section("Description");
    roff.paragraphs(
        "isolate-run --run and exec say how a run ended by their exit code, by a meta file (--meta) as isolate has it, \
         and by a report (--report) in JSON.",
    );
    roff.section("Meta file");
    roff.paragraphs("Lines of the form key:value. What is not known is left out.");
    for (key, about) in META {
        roff.item(&[(key, Font::Bold)], about);
    }
    roff.section("Report");
    let schema: Value = serde_json::from_str(SCHEMA).unwrap_or_default();
    if let Some(text) = schema["description"].as_str() {
        roff.paragraphs(text);
    }
    properties(&mut roff, "", &schema);
    roff.section("Exit status");
    for (what, run, exec) in CODES {
        roff.item(
            &[(what, Font::Italic)],
            &format!("--run: {run}; exec: {exec}"),
        );
    }
    roff.paragraphs("All other commands exit with 0, or with 2 and a message.");
    let others = ["isolate-run.1", "isolate-run-exec.1", "isolate.toml.5"];
    let others: Vec<_> = others.iter().filter_map(|name| link(name)).collect();
    roff.see_also(&others);
    roff.text
}

/// Every key of an object, with those of the objects in it.
fn properties(roff: &mut Roff, before: &str, schema: &Value) {
    for (key, value) in schema["properties"].as_object().into_iter().flatten() {
        let name = format!("{before}{key}");
        let kind = match (&value["type"], &value["enum"], &value["const"]) {
            (_, Value::Array(words), _) => {
                let words: Vec<_> = words.iter().filter_map(Value::as_str).collect();
                words.join(", ")
            }
            (Value::String(kind), _, _) => kind.clone(),
            (_, _, constant) => constant.to_string(),
        };
        let about = value["description"].as_str().unwrap_or_default();
        let about = match about {
            "" => format!("({kind})"),
            about => format!("{about} ({kind})"),
        };
        roff.item(&[(&name, Font::Bold)], &about);
        properties(roff, &format!("{name}."), value);
    }
}
