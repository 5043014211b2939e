//! What a caller's process and the broker say to each other. Pure: sending and receiving is in
//! `wire.rs`.
//!
//! The socket is `SOCK_SEQPACKET`; a packet is at most [`LONGEST_PACKET`] bytes.
//!
//! ```text
//! caller ──▶ broker   Announcement                  16 bytes: the version, how long the request
//!                                                   is, how many descriptors come with it
//! caller ──▶ broker   the request, in as many packets as it takes, with the descriptors beside
//!                     them: standard input, output and error, then those to be inherited, then
//!                     the directories
//! caller ──▶ broker   signal, any number of times   4 bytes: its number; the end of the
//!                                                   connection counts as a signal
//! broker ──▶ caller   Reply::Log, any number of times
//! broker ──▶ caller   Reply::Done or Reply::Failed  the last word; what is longer than a packet
//!                                                   comes as Reply::Part, until an empty one
//! ```
//!
//! Whoever has many requests opens a series instead: its announcement has neither length nor
//! descriptors. Each request then gets a channel of its own, which is used as a connection is:
//!
//! ```text
//! caller ──▶ broker   the announcement of a series
//! caller ──▶ broker   ANOTHER, any number of times, with one end of a pair of the caller's
//! broker ──▶ caller   over that pair: ANOTHER with the channel
//! ```
//!
//! The broker makes the channels: nobody else has its ends of them. Who calls, for all requests of
//! a series, is who connected.
//!
//! The first messages are in `opening.rs`. Numbers are in the byte order of this machine, which
//! both sides run on. The request and the replies ([`super::reply`]) are in the format of the crate
//! postcard. Any change here makes another [`VERSION`].

use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::OsStringExt;

use serde::{Deserialize, Serialize};

use super::bounded;
use crate::caller::Inheritance;
use crate::failure::Explained;

/// The version of the protocol. A service that was upgraded but not restarted speaks another one
/// than its callers.
pub(crate) const VERSION: u32 = 5;
/// The longest packet in bytes. A socket with the kernel's default buffer takes somewhat more at
/// once (socket(7), wmem_default).
pub(crate) const LONGEST_PACKET: usize = 128 << 10;
/// The longest request in bytes: more than execve(2) takes by default.
pub(crate) const LONGEST_REQUEST: usize = 4 << 20;
/// The most descriptors that may come with a request.
pub(crate) const MOST_DESCRIPTORS: usize = 1024;
/// The most of them beside one packet: the kernel's own limit (unix(7), SCM_MAX_FD).
pub(crate) const MOST_DESCRIPTORS_AT_ONCE: usize = 253;
/// How many of them are the standard ones.
pub(crate) const STANDARD: usize = 3;
/// The largest number that a descriptor may have to be inherited.
pub(crate) const HIGHEST_DESCRIPTOR: i32 = 65_535;

/// What is wrong with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProtocolError {
    /// It is not one of ours at all.
    Unintelligible,
    /// It is of another version.
    Version(u32),
    /// It is longer, or has more descriptors, than is allowed.
    TooLong,
    /// The descriptors that came are not those that it names.
    Descriptors,
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unintelligible => f.write_str("the message is not one of isolate-run's"),
            Self::Version(theirs) => write!(
                f,
                "one side speaks version {theirs} of the protocol, the other version {VERSION}: \
                 after an upgrade restart the service (systemctl restart isolate.service)"
            ),
            Self::TooLong => write!(
                f,
                "the request is too long: at most {LONGEST_REQUEST} bytes, {} words or variables and {MOST_DESCRIPTORS} \
                 descriptors are allowed",
                bounded::MOST
            ),
            Self::Descriptors => {
                f.write_str("the request speaks of other descriptors than those that came with it")
            }
        }
    }
}

impl std::error::Error for ProtocolError {}

impl Explained for ProtocolError {}

/// The request: the command line, which the broker reads as the caller's process did, and
/// everything else that counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Called {
    /// The command line.
    #[serde(deserialize_with = "bounded::list")]
    pub(crate) argv: Vec<Vec<u8>>,
    /// The part of the environment that the command line names.
    #[serde(deserialize_with = "bounded::list")]
    pub(crate) environment: Vec<(Vec<u8>, Vec<u8>)>,
    /// When the caller asked, as a [`crate::clock::Moment`]'s number.
    pub(crate) asked: u64,
    /// The numbers of the descriptors to be inherited, in rising order; they come after the
    /// standard ones.
    pub(crate) inherited: Vec<i32>,
    /// For each directory that the command line names: 0 if its descriptor comes, otherwise why
    /// there is none (errno).
    pub(crate) directories: Vec<i32>,
    /// What the caller would pass on to a child.
    pub(crate) inheritance: Inheritance,
    /// Whether there is somebody who can be asked for a password.
    pub(crate) interactive: bool,
    /// Whether the call is one of a batch's, which makes many with one box.
    pub(crate) of_batch: bool,
    /// Whether a box of a batch's is made anew after the run: it is the last one of a job.
    pub(crate) renews: bool,
}

/// Words as they travel.
pub(crate) fn words(words: impl IntoIterator<Item = OsString>) -> Vec<Vec<u8>> {
    words.into_iter().map(OsString::into_vec).collect()
}

/// Variables as they travel.
pub(crate) fn variables(variables: Vec<(OsString, OsString)>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let variables = variables.into_iter();
    variables
        .map(|(name, value)| (name.into_vec(), value.into_vec()))
        .collect()
}

impl Called {
    /// The bytes that travel.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, ProtocolError> {
        postcard::to_stdvec(self).map_err(|_| ProtocolError::TooLong)
    }

    /// Reads a request that came with this many descriptors.
    pub(crate) fn from_bytes(bytes: &[u8], descriptors: usize) -> Result<Self, ProtocolError> {
        let (called, rest): (Self, _) =
            postcard::take_from_bytes(bytes).map_err(|error| match error {
                postcard::Error::SerdeDeCustom => ProtocolError::TooLong,
                _ => ProtocolError::Unintelligible,
            })?;
        if !rest.is_empty() {
            return Err(ProtocolError::Unintelligible);
        }
        let opened = called.directories.iter().filter(|errno| **errno == 0);
        let spoken_of = STANDARD + called.inherited.len() + opened.count();
        let rising = called.inherited.is_sorted_by(|one, next| one < next);
        let in_range = called
            .inherited
            .iter()
            .all(|number| (STANDARD as i32..=HIGHEST_DESCRIPTOR).contains(number));
        if spoken_of != descriptors || !rising || !in_range {
            return Err(ProtocolError::Descriptors);
        }
        Ok(called)
    }

    /// The command line.
    pub(crate) fn argv(&self) -> impl Iterator<Item = OsString> {
        self.argv.iter().cloned().map(OsString::from_vec)
    }

    /// The environment.
    pub(crate) fn environment(&self) -> Vec<(OsString, OsString)> {
        let text = |bytes: &Vec<u8>| OsString::from_vec(bytes.clone());
        self.environment
            .iter()
            .map(|(name, value)| (text(name), text(value)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::broker::reply::Reply;
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    fn called() -> Called {
        let argv = ["isolate-run", "--run", "--", "/bin/\u{e9}"].map(OsString::from);
        Called {
            argv: words(argv),
            environment: vec![(b"A".to_vec(), vec![0xff, b'='])],
            asked: 7,
            inherited: vec![3, 9],
            directories: vec![0, 2, 0],
            inheritance: Inheritance::of_process().unwrap(),
            interactive: true,
            of_batch: true,
            renews: false,
        }
    }

    #[test]
    fn a_request_arrives_as_it_was_sent() {
        let bytes = called().to_bytes().unwrap();
        let there = Called::from_bytes(&bytes, 7).unwrap();
        assert_eq!(there, called());
        assert_eq!(there.argv().last(), Some("/bin/\u{e9}".into()));
        assert_eq!(there.environment()[0].1.as_bytes(), [0xff, b'=']);
    }

    /// They write the packets by hand: what is of another version would be refused for that alone.
    #[test]
    fn hostile_clients_of_the_tests_speak_this_version() {
        let wire = include_str!("../../tests/hostile/wire.py");
        assert!(wire.contains(&format!("\nVERSION = {VERSION}\n")));
    }

    #[test]
    fn descriptors_that_do_not_fit_are_refused() {
        let bytes = called().to_bytes().unwrap();
        for descriptors in [0, 3, 6, 8] {
            let refused = Called::from_bytes(&bytes, descriptors);
            assert_eq!(refused, Err(ProtocolError::Descriptors));
        }
        for inherited in [
            vec![2, 9],
            vec![9, 3],
            vec![3, 3],
            vec![-1, 3],
            vec![3, 65_536],
        ] {
            let bytes = Called {
                inherited,
                ..called()
            }
            .to_bytes()
            .unwrap();
            let refused = Called::from_bytes(&bytes, 7);
            assert_eq!(refused, Err(ProtocolError::Descriptors));
        }
    }

    #[test]
    fn a_request_of_very_many_words_is_refused() {
        let with_words = |number: usize| {
            let mut many = called();
            many.argv = vec![Vec::new(); number];
            Called::from_bytes(&many.to_bytes().unwrap(), 7).map(|called| called.argv.len())
        };
        assert_eq!(with_words(bounded::MOST), Ok(bounded::MOST));
        assert_eq!(with_words(bounded::MOST + 1), Err(ProtocolError::TooLong));
    }

    #[test]
    fn garbage_is_an_error_and_no_panic() {
        let good = called().to_bytes().unwrap();
        for at in 0..good.len() {
            assert!(Called::from_bytes(&good[..at], 7).is_err());
            for byte in [0, 1, 0x7f, 0x80, 0xff] {
                let mut bad = good.clone();
                bad[at] = byte;
                drop(Called::from_bytes(&bad, 7));
                drop(Reply::from_bytes(&bad));
            }
        }
        let longer = [&good[..], &[0]].concat();
        assert_eq!(
            Called::from_bytes(&longer, 7),
            Err(ProtocolError::Unintelligible)
        );
        // The length promises more than there is.
        assert!(Called::from_bytes(&[0xff; 12], 7).is_err());
    }
}
