//! The memory of the machine.

use std::io;

use super::check;

/// How much memory this machine has, in bytes (sysinfo(2)).
pub(crate) fn total() -> io::Result<u64> {
    // SAFETY: sysinfo is plain integers, for which all zeroes is a value.
    let mut info: libc::sysinfo = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes a sysinfo, which outlives the call.
    check(unsafe { libc::sysinfo(&raw mut info) }.into())?;
    #[allow(clippy::useless_conversion)] // Unsigned long has another width elsewhere.
    Ok(u64::from(info.totalram) * u64::from(info.mem_unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_has_as_much_memory_as_proc_says() {
        let text = std::fs::read_to_string("/proc/meminfo").unwrap();
        let kib = text.lines().next().unwrap().split_whitespace().nth(1);
        let kib: u64 = kib.unwrap().parse().unwrap();
        assert_eq!(total().unwrap() / 1024, kib);
    }
}
