//! Lock files and the statuses of processes, for the fuzz targets in `fuzz/`. A panic is a finding.

use super::{Record, kept, stragglers};

/// Reads what is in the lock file of a box, which is what was written or nothing.
pub fn record(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let (text, _) = kept::split(text);
    if let Some(record) = Record::parse(text) {
        assert_eq!(record.print(), text);
    }
}

/// Looks for ids in the status of a process.
pub(crate) fn status(bytes: &[u8]) {
    stragglers::read_any(bytes);
}
