//! The system call filter of a program: init installs it, and everything in the sandbox inherits it.

mod rules;

use std::borrow::Cow;
use std::io;

use libc::sock_filter;

use crate::syscall_set::SyscallSet;

/// The filter of nearly all runs, compiled with this program, since that takes libseccomp as long as a clone takes the
/// kernel. Empty where this program was built on another kind of machine.
const USUAL: &[sock_filter] = &include!(concat!(env!("OUT_DIR"), "/usual_filter.rs"));

/// The filter for a set of restrictions.
pub(super) fn of(restrictions: SyscallSet) -> io::Result<Cow<'static, [sock_filter]>> {
    if restrictions == SyscallSet::default() && !USUAL.is_empty() {
        return Ok(USUAL.into());
    }
    Ok(rules::compile(restrictions)?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_restriction_compiles_alone_and_together() {
        for flags in 0..=31 {
            let filter = rules::compile(SyscallSet::from_flags(flags).unwrap()).unwrap();
            assert!(filter.len() > 3, "{flags}: {filter:?}");
        }
    }

    #[test]
    fn the_usual_filter_is_what_would_be_compiled_now() {
        let parts = |filter: &[sock_filter]| -> Vec<_> {
            let parts = filter.iter().map(|i| (i.code, i.jt, i.jf, i.k));
            parts.collect()
        };
        let usual = of(SyscallSet::default()).unwrap();
        assert!(matches!(usual, Cow::Borrowed(_)));
        let compiled = rules::compile(SyscallSet::default()).unwrap();
        assert_eq!(parts(&usual), parts(&compiled));
        let other = of(SyscallSet::EMPTY).unwrap();
        assert_ne!(parts(&other), parts(&usual));
    }
}
