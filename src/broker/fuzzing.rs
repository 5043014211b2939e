//! The code that reads strangers' bytes, for the fuzz targets in `fuzz/`. A panic is a finding.

use std::sync::LazyLock;

use super::opening::{ANNOUNCEMENT, Opening};
use super::protocol::Called;
use super::reply::Reply;
use super::server;
use crate::caller::Inheritance;

static OWN: LazyLock<Inheritance> =
    LazyLock::new(|| Inheritance::of_process().expect("a process has limits"));

/// Reads what comes from a caller: an announcement, and after it the request that it announces.
pub fn request(bytes: &[u8]) {
    let (first, rest) = bytes.split_at(bytes.len().min(ANNOUNCEMENT));
    let Ok(opening) = Opening::from_bytes(first) else {
        return;
    };
    assert_eq!(opening.to_bytes().as_ref().map(|same| &same[..]), Ok(first));
    let Opening::Request(announced) = opening else {
        return;
    };
    let Ok(called) = Called::from_bytes(rest, announced.descriptors) else {
        return;
    };
    // A number can be written in several ways, so the bytes may differ; the meaning may not.
    let again = called.to_bytes().expect("what was read can be sent");
    let same = Called::from_bytes(&again, announced.descriptors);
    assert_eq!(same.as_ref(), Ok(&called));
    server::examine(&called, &OWN);
}

/// Reads what comes from the broker.
pub fn reply(bytes: &[u8]) {
    let Ok(reply) = Reply::from_bytes(bytes) else {
        return;
    };
    if let Ok(again) = reply.to_bytes() {
        assert_eq!(Reply::from_bytes(&again), Ok(reply));
    }
}
