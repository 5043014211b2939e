//! The clap commands that were made so far. To make one is most of the cost of reading a line, and
//! a process has those of the process that it is a copy of.

use std::any::TypeId;
use std::sync::{Mutex, PoisonError};

use clap::{Command, CommandFactory};

static READY: Mutex<Vec<(TypeId, Command)>> = Mutex::new(Vec::new());

/// Does something with the command of this kind of line, which is made now if it was not before.
/// `work` must not read another line.
pub(super) fn with<Line: CommandFactory + 'static, T>(work: impl FnOnce(&mut Command) -> T) -> T {
    // One that a panic left half built is as good: clap builds what is missing.
    let mut ready = READY.lock().unwrap_or_else(PoisonError::into_inner);
    let id = TypeId::of::<Line>();
    let known = ready.iter().position(|(known, _)| *known == id);
    let at = known.unwrap_or_else(|| {
        ready.push((id, Line::command()));
        ready.len() - 1
    });
    work(&mut ready[at].1)
}

/// Makes the command of this kind of line, for the copies of this process.
pub(super) fn make<Line: CommandFactory + 'static>() {
    with::<Line, _>(Command::build);
}

#[cfg(test)]
mod tests {
    use super::READY;
    use crate::cli::{get_ready, parse};

    #[test]
    fn a_command_that_was_used_reads_lines_as_a_new_one_does() {
        let lines = [
            "i --run -t1 --dir=/a -- p -t2",
            "i --run -t x -- p",
            "i exec --mem 5M p",
            "i --help",
            "i --run --no-such -- p",
            "i exec --version",
            "i --init --run p",
            "i -b 3 --cleanup",
        ];
        let read_one = |line: &str| parse(line.split(' ').map(Into::into));
        let read = || lines.map(read_one);
        let first = lines.map(|line| {
            READY.lock().unwrap().clear();
            read_one(line)
        });
        get_ready();
        assert_eq!(read(), first);
        assert_eq!(read(), first);
        assert!(first[0].is_ok() && first[1].is_err() && first[7].is_ok());
    }
}
