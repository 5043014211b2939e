//! A client of NATS that asks for what no honest one asks for.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::world::PATIENCE;

/// A connection.
#[derive(Debug)]
pub struct Raw(TcpStream, u32);

impl Raw {
    /// As this user.
    pub fn login(port: u16, user: &str, password: &str) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_millis(50)))
            .unwrap();
        let mut raw = Self(stream, 0);
        raw.send(&format!(
            "CONNECT {{\"verbose\":false,\"headers\":true,\"no_responders\":true,\"user\":\"{user}\",\"pass\":\"{password}\"}}\r\n"
        ));
        let said = raw.heard();
        assert!(!said.contains("-ERR"), "{said}");
        raw
    }

    fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).unwrap();
    }

    /// Publishes, with an address for the answer.
    pub fn publish(&mut self, subject: &str, payload: &str, reply: &str) {
        let length = payload.len();
        self.send(&format!("PUB {subject} {reply} {length}\r\n{payload}\r\n"));
    }

    /// Publishes with a header.
    pub fn publish_with(&mut self, header: &str, subject: &str, payload: &str, reply: &str) {
        let header = format!("NATS/1.0\r\n{header}\r\n\r\n");
        let (first, all) = (header.len(), header.len() + payload.len());
        self.send(&format!(
            "HPUB {subject} {reply} {first} {all}\r\n{header}{payload}\r\n"
        ));
    }

    pub fn subscribe(&mut self, subject: &str) {
        // A number that is taken would have nothing be heard.
        self.1 += 1;
        self.send(&format!("SUB {subject} {}\r\n", self.1));
    }

    /// All that has come, up to an answer to what was sent last.
    pub fn heard(&mut self) -> String {
        self.send("PING\r\n");
        let (mut all, mut part) = (Vec::new(), [0; 65536]);
        let end = Instant::now() + PATIENCE;
        loop {
            match self.0.read(&mut part) {
                Ok(0) => break,
                Ok(count) => all.extend_from_slice(&part[..count]),
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    if String::from_utf8_lossy(&all).contains("PONG\r\n") {
                        break;
                    }
                    assert!(Instant::now() < end, "the server does not answer");
                }
                Err(_) => break,
            }
        }
        String::from_utf8_lossy(&all).into_owned()
    }
}
