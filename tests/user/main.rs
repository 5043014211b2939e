//! What needs no privileges: the command line, the files of the repository, and what its documents promise.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

mod batch;
mod cli;
mod compatibility;
mod completions;
mod config;
mod doctor;
mod documents;
mod hygiene;
mod install;
mod platforms;
mod security;
