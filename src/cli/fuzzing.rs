//! Command lines of anybody, for the fuzz target in `fuzz/`. A panic is a finding.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::{CliError, parse};

/// Reads a command line, whose words end with a zero byte.
pub fn command_line(bytes: &[u8]) {
    let words = || bytes.split(|byte| *byte == 0);
    let read = || parse(words().map(|word| OsStr::from_bytes(word).to_owned()));
    let first = read();
    assert_eq!(read(), first);
    if let Err(CliError::Usage(message)) = first {
        // What is wrong, and where help is, perhaps with an example; no terminal obeys any of it.
        assert!(message.lines().count() >= 2, "{message:?}");
        let is_harmless = |c: char| c == '\n' || !c.is_control();
        assert!(message.chars().all(is_harmless), "{message:?}");
    }
}
