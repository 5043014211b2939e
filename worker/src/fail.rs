//! Points where a test has the process die, as if it were killed there, jobs that end it, a clock
//! that is wrong, and a version that is another. A release has none of this.

use isolate_run_client::FORMAT;

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

/// Ends this process if `ISOLATE_WORKER_KILLER` is what the job's id begins with, as a fault of
/// ours would: it is killed, as by the panic of a release, or with `panic:` before it by one that
/// ends the task alone.
#[cfg(debug_assertions)]
pub(crate) fn job(id: &str) {
    let Ok(wanted) = std::env::var("ISOLATE_WORKER_KILLER") else {
        return;
    };
    match wanted.strip_prefix("panic:") {
        Some(wanted) => assert!(!id.starts_with(wanted), "{wanted}: as a test wants it"),
        None if id.starts_with(&wanted) => {
            nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL).ok();
        }
        None => {}
    }
}

/// Nothing.
#[cfg(not(debug_assertions))]
#[inline]
pub(crate) fn job(_id: &str) {}

/// The newest form of jobs that is known here: `ISOLATE_WORKER_FORMAT`.
#[cfg(debug_assertions)]
pub(crate) fn known_format() -> u32 {
    let wanted = std::env::var("ISOLATE_WORKER_FORMAT");
    wanted
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(FORMAT)
}

/// That of the types.
#[cfg(not(debug_assertions))]
#[inline]
pub(crate) fn known_format() -> u32 {
    FORMAT
}

/// The worker's version: `ISOLATE_WORKER_VERSION`.
#[cfg(debug_assertions)]
pub(crate) fn version() -> String {
    let wanted = std::env::var("ISOLATE_WORKER_VERSION");
    wanted.unwrap_or_else(|_| env!("CARGO_PKG_VERSION").into())
}

/// That of the package.
#[cfg(not(debug_assertions))]
#[inline]
pub(crate) fn version() -> String {
    env!("CARGO_PKG_VERSION").into()
}

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
