//! Which tests there are, by the source files: for what has to be known before anything is built.

use std::fs;
use std::io;
use std::path::Path;

/// The test binaries of the crate: `isolate_run` has the tests in src.
pub(crate) const BINARIES: [&str; 4] = ["isolate_run", "user", "root", "system"];

/// The binaries that have a test with `word` in its name.
///
/// # Errors
///
/// The sources cannot be read.
pub(crate) fn binaries_with(top: &Path, word: &str) -> io::Result<Vec<&'static str>> {
    let mut found = Vec::new();
    for binary in BINARIES {
        let folder = match binary {
            "isolate_run" => top.join("src"),
            other => top.join("tests").join(other),
        };
        if folder_has(&folder, binary, word)? {
            found.push(binary);
        }
    }
    Ok(found)
}

/// Whether this module, `binary::module`, has a test with `word` in its name.
///
/// # Errors
///
/// As [`binaries_with`].
pub(crate) fn has_test(top: &Path, module: &str, word: &str) -> io::Result<bool> {
    let path = format!("tests/{}.rs", module.replace("::", "/"));
    Ok(text_has(&fs::read_to_string(top.join(path))?, module, word))
}

fn folder_has(folder: &Path, module: &str, word: &str) -> io::Result<bool> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let inner = match stem.as_ref() {
            "main" | "lib" | "mod" => module.to_owned(),
            name => format!("{module}::{name}"),
        };
        let has = if path.is_dir() {
            folder_has(&path, &inner, word)?
        } else {
            path.extension().is_some_and(|extension| extension == "rs")
                && text_has(&fs::read_to_string(&path)?, &inner, word)
        };
        if has {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a test in this source text of `module` has `word` in its name. Tests may be in `mod tests` in there.
fn text_has(text: &str, module: &str, word: &str) -> bool {
    let mut is_test = false;
    for line in text.lines().map(str::trim) {
        is_test |= line == "#[test]";
        let Some(rest) = line.strip_prefix("fn ").filter(|_| is_test) else {
            continue;
        };
        is_test = false;
        let name = rest.split('(').next().unwrap_or_default();
        let names = [
            format!("{module}::{name}"),
            format!("{module}::tests::{name}"),
        ];
        if names.iter().any(|name| name.contains(word)) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "fn helper() {}\n#[test]\n#[ignore = \"needs root\"]\nfn a_bomb_ends() {\n";

    #[test]
    fn a_word_is_looked_for_in_the_whole_name_of_a_test() {
        for word in ["bomb", "root::world::a_b", "root::world", "world::tests::a"] {
            assert!(text_has(TEXT, "root::world", word), "{word}");
        }
        assert!(!text_has(TEXT, "root::world", "helper"));
    }
}
