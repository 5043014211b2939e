//! Writing to descriptors that others have, too.

use std::io;
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::unistd::write;

use crate::answer::Answer;
use crate::error::chain;
use crate::sys::poll::{self, Until, writable};

/// Writes all bytes, as if the descriptor blocked. Another process that shares it, such as the
/// program, may have set O_NONBLOCK, which belongs to the open file and not to the descriptor.
pub(crate) fn write_all(to: impl AsFd, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match write(&to, bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(length) => bytes = &bytes[length..],
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => {
                poll::first([((), writable(to.as_fd()))], Until::Forever)?;
            }
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

/// Writes an answer to the standard descriptors, and returns its exit code. An output that nobody
/// reads is no error, and neither is a message that cannot be written. What else keeps the output
/// from being written is told, with the code of a `failure`.
pub(crate) fn print(answer: &Answer, failure: u8) -> u8 {
    let written = write_all(io::stdout(), answer.stdout.as_bytes());
    let tell = |line: &str| write_all(io::stderr(), format!("{line}\n").as_bytes()).ok();
    if let Some(line) = &answer.stderr {
        tell(line);
    }
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            let reason = chain(&error);
            tell(&format!(
                "isolate-run: cannot write to standard output: {reason}"
            ));
            failure
        }
        _ => answer.code,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_descriptor_that_does_not_block_is_waited_for() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let reader = std::thread::spawn(move || {
            let mut all = Vec::new();
            theirs.read_to_end(&mut all).unwrap();
            all.len()
        });
        write_all(&ours, &vec![b'x'; 10_000_000]).unwrap();
        drop(ours);
        assert_eq!(reader.join().unwrap(), 10_000_000);
    }

    #[test]
    fn an_output_that_cannot_be_written_is_an_error() {
        let full = std::fs::File::options()
            .write(true)
            .open("/dev/full")
            .unwrap();
        assert_eq!(
            write_all(&full, b"x").unwrap_err().raw_os_error(),
            Some(libc::ENOSPC)
        );
        write_all(&full, b"").unwrap();
    }
}
