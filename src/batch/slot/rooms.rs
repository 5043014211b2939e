//! The boxes of a slot. It keeps them from job to job, and each is made anew before a job uses it.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::files::{self, NotPut};
use super::given::{self, Shown};
use crate::batch::job::Job;
use crate::batch::office::Office;
use crate::batch::result::Outcome;
use crate::failure::Failure;
use crate::quantity::BoxId;

/// A box that a step may use.
#[derive(Debug, Clone)]
pub(super) struct Room {
    /// Its number.
    pub(super) id: BoxId,
    /// What the program sees as /box.
    pub(super) dir: Rc<OwnedFd>,
    /// Files of the cache that it sees there.
    pub(super) shown: Rc<[Shown]>,
}

/// All boxes of a slot.
#[derive(Debug, Default)]
pub(super) struct Rooms {
    /// The boxes that no step of the present job has.
    free: Vec<BoxId>,
    /// Where those are that were made anew already.
    renewed: Vec<(BoxId, PathBuf)>,
    used: Vec<(String, Room)>,
}

impl Rooms {
    /// The numbers of all boxes that there are.
    pub(super) fn ids(&self) -> impl Iterator<Item = u32> {
        let used = self.used.iter().map(|(_, room)| room.id);
        used.chain(self.free.iter().copied()).map(|id| id.0)
    }

    /// The room with this name in the present job, made and furnished if it is not there yet.
    pub(super) fn enter(
        &mut self,
        office: &mut Office,
        job: &Job,
        name: &str,
    ) -> Result<Room, (Outcome, Failure)> {
        if let Some((_, room)) = self.used.iter().find(|(known, _)| known == name) {
            return Ok(room.clone());
        }
        let room = self.make(office)?;
        self.used.push((name.to_owned(), room.clone()));
        let at = self.used.len() - 1;
        let own = |file: &&crate::batch::job::words::GivenFile| {
            file.in_box.as_deref().unwrap_or_default() == name
        };
        let files = job.files.iter().filter(own);
        let shown: Result<Vec<_>, _> = files
            .filter_map(|file| given::give(office, &room, file).transpose())
            .collect();
        let shown = shown.map_err(|error| match error {
            NotPut::Refused(failure) => (Outcome::Refused, failure),
            NotPut::Internal(failure) => (Outcome::Internal, failure),
        })?;
        let room = Room {
            shown: shown.into(),
            ..room
        };
        self.used[at].1 = room.clone();
        Ok(room)
    }

    /// Makes a box anew that is free, or another one.
    fn make(&mut self, office: &mut Office) -> Result<Room, (Outcome, Failure)> {
        if let Some(id) = self.free.pop() {
            let renewed = self.renewed.iter().position(|(known, _)| *known == id);
            let path = renewed.map(|at| self.renewed.swap_remove(at).1);
            if let Some(Ok(room)) = path.map(|path| open(&path)) {
                return Ok(room);
            }
            match init(office, &id.to_string()) {
                Ok(room) => return Ok(room),
                Err((_, failure)) => {
                    log::info!("box {id} is given up: {failure}");
                    remove(office, id);
                }
            }
        }
        init(office, "auto")
    }

    /// The last run of a job has left this box as new, if it tells where it is.
    pub(super) fn note_renewed(&mut self, id: BoxId, path: Option<PathBuf>) {
        self.renewed.extend(path.map(|path| (id, path)));
    }

    /// The job is over: its boxes are for the next.
    pub(super) fn leave(&mut self) {
        let used = self.used.drain(..).map(|(_, room)| room.id);
        self.free.extend(used);
    }

    /// Removes all boxes.
    pub(super) fn remove_all(&mut self, office: &mut Office) {
        self.leave();
        for id in self.free.drain(..) {
            remove(office, id);
        }
    }
}

fn init(office: &mut Office, id: &str) -> Result<Room, (Outcome, Failure)> {
    let id = format!("--box-id={id}");
    let words = ["--init", "--wait", &id, "--cg"];
    let words = &words[..if office.cg() { 4 } else { 3 }];
    let path = office.ask(words)?;
    open(Path::new(path.trim_end())).map_err(|failure| (Outcome::Internal, failure))
}

/// Opens a new box, by the path that --init prints.
fn open(path: &Path) -> Result<Room, Failure> {
    let number = path
        .file_name()
        .and_then(|name| name.to_str()?.parse().ok());
    let number = number.ok_or_else(|| Failure::new("--init has told no path of a box"))?;
    let dir = files::open_box(&path.join("box"))?;
    Ok(Room {
        id: BoxId(number),
        dir: Rc::new(dir),
        shown: Rc::new([]),
    })
}

/// Removes a box, and what may still run in it.
pub(super) fn remove(office: &mut Office, id: BoxId) {
    let words = ["--cleanup", "--wait", &format!("--box-id={id}")];
    let removed = office.ask(&words).or_else(|_| {
        office.speak_for_itself();
        office.ask(&words)
    });
    if let Err((_, failure)) = removed {
        log::warn!("box {id} cannot be removed: {failure}");
    }
}
