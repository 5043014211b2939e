//! How far the program's process has come on its way to the program. init reads this in the memory
//! that they share, once the process is the program or has ended.

use std::cell::Cell;

use super::obstacles;
use super::program_setup::ProgramSetup;
use crate::clock::Moment;
use crate::report::{Obstacle, Stream};

/// What the program's process notes for init.
#[derive(Debug)]
pub(super) struct Progress {
    /// When init had built the root file system.
    pub(super) root_built: Option<Moment>,
    /// When the clock started.
    pub(super) begun: Cell<Option<Moment>>,
    /// What it does.
    pub(super) at: Cell<At>,
}

/// Where the program's process is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum At {
    /// Before its redirections, or past them and about to become the program.
    #[default]
    Elsewhere,
    /// It opens a redirection, which may take as long as somebody else likes.
    Opening(Stream),
    /// execve(2) has failed with this errno.
    NotExecuted(i32),
}

impl Progress {
    /// That of a process to be, for which the root file system was ready at this moment.
    pub(super) fn new(root_built: Option<Moment>) -> Self {
        Self {
            root_built,
            begun: Cell::default(),
            at: Cell::default(),
        }
    }

    /// What kept the process that was made from `setup` from becoming the program, if that is so.
    pub(super) fn obstacle(&self, setup: &ProgramSetup<'_>) -> Option<Obstacle> {
        match self.at.get() {
            At::Elsewhere => None,
            At::Opening(stream) => Some(Obstacle::Opening(stream)),
            At::NotExecuted(errno) => Some(Obstacle::Execution {
                errno,
                found: obstacles::find(setup),
            }),
        }
    }
}
