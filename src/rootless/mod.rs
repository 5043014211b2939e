//! An ordinary user where nobody acts for them as root: this process becomes root of a user
//! namespace of its own, in which the user is 0 and their subordinate ids follow. From there on it
//! does all that it does for root, and the user's own systemd is asked for scopes.
//!
//! ```text
//! first command ── clone: user namespace ──▶ a process that stays in it
//!    │ newuidmap, newgidmap (set-user-ID, package uidmap) write its maps
//! every command enters the namespace, and a mount namespace that belongs to it; some seconds
//! after the last one, the process that stays ends
//! ```
//!
//! To everybody outside, the process is the user's as before: the kernel gives it no right over
//! anything that is not theirs, and the ids of programs are others than theirs.

mod error;
mod ids;
mod namespace;
mod places;

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

pub(crate) use ids::{name_in, range_of};

use error::RootlessError;
use ids::Range;
use namespace::Tool;
use places::Places;

use crate::failure::Failure;
use crate::way::{self, Rootless};

/// The files that say which ids a user may map, and the programs that map them.
const UIDS: (&str, Tool) = ("/etc/subuid", Tool("newuidmap"));
const GIDS: (&str, Tool) = ("/etc/subgid", Tool("newgidmap"));

/// Makes this process, which has one thread, root of a user namespace; does nothing if it is that
/// already.
pub(crate) fn enter() -> Result<(), Failure> {
    match way::rootless() {
        Some(_) => Ok(()),
        None => Ok(begin().map(way::become_rootless)?),
    }
}

/// Lets this process, which only looks, see the user's places, and changes nothing else. Never
/// where anything about a box follows: that takes [`enter`].
pub(crate) fn look() -> Result<(), Failure> {
    let uid = nix::unistd::getuid().as_raw();
    let (user, places) = (User::of(uid), places_of(uid)?);
    let ids = [UIDS.0, GIDS.0].map(|file| user.range_in(file).map_or(u32::MAX, |ids| ids.count));
    way::become_rootless(rootless(uid, ids, places));
    Ok(())
}

fn begin() -> Result<Rootless, RootlessError> {
    let uid = nix::unistd::getuid().as_raw();
    let gid = nix::unistd::getgid().as_raw();
    let user = User::of(uid);
    let places = places_of(uid)?;
    if places.boxes == places.locks {
        return Err(RootlessError::OnePlace(places.boxes));
    }
    user.find_manager(&places)?;
    let uids = user.range_in(UIDS.0)?;
    let gids = user.range_in(GIDS.0)?;
    for place in [&places.boxes, &places.locks] {
        make_place(place)?;
    }
    let maps = [(UIDS.1, ids::map(uid, uids)), (GIDS.1, ids::map(gid, gids))];
    namespace::enter(&places.locks, maps)?;
    Ok(rootless(uid, [uids.count, gids.count], places))
}

fn places_of(uid: u32) -> Result<Places, RootlessError> {
    let places = places::places(uid, |name| std::env::var_os(name));
    places.ok_or(RootlessError::NoHome)
}

/// What differs for this user, who has as many ids.
fn rootless(uid: u32, [uids, gids]: [u32; 2], places: Places) -> Rootless {
    Rootless {
        uid,
        ids: uids.min(gids),
        bus: places.bus,
        systemd: places.systemd,
        boxes: places.boxes,
        locks: places.locks,
        config: places.config,
        is_in_manager: is_in_manager(uid),
    }
}

/// The user whose process this is.
struct User {
    uid: u32,
    name: Option<String>,
}

impl User {
    /// Who is not in /etc/passwd has the name that their login has put into the environment: it
    /// only chooses lines of files, and newuidmap(1) finds out itself who calls.
    fn of(uid: u32) -> Self {
        let text = fs::read("/etc/passwd").unwrap_or_default();
        let name = ids::name_in(&String::from_utf8_lossy(&text), uid);
        let name = name.or_else(|| std::env::var("USER").ok());
        Self { uid, name }
    }

    /// What people call them.
    fn words(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.uid.to_string())
    }

    /// Refuses a user without a systemd of their own, which is asked for all scopes.
    fn find_manager(&self, places: &Places) -> Result<(), RootlessError> {
        if places.bus.exists() || places.systemd.exists() {
            return Ok(());
        }
        Err(RootlessError::NoManager {
            user: self.words(),
            runtime: places.runtime.clone(),
        })
    }

    fn range_in(&self, file: &'static str) -> Result<Range, RootlessError> {
        let text = match fs::read(file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            other => other.map_err(|error| RootlessError::Read(file, error))?,
        };
        let range = ids::range_of(
            &String::from_utf8_lossy(&text),
            self.name.as_deref(),
            self.uid,
        );
        range.ok_or_else(|| RootlessError::NoIds {
            file,
            user: self.words(),
        })
    }
}

/// Makes a directory that nobody else may look into, if it is not there.
fn make_place(path: &Path) -> Result<(), RootlessError> {
    let mut builder = DirBuilder::new();
    let made = builder.recursive(true).mode(0o700).create(path);
    made.map_err(|error| RootlessError::Place(path.to_owned(), error))
}

/// Whether this process is in a cgroup of the user's systemd.
fn is_in_manager(uid: u32) -> bool {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    own.contains(&format!("/user@{uid}.service/"))
}
