//! Points where a test has the process die, as if it were killed there, and a clock that is wrong.
//! A release has none of this.

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

/// By how many milliseconds this machine's clock is wrong: `ISOLATE_WORKER_CLOCK`.
#[cfg(debug_assertions)]
pub(crate) fn clock() -> i64 {
    use std::sync::OnceLock;
    static WRONG: OnceLock<i64> = OnceLock::new();
    *WRONG.get_or_init(|| {
        let wanted = std::env::var("ISOLATE_WORKER_CLOCK");
        wanted.ok().and_then(|text| text.parse().ok()).unwrap_or(0)
    })
}

/// By nothing.
#[cfg(not(debug_assertions))]
#[inline]
pub(crate) fn clock() -> i64 {
    0
}
