//! isolate-run, the program; its story begins in `lib.rs`.
//!
//! The C library calls it, without Rust's runtime: that reads `/proc/self/maps` and makes a second
//! stack, to tell of a stack that overflows, which takes a fiftieth of a whole run.

#![no_main]

#[cfg(not(target_env = "gnu"))]
compile_error!(
    "another C library than glibc does not give Rust the words of the command line before main"
);

#[allow(
    unsafe_code,
    reason = "the name is the C library's, and nothing else has it"
)]
#[unsafe(no_mangle)]
extern "C" fn main() -> std::ffi::c_int {
    isolate_run::start()
}
