//! The configuration file of isolate: read in the place of a TOML file, or turned into one (`config import`).
//!
//! What its keys mean here is in `key.rs`, its lines are read in `format.rs`; `file.rs` knows where the file is.

mod file;
mod format;
pub(crate) mod import;
mod key;

pub(super) use file::read_installed;
