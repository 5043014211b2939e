//! Who keeps the scope of a box's next run: a line behind the record, which goes when the record is
//! written anew.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::Lock;

/// What the line begins with.
const NAME: &str = "holder ";

/// A process that was left behind in a box; by now it may have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kept {
    /// Its number.
    pub(crate) pid: i32,
    /// When it was made, which tells it from others with this number ([`process::start_time`]).
    ///
    /// [`process::start_time`]: crate::sys::process::start_time
    pub(crate) start: u64,
}

impl Kept {
    pub(super) fn print(self) -> String {
        let Self { pid, start } = self;
        format!("{NAME}{pid:010} {start:020}\n")
    }

    fn parse(line: &str) -> Option<Self> {
        let (pid, start) = line.strip_prefix(NAME)?.trim_end().split_once(' ')?;
        let kept = Self {
            pid: pid.parse().ok().filter(|pid| *pid > 0)?,
            start: start.parse().ok()?,
        };
        (kept.print() == line).then_some(kept)
    }
}

/// Takes the line off what is in a lock file.
pub(super) fn split(text: &str) -> (&str, Option<Kept>) {
    let line = text.rfind(NAME).and_then(|at| text.split_at_checked(at));
    match line.and_then(|(record, line)| Some((record, Kept::parse(line)?))) {
        Some((record, kept)) => (record, Some(kept)),
        None => (text, None),
    }
}

impl Lock {
    /// Who was left behind for the next run, unless the record was written since.
    pub(crate) fn kept(&self) -> Option<Kept> {
        let mut bytes = [0; 4096];
        let length = self.file().ok()?.read_at(&mut bytes, 0).ok()?;
        split(std::str::from_utf8(&bytes[..length]).ok()?).1
    }

    /// Notes who is left behind, behind a record that was just written.
    pub(crate) fn note(&self, kept: Kept) -> io::Result<()> {
        let file = self.file()?;
        file.write_all_at(kept.print().as_bytes(), file.metadata()?.len())
    }

    fn file(&self) -> io::Result<File> {
        Ok(self.fd().try_clone_to_owned()?.into())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Absent, Busy, Owner, Record};
    use super::*;
    use crate::quantity::BoxId;

    #[test]
    fn who_is_left_behind_is_known_until_the_record_is_written_anew() {
        let dir = tempfile::tempdir().unwrap();
        let lock = Lock::acquire(dir.path(), BoxId(7), Absent::Create, Busy::Refuse);
        let lock = lock.unwrap().unwrap();
        let owner = Owner { uid: 1, gid: 2 };
        let record = Record {
            owner,
            ids: owner,
            cg: true,
            ready: true,
            running: false,
        };
        lock.write(&record, None).unwrap();
        assert_eq!(lock.kept(), None);
        for start in [0, u64::MAX] {
            let kept = Kept { pid: 17, start };
            lock.write(&record, None).unwrap();
            lock.note(kept).unwrap();
            assert_eq!(lock.kept(), Some(kept));
            assert_eq!(lock.record(), Ok(Some(record)));
        }
        lock.write(&record, None).unwrap();
        assert_eq!(lock.kept(), None);
        assert_eq!(lock.record(), Ok(Some(record)));
    }

    #[test]
    fn a_line_in_another_form_is_none() {
        let line = Kept { pid: 1, start: 2 }.print();
        assert_eq!(split(&line), ("", Kept::parse(&line)));
        for bad in [
            line.trim_end(),
            "holder 1 2\n",
            "holder 0000000000 00000000000000000002\n",
            "holder é\n",
            &line.repeat(2)[1..],
        ] {
            assert!(Kept::parse(bad).is_none(), "{bad}");
        }
    }
}
