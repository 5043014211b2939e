//! The program from which a test takes barriers away, one by one: see `src/barrier.rs`.

fn main() -> std::process::ExitCode {
    isolate_run::main()
}
