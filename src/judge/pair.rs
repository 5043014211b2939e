//! `pair`: programs that talk to each other, as one job of `batch`.

use std::os::fd::BorrowedFd;

use serde_json::Value;

use super::row::{Row, Verdict, why};
use super::said::text;
use super::table;
use crate::answer::Answer;
use crate::batch::words::{FileWithBound, GivenFile, Inline, Job, Limits, Output, Step};
use crate::batch::{Bound, Flow, House, Next, Prepared, Work, conduct, limits};
use crate::caller::create_file;
use crate::error::printable;
use crate::failure::Failure;
use crate::logging;
use crate::output::write_all;
use crate::quantity::Bytes;
use crate::request::{OutputTarget, PairOptions};

/// The wall time of programs that were given none.
const WALL_TIME: std::time::Duration = std::time::Duration::from_secs(60);
/// How much of what each says to people is kept, in bytes.
const MOST_SAID: u64 = 64 << 10;
/// The exit code when not all programs ended well.
const EXIT_NOT_WELL: u8 = 1;
/// The exit code when they were not run.
const EXIT_NOT_RUN: u8 = 2;

/// The one job, and its result.
struct Once {
    job: Option<Job>,
    result: Option<Value>,
    line: Vec<u8>,
}

impl Work for Once {
    fn ready(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn next(&mut self) -> Result<Next, Failure> {
        let Some(job) = self.job.take() else {
            return Ok(Next::End);
        };
        let line = serde_json::to_vec(&job).map_err(Failure::at("this is no job"))?;
        Ok(Next::Job(job.id, line))
    }

    fn take(&mut self, line: &[u8]) -> Result<Flow, Failure> {
        self.line = line.to_vec();
        self.result = serde_json::from_slice(line).ok();
        Ok(Flow::GoOn)
    }
}

/// Runs them.
pub(crate) fn pair(options: PairOptions) -> Result<Answer, Failure> {
    let PairOptions {
        programs,
        solution,
        max_output,
        transcript,
        json,
    } = options;
    logging::start(solution.verbosity);
    let house = House::of_caller(solution.config.as_deref(), solution.rootless)?;
    house.require(&solution.limits)?;
    let mut of_each = solution.limits.clone();
    of_each.wall_time.get_or_insert(WALL_TIME);
    let mut files = Vec::new();
    let mut steps = Vec::new();
    for (at, program) in programs.iter().enumerate() {
        let name = name(at);
        let Prepared { argv, files: own } = Prepared::new(program, &solution.files)?;
        files.extend(own.into_iter().map(|file| GivenFile {
            in_box: Some(name.clone()),
            ..file
        }));
        steps.push(Step {
            name: Some(name.clone()),
            in_box: Some(name),
            argv,
            env: solution.env.iter().cloned().collect(),
            limits: Limits {
                output: max_output.map(|Bytes(bytes)| Bound::of(bytes)),
                ..limits(&of_each)
            },
            dirs: solution.all_dirs(),
            stderr: Some(Output::Inline(Inline {
                max: Some(Bound::of(MOST_SAID)),
                cut: true,
            })),
            ..Step::new()
        });
    }
    let last = steps.len() - 1;
    match last {
        1 => steps[1].pair_with = Some(name(0)),
        _ => steps[last].talks_with = (0..last).map(name).collect(),
    }
    steps[0].transcript = transcript.map(|path| FileWithBound {
        name: path.display().to_string(),
        max: None,
    });
    let job = Job {
        id: "pair".to_owned(),
        files,
        steps,
        ..Job::default()
    };
    let mut once = Once {
        job: Some(job),
        result: None,
        line: Vec::new(),
    };
    let stopped_by = conduct(&mut once, house, 1)?;
    let result = once.result.unwrap_or_default();
    let mut stdout = match &json {
        Some(OutputTarget::Stdout) => String::from_utf8_lossy(&once.line).into_owned(),
        Some(OutputTarget::File(path)) => {
            let what = format!("cannot write {}", path.display());
            let written = create_file(path).and_then(|file| write_all(file, &once.line));
            written.map_err(Failure::at(&what))?;
            String::new()
        }
        None => String::new(),
    };
    if !matches!(json, Some(OutputTarget::Stdout)) {
        stdout = tell(&result);
    }
    let is_done = result["outcome"] == "done";
    let is_well = result["together"][0].get("cause").is_none() && all_ok(&result);
    Ok(Answer {
        stdout,
        stderr: (!is_done).then(|| result["reason"].as_str().unwrap_or_default().to_owned()),
        code: match stopped_by {
            Some(signal) => u8::try_from(128 + signal as i32).unwrap_or(u8::MAX),
            None if !is_done => EXIT_NOT_RUN,
            None if is_well => 0,
            None => EXIT_NOT_WELL,
        },
    })
}

/// A, B, C and so on; numbers after that.
fn name(at: usize) -> String {
    let letter = u8::try_from(at).ok().filter(|at| *at < 26);
    letter.map_or_else(|| at.to_string(), |at| char::from(b'A' + at).to_string())
}

fn all_ok(result: &Value) -> bool {
    let steps = result["steps"].as_array();
    steps.is_some_and(|steps| steps.iter().all(|step| step["report"]["verdict"] == "ok"))
}

/// What became of them, for people.
fn tell(result: &Value) -> String {
    let steps = result["steps"].as_array().cloned().unwrap_or_default();
    let rows = steps.iter().map(|step| {
        let report = &step["report"];
        let mut row = Row::new(step["name"].as_str().unwrap_or_default().to_owned());
        row.verdict = Verdict::of_report(report).unwrap_or(Verdict::Ok);
        row.message = why(report);
        row.measure(report);
        row
    });
    let mut told = table::programs(&rows.collect::<Vec<_>>());
    for step in &steps {
        let said = text(&step["stderr"]);
        for line in said.lines() {
            let name = step["name"].as_str().unwrap_or_default();
            told.push_str(&format!("{name}: {}\n", printable(line)));
        }
    }
    let together = &result["together"][0];
    if together["deadlock"] == true {
        let waited = together["waited"].as_array().cloned().unwrap_or_default();
        let names: Vec<_> = waited.iter().filter_map(Value::as_str).collect();
        told.push_str(&format!(
            "deadlock: {} waited until the time was over, for each other or in a sleep; is what they say flushed?\n",
            names.join(" and ")
        ));
    } else if let Some(cause) = together["cause"].as_str() {
        told.push_str(&format!("cause: {cause}\n"));
    }
    told
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn people_are_told_what_became_of_each_and_why() {
        let step = |name: &str, verdict: &str, said: &str| {
            json!({"name": name, "report": {"verdict": verdict, "figures": {"cpu_time_us": 1000, "wall_time_us": 2000}},
                "stderr": {"text": said}})
        };
        let mut result = json!({
            "outcome": "done",
            "steps": [step("A", "ok", ""), step("B", "exit_code", "wrong\u{1b}\n")],
            "together": [{"steps": ["A", "B"], "cause": "B", "deadlock": false}],
        });
        assert_eq!(
            tell(&result),
            "program  verdict      CPU     wall  memory\n\
             A        OK       0.001 s  0.002 s\n\
             B        RE       0.001 s  0.002 s\n\
             B: wrong\\u{1b}\ncause: B\n"
        );
        result["together"][0] = json!({"deadlock": true, "waited": ["A", "B"]});
        assert!(tell(&result).contains("\ndeadlock: A and B waited until the time was over, "));
        assert_eq!(
            (name(0), name(25), name(26)),
            ("A".into(), "Z".into(), "26".into())
        );
    }
}
