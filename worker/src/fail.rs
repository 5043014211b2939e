//! Points where a test has the process die, as if it were killed there. A release has
//! none.

/// Dies here if `ISOLATE_WORKER_FAIL` names this point, alone (`spooled`) or with one in how many
/// passages it is to die (`spooled:20`).
#[cfg(debug_assertions)]
pub(crate) fn point(name: &str) {
    use std::sync::atomic::{AtomicU64, Ordering};
    static PASSAGES: AtomicU64 = AtomicU64::new(0);
    let Ok(wanted) = std::env::var("ISOLATE_WORKER_FAIL") else {
        return;
    };
    let (point, every) = wanted.split_once(':').unwrap_or((&wanted, "1"));
    if point != name {
        return;
    }
    let passage = PASSAGES.fetch_add(1, Ordering::Relaxed) + 1;
    if every
        .parse()
        .is_ok_and(|every: u64| every > 0 && passage % every == 0)
    {
        // Nothing may be tidied up.
        nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL).ok();
    }
}

/// Nothing.
#[cfg(not(debug_assertions))]
#[inline]
pub(crate) fn point(_name: &str) {}
