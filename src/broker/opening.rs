//! The first message of a connection, or of a channel: what follows it. Pure.

use super::protocol::{LONGEST_REQUEST, MOST_DESCRIPTORS, ProtocolError, STANDARD, VERSION};

/// The packet that asks for the channel of another request, and the one that brings it.
pub(crate) const ANOTHER: [u8; 1] = [1];

const MAGIC: u32 = u32::from_ne_bytes(*b"isol");

/// The first message: how much follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Announcement {
    /// How many bytes the request has.
    pub(crate) length: usize,
    /// How many descriptors come with it.
    pub(crate) descriptors: usize,
}

/// The size of an announcement.
pub(crate) const ANNOUNCEMENT: usize = 16;

/// What the first message says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opening {
    /// A request follows.
    Request(Announcement),
    /// Many requests will.
    Series,
}

impl Opening {
    /// Its bytes; an error when it announces more than is allowed.
    pub(crate) fn to_bytes(self) -> Result<[u8; ANNOUNCEMENT], ProtocolError> {
        match self {
            Self::Request(announced) => announced.to_bytes(),
            Self::Series => Ok(first_message(0, 0)),
        }
    }

    /// Reads the first message.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, ProtocolError> {
        let bytes: &[u8; ANNOUNCEMENT] = bytes
            .try_into()
            .map_err(|_| ProtocolError::Unintelligible)?;
        let words = bytes
            .chunks_exact(4)
            .filter_map(|word| word.try_into().ok());
        let words: Vec<u32> = words.map(u32::from_ne_bytes).collect();
        let &[MAGIC, version, length, descriptors] = &words[..] else {
            return Err(ProtocolError::Unintelligible);
        };
        if version != VERSION {
            return Err(ProtocolError::Version(version));
        }
        if (length, descriptors) == (0, 0) {
            return Ok(Self::Series);
        }
        let number = |value: u32| usize::try_from(value).map_err(|_| ProtocolError::TooLong);
        let announced = Announcement {
            length: number(length)?,
            descriptors: number(descriptors)?,
        };
        announced.check()?;
        Ok(Self::Request(announced))
    }
}

fn first_message(length: u32, descriptors: u32) -> [u8; ANNOUNCEMENT] {
    let mut bytes = [0; ANNOUNCEMENT];
    let words = [MAGIC, VERSION, length, descriptors];
    for (place, word) in bytes.chunks_exact_mut(4).zip(words) {
        place.copy_from_slice(&word.to_ne_bytes());
    }
    bytes
}

impl Announcement {
    fn to_bytes(self) -> Result<[u8; ANNOUNCEMENT], ProtocolError> {
        self.check()?;
        let number = |value: usize| u32::try_from(value).map_err(|_| ProtocolError::TooLong);
        Ok(first_message(
            number(self.length)?,
            number(self.descriptors)?,
        ))
    }

    fn check(self) -> Result<(), ProtocolError> {
        if self.length > LONGEST_REQUEST || self.descriptors > MOST_DESCRIPTORS {
            return Err(ProtocolError::TooLong);
        }
        if self.length == 0 || self.descriptors < STANDARD {
            return Err(ProtocolError::Descriptors);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_announcement_is_read_within_its_bounds() {
        let announced = |length, descriptors| Announcement {
            length,
            descriptors,
        };
        let good = announced(LONGEST_REQUEST, MOST_DESCRIPTORS);
        let bytes = good.to_bytes().unwrap();
        assert_eq!(Opening::from_bytes(&bytes), Ok(Opening::Request(good)));
        for (length, descriptors) in [
            (LONGEST_REQUEST + 1, 3),
            (1, MOST_DESCRIPTORS + 1),
            (usize::MAX, 3),
            (0, 3),
            (1, 2),
        ] {
            assert!(announced(length, descriptors).to_bytes().is_err());
        }
        // Of one kind or the other.
        assert!(Opening::from_bytes(&first_message(0, 3)).is_err());
        assert!(Opening::from_bytes(&first_message(1, 0)).is_err());
        let series = Opening::Series.to_bytes().unwrap();
        assert_eq!(Opening::from_bytes(&series), Ok(Opening::Series));
        let mut other = bytes;
        other[4..8].copy_from_slice(&9_u32.to_ne_bytes());
        assert_eq!(Opening::from_bytes(&other), Err(ProtocolError::Version(9)));
        for length in [0, 3, 15] {
            let cut = Opening::from_bytes(&bytes[..length]);
            assert_eq!(cut, Err(ProtocolError::Unintelligible));
        }
        let longer = [&bytes[..], &[0]].concat();
        assert!(Opening::from_bytes(&longer).is_err());
        let mut huge = bytes;
        huge[8..12].fill(0xff);
        assert_eq!(Opening::from_bytes(&huge), Err(ProtocolError::TooLong));
    }
}
