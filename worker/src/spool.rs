//! Results that are on the disk before they are on their way: whatever happens to this process,
//! what was found out is not lost.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use isolate_run_client::FleetResult;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// A result, and where it goes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Letter {
    pub(crate) queue: String,
    pub(crate) result: FleetResult,
}

/// The directory.
#[derive(Debug, Clone)]
pub(crate) struct Spool {
    dir: PathBuf,
}

impl Spool {
    /// The one in this directory, which is made.
    ///
    /// # Errors
    ///
    /// The directory cannot be made.
    pub(crate) fn new(dir: PathBuf) -> Result<Self, Failure> {
        let made = fs::create_dir_all(&dir);
        made.map_err(Failure::at(format!(
            "cannot make the spool {}",
            dir.display()
        )))?;
        Ok(Self { dir })
    }

    fn place(&self, id: &str) -> PathBuf {
        self.dir.join(format!("{id}.json"))
    }

    /// Puts a letter there. When this returns, it survives the machine.
    ///
    /// # Errors
    ///
    /// The disk does not take it.
    pub(crate) fn put(&self, letter: &Letter) -> Result<(), Failure> {
        let place = self.place(&letter.result.id);
        let temporary = place.with_extension("new");
        let written = || -> io::Result<()> {
            let bytes = serde_json::to_vec(letter)?;
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(true).mode(0o600);
            let mut file = options.open(&temporary)?;
            file.write_all(&bytes)?;
            file.sync_data()?;
            fs::rename(&temporary, &place)?;
            File::open(&self.dir)?.sync_all()
        };
        written().map_err(|error| {
            // Half a letter is none.
            fs::remove_file(&temporary).ok();
            Failure::at(format!("cannot keep a result in {}", place.display()))(error)
        })
    }

    /// It has arrived.
    pub(crate) fn remove(&self, id: &str) {
        let place = self.place(id);
        if let Err(error) = fs::remove_file(&place) {
            log::warn!("cannot remove {}: {error}", place.display());
        }
    }

    /// What an earlier process could not send.
    ///
    /// # Errors
    ///
    /// The directory cannot be read.
    pub(crate) fn waiting(&self) -> Result<Vec<Letter>, Failure> {
        let what = format!("cannot read the spool {}", self.dir.display());
        let entries = fs::read_dir(&self.dir).map_err(Failure::at(&what))?;
        let mut letters = Vec::new();
        for entry in entries {
            let path = entry.map_err(Failure::at(&what))?.path();
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("json") => {}
                Some("new") => {
                    fs::remove_file(&path).ok();
                    continue;
                }
                _ => continue,
            }
            match read(&path) {
                Ok(letter) => letters.push(letter),
                Err(error) => {
                    log::error!("{} is no result and stays there: {error}", path.display())
                }
            }
        }
        Ok(letters)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        let entries = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        entries
            .filter(|entry| entry.path().extension().is_some_and(|end| end == "json"))
            .count()
    }
}

fn read(path: &Path) -> io::Result<Letter> {
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use isolate_run_client::{FORMAT, FleetOutcome, Machine, Times};

    fn letter(id: &str) -> Letter {
        Letter {
            queue: "q".into(),
            result: FleetResult {
                format: FORMAT,
                id: id.into(),
                attempt: 1,
                delivery: 1,
                outcome: FleetOutcome::Done,
                reason: None,
                trace: None,
                result: None,
                stored: None,
                machine: Machine::default(),
                times: Times::default(),
            },
        }
    }

    #[test]
    fn a_letter_is_there_until_it_is_removed_and_half_a_one_never() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::new(dir.path().join("spool")).unwrap();
        spool.put(&letter("a")).unwrap();
        spool.put(&letter("a")).unwrap();
        spool.put(&letter("b")).unwrap();
        fs::write(dir.path().join("spool/c.new"), "{").unwrap();
        fs::write(dir.path().join("spool/d.json"), "{").unwrap();
        assert_eq!(spool.waiting().unwrap().len(), 2);
        spool.remove("a");
        assert_eq!(spool.waiting().unwrap(), [letter("b")]);
        assert!(!dir.path().join("spool/c.new").exists());
    }
}
