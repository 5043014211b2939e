//! The configuration file of isolate: read in the place of a TOML file, or turned into one (`config
//! import`). What the settings mean for a run is not decided here.
//!
//! `key.rs` knows what its keys mean here, `format.rs` reads its lines, and `file.rs` finds the
//! file.

mod file;
mod format;
#[cfg(fuzzing)]
pub(super) mod fuzzing;
pub(crate) mod import;
mod key;

pub(super) use file::read_installed;
