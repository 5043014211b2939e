//! `calibrate`: how fast this machine is for programs in boxes, and beside another one.
//!
//! Each load is a run of this program, in a box of its own, by `exec`: the same path, limits, CPUs
//! and control group as for every program, for root and for others. Inside it does rounds of fixed
//! work and tells how much CPU time each took. All loads have several turns: what disturbs the
//! machine for a second does not become the figure of one of them, and memory lies elsewhere each
//! time. What follows for limits is left to the reader.

mod document;
mod loads;
mod score;

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::answer::Answer;
use crate::caller::Caller;
use crate::failure::Failure;
use crate::request::{Calibration, Load};
use document::Document;
use score::Measured;

/// Where the directory of the program is inside of the box, unless it is below /usr.
const INSIDE: &str = "/calibrate";

/// The time of a turn of all loads, in seconds. In a shorter one, more would be spent on making
/// processes and their memory.
const TURN: f64 = 1.0;
/// The spread of a machine that does little else, in percent, or less.
const QUIET: f64 = 5.0;

/// Measures, compares, and saves if that was asked for.
pub(crate) fn calibrate(asked: &Calibration) -> Result<Answer, Failure> {
    if let Some(load) = asked.load {
        return loads::run(load, asked.time).map(Answer::tell);
    }
    Caller::refuse_set_user_id()?;
    // A mistake in it is told before ten seconds have gone, unless it goes.
    let reference = match Document::load(&asked.reference) {
        Err(_) if asked.save => None,
        loaded => loaded?,
    };
    let mut document = Document::new(measure(asked)?);
    if let Some(reference) = &reference {
        document.compare(reference);
    }
    if asked.save {
        document.save(&asked.reference)?;
    }
    let text = if asked.json {
        document.to_json()
    } else {
        text(&document, reference.as_ref(), asked)
    };
    Ok(Answer::tell(text))
}

/// Has all loads take turns.
fn measure(asked: &Calibration) -> Result<Vec<Measured>, Failure> {
    let (turns, each) = turns(asked.time);
    let mut told = Load::ALL.map(|load| (load, String::new()));
    for _ in 0..turns {
        for (load, told) in &mut told {
            *told += &run(*load, each, asked)?;
        }
    }
    let makes_sense = |(load, told): (Load, String)| {
        let reason = "the load told nothing that makes sense";
        score::measured(load, &told)
            .ok_or_else(|| Failure::new(format!("{}: {reason}", what_cannot(load))))
    };
    told.into_iter().map(makes_sense).collect()
}

/// How many turns there are in this time, and how long each load has in one, in seconds.
fn turns(time: Duration) -> (u64, f64) {
    let seconds = time.as_secs_f64();
    let turns = (seconds / TURN).round().max(1.0);
    (turns as u64, seconds / turns / Load::ALL.len() as f64)
}

fn what_cannot(load: Load) -> String {
    format!("cannot measure {}", load.name())
}

/// Runs one load in a box for this long, in seconds, and returns what it tells.
fn run(load: Load, seconds: f64, asked: &Calibration) -> Result<String, Failure> {
    let what = what_cannot(load);
    let at = |reason: &str| Failure::new(format!("{what}: {reason}"));
    let program = std::env::current_exe().map_err(Failure::at(&what))?;
    let (Some(directory), Some(name)) = (program.parent(), program.file_name()) else {
        return Err(at("this program has no name"));
    };
    let mut command = Command::new(&program);
    // A limit that is configured for programs is not for this one.
    command.args(["exec", "--time=0"]);
    if let Some(config) = &asked.config {
        command.arg("--config").arg(config);
    }
    if let Some(id) = &asked.box_id {
        command.arg("--box-id").arg(id);
    }
    let inside = if directory.starts_with("/usr") {
        program.clone()
    } else {
        let mut rule = OsString::from(&INSIDE[1..]);
        rule.push("=");
        rule.push(directory);
        command.arg("--dir").arg(rule);
        Path::new(INSIDE).join(name)
    };
    command.arg("--").arg(inside);
    command.args(["calibrate", "--load", load.name(), "--time"]);
    command.arg(format!("{seconds}"));
    command.stdin(Stdio::null());
    let ended = command.output().map_err(Failure::at(&what))?;
    if !ended.status.success() {
        let said = String::from_utf8_lossy(&ended.stderr);
        let said = said.trim().lines().next().unwrap_or_default();
        let said = said.trim_start_matches("isolate-run: ");
        return Err(match said {
            "" => at(&format!("the run ended with {}", ended.status)),
            said => at(said),
        });
    }
    Ok(String::from_utf8_lossy(&ended.stdout).into_owned())
}

fn text(document: &Document, reference: Option<&Document>, asked: &Calibration) -> String {
    let mut text = format!("{}\n\n", document.cpu);
    let factor =
        |factor: Option<f64>| factor.map_or(String::new(), |factor| format!("{factor:.3}"));
    text += &format!("{:11}{:>9}{:>9}{:>9}\n", "", "rate", "spread", "factor");
    for load in &document.loads {
        text += &format!(
            "{:11}{:>9.1}{:>7.1} %{:>9}  {}\n",
            load.name,
            load.rate,
            load.spread_percent,
            factor(load.factor),
            load.unit
        );
    }
    text += &format!(
        "\n{:11}{:>9.0}{:>7.1} %{:>9}\n\n",
        "score",
        document.score,
        document.spread_percent,
        factor(document.factor)
    );
    let file = asked.reference.display();
    text += &match (document.factor, reference) {
        (Some(factor), Some(reference)) => format!(
            "What takes 1 s on the reference ({}, {file})\ntakes {:.3} s here.\n",
            reference.cpu,
            1.0 / factor
        ),
        _ => format!("There is no reference ({file}); --save makes this one.\n"),
    };
    if document.spread_percent > QUIET {
        text += "Something else uses this machine, or its memory: another result may differ by as much as the spread.\n";
    }
    if asked.save {
        text += &format!("Saved as the reference: {file}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_takes_about_a_second() {
        let of = |milliseconds| turns(Duration::from_millis(milliseconds));
        assert_eq!(of(10_000), (10, 0.2));
        assert_eq!(of(10), (1, 0.002));
        assert_eq!(of(1_250), (1, 0.25));
        assert_eq!(of(0), (1, 0.0));
    }
}
