//! Processes that have the ids of a box while nothing of the box runs.
//!
//! The kernel closes the files of a killed init, and with them the lock of the box, before it kills
//! the rest of the PID namespace (do_exit: exit_files comes before exit_notify): the box is free a
//! moment too early.
//!
//! Other processes got the ids in some way of their own, such as a set-user-ID file that a program
//! once made: they could read, change and kill what runs in the box. Only processes of our PID
//! namespace and those below it are seen.

use std::collections::HashSet;
use std::fmt::Write;
use std::fs::{self, File};
use std::io::{self, Read};
use std::num::ParseIntError;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;

use super::place::errno;
use super::{BoxDirError, Owner};
use crate::barrier::Barrier;
use crate::sys::process::has_processes;

/// Which processes may have the ids of a box.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    /// Processes that a killed keeper left: a process with much memory takes its time to die.
    Dying,
    /// None any more: a caller with a choice takes another box rather than wait.
    Gone,
    /// None: a process that has them came by them in another way, and is there to stay.
    Nobody,
}

impl Expected {
    fn patience(self) -> Duration {
        match self {
            Self::Dying => Duration::from_secs(10),
            Self::Gone => Duration::ZERO,
            Self::Nobody => Duration::from_millis(100),
        }
    }
}

/// The look before each run, which costs next to nothing. It sees all that a program can have left:
/// without privileges and set-user-ID files, the real uid of a process is that of the program that
/// it descends from. A process with another id of the box comes from a file that was made in
/// another way; whoever has one can start it during the run as well as before. Such files are
/// looked for when ids are leased, in all that runs ([`InUse`]).
pub(crate) fn check_unused(ids: Owner) -> Result<(), BoxDirError> {
    match has_program(ids)? && Barrier::NoStrangers.stands() {
        true => wait_for_stragglers(ids, Expected::Nobody),
        false => Ok(()),
    }
}

/// Whether a process has this user as its real one, which costs next to nothing to find out.
pub(super) fn has_program(ids: Owner) -> Result<bool, BoxDirError> {
    has_processes(ids.uid).map_err(|error| {
        let step = "look for the processes of the box user in";
        BoxDirError::at(step, "/proc".as_ref())(errno(&error))
    })
}

/// Waits until no process has the ids of a box: the next run would share limits and files with it.
pub(crate) fn wait_for_stragglers(ids: Owner, expected: Expected) -> Result<(), BoxDirError> {
    let end = Instant::now() + expected.patience();
    loop {
        let left = processes_with(ids)?;
        if left.is_empty() {
            return Ok(());
        }
        if Instant::now() >= end {
            return Err(BoxDirError::Stragglers { ids, left });
        }
        sleep(Duration::from_millis(5));
    }
}

/// The ids that processes have, as one look at all of them saw it.
#[derive(Debug, Default)]
pub(super) struct InUse {
    uids: HashSet<u32>,
    gids: HashSet<u32>,
}

impl InUse {
    /// Looks at all processes.
    pub(super) fn look() -> Result<Self, BoxDirError> {
        let mut seen = Self::default();
        look(|_, id| {
            match id {
                Id::User(uid) => seen.uids.insert(uid),
                Id::Group(gid) => seen.gids.insert(gid),
            };
        })?;
        Ok(seen)
    }

    /// What a look that was noted saw, which fails if one of the ids cannot be one.
    pub(super) fn of(
        uids: Result<HashSet<u32>, ParseIntError>,
        gids: Result<HashSet<u32>, ParseIntError>,
    ) -> Result<Self, ParseIntError> {
        Ok(Self {
            uids: uids?,
            gids: gids?,
        })
    }

    /// The ids of users and those of groups, to be noted.
    pub(super) fn all(&self) -> [impl Iterator<Item = u32>; 2] {
        [&self.uids, &self.gids].map(|ids| ids.iter().copied())
    }

    /// Whether a process had the user or the group in any way.
    pub(super) fn has(&self, ids: Owner) -> bool {
        let has = self.uids.contains(&ids.uid) || self.gids.contains(&ids.gid);
        has && Barrier::IdsAtRest.stands()
    }
}

/// An id that a process has in any way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Id {
    User(u32),
    Group(u32),
}

/// The processes that have the user or the group in any way.
fn processes_with(ids: Owner) -> Result<Vec<i32>, BoxDirError> {
    let mut found = Vec::new();
    look(|pid, id| {
        let counts = id == Id::User(ids.uid) || id == Id::Group(ids.gid);
        if counts && found.last() != Some(&pid) {
            found.push(pid);
        }
    })?;
    Ok(found)
}

/// Calls `see` for each id of each process, from `/proc/PID/status`.
fn look(mut see: impl FnMut(i32, Id)) -> Result<(), BoxDirError> {
    let failed =
        |step| move |error: io::Error| BoxDirError::at(step, "/proc".as_ref())(errno(&error));
    let proc = File::open("/proc").map_err(failed("open"))?;
    let mut reader = Reader::new(&proc);
    let mut is_empty = true;
    for entry in fs::read_dir("/proc").map_err(failed("list"))? {
        let name = entry.map_err(failed("list"))?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        is_empty = false;
        match reader.read(pid) {
            Ok(status) => ids_in(status).for_each(|id| see(pid, id)),
            Err(error) if is_out_of_sight(&error) => {}
            Err(error) => return Err(failed("read the status of a process in")(error)),
        }
    }
    // Who sees nobody does not know that there is nobody: this process at least is there.
    match is_empty {
        true => Err(BoxDirError::Unfit {
            path: "/proc".into(),
            reason: "shows no process: mount -t proc proc /proc",
        }),
        false => Ok(()),
    }
}

/// A process that ended meanwhile has no ids; one that is hidden from us is never seen.
fn is_out_of_sight(error: &io::Error) -> bool {
    let codes = [libc::ENOENT, libc::ESRCH, libc::EACCES, libc::EPERM];
    error
        .raw_os_error()
        .is_some_and(|code| codes.contains(&code))
}

/// Reads one status after the other, as bytes: the name in there need not be text.
struct Reader<'a> {
    proc: &'a File,
    path: String,
    page: [u8; 4096],
    /// A status that is longer, which that of a process with hundreds of groups is.
    long: Vec<u8>,
}

impl<'a> Reader<'a> {
    fn new(proc: &'a File) -> Self {
        Self {
            proc,
            path: String::new(),
            page: [0; 4096],
            long: Vec::new(),
        }
    }

    /// What the status says at least up to the groups, nearly always by a single read(2).
    fn read(&mut self, pid: i32) -> io::Result<&[u8]> {
        self.path.clear();
        write!(self.path, "{pid}/status").map_err(io::Error::other)?;
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let mut file = File::from(openat(self.proc, self.path.as_str(), flags, Mode::empty())?);
        let length = file.read(&mut self.page)?;
        let page = &self.page[..length];
        if let Some(end) = end_of_groups(page) {
            return Ok(&page[..end]);
        }
        self.long.clear();
        self.long.extend_from_slice(page);
        file.read_to_end(&mut self.long)?;
        Ok(&self.long)
    }
}

const GROUPS: &[u8] = b"Groups";

/// Where the line of the groups ends, the last one that counts. None when it is not there as a
/// whole.
fn end_of_groups(status: &[u8]) -> Option<usize> {
    let mut end = 0;
    for line in status.split_inclusive(|byte| *byte == b'\n') {
        end += line.len();
        if line.starts_with(GROUPS) {
            return line.ends_with(b"\n").then_some(end);
        }
    }
    None
}

/// The ids that a status names: real, effective, saved and file system id, and the supplementary
/// groups (proc_pid_status(5)).
fn ids_in(status: &[u8]) -> impl Iterator<Item = Id> {
    let lines = status.split(|byte| *byte == b'\n');
    lines.flat_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':');
        let (key, numbers) = line.split_at(colon.unwrap_or(0));
        let kind: Option<fn(u32) -> Id> = match key {
            b"Uid" => Some(Id::User),
            b"Gid" | GROUPS => Some(Id::Group),
            _ => None,
        };
        let numbers = if kind.is_some() { numbers } else { &[] };
        let words = numbers.split(|byte| matches!(byte, b':' | b'\t' | b' '));
        let numbers = words.filter_map(|word| std::str::from_utf8(word).ok()?.parse().ok());
        numbers.filter_map(move |number: u32| Some(kind?(number)))
    })
}

/// What a status of any content goes through.
#[cfg(fuzzing)]
pub(super) fn read_any(status: &[u8]) {
    ids_in(status).for_each(drop);
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;
    use std::os::unix::process::CommandExt;
    use std::process::Command;

    use super::super::tests::me;
    use super::*;

    #[test]
    fn the_processes_of_a_user_are_found() {
        let pid = i32::try_from(std::process::id()).unwrap();
        assert!(processes_with(me()).unwrap().contains(&pid));
        let nobody = Owner {
            uid: 4_000_000_000,
            gid: 4_000_000_000,
        };
        wait_for_stragglers(nobody, Expected::Dying).unwrap();
        check_unused(nobody).unwrap();
        let seen = InUse::look().unwrap();
        assert!(seen.has(me()) && !seen.has(nobody));
        let error = check_unused(me()).unwrap_err();
        assert!(error.to_string().contains(&pid.to_string()), "{error}");
    }

    #[test]
    fn a_process_whose_name_is_no_text_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(OsStr::from_bytes(b"\xff\nUid:\t1"));
        symlink("/bin/sleep", &path).unwrap();
        let mut command = Command::new(&path);
        let mut child = command.arg0("sleep").arg("1000").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let found = processes_with(me()).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(found.contains(&pid), "{pid} {found:?}");
    }

    #[test]
    fn a_status_counts_when_the_line_of_its_groups_is_whole() {
        for (status, expected) in [
            ("Name:\tGroups\nUid:\t1\n", None),
            ("Uid:\t1\nGroups:\t1 2", None),
            ("Uid:\t1\nGroups:\t1 2 \n", Some(20)),
            ("Uid:\t1\nGroups:\t \nNStgid:\t7", Some(17)),
        ] {
            assert_eq!(end_of_groups(status.as_bytes()), expected, "{status}");
        }
    }

    #[test]
    fn any_of_the_ids_counts() {
        let ids = Owner { uid: 7, gid: 8 };
        for (uids, gids, groups, expected) in [
            ("1\t1\t1\t1", "1\t1\t1\t1", "1 77 78", false),
            ("8\t8\t8\t8", "7\t7\t7\t7", "7", false),
            ("7\t1\t1\t1", "1\t1\t1\t1", "", true),
            ("1\t7\t1\t1", "1\t1\t1\t1", "", true),
            ("1\t1\t7\t1", "1\t1\t1\t1", "", true),
            ("1\t1\t1\t7", "1\t1\t1\t1", "", true),
            ("1\t1\t1\t1", "1\t1\t8\t1", "", true),
            ("1\t1\t1\t1", "1\t1\t1\t1", "1 8 ", true),
        ] {
            let status = format!(
                "Name:\tUid: 7\nPid:\t7\nUid:\t{uids}\nGid:\t{gids}\nFDSize:\t8\nGroups:\t{groups}\n"
            );
            let mut found = ids_in(status.as_bytes());
            let counts = |id| id == Id::User(ids.uid) || id == Id::Group(ids.gid);
            assert_eq!(found.any(counts), expected, "{status}");
        }
    }
}
