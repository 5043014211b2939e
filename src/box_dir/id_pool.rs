//! The ids that boxes can have, and in which order they are tried.

use super::Owner;

/// The ids that can be leased: `size` of them from `first` on, uid and gid together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IdPool {
    /// The first uid and gid.
    pub(crate) first: Owner,
    /// How many there are, at least 1; the last ids are in range.
    pub(crate) size: u32,
}

impl IdPool {
    /// The ids to try for a box, in order: those that it had before, that of the slot `start`, then
    /// all others.
    pub(super) fn candidates(
        self,
        start: u32,
        before: Option<Owner>,
    ) -> impl Iterator<Item = Owner> {
        let at = move |slot: u32| Owner {
            uid: self.first.uid + slot,
            gid: self.first.gid + slot,
        };
        let start = start % self.size;
        let all = (start..self.size).chain(0..start).map(at);
        let rest = all.filter(move |ids| Some(*ids) != before);
        let before = before.filter(|ids| self.contains(*ids));
        before.into_iter().chain(rest)
    }

    pub(super) fn contains(self, ids: Owner) -> bool {
        let slot = ids.uid.checked_sub(self.first.uid);
        slot.is_some_and(|slot| slot < self.size) && slot == ids.gid.checked_sub(self.first.gid)
    }
}
