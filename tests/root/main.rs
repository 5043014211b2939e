//! What needs root, but neither systemd nor control groups.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

mod batch;
mod box_ids;
mod boxes;
mod calibrate;
mod callers;
mod clients_boxes;
mod clients_dialogs;
mod clients_services;
mod config;
mod container_init;
mod directories;
mod exec;
mod isolation;
mod judge;
mod looking_after;
mod messages;
mod meta;
mod not_started;
mod old_config;
mod options;
mod priority;
mod session;
mod status;
mod syscalls;
mod world;
