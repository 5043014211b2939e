//! Keys of users of the NATS servers. A server knows the name of a key, and never its seed.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nkeys::KeyPair;

use crate::failure::Failure;
use crate::tell::tell;

/// Makes one: the seed into a file that is its owner's alone, the name to whoever called.
///
/// # Errors
///
/// The file is there already, or cannot be written.
pub(crate) fn make(file: &Path) -> Result<(), Failure> {
    let what = format!("cannot write a key to {}", file.display());
    let pair = KeyPair::new_user();
    let seed = pair.seed().map_err(Failure::at(&what))?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let mut out = options.open(file).map_err(Failure::at(&what))?;
    out.write_all(format!("{seed}\n").as_bytes())
        .and_then(|()| out.sync_all())
        .map_err(Failure::at(&what))?;
    tell(&pair.public_key());
    Ok(())
}
