//! Processes that have the ids of a box while nothing of the box runs.
//!
//! The kernel closes the files of a killed init, and with them the lock of the box, before it kills
//! the rest of the PID namespace (do_exit: exit_files comes before exit_notify): the box is free a
//! moment too early.
//!
//! Other processes got the ids in some way of their own, such as a set-user-ID file that a program
//! once made: they could read, change and kill what runs in the box. Only processes of our PID
//! namespace and those below it are seen.

use std::fs::{self, File};
use std::io::Read;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::place::errno;
use super::{BoxDirError, Owner};
use crate::sys::process::has_processes;

/// Which processes may have the ids of a box.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    /// Those that a killed keeper left: a process with much memory takes its time to die.
    Dying,
    /// None: a process that has them came by them in another way, and is there to stay.
    Nobody,
}

impl Expected {
    fn patience(self) -> Duration {
        match self {
            Self::Dying => Duration::from_secs(10),
            Self::Nobody => Duration::from_millis(100),
        }
    }
}

/// The look before each run, which costs next to nothing. It sees all that a program can have left:
/// without privileges and set-user-ID files, the real uid of a process is that of the program that
/// it descends from. A process with another id of the box comes from a file that was made in
/// another way; whoever has one can start it during the run as well as before. Such files are
/// looked for when ids are leased, in all that runs ([`processes_with`]).
pub(crate) fn check_unused(ids: Owner) -> Result<(), BoxDirError> {
    let failed = |error: std::io::Error| {
        let step = "look for the processes of the box user in";
        BoxDirError::at(step, "/proc".as_ref())(errno(&error))
    };
    match has_processes(ids.uid).map_err(failed)? {
        true => wait_for_stragglers(ids, Expected::Nobody),
        false => Ok(()),
    }
}

/// Waits until no process has the ids of a box: the next run would share limits and files with it.
pub(crate) fn wait_for_stragglers(ids: Owner, expected: Expected) -> Result<(), BoxDirError> {
    let end = Instant::now() + expected.patience();
    loop {
        let left = processes_with(ids)?;
        if left.is_empty() {
            return Ok(());
        }
        if Instant::now() > end {
            return Err(BoxDirError::Stragglers { ids, left });
        }
        sleep(Duration::from_millis(5));
    }
}

/// The processes that have the user or the group in any way, from `/proc/PID/status`.
pub(super) fn processes_with(ids: Owner) -> Result<Vec<i32>, BoxDirError> {
    let failed = |error: std::io::Error| BoxDirError::at("list", "/proc".as_ref())(errno(&error));
    let mut found = Vec::new();
    let mut status = String::new();
    for entry in fs::read_dir("/proc").map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        // A process that ended meanwhile has no ids.
        status.clear();
        let read = File::open(format!("/proc/{pid}/status"))
            .and_then(|mut file| file.read_to_string(&mut status));
        if read.is_ok() && has(&status, ids) {
            found.push(pid);
        }
    }
    Ok(found)
}

/// Whether a status names the user or the group: as real, effective, saved or file system id, or
/// among the supplementary groups (proc_pid_status(5)).
fn has(status: &str, ids: Owner) -> bool {
    status.lines().any(|line| {
        let (numbers, id) = match line.split_once(':') {
            Some(("Uid", numbers)) => (numbers, ids.uid),
            Some(("Gid" | "Groups", numbers)) => (numbers, ids.gid),
            _ => return false,
        };
        let mut numbers = numbers.split_ascii_whitespace();
        numbers.any(|number| number.parse() == Ok(id))
    })
}

#[cfg(test)]
mod tests {
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
        let error = check_unused(me()).unwrap_err();
        assert!(error.to_string().contains(&pid.to_string()), "{error}");
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
            assert_eq!(has(&status, ids), expected, "{status}");
        }
    }
}
