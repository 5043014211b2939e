//! Redirections of `exec` to files that nobody could ever see: its box is made for one run, and
//! goes with it. Pure.

use std::path::{Component, Path, PathBuf};

use super::Refusal;
use crate::dir_rule::{DirRule, FileSystem, Source};
use crate::request::{ProgramRequest, StderrRequest};

/// Refuses a redirection to a file that goes with the box, or from one that cannot be there.
pub(crate) fn check_of_exec(request: &ProgramRequest, rules: &[DirRule]) -> Result<(), Refusal> {
    let error = match &request.stderr {
        StderrRequest::File(path) => Some(path.as_path()),
        StderrRequest::Inherit | StderrRequest::ToStdout => None,
    };
    for (option, path, sign) in [
        ("stdin", request.stdin.as_deref(), "<"),
        ("stdout", request.stdout.as_deref(), ">"),
        ("stderr", error, "2>"),
    ] {
        let Some(path) = path.filter(|path| goes_with_the_box(path, rules)) else {
            continue;
        };
        let why = match option {
            "stdin" => "which is empty when the program begins",
            _ => "which goes with it when the program has ended",
        };
        let file = Path::new(path.file_name().unwrap_or(path.as_os_str())).display();
        let shown = path.display();
        let copy = match option {
            "stdin" => "--in",
            _ => "--out",
        };
        return Err(Refusal(format!(
            "exec: --{option}={shown} is a file in the box, {why}: let the shell open yours ({sign} {shown}), have it \
             copied as well ({copy}={file}), or show your directory (--dir=here=\"$PWD\":rw --{option}=/here/{file})"
        )));
    }
    Ok(())
}

/// Whether a path, as the program's process opens it, lies in a directory that is made for the run.
fn goes_with_the_box(path: &Path, rules: &[DirRule]) -> bool {
    let mut inside = PathBuf::new();
    for part in Path::new("/box").join(path).components() {
        match part {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(name) => inside.push(name),
            // Where that leads is known only to those who follow links.
            Component::ParentDir | Component::Prefix(_) => return false,
        }
    }
    let above = rules.iter().filter(|rule| inside.starts_with(&rule.inside));
    let nearest = above.max_by_key(|rule| rule.inside.components().count());
    match nearest.map(|rule| &rule.source) {
        Some(Source::BoxDir(_) | Source::Temporary) => true,
        Some(Source::FileSystem(kind)) => matches!(kind, FileSystem::Tmpfs(_)),
        Some(Source::Host(_)) | None => false,
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::super::run::tests::{nowhere, plan};
    use super::*;

    fn check(line: &[&str]) -> Result<(), Refusal> {
        let argv = std::iter::once("isolate-run").chain(line.iter().copied());
        let call = crate::cli::parse(argv.map(OsString::from)).unwrap();
        let call = call.into_box_call();
        let (_, request) = call.command.program().unwrap();
        check_of_exec(request, &plan(line, nowhere()).unwrap().directories)
    }

    #[test]
    fn a_file_that_would_go_with_the_box_is_refused_with_what_to_do() {
        for (options, sign) in [
            (&["-o", "out.txt"][..], "(> out.txt)"),
            (&["-o", "/box/out"], "(> /box/out)"),
            (
                &["-o", "/tmp/out"],
                "--dir=here=\"$PWD\":rw --stdout=/here/out)",
            ),
            (&["-o", "/dev/shm/out"], "which goes with it"),
            (&["-r", "./err"], "(2> ./err)"),
            (
                &["-i", "in.txt"],
                "which is empty when the program begins: let the shell open yours (< in.txt)",
            ),
        ] {
            let line = [&["exec"], options, &["a"]].concat();
            let refusal = check(&line).unwrap_err().to_string();
            assert!(refusal.contains(sign), "{refusal}");
        }
        for options in [
            &["-o", "/dev/null"][..],
            &["-o", "/here/out", "-d", "here=/srv:rw"],
            &["-o", "out", "-d", "box=/srv:rw"],
            &["-i", "/usr/share/x"],
            &["-o", "/proc/self/fd/2"],
        ] {
            check(&[&["exec"], options, &["a"]].concat()).unwrap();
        }
    }
}
