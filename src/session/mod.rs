//! `exec` with files of the caller's own, or more than once: several calls about a box, one after
//! the other.
//!
//! Each call is a process of this program, because a run takes the streams and signals of its
//! process for good. How it is carried out is not known here. Files are copied into a box and out
//! of it here, with the caller's own rights, while the box is theirs and nothing runs in it.

mod copy;
mod crew;
mod forgotten;
mod series;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};
use serde_json::Value;

use crate::answer::Answer;
use crate::commands::kept_box;
use crate::failure::Failure;
use crate::request::Session;
use crate::screen::Screen;
use crew::{Crew, Outcome, Reader};
pub(crate) use forgotten::Forgotten;
use series::Series;

/// The exit code when the files of a program that was fine cannot be had.
const EXIT_INTERNAL: u8 = 125;

/// Carries all the calls out.
pub(crate) fn run(session: &Session, screen: Screen) -> Result<Answer, Failure> {
    let crew = Crew::gather()?;
    let input = match session.repeat {
        Some(_) => Some(crew::Input::keep(&crew)?),
        None => None,
    };
    let count = session.repeat.unwrap_or(1);
    let mut series = Series::default();
    let bar = bar(count, session.silent);
    for number in 1..=count {
        if let Some(input) = &input {
            input.rewind()?;
        }
        let visit = Visit {
            session,
            crew: &crew,
            input: input.as_ref(),
            is_first: number == 1,
            is_last: number == count,
        };
        let visited = visit.make()?;
        let is_over = visited.answer.code != 0 || crew.was_interrupted();
        if session.repeat.is_none() || visited.report.is_none() {
            return Ok(visited.answer);
        }
        series.add(visited.report.unwrap_or_default());
        // Not before: the first run has the terminal for what its program prints.
        bar.inc(1);
        if is_over {
            let line = series.failed(count, session.json, screen);
            let before = visited.answer.stderr.map(|line| format!("{line}\n"));
            return Ok(Answer {
                stderr: Some(format!("{}{line}", before.unwrap_or_default())),
                ..visited.answer
            });
        }
    }
    Ok(Answer {
        stderr: (!session.silent).then(|| series.told(session.json, screen)),
        ..Answer::default()
    })
}

/// The bar while runs are repeated, which goes away by itself; without a terminal there is none.
fn bar(count: u32, is_silent: bool) -> ProgressBar {
    let target = match is_silent || count == 1 {
        true => ProgressDrawTarget::hidden(),
        false => ProgressDrawTarget::stderr(),
    };
    let bar = ProgressBar::with_draw_target(Some(count.into()), target);
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len}  {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.with_finish(ProgressFinish::AndClear)
}

/// One run of the program, with all that has to be done before and after.
struct Visit<'a> {
    session: &'a Session,
    crew: &'a Crew,
    input: Option<&'a crew::Input>,
    is_first: bool,
    is_last: bool,
}

/// What came of it.
struct Visited {
    answer: Answer,
    /// The report, if it was asked for and there is one.
    report: Option<Value>,
}

impl Visit<'_> {
    fn make(&self) -> Result<Visited, Failure> {
        let Session { bring, fetch, .. } = self.session;
        if bring.is_empty() && fetch.is_empty() {
            return self.run(&[]);
        }
        let place = self.make_box()?;
        let visited = self.in_box(&place);
        let stays = self.session.keep && self.is_last && visited.is_ok();
        if !stays {
            let words = ["--cleanup".into(), box_option(&place)];
            let words = words.into_iter().chain(self.options_of_all());
            self.crew.call(words, crew::Streams::default(), None)?;
        }
        let mut visited = visited?;
        if stays {
            let kept = kept_box(&place);
            let before = visited.answer.stderr.map(|line| format!("{line}\n"));
            visited.answer.stderr = Some(format!("{}{kept}", before.unwrap_or_default()));
        }
        Ok(visited)
    }

    /// What is done with a box that was made.
    fn in_box(&self, place: &Path) -> Result<Visited, Failure> {
        let files = copy::Files::of(&place.join("box"))?;
        for one in &self.session.bring {
            files.bring(one, |from, to| self.crew.copy(from, to))?;
        }
        let mut visited = self.run(&["--keep".into(), box_option(place)])?;
        if !self.is_last && visited.answer.code == 0 {
            return Ok(visited);
        }
        for one in &self.session.fetch {
            if let Err(failure) = files.fetch(one) {
                visited.answer.stderr = Some(format!("isolate-run: {failure}"));
                if visited.answer.code == 0 {
                    visited.answer.code = EXIT_INTERNAL;
                }
                break;
            }
        }
        Ok(visited)
    }

    /// Makes a box, and says where it is.
    fn make_box(&self) -> Result<PathBuf, Failure> {
        let words = ["--init".into(), "--box-id=auto".into()];
        let words = words.into_iter().chain(self.options_of_all());
        let quota = self.session.options.iter();
        let quota = quota.filter(|option| begins(option, "--quota=")).cloned();
        let (printed, stdout) = Reader::new()?;
        let streams = crew::Streams {
            stdout: Some(&stdout),
            ..crew::Streams::default()
        };
        let outcome = self.crew.call(words.chain(quota), streams, None)?;
        drop(stdout);
        let printed = printed.text()?;
        match outcome {
            // It has said why.
            Outcome::Code(0) if !printed.is_empty() => Ok(printed.trim_end().into()),
            Outcome::Code(_) | Outcome::Signal(_) => {
                Err(Failure::new("no box could be made for the program"))
            }
        }
    }

    /// The options of every call about a box.
    fn options_of_all(&self) -> impl Iterator<Item = OsString> + '_ {
        let of_all = |option: &&OsString| {
            begins(option, "--config=")
                || ["--verbose", "--wait", "--rootless"]
                    .iter()
                    .any(|known| option == known)
        };
        self.session.options.iter().filter(of_all).cloned()
    }

    /// Runs the program.
    fn run(&self, more: &[OsString]) -> Result<Visited, Failure> {
        let Session {
            options, program, ..
        } = self.session;
        let mut words = vec![OsString::from("exec")];
        words.extend(options.iter().cloned());
        words.extend(more.iter().cloned());
        let (report, ending) = match self.session.repeat {
            None => (None, None),
            Some(_) => {
                let (report, ending) = Reader::new()?;
                words.push("--silent".into());
                words.push(format!("--report=/dev/fd/{}", crew::number(&ending)).into());
                (Some(report), Some(ending))
            }
        };
        words.push("--".into());
        words.extend(program.iter().cloned());
        let streams = crew::Streams {
            stdin: self.input,
            stdout: None,
            is_quiet: !self.is_first,
        };
        let outcome = self.crew.call(words, streams, ending.as_ref())?;
        drop(ending);
        let report = report.map(Reader::text).transpose()?;
        Ok(Visited {
            answer: Answer {
                code: outcome.code(),
                ..Answer::default()
            },
            report: report.and_then(|text| serde_json::from_str(&text).ok()),
        })
    }
}

fn begins(option: &OsString, name: &str) -> bool {
    use std::os::unix::ffi::OsStrExt;
    option.as_bytes().starts_with(name.as_bytes())
}

/// The number of the box at this place, as an option.
fn box_option(place: &Path) -> OsString {
    let mut option = OsString::from("--box-id=");
    option.push(place.file_name().unwrap_or_default());
    option
}
