//! The folder that goes wherever the suite runs: the program and its package, the test binaries, the C programs, and the
//! files of the repository that tests read.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::build::Built;

/// The test binaries that the suite runs; the others run as they are.
pub(crate) const SUITES: [&str; 2] = ["root", "system"];

/// What makes system calls of 32-bit programs. On x86 that is a program of 64 bits, on ARM one of 32.
const FOREIGN: &str = "foreign_call";

/// What makes programs for the machine that the suite runs on.
#[derive(Debug)]
pub(crate) struct Tools {
    /// What the names of its tools begin with: nothing, or `aarch64-linux-gnu-`.
    pub(crate) prefix: &'static str,
    /// The compiler of what makes system calls of 32-bit programs.
    pub(crate) foreign: &'static str,
    /// Keeps the C programs that have not changed.
    pub(crate) cache: PathBuf,
}

impl Tools {
    fn strip(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut command = Command::new(format!("{}strip", self.prefix));
        must(command.args(["--strip-debug", "-o"]).arg(to).arg(from)).map(drop)
    }

    fn compiler(&self, program: &Path) -> Command {
        let is_foreign = program.file_name().is_some_and(|name| name == FOREIGN);
        match self.foreign {
            foreign if is_foreign => Command::new(foreign),
            _ => Command::new(format!("{}gcc", self.prefix)),
        }
    }
}

/// Makes the payload in `folder`, with `program` in it.
///
/// # Errors
///
/// A tool is missing or fails; the error names the file it was about.
pub(crate) fn pack(
    top: &Path,
    folder: &Path,
    tools: &Tools,
    program: &Path,
    built: &Built,
    package: bool,
) -> io::Result<()> {
    for name in ["tests", "programs", "source"] {
        fs::create_dir_all(folder.join(name))?;
    }
    for name in ["guest/suite", "guest/snapshot", "lib.sh"] {
        let path = top.join("tests").join(name);
        fs::copy(&path, folder.join(path.file_name().unwrap_or_default()))?;
    }
    tools.strip(program, &folder.join("isolate-run"))?;
    if let Some(weakened) = &built.weakened {
        tools.strip(weakened, &folder.join("isolate-run-weakened"))?;
    }
    if let Some(worker) = built.worker.as_ref().filter(|_| package) {
        tools.strip(worker, &folder.join("isolate-run-worker"))?;
        let server = must(&mut Command::new(top.join("tests/guest/nats")))?;
        fs::copy(server.trim_end(), folder.join("nats-server"))?;
    }
    for name in SUITES {
        if let Some(binary) = built.test(name) {
            tools.strip(binary, &folder.join("tests").join(name))?;
        }
    }
    compile_programs(&top.join("tests/programs"), tools, &folder.join("programs"))?;
    // Users who are not root read there, whoever may read the clone.
    let script = "tar -C \"$1\" --mode=a+rX --exclude=./target --exclude=./fuzz --exclude=./.git -cf - . | tar -C \"$2\" -xf -";
    let mut copy = Command::new("bash");
    copy.args(["-o", "pipefail", "-c", script, "bash"]);
    must(copy.arg(top).arg(folder.join("source")))?;
    if package {
        make_package(top, folder)
    } else {
        Ok(())
    }
}

fn make_package(top: &Path, folder: &Path) -> io::Result<()> {
    let mut command = Command::new(top.join("package"));
    command.arg("--fast");
    command.env("ISOLATE_RUN_BIN", folder.join("isolate-run"));
    let made = must(&mut command)?;
    fs::copy(made.trim_end(), folder.join("isolate-run.deb")).map(drop)
}

/// The package of rpm beside the other one.
///
/// # Errors
///
/// As [`pack`].
pub(crate) fn add_rpm(top: &Path, folder: &Path) -> io::Result<()> {
    let mut command = Command::new(top.join("package"));
    command.args(["rpm", "--define", "_binary_payload w1.gzdio"]);
    command.env("ISOLATE_RUN_BIN", folder.join("isolate-run"));
    let made = must(&mut command)?;
    fs::copy(made.trim_end(), folder.join("isolate-run.rpm")).map(drop)
}

/// The package of a fleet's worker beside the other one, made of the program that is there already.
///
/// # Errors
///
/// As [`pack`].
pub(crate) fn add_worker(top: &Path, folder: &Path) -> io::Result<()> {
    let mut command = Command::new(top.join("package"));
    command.args(["worker", "--fast"]);
    command.env("ISOLATE_RUN_WORKER_BIN", folder.join("isolate-run-worker"));
    let made = must(&mut command)?;
    fs::copy(made.trim_end(), folder.join("isolate-run-worker.deb")).map(drop)
}

/// Compiles what has changed, all of it at the same time.
fn compile_programs(sources: &Path, tools: &Tools, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(&tools.cache)?;
    let mut compilers = Vec::new();
    let mut programs = Vec::new();
    let age = |path: &Path| fs::metadata(path).and_then(|found| found.modified());
    let found = fs::read_dir(sources)?.map(|entry| Ok(entry?.path()));
    let found: Vec<PathBuf> = found.collect::<io::Result<_>>()?;
    let is = |path: &PathBuf, extension| path.extension().is_some_and(|is| is == extension);
    let headers: Vec<_> = found.iter().filter(|path| is(path, "h")).collect();
    for source in found.iter().filter(|path| is(path, "c")) {
        let program = tools.cache.join(source.file_stem().unwrap_or_default());
        let mut parts = headers.iter().copied().chain([source]);
        let is_newer = |made| parts.all(|part| age(part).is_ok_and(|written| made > written));
        if !age(&program).is_ok_and(is_newer) {
            let unfinished = program.with_extension("new");
            let mut gcc = tools.compiler(&program);
            gcc.args(["-O2", "-static", "-pthread", "-o"]);
            gcc.arg(&unfinished).arg(source);
            compilers.push((gcc.spawn()?, unfinished, program.clone()));
        }
        programs.push(program);
    }
    for (mut compiler, unfinished, program) in compilers {
        if !compiler.wait()?.success() {
            let name = program.display();
            return Err(io::Error::other(format!("gcc cannot compile {name}")));
        }
        fs::rename(unfinished, program)?;
    }
    for program in programs {
        fs::copy(
            &program,
            folder.join(program.file_name().unwrap_or_default()),
        )?;
    }
    Ok(())
}

/// Runs a command that has to succeed, and returns what it prints.
///
/// # Errors
///
/// The command and what it said on stderr.
pub(crate) fn must(command: &mut Command) -> io::Result<String> {
    let output = command.stdin(Stdio::null()).output();
    let program = command.get_program().to_string_lossy();
    let output =
        output.map_err(|error| io::Error::new(error.kind(), format!("{program}: {error}")))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(io::Error::other(format!(
            "{program}: {}: {said}",
            output.status
        )));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
