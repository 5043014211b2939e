//! adjtimex(2): what the kernel knows of its clock.

use std::io;

use super::check;

/// Whether somebody keeps the clock of this machine right.
pub(crate) fn is_synchronized() -> io::Result<bool> {
    // SAFETY: timex is plain integers, for which all zeroes is a value: a question that changes
    // nothing.
    let mut clock: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes a timex, which outlives the call.
    check(unsafe { libc::adjtimex(&raw mut clock) }.into())?;
    Ok(clock.status & libc::STA_UNSYNC == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_anybody() {
        assert!(is_synchronized().is_ok());
    }
}
