//! `test`: a solution on a folder of tests, and what each came to. How the jobs run is not known
//! here: they are jobs of `batch`.
//!
//! ```text
//! files ─ [`set`] ─▶ tests ─ [`work`] ─▶ a job each ─▶ result
//! result ─ [`compare`], or a checker's job ─▶ verdict
//! verdicts ─ [`progress`] while they come ─ [`table`], [`export`] at the end
//! ```

mod compare;
mod export;
pub(crate) mod pair;
mod progress;
mod row;
mod said;
mod set;
mod table;
mod work;

use crate::answer::Answer;
use crate::batch::{House, conduct};
use crate::caller::create_file;
use crate::failure::Failure;
use crate::logging;
use crate::output::write_all;
use crate::request::{OutputTarget, TestOptions};
use row::Row;
use work::Judging;

/// The exit code when not all tests were passed.
const EXIT_NOT_PASSED: u8 = 1;

/// Judges.
pub(crate) fn test(options: TestOptions) -> Result<Answer, Failure> {
    let solution = &options.solution;
    logging::start(solution.verbosity);
    let house = House::of_caller(solution.config.as_deref(), solution.rootless)?;
    house.require(&solution.limits)?;
    let tests = set::find(&options.inputs, &options.answers)?;
    if let Some(checker) = &options.checker {
        let what = format!("--checker: cannot read {}", checker.display());
        std::fs::File::open(checker).map_err(Failure::at(&what))?;
    }
    let jobs = options
        .jobs
        .unwrap_or_else(|| house.jobs())
        .min(tests.len());
    let mut judging = Judging::new(&options, tests)?;
    let stopped_by = conduct(&mut judging, house, jobs)?;
    let rows = judging.finish();
    let mut stdout = String::new();
    let exports = [
        (&options.json, export::json as fn(&[Row]) -> String),
        (&options.csv, export::csv),
        (&options.junit, export::junit),
    ];
    for (target, format) in exports {
        match target {
            None => {}
            Some(OutputTarget::Stdout) => stdout.push_str(&format(&rows)),
            Some(OutputTarget::File(path)) => {
                let what = format!("cannot write {}", path.display());
                let written =
                    create_file(path).and_then(|file| write_all(file, format(&rows).as_bytes()));
                written.map_err(Failure::at(&what))?;
            }
        }
    }
    let table = format!("{}{}", table::format(&rows), said::below(&rows));
    if stdout.is_empty() {
        stdout = table;
    } else if options.table {
        write_all(std::io::stderr(), table.as_bytes()).ok();
    }
    Ok(Answer {
        stdout,
        code: match stopped_by {
            Some(signal) => u8::try_from(128 + signal as i32).unwrap_or(u8::MAX),
            None if rows.iter().all(Row::is_passed) => 0,
            None => EXIT_NOT_PASSED,
        },
        ..Answer::default()
    })
}
