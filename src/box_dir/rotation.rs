//! Where the ids of users' boxes go on: a number in the file `turn` beside the locks, which exists
//! anyway as soon as a user has a box.
//!
//! An id that was given up is leased again only after all other free ones, and nothing need be kept
//! for each id. Two boxes that are made at once may begin at the same number: the leases keep them
//! apart. A number that is lost or not understood counts as 0.

use std::fs::File;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::BoxDirError;
use super::census::open_turn;
use super::place::errno;

/// The length that the number is padded to, so that one write replaces another one whole.
const LENGTH: usize = 10;

/// The slot in the pool to try first.
pub(super) fn next_slot(place: BorrowedFd<'_>, locks: &Path) -> Result<u32, BoxDirError> {
    let file = File::from(open_turn(place, locks)?);
    let mut text = [0; LENGTH];
    let length = file
        .read_at(&mut text, 0)
        .map_err(|error| BoxDirError::at("read", locks)(errno(&error)))?;
    let text = std::str::from_utf8(&text[..length]).unwrap_or_default();
    Ok(text.trim().parse().unwrap_or(0))
}

/// Notes which slot is to be tried first by the next box.
pub(super) fn set_next_slot(
    place: BorrowedFd<'_>,
    locks: &Path,
    slot: u32,
) -> Result<(), BoxDirError> {
    let file = File::from(open_turn(place, locks)?);
    file.write_all_at(format!("{slot:LENGTH$}").as_bytes(), 0)
        .map_err(|error| BoxDirError::at("write to", locks)(errno(&error)))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn what_is_noted_is_read_and_what_is_not_understood_is_the_beginning() {
        let dir = tempfile::tempdir().unwrap();
        let place = File::open(dir.path()).unwrap();
        let next = || next_slot(place.as_fd(), dir.path()).unwrap();
        assert_eq!(next(), 0);
        for slot in [7, u32::MAX, 0, 12] {
            set_next_slot(place.as_fd(), dir.path(), slot).unwrap();
            assert_eq!(next(), slot);
        }
        fs::write(dir.path().join("turn"), "x").unwrap();
        assert_eq!(next(), 0);
    }
}
