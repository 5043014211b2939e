//! What is known of a command line with a mistake in it.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::getopt::{self, Words};
use super::spelling::Table;

/// The meta file that was named before a command line's mistake: an earlier run's results there
/// would be taken for this call's. `None` if the line may have `--as-uid` or `--as-gid` (emptying
/// it would need that user's rights) or `--config` (it may say where boxes are), even in part.
pub(crate) fn meta_before_mistake(argv: impl IntoIterator<Item = OsString>) -> Option<PathBuf> {
    let argv: Vec<_> = argv.into_iter().skip(1).collect();
    let is_unclear = |word: &OsString| {
        // --as-uid and --as-gid may be shortened.
        word.as_bytes().starts_with(b"--a") || word.as_bytes().starts_with(b"--config")
    };
    if argv.iter().any(is_unclear) {
        return None;
    }
    let mut argv = argv.into_iter().peekable();
    let verb = super::take_verb(&mut argv);
    let command = verb.has_results.then_some(verb.command)?();
    let mut words = Words::default();
    // It no longer matters where the mistake is.
    drop(getopt::normalize(
        &Table::of(&command),
        argv,
        verb.operands,
        &mut words,
    ));
    let meta = |word: &OsString| {
        let path = word.as_bytes().strip_prefix(b"--meta=")?;
        Some(PathBuf::from(OsStr::from_bytes(path)))
    };
    let named = words.options.iter().filter_map(meta).next_back();
    named.filter(|path| path != Path::new("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(line: &str) -> Option<PathBuf> {
        meta_before_mistake(line.split(' ').map(OsString::from))
    }

    #[test]
    fn the_meta_file_is_known_if_it_was_named_before_the_mistake() {
        let file = || Some(PathBuf::from("m"));
        assert_eq!(meta("isolate -M m --what"), file());
        assert_eq!(meta("isolate --meta=x -Mm -t abc --run a"), file());
        assert_eq!(meta("isolate exec --meta m"), file());
        assert_eq!(meta("isolate --what -M m"), None);
        assert_eq!(meta("isolate exec a -M m"), None);
        assert_eq!(meta("isolate --meta"), None);
        assert_eq!(meta("isolate -M - --what"), None);
        assert_eq!(meta("isolate config -M m"), None);
    }

    #[test]
    fn the_meta_file_of_somebody_else_is_left_alone() {
        assert_eq!(meta("isolate -M m --as-uid=5 --what"), None);
        assert_eq!(meta("isolate -M m --as-gid=5 --as-uid 6 --what"), None);
        assert_eq!(meta("isolate -M m --config=x --what"), None);
        assert_eq!(
            meta("isolate -M m --what --as-uid=5 --as-gid=6 --run a"),
            None
        );
        assert_eq!(meta("isolate -M m --run --as-uid"), None);
        assert_eq!(meta("isolate -M m --run --as"), None);
        assert_eq!(meta("isolate -M m --what --config x"), None);
    }
}
