//! Looking: what of all this can be seen now.

use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime};

use super::run::{is_keeper, run_of};
use super::{BoxSeen, Disk, FORMAT, Snapshot, State, User, UserCounts};
use crate::box_dir::{BoxDir, BoxDirError, Sight, Stray, sights, strays, tally};
use crate::clock::since_epoch;
use crate::config::settings::BoxSettings;
use crate::quantity::BoxId;
use crate::user::Names;
use crate::way;

/// Looks at the boxes of this user, or of all. What they hold on disk is added up for so long at
/// most.
pub(crate) fn look(
    boxes: &BoxSettings,
    of_user: Option<u32>,
    patience: Duration,
) -> Result<Snapshot, BoxDirError> {
    let names = Names::read();
    let end = Instant::now() + patience;
    let is_meant = |uid: u32| of_user.is_none_or(|user| user == uid);
    let view = View { boxes, names, end };
    let sights = sights(&boxes.locks)?;
    let known: BTreeSet<u32> = sights.iter().map(|sight| sight.id.0).collect();
    let mut seen: Vec<BoxSeen> = sights
        .iter()
        .filter(|sight| is_meant(sight.record.owner.uid))
        .map(|sight| view.of_box(sight))
        .collect();
    let strays = strays(&boxes.root, &known)?;
    let strays = strays.iter().filter(|stray| is_meant(stray.uid));
    seen.extend(strays.map(|stray| view.of_stray(stray)));
    seen.sort_by_key(|seen| seen.id);
    Ok(Snapshot {
        format: FORMAT,
        isolate_run: env!("CARGO_PKG_VERSION").to_owned(),
        time_us: since_epoch(SystemTime::now()),
        all_users: of_user.is_none(),
        boxes: seen,
        counts: view.counts(of_user),
    })
}

/// Whether this process watches a run, now.
pub(crate) fn keeps_a_run(pid: i32) -> bool {
    is_keeper(pid)
}

/// What is needed to look at any box.
struct View<'a> {
    boxes: &'a BoxSettings,
    names: Names,
    end: Instant,
}

impl View<'_> {
    fn of_box(&self, sight: &Sight) -> BoxSeen {
        let Sight {
            id,
            record,
            changed,
            locked_by,
        } = sight;
        let state = match (locked_by, record.running, record.ready) {
            (Some(_), true, _) => State::Running,
            (Some(_), false, _) => State::Busy,
            (None, true, _) => State::Abandoned,
            (None, false, false) => State::Unfinished,
            (None, false, true) => State::Idle,
        };
        let keeper = locked_by.filter(|_| state == State::Running);
        BoxSeen {
            id: id.0,
            state,
            owner: self.user(record.owner.uid),
            uid: Some(record.ids.uid),
            control_group_mode: Some(record.cg),
            path: self.boxes.root.join(id.to_string()).display().to_string(),
            changed_us: changed.map(since_epoch),
            disk: self.disk(*id),
            run: keeper.map(run_of),
        }
    }

    fn of_stray(&self, stray: &Stray) -> BoxSeen {
        BoxSeen {
            id: stray.id.0,
            state: State::Stray,
            owner: self.user(stray.uid),
            uid: None,
            control_group_mode: None,
            path: stray.path.display().to_string(),
            changed_us: stray.changed.map(since_epoch),
            disk: self.disk(stray.id),
            run: None,
        }
    }

    /// What was counted, of this user or of all.
    fn counts(&self, of_user: Option<u32>) -> Vec<UserCounts> {
        let all = tally::all(&self.boxes.locks).into_iter();
        let is_meant = |uid: &Option<u32>| of_user.is_none() || *uid == of_user;
        all.filter(|(uid, _)| is_meant(uid))
            .map(|(uid, counts)| UserCounts {
                user: uid.map(|uid| self.user(uid)),
                counts,
            })
            .collect()
    }

    fn user(&self, uid: u32) -> User {
        let uid = way::outside(uid);
        User {
            uid,
            name: self.names.of(uid),
        }
    }

    fn disk(&self, id: BoxId) -> Option<Disk> {
        if Instant::now() >= self.end {
            return None;
        }
        let found = BoxDir::open(&self.boxes.root, id).ok()??.usage(self.end);
        Some(Disk {
            bytes: found.bytes,
            files: found.files,
            complete: found.complete,
        })
    }
}
