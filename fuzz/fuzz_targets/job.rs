//! See `fuzzing` in `src/lib.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| isolate_run::fuzzing::job(bytes));
