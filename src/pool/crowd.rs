//! Decides who makes room when there are too many requests that nobody has authorised yet. Pure.
//!
//! A crowd of strangers must not keep out users who may use boxes. The user with the most requests
//! makes room, and strangers make room before users who were authorised lately. A newcomer who
//! would have the most does not displace anybody.

use std::collections::{HashMap, VecDeque};

/// Somebody whose request has not been authorised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Guest {
    /// Who answers for it: see [`super::owners`].
    pub(super) owner: u32,
    /// Rises in the order of coming.
    pub(super) serial: u64,
    /// Its user was authorised lately.
    pub(super) is_regular: bool,
    /// How much of what is short it takes.
    pub(super) share: usize,
}

/// The serial number of the guest who has to leave for the newcomer: the oldest one of the owner
/// with the most. `None` means that the newcomer is refused.
pub(super) fn who_makes_room(guests: &[Guest], newcomer: Guest) -> Option<u64> {
    let strangers = guests.iter().any(|guest| !guest.is_regular);
    let candidates = guests
        .iter()
        .filter(|guest| !strangers || !guest.is_regular);
    let mut shares: HashMap<u32, usize> = HashMap::new();
    for guest in guests {
        let sum = shares.entry(guest.owner).or_default();
        *sum = sum.saturating_add(guest.share);
    }
    let share_of = |owner| shares.get(&owner).copied().unwrap_or_default();
    let first = candidates.max_by_key(|guest| {
        let oldest_last = u64::MAX - guest.serial;
        (share_of(guest.owner), oldest_last)
    })?;
    let wanted = share_of(newcomer.owner).saturating_add(newcomer.share);
    let is_before = newcomer.is_regular && !first.is_regular;
    let is_fit = newcomer.is_regular || !first.is_regular;
    let has_less = is_fit && newcomer.owner != first.owner && share_of(first.owner) >= wanted;
    (is_before || has_less).then_some(first.serial)
}

/// How many users are remembered.
const MOST_REGULARS: usize = 256;

/// The users who were authorised last, the latest at the end.
#[derive(Debug, Default)]
pub(super) struct Regulars(VecDeque<u32>);

impl Regulars {
    /// Remembers a user who was authorised.
    pub(super) fn note(&mut self, uid: u32) {
        self.0.retain(|other| *other != uid);
        self.0.push_back(uid);
        if self.0.len() > MOST_REGULARS {
            self.0.pop_front();
        }
    }

    /// Whether this user was authorised lately.
    pub(super) fn has(&self, uid: u32) -> bool {
        self.0.contains(&uid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guests in the order of coming; a capital letter is a regular.
    fn guests(who: &str) -> Vec<Guest> {
        let guest = |(serial, letter): (usize, char)| Guest {
            owner: letter.to_ascii_lowercase().into(),
            serial: serial as u64,
            is_regular: letter.is_ascii_uppercase(),
            share: 1,
        };
        who.chars().enumerate().map(guest).collect()
    }

    /// The place of the one who goes when the last one comes.
    fn goes(who: &str) -> Option<u64> {
        let mut all = guests(who);
        let newcomer = all.pop().unwrap();
        who_makes_room(&all, newcomer)
    }

    #[test]
    fn the_oldest_of_the_one_with_the_most_goes() {
        assert_eq!(goes("abbbc"), Some(1));
        assert_eq!(goes("abbba"), Some(1));
        assert_eq!(goes("abc"), Some(0));
        assert_eq!(goes("c"), None);
    }

    #[test]
    fn one_who_would_have_the_most_makes_nobody_go() {
        assert_eq!(goes("bbb"), None);
        assert_eq!(goes("abb"), None);
        assert_eq!(goes("aabbb"), None);
        assert_eq!(goes("aabb"), Some(0));
    }

    #[test]
    fn strangers_go_before_those_who_were_authorised_lately() {
        assert_eq!(goes("AAAbC"), Some(3));
        assert_eq!(goes("bAAAA"), Some(0));
        assert_eq!(goes("AAbc"), Some(2));
        // There are no others: a stranger has to come again.
        assert_eq!(goes("AABc"), None);
        assert_eq!(goes("AABB"), Some(0));
        // A stranger among strangers, with the most of these.
        assert_eq!(goes("AAAbcc"), None);
    }

    #[test]
    fn what_counts_is_how_much_somebody_takes() {
        let mut all = guests("abb");
        all[0].share = 5;
        let newcomer = |share| Guest {
            owner: 'c'.into(),
            serial: 9,
            is_regular: false,
            share,
        };
        assert_eq!(who_makes_room(&all, newcomer(5)), Some(0));
        assert_eq!(who_makes_room(&all, newcomer(6)), None);
    }

    #[test]
    fn the_last_ones_who_were_authorised_are_remembered() {
        let mut regulars = Regulars::default();
        for uid in 0..=MOST_REGULARS as u32 {
            regulars.note(uid);
            regulars.note(1);
        }
        assert!(regulars.has(1) && regulars.has(3));
        assert!(!regulars.has(0));
        assert!(regulars.0.len() <= MOST_REGULARS);
    }
}
