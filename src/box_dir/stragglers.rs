//! Processes of an earlier run that are still dying.
//!
//! The kernel closes the files of a killed init, and with them the lock of the box, before it kills the rest
//! of the PID namespace (do_exit: exit_files comes before exit_notify): the box is free a moment too early.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::BoxDirError;

/// A process with much memory takes its time to die.
const PATIENCE: Duration = Duration::from_secs(10);

/// Waits until no process of the box user is left: the next run would share uid, limits and files with them.
pub(crate) fn wait_for_stragglers(uid: u32) -> Result<(), BoxDirError> {
    let end = Instant::now() + PATIENCE;
    loop {
        let left = processes_of(uid);
        if left.is_empty() {
            return Ok(());
        }
        if Instant::now() > end {
            return Err(BoxDirError::Stragglers { uid, left });
        }
        sleep(Duration::from_millis(5));
    }
}

/// The processes with this real uid, from `/proc/PID/status`.
fn processes_of(uid: u32) -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let real_uid = format!("Uid:\t{uid}\t");
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| {
            fs::read_to_string(format!("/proc/{pid}/status"))
                .is_ok_and(|status| status.lines().any(|line| line.starts_with(&real_uid)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processes_of_a_user_are_found() {
        let own = nix::unistd::getuid().as_raw();
        let pid = i32::try_from(std::process::id()).unwrap();
        assert!(processes_of(own).contains(&pid));
        wait_for_stragglers(4_000_000_000).unwrap();
    }
}
