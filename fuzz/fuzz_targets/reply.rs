//! See `src/broker/fuzzing.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| isolate_run::fuzzing::reply(bytes));
