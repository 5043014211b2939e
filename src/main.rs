//! isolate-run, the program; its story begins in `lib.rs`.

use std::process::ExitCode;

fn main() -> ExitCode {
    isolate_run::main()
}
