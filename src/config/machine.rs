//! For tests: a machine with a configuration.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::{ConfigFiles, ConfigSource, Loaded, load};

/// A directory in the place of `/etc/isolate`, with the ranges of a subid user beside it.
#[derive(Debug)]
pub(super) struct Machine(TempDir);

impl Machine {
    /// No configuration yet.
    pub(super) fn new() -> Self {
        let machine = Self(tempfile::tempdir().unwrap());
        machine
            .write("subuid", "isolate:200000:5000\n")
            .write("subgid", "isolate:300000:3000\n")
    }

    /// Writes `isolate.toml`.
    pub(super) fn main(self, text: impl AsRef<[u8]>) -> Self {
        self.write("isolate.toml", text)
    }

    /// Writes a configuration file of isolate's.
    pub(super) fn isolate_file(self, text: impl AsRef<[u8]>) -> Self {
        self.write("old", text)
    }

    /// Writes a drop-in.
    pub(super) fn drop_in(self, name: &str, text: impl AsRef<[u8]>) -> Self {
        fs::create_dir_all(self.path().join("isolate.toml.d")).unwrap();
        self.write(&format!("isolate.toml.d/{name}"), text)
    }

    /// Writes a drop-in that was made for this boot (`run`), or the vendor's (`lib`).
    pub(super) fn vendor(self, whose: &str, name: &str, text: impl AsRef<[u8]>) -> Self {
        fs::create_dir_all(self.path().join(whose)).unwrap();
        self.write(&format!("{whose}/{name}"), text)
    }

    /// Writes a file.
    pub(super) fn write(self, name: &str, text: impl AsRef<[u8]>) -> Self {
        fs::write(self.path().join(name), text).unwrap();
        self
    }

    /// The directory.
    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }

    fn source(&self, files: ConfigFiles) -> ConfigSource {
        ConfigSource {
            files,
            subuid: self.path().join("subuid"),
            subgid: self.path().join("subgid"),
        }
    }

    /// Loads. An error has `DIR` in the place of the directory, and the system's reason at its end.
    pub(super) fn load(&self) -> Result<Loaded, String> {
        self.load_files(ConfigFiles::Installed {
            main: self.path().join("isolate.toml"),
            drop_ins: ["isolate.toml.d", "run", "lib"].map(|name| self.path().join(name)),
            old: vec![self.path().join("old"), self.path().join("older")],
        })
    }

    /// Loads as with `--config`.
    pub(super) fn load_only(&self, name: &str) -> Result<Loaded, String> {
        self.load_files(ConfigFiles::Only(self.path().join(name)))
    }

    /// Loads these files.
    pub(super) fn load_files(&self, files: ConfigFiles) -> Result<Loaded, String> {
        load(&self.source(files)).map_err(|error| {
            let source = std::error::Error::source(&error);
            let source = source.map_or(String::new(), |source| format!(": {source}"));
            format!("{error}{source}").replace(&self.path().display().to_string(), "DIR")
        })
    }
}
