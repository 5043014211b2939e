//! The checks themselves: each decides from what is in a [`Machine`](super::machine::Machine), and
//! changes nothing.

pub(super) mod base;
pub(super) mod clock;
pub(super) mod cpu;
pub(super) mod disk;
pub(super) mod groups;
pub(super) mod ids;
pub(super) mod kernel;
pub(super) mod memory;
pub(super) mod removal;
pub(super) mod rootless;
pub(super) mod services;
pub(super) mod slice;
