//! The functions for the fuzz targets in `fuzz/`.

pub use crate::batch::fuzzing::job;
pub use crate::box_dir::fuzzing::record;
pub use crate::broker::fuzzing::{reply, request};
pub use crate::cli::fuzzing::command_line;
pub use crate::config::fuzzing::{old_config, toml};
pub use crate::dir_rule::any_rule as rule;
pub use crate::report::meta::any_message as meta;

/// Reads any file of `/proc`, or of a control group.
pub fn machine(bytes: &[u8]) {
    crate::box_dir::fuzzing::status(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        crate::cgroup::read_any(text);
        crate::keeper::read_any(text);
        for number in 0..60 {
            crate::sys::process::stat_field(text, number);
        }
    }
}
