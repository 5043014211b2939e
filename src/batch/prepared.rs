//! A command of this machine's as one of a box: files that it names are copied there.

use std::path::{Path, PathBuf};

use super::job::word::{Bound, Count, Size, Time};
use super::job::words::{GivenFile, Limits};
use crate::failure::Failure;
use crate::quantity::Bytes;
use crate::request::LimitRequest;

/// Where programs without a `/` are looked for: the same inside and outside.
const PROGRAMS: [&str; 3] = ["/usr/local/bin", "/usr/bin", "/bin"];
/// What is the same inside and outside.
const SHARED: [&str; 4] = ["/usr/", "/bin/", "/lib/", "/lib64/"];

/// What a step needs for it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Prepared {
    /// The command inside.
    pub(crate) argv: Vec<String>,
    /// The files that it needs.
    pub(crate) files: Vec<GivenFile>,
}

impl Prepared {
    /// Looks which words name files, and adds `more` of them.
    pub(crate) fn new(program: &[String], more: &[PathBuf]) -> Result<Self, Failure> {
        let mut prepared = Self {
            argv: Vec::new(),
            files: Vec::new(),
        };
        for (at, word) in program.iter().enumerate() {
            let word = match (at, word.contains('/')) {
                (0, false) if !Path::new(word).is_file() => look_for(word)?,
                _ => word.clone(),
            };
            let is_shared = SHARED.iter().any(|place| word.starts_with(place));
            let is_mine = !is_shared && Path::new(&word).is_file();
            if at == 0 && !is_shared && !is_mine {
                return Err(Failure::new(format!("there is no file '{word}' to be run")));
            }
            let word = match is_mine && (at == 0 || !word.starts_with('/')) {
                true => format!("./{}", prepared.copy(Path::new(&word))?),
                false => word,
            };
            let is_program = |file: &GivenFile| file.mode.as_deref() == Some("755");
            if at == 0 && is_mine && !prepared.files.iter().all(is_program) {
                let name = &program[0];
                return Err(Failure::new(format!(
                    "'{name}' is not executable: chmod a+x, or name its interpreter before it, as in python3 {name}"
                )));
            }
            prepared.argv.push(word);
        }
        for path in more {
            prepared.copy(path)?;
        }
        Ok(prepared)
    }

    /// Has a file copied; its name inside.
    fn copy(&mut self, path: &Path) -> Result<String, Failure> {
        use std::os::unix::fs::PermissionsExt;
        let shown = path.display();
        let what = format!("cannot copy '{shown}' into the box");
        let found = std::fs::metadata(path).map_err(Failure::at(&what))?;
        let name = path.file_name().and_then(|name| name.to_str());
        let (Some(name), Some(text)) = (name, path.to_str()) else {
            return Err(Failure::new(format!("{what}: its name is not UTF-8")));
        };
        let path = Some(text.to_owned());
        if let Some(other) = self.files.iter().find(|file| file.name == name) {
            return match other.path == path {
                true => Ok(name.to_owned()),
                false => Err(Failure::new(format!(
                    "{what}: another file is called '{name}' there"
                ))),
            };
        }
        let is_program = found.permissions().mode() & 0o111 != 0;
        self.files.push(GivenFile {
            name: name.to_owned(),
            path,
            mode: Some(if is_program { "755" } else { "644" }.to_owned()),
            ..GivenFile::default()
        });
        Ok(name.to_owned())
    }
}

fn look_for(program: &str) -> Result<String, Failure> {
    let mut places = PROGRAMS.iter().map(|place| format!("{place}/{program}"));
    let found = places.find(|path| Path::new(path).is_file());
    found.ok_or_else(|| {
        let places = PROGRAMS.join(", ");
        Failure::new(format!(
            "there is no program '{program}' here or in {places}"
        ))
    })
}

/// Limits of the command line as those of a step.
pub(crate) fn limits(asked: &LimitRequest) -> Limits {
    let size = |bytes: Option<Bytes>| bytes.map(|bytes| Size::of(bytes.0));
    Limits {
        time: asked.time.map(Time::of),
        extra_time: asked.extra_time.map(Time::of),
        wall_time: asked.wall_time.map(Time::of),
        mem: size(asked.address_space),
        cg_mem: size(asked.cg_mem),
        stack: size(asked.stack),
        fsize: size(asked.file_size),
        core: asked.core.map(|bytes| Bound::of(bytes.0)),
        open_files: asked.open_files.map(Count::of),
        processes: asked.processes.map(Count::of),
        output: None,
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn words_that_name_files_are_copied() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("solution");
        std::fs::write(&path, "").unwrap();
        let refused = Prepared::new(&[path.to_str().unwrap().to_owned()], &[]);
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("is not executable"), "{refused}");
        set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        let word = path.to_str().unwrap().to_owned();
        let prepared =
            Prepared::new(&[word.clone(), "/etc/passwd".into(), "7".into()], &[]).unwrap();
        assert_eq!(prepared.argv, ["./solution", "/etc/passwd", "7"]);
        assert_eq!(prepared.files.len(), 1);
        assert_eq!(prepared.files[0].path, Some(word));
        let sh = Prepared::new(&["sh".into(), "-c".into()], &[path]).unwrap();
        assert!(sh.argv[0].ends_with("bin/sh"), "{sh:?}");
        assert_eq!(sh.files[0].name, "solution");
        for wrong in ["./no/such", "no-such-program"] {
            assert!(Prepared::new(&[wrong.to_owned()], &[]).is_err());
        }
    }
}
