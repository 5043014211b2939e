//! What doctor says to people, as wide as their screen.

use super::finding::Verdict;
use super::mend::Done;
use super::table::Fixing;
use super::{Examined, Visit};
use crate::error::printable;
use crate::request::{Doctor, DoctorTask};
use crate::screen::{Ink, Screen, wrapped};

/// The columns of verdicts, and of names.
const VERDICTS: usize = 9;
const NAMES: usize = 16;

/// All of it.
pub(super) fn format(visit: &Visit, asked: &Doctor, screen: Screen) -> String {
    let mut page = Page {
        text: String::new(),
        screen,
        asked,
    };
    if let Some(done) = &visit.done {
        page.told(done);
    }
    for one in &visit.examined {
        let is_bad = one.finding.verdict >= Verdict::Warning && one.silenced.is_none();
        if is_bad || !asked.quiet {
            page.examined(one);
        }
    }
    if !asked.quiet {
        page.text += &summary(visit);
    }
    page.text
}

/// A text that grows.
struct Page<'a> {
    text: String,
    screen: Screen,
    asked: &'a Doctor,
}

impl Page<'_> {
    /// What was changed, or taken back.
    fn told(&mut self, done: &[Done]) {
        let is_undo = self.asked.task == DoctorTask::Undo;
        if done.is_empty() && !self.asked.quiet {
            self.text += match is_undo {
                true => "Nothing was changed by doctor, so nothing is taken back.\n\n",
                false => "There is nothing that doctor may change.\n\n",
            };
        }
        for one in done {
            let (word, ink) = match (&one.failure, is_undo) {
                (Some(_), _) => ("failed", Ink::Red),
                (None, true) => ("undone", Ink::Green),
                (None, false) => ("fixed", Ink::Green),
            };
            self.row(word, ink, &one.check, &one.command);
            match &one.failure {
                Some(failure) => self.paragraph(failure),
                None if !one.lasts => self.paragraph("This holds until the next boot."),
                None => {}
            }
        }
        if !done.is_empty() {
            self.text += match is_undo {
                true => "\n",
                false => "To take it back: isolate-run doctor --undo\n\n",
            };
        }
    }

    fn examined(&mut self, one: &Examined) {
        let (check, finding) = (&one.check, &one.finding);
        let (word, name) = (finding.verdict.word(), check.name.name());
        if let Some(reason) = &one.silenced {
            let value = format!("{word}; {}: {reason}", finding.value);
            self.row("silenced", Ink::Dim, name, &value);
            return;
        }
        let ink = match finding.verdict {
            Verdict::NotApplicable => Ink::Dim,
            Verdict::Ok => Ink::Green,
            Verdict::Note => Ink::Bold,
            Verdict::Warning => Ink::Yellow,
            Verdict::Error => Ink::Red,
        };
        self.row(word, ink, name, &finding.value);
        let is_bad = finding.verdict >= Verdict::Note;
        let explains = self.asked.verbosity > 0;
        if explains {
            self.paragraph(&format!("Looks at {}.", check.looks_at));
        }
        if is_bad || explains {
            self.paragraph(check.why);
        }
        if !is_bad {
            return;
        }
        for command in finding.commands() {
            self.line(&format!("# {command}"));
        }
        if let Some(advice) = &finding.advice {
            self.paragraph(&format!("{}.", first_letter_large(advice)));
        }
        if !finding.changes.is_empty() && self.asked.task == DoctorTask::Look {
            match check.fixing {
                Fixing::Always => self.line("or: isolate-run doctor --fix"),
                Fixing::Named => self.line(&format!("or: isolate-run doctor --fix --only {name}")),
                Fixing::Never => {}
            }
        }
    }

    fn row(&mut self, word: &str, ink: Ink, name: &str, value: &str) {
        let gap = " ".repeat(VERDICTS.saturating_sub(word.len()));
        let word = self.screen.paint(ink, word);
        let value = wrapped(&printable(value), VERDICTS + NAMES, self.screen.width);
        self.text += &format!("{word}{gap}{name:NAMES$}{value}\n");
    }

    fn paragraph(&mut self, words: &str) {
        let words = wrapped(&printable(words), VERDICTS, self.screen.width);
        self.text += &format!("{:VERDICTS$}{words}\n", "");
    }

    /// A line that is not cut: a command.
    fn line(&mut self, words: &str) {
        let words = self.screen.paint(Ink::Bold, &printable(words));
        self.text += &format!("{:VERDICTS$}{words}\n", "");
    }
}

/// `35 checks: 20 ok, 3 notes, 2 warnings, 1 error, 9 not applicable`.
fn summary(visit: &Visit) -> String {
    let counted = visit.examined.iter().filter(|one| one.silenced.is_none());
    let verdicts: Vec<_> = counted.map(|one| one.finding.verdict).collect();
    let parts = Verdict::WORST_FIRST.into_iter().filter_map(|verdict| {
        let count = verdicts.iter().filter(|other| **other == verdict).count();
        let word = match verdict {
            Verdict::NotApplicable => "not applicable",
            other => other.word(),
        };
        let plural = matches!(verdict, Verdict::Note | Verdict::Warning | Verdict::Error);
        let s = if plural && count != 1 { "s" } else { "" };
        (count > 0).then(|| format!("{count} {word}{s}"))
    });
    let mut parts: Vec<_> = parts.collect();
    let silenced = visit.examined.len() - verdicts.len();
    if silenced > 0 {
        parts.push(format!("{silenced} silenced"));
    }
    let parts = match parts.as_slice() {
        [] => "none".to_owned(),
        parts => parts.join(", "),
    };
    let count = visit.examined.len();
    let s = if count == 1 { "" } else { "s" };
    format!("\n{count} check{s}: {parts}\n")
}

fn first_letter_large(text: &str) -> String {
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => String::new(),
    }
}
