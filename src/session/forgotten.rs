//! Files that a program of `exec` was told of and could not find: they are where the caller is, and
//! the program does not see that directory.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

use crate::answer::Answer;
use crate::request::{BoxCommand, Common, ProgramRequest, Telling};

/// What a run that fails may have missed.
#[derive(Debug)]
pub(crate) struct Forgotten {
    words: Vec<OsString>,
}

impl Forgotten {
    /// The words of the program that may name files; `None` where files may well be inside, or
    /// where only programs read what is said.
    pub(crate) fn of(command: &BoxCommand, common: &Common) -> Option<Self> {
        let BoxCommand::Exec(ProgramRequest { argv, dirs, .. }) = command else {
            return None;
        };
        let is_told = common.telling == Telling::Words && !common.silent;
        (is_told && dirs.is_empty() && common.box_id.is_none()).then(|| Self {
            words: argv.iter().skip(1).cloned().collect(),
        })
    }

    /// Says so after a program that has failed by itself.
    pub(crate) fn remind(&self, answer: &mut Answer) {
        let Some(said) = answer.stderr.as_mut() else {
            return;
        };
        // Above it are ends by a limit, by a signal and of the sandbox.
        if !(1..124).contains(&answer.code) {
            return;
        }
        if let Some(word) = self.words.iter().find(|word| is_here(Path::new(word))) {
            let word = word.to_string_lossy();
            said.push_str(&format!(
                "\n  the program does not see the directory that you are in: --in={word} copies '{word}' into the box"
            ));
        }
    }
}

/// Whether a word names a file of the current directory.
fn is_here(word: &Path) -> bool {
    let mut components = word.components().filter(|part| *part != Component::CurDir);
    let is_name = matches!(
        (components.next(), components.next()),
        (Some(Component::Normal(_)), None)
    );
    is_name && !word.as_os_str().as_bytes().starts_with(b"-") && word.is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(code: u8, words: &[&str]) -> String {
        let forgotten = Forgotten {
            words: words.iter().map(OsString::from).collect(),
        };
        let mut answer = Answer::complain("said", code);
        forgotten.remind(&mut answer);
        answer.stderr.unwrap()
    }

    #[test]
    fn a_file_that_is_here_is_offered_and_only_after_a_failure() {
        // Tests run where the manifest is.
        let said = after(2, &["-v", "Cargo.toml"]);
        assert!(said.contains("--in=Cargo.toml copies"), "{said}");
        assert!(after(1, &["./Cargo.toml"]).contains("--in=./Cargo.toml"));
        for (code, words) in [
            (0, &["Cargo.toml"][..]),
            (124, &["Cargo.toml"]),
            (139, &["Cargo.toml"]),
            (1, &["src", "src/lib.rs", "no-such-file", "/etc/passwd"]),
            (1, &[]),
        ] {
            assert_eq!(after(code, words), "said", "{code} {words:?}");
        }
    }
}
