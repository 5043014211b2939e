//! What the broker says: one packet, or several for what is longer.

use serde::{Deserialize, Serialize};

use super::protocol::{LONGEST_PACKET, ProtocolError};
use crate::answer::{Answer, Results};

/// The longest reply in bytes, in all its parts.
pub(crate) const LONGEST_REPLY: usize = 16 << 20;
/// The longest part of a reply that has several: there has to be room for saying so.
const LONGEST_PART: usize = LONGEST_PACKET - 16;

/// What the broker says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// A line for standard error (`-v`).
    Log(String),
    /// The command was carried out.
    Done(Answer, Results),
    /// It was refused or did not work.
    Failed(String),
    /// The next bytes of a longer reply; it is whole when none come.
    Part(Vec<u8>),
}

impl Reply {
    /// The bytes of the packets that it travels in.
    pub(crate) fn to_packets(&self) -> Result<Vec<Vec<u8>>, ProtocolError> {
        let bytes = self.to_bytes()?;
        if bytes.len() <= LONGEST_PACKET {
            return Ok(vec![bytes]);
        }
        if bytes.len() > LONGEST_REPLY {
            return Err(ProtocolError::TooLong);
        }
        let parts = bytes.chunks(LONGEST_PART).chain([&[][..]]);
        parts
            .map(|part| Self::Part(part.to_vec()).to_bytes())
            .collect()
    }

    /// Its bytes.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, ProtocolError> {
        postcard::to_stdvec(self).map_err(|_| ProtocolError::TooLong)
    }

    /// Reads a reply.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, ProtocolError> {
        postcard::from_bytes(bytes).map_err(|_| ProtocolError::Unintelligible)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_arrives_as_it_was_sent() {
        let done = Reply::Done(Answer::default(), Results::default());
        let failed = Reply::Failed("no".into());
        for reply in [done, failed, Reply::Log("a line".into())] {
            let bytes = reply.to_bytes().unwrap();
            assert_eq!(Reply::from_bytes(&bytes), Ok(reply));
        }
        let too_long = Reply::Failed("x".repeat(LONGEST_REPLY + 1));
        assert!(too_long.to_packets().is_err());
    }
}
