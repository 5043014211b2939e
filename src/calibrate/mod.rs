//! `calibrate`: how fast this machine is for programs in boxes, and beside another one.
//!
//! Each load is a run of this program, in a box of its own, by `exec`: the same path, limits, CPUs
//! and control group as for every program, for root and for others. Inside it does rounds of fixed
//! work and tells how much CPU time each took. What follows for limits is left to the reader.

mod document;
mod loads;
mod score;

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::answer::Answer;
use crate::caller::Caller;
use crate::failure::Failure;
use crate::request::{Calibration, Load};
use document::Document;
use score::Measured;

/// Where the directory of the program is inside of the box, unless it is below /usr.
const INSIDE: &str = "/calibrate";

/// Measures, compares, and saves if that was asked for.
pub(crate) fn calibrate(asked: &Calibration) -> Result<Answer, Failure> {
    if let Some(load) = asked.load {
        return loads::run(load, asked.time).map(Answer::tell);
    }
    Caller::refuse_set_user_id()?;
    // A mistake in it is told before ten seconds have gone.
    let reference = Document::load(&asked.reference)?;
    let loads = Load::ALL.map(|load| measure(load, asked));
    let loads: Result<Vec<_>, _> = loads.into_iter().collect();
    let mut document = Document::new(loads?);
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

/// Runs one load in a box.
fn measure(load: Load, asked: &Calibration) -> Result<Measured, Failure> {
    let what = format!("cannot measure {}", load.name());
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
    let seconds = asked.time.as_secs_f64() / Load::ALL.len() as f64;
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
    let told = String::from_utf8_lossy(&ended.stdout);
    score::measured(load, &told).ok_or_else(|| at("the load told nothing that makes sense"))
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
    if asked.save {
        text += &format!("Saved as the reference: {file}\n");
    }
    text
}
