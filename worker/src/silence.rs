//! Ends connections over which no answer comes, so that the library makes new ones: packets may be
//! dropped on their way, a server may hang, and one that is cut off from the others answers what it
//! knows and decides nothing. The library notices none of that: it sends no ping as long as it has
//! something else to send, and waits for ever for the first word of a server.

use std::fs;
use std::os::fd::RawFd;
use std::time::Duration;

use async_nats::ServerAddr;
use async_nats::jetstream::Context;
use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::message::PublishMessage;
use nix::sys::socket::{Shutdown, SockaddrLike, SockaddrStorage, getpeername, shutdown};
use tokio::time::timeout;

use crate::connection::Fleet;

/// How often the servers are asked for an answer, how long they may take, and how often in a row
/// there may be none.
const PAUSE: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(3);
const TRIES: u32 = 2;
/// What no stream is called.
const NOBODY: &str = "ISO_NOBODY";

/// Does so for the connection to one of these servers. Whoever it is may publish to this subject.
pub(crate) async fn break_silence(fleet: Fleet, urls: Vec<String>, subject: String) {
    let mut failed = 0;
    loop {
        tokio::time::sleep(PAUSE).await;
        let asked = timeout(PATIENCE, is_answered(&fleet.jetstream, &subject)).await;
        failed = match asked {
            Ok(true) => 0,
            _ => failed + 1,
        };
        if failed < TRIES {
            continue;
        }
        failed = 0;
        let told = fleet.client.server_info().connect_urls;
        let ports: Vec<u16> = urls
            .iter()
            .chain(&told)
            .filter_map(|url| port(url))
            .collect();
        // Servers that are away have no connection, and are tried anew anyway.
        if hang_up(&ports) > 0 {
            log::warn!("NATS does not answer; trying its servers anew");
        }
    }
}

/// Whether those who decide about a subject answer: they refuse what is meant for another stream.
/// Unlike what is stored, that is told by no server which is cut off from the others.
async fn is_answered(jetstream: &Context, subject: &str) -> bool {
    let message = PublishMessage::build().expected_stream(NOBODY);
    let sent = jetstream.send_publish(subject.to_owned(), message).await;
    let answer = match sent {
        Ok(acknowledged) => acknowledged.await,
        Err(error) => Err(error),
    };
    answer.map_or_else(|error| error.kind() == PublishErrorKind::Other, |_| true)
}

/// The port of `tls://host:port`, or of `host:port`, as the library reads it.
fn port(url: &str) -> Option<u16> {
    Some(url.parse::<ServerAddr>().ok()?.port())
}

/// Ends this process' connections to these ports: whoever reads from one sees its end. How many.
fn hang_up(ports: &[u16]) -> usize {
    let entries = fs::read_dir("/proc/self/fd").into_iter().flatten();
    let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let numbers: Vec<RawFd> = numbers.collect();
    let is_one = |fd: &RawFd| peer_port(*fd).is_some_and(|port| ports.contains(&port));
    numbers
        .into_iter()
        .filter(is_one)
        .filter(|fd| shutdown(*fd, Shutdown::Both).is_ok())
        .count()
}

/// Where the other end of a connection is; none, if this is no connection.
fn peer_port(fd: RawFd) -> Option<u16> {
    let peer: SockaddrStorage = getpeername(fd).ok()?;
    peer.family()?;
    let v4 = peer.as_sockaddr_in().map(|place| place.port());
    v4.or_else(|| peer.as_sockaddr_in6().map(|place| place.port()))
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_port_is_found_in_all_ways_in_which_a_server_is_named() {
        for (url, expected) in [
            ("tls://nats1:4333", 4333),
            ("nats://[::1]:4334", 4334),
            ("10.0.0.1:4335", 4335),
            ("nats1", 4222),
            ("nats://nats1:4337/", 4337),
            ("nats://nats1", 4222),
            ("nats://user:secret@nats1:4336", 4336),
        ] {
            assert_eq!(port(url), Some(expected), "{url}");
        }
    }

    #[test]
    fn whoever_waits_at_a_connection_that_is_ended_sees_its_end() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let place = listener.local_addr().unwrap();
        let mut silent = TcpStream::connect(place).unwrap();
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let kept = TcpStream::connect(other.local_addr().unwrap()).unwrap();
        assert_eq!(hang_up(&[place.port()]), 1);
        assert_eq!(silent.read(&mut [0; 8]).unwrap(), 0);
        assert!(kept.peer_addr().is_ok());
    }
}
