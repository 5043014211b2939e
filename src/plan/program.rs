//! Which program is executed, and in which environment.

use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::environment::Environment;
use crate::request::{ProgramRequest, RunKind};

/// The search path of `exec`, whose users are people at a shell; `--run` never searches.
const EXEC_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// The environment of the program.
pub(super) fn environment(
    request: &ProgramRequest,
    caller: &[(OsString, OsString)],
    kind: RunKind,
) -> Environment {
    let mut environment = if request.full_env {
        Environment::full(caller)
    } else {
        Environment::default()
    };
    if kind == RunKind::Exec && !request.full_env {
        environment.set(OsStr::new("PATH"), OsStr::new(EXEC_PATH));
        environment.set(OsStr::new("HOME"), OsStr::new("/box"));
    }
    // The C library writes its last words to stderr and not to a terminal, which the program does
    // not have.
    environment.set(OsStr::new("LIBC_FATAL_STDERR_"), OsStr::new("1"));
    environment.apply(&request.env, caller);
    environment
}

/// Arguments and environment of fewer bytes fit, whatever the limit of the stack (execve(2),
/// "Limits on size of arguments and environment": 32 pages, of which some are for other things).
const ALWAYS: usize = 24 * 4096;

/// Whether arguments and environment are so short that execve(2) always takes them.
pub(super) fn always_fit<'t>(strings: impl Iterator<Item = &'t CString>) -> bool {
    let length: usize = strings
        .map(|text| text.as_bytes_with_nul().len() + size_of::<usize>())
        .sum();
    length < ALWAYS
}

/// The paths to try: the program itself, or, with a search path and no slash in the program, its
/// place in each part.
pub(super) fn candidates(program: &OsStr, search: Option<&OsStr>) -> Vec<PathBuf> {
    match search {
        Some(search) if !program.as_bytes().contains(&b'/') => std::env::split_paths(search)
            .filter(|directory| directory.is_absolute())
            .map(|directory| directory.join(program))
            .collect(),
        _ => vec![PathBuf::from(program)],
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::CString;

    use super::super::run::tests::{nowhere, plan};
    use super::always_fit;

    #[test]
    fn only_exec_searches_for_the_program() {
        let run = plan(&["--run", "--", "ls"], nowhere()).unwrap();
        assert_eq!(run.candidates, [c"ls".to_owned()]);
        let exec = plan(&["exec", "--", "ls", "-l"], nowhere()).unwrap();
        assert_eq!(
            exec.candidates,
            [
                c"/usr/local/bin/ls".to_owned(),
                c"/usr/bin/ls".into(),
                c"/bin/ls".into()
            ]
        );
        assert_eq!(exec.arguments, [c"ls".to_owned(), c"-l".into()]);
        let slash = plan(&["exec", "--", "./ls"], nowhere()).unwrap();
        assert_eq!(slash.candidates, [c"./ls".to_owned()]);
    }

    #[test]
    fn short_arguments_always_fit() {
        let of = |length: usize| CString::new("x".repeat(length)).unwrap();
        assert!(always_fit([of(10), of(50_000)].iter()));
        assert!(!always_fit([of(100_000)].iter()));
        assert!(!always_fit(std::iter::repeat_n(&of(0), 20_000)));
    }

    #[test]
    fn the_environment_is_empty_but_for_rules() {
        let strings =
            |arguments: &[&str]| plan(arguments, nowhere()).unwrap().into_parts().environment;
        assert_eq!(
            strings(&["--run", "a"]),
            [c"LIBC_FATAL_STDERR_=1".to_owned()]
        );
        assert_eq!(
            strings(&["-ELIBC_FATAL_STDERR_=", "--run", "a"]),
            [] as [CString; 0]
        );
    }
}
