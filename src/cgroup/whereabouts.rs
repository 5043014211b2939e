//! The cgroup of a process that systemd is about to move into a scope.
//!
//! The kernel does not move a process that is ending. systemd would keep a scope that never held a
//! process for ever, since it learns that a scope is over when its last process ends. So such a
//! process ends only after it was moved.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The control group of the calling process, and the one that it was made in.
pub(crate) struct Whereabouts {
    /// `/proc/self/cgroup`, which can be read after the root file system is another one.
    file: File,
    before: Vec<u8>,
}

impl Whereabouts {
    /// Notes the cgroup of the keeper, which has this number here and stays where it is. The
    /// calling process itself may have been moved already.
    pub(crate) fn beside(keeper_pid: u32) -> io::Result<Self> {
        let file = File::open("/proc/self/cgroup")?;
        let of_keeper = File::open(format!("/proc/{keeper_pid}/cgroup"));
        // A keeper that is gone has no cgroup to read.
        let before = of_keeper.and_then(|keeper| Self::read(&keeper));
        let before = before.or_else(|_| Self::read(&file))?;
        Ok(Self { file, before })
    }

    fn read(file: &File) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; 4096];
        let length = file.read_at(&mut bytes, 0)?;
        bytes.truncate(length);
        Ok(bytes)
    }

    /// Returns when the cgroup has changed, can no longer be read, or after `patience`: systemd may
    /// hang.
    pub(crate) fn wait_for_another(&self, patience: Duration) {
        let begin = Instant::now();
        while begin.elapsed() < patience {
            match Self::read(&self.file) {
                Ok(now) if now == self.before => sleep(Duration::from_millis(2)),
                _ => return,
            }
        }
    }
}
