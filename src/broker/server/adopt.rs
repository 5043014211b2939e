//! The caller's descriptors, under the numbers that the caller gave them. Afterwards the keeper's
//! process looks as if the caller had started it, and everything else is as for root.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use crate::broker::protocol::STANDARD;
use crate::sys::descriptors::{copy_from, put_at};

/// Puts the standard descriptors and the inherited ones where they belong, and returns the rest of
/// `descriptors`, which begins with them. `own` are all other descriptors above 2 of this process;
/// they move out of the way.
pub(super) fn adopt(
    descriptors: Vec<OwnedFd>,
    inherited: &[i32],
    own: &mut [&mut OwnedFd],
) -> io::Result<Vec<OwnedFd>> {
    let numbers: Vec<i32> = (0..STANDARD as i32)
        .chain(inherited.iter().copied())
        .collect();
    let mut descriptors = descriptors;
    if let Some(highest) = inherited.last() {
        let all = own.iter_mut().map(|own| &mut **own).chain(&mut descriptors);
        for descriptor in all {
            let moved = copy_from(highest + 1, descriptor.as_fd())?;
            *descriptor = moved;
        }
    }
    let rest = descriptors.split_off(numbers.len());
    for (number, descriptor) in numbers.into_iter().zip(&descriptors) {
        put_at(number, descriptor.as_fd())?;
    }
    Ok(rest)
}
