//! The files that the checks look at: those of this machine, or others below `--root`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The top of a tree with `proc`, `sys` and `etc` in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tree(PathBuf);

impl Tree {
    /// The tree with this top.
    pub(super) fn below(root: &Path) -> Self {
        Self(root.to_owned())
    }

    /// Where a file of the machine is.
    pub(super) fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.0.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// The text of a file, without white space around it.
    pub(super) fn read(&self, path: impl AsRef<Path>) -> io::Result<String> {
        let bytes = fs::read(self.path(path))?;
        Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
    }

    /// The text of a file; `None` when it is not there or cannot be read.
    pub(super) fn text(&self, path: impl AsRef<Path>) -> Option<String> {
        self.read(path).ok()
    }

    /// The choice in force of a file that shows all of them: `always [madvise] never`.
    pub(super) fn choice(&self, path: &str) -> Option<String> {
        self.text(path).map(|text| chosen(&text).to_owned())
    }

    /// Whether a file is there.
    pub(super) fn has(&self, path: impl AsRef<Path>) -> bool {
        self.path(path).exists()
    }

    /// The names in a directory, sorted; none when it cannot be read.
    pub(super) fn names(&self, directory: impl AsRef<Path>) -> Vec<String> {
        let entries = fs::read_dir(self.path(directory)).into_iter().flatten();
        let names = entries.flatten().map(|entry| entry.file_name());
        let mut names: Vec<_> = names.filter_map(|name| name.into_string().ok()).collect();
        names.sort_unstable();
        names
    }

    /// Writes into a file that is there, as files of the kernel are written: in one call.
    pub(super) fn write(&self, path: &str, value: &str) -> io::Result<()> {
        let mut file = fs::File::options()
            .write(true)
            .truncate(true)
            .open(self.path(path))?;
        io::Write::write_all(&mut file, value.as_bytes())
    }

    /// Makes a file, or replaces it as a whole.
    pub(super) fn replace(&self, path: &str, text: &str) -> io::Result<()> {
        let path = self.path(path);
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        let new = path.with_extension("new");
        fs::write(&new, text)?;
        fs::rename(new, path)
    }

    /// Removes a file, if it is there.
    pub(super) fn remove(&self, path: &str) -> io::Result<()> {
        match fs::remove_file(self.path(path)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// The word in brackets, or the whole text without any.
pub(super) fn chosen(text: &str) -> &str {
    let word = text
        .split_once('[')
        .and_then(|(_, rest)| rest.split_once(']'));
    word.map_or(text.trim(), |(word, _)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_is_the_word_in_brackets() {
        assert_eq!(chosen("always [madvise] never\n"), "madvise");
        assert_eq!(chosen("performance\n"), "performance");
        assert_eq!(chosen("a [b"), "a [b");
    }

    #[test]
    fn a_file_of_the_kernel_is_written_and_never_made() {
        let dir = tempfile::tempdir().unwrap();
        let tree = Tree::below(dir.path());
        assert!(tree.write("/sys/x", "1").is_err());
        tree.replace("/sys/x", "old value\n").unwrap();
        tree.write("/sys/x", "1").unwrap();
        assert_eq!(tree.text("/sys/x").as_deref(), Some("1"));
        assert_eq!(tree.names("/sys"), ["x"]);
        tree.remove("/sys/x").unwrap();
        tree.remove("/sys/x").unwrap();
        assert!(!tree.has("/sys/x"));
    }
}
