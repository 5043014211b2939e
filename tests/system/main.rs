//! What needs systemd, D-Bus, polkit and control groups.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

mod attacks;
mod barriers;
mod batch;
mod batch_series;
mod broker_ceilings;
mod broker_directories;
mod broker_exec;
mod broker_failures;
mod broker_hostile;
mod broker_ids;
mod broker_limits;
mod broker_results;
mod broker_rights;
mod broker_signals;
mod broker_soak;
mod broker_streams;
mod broker_terminal;
mod broker_world;
mod bus_strangers;
mod chaos;
mod clients_boxes;
mod clients_contests;
mod clients_dialogs;
mod clients_judges;
mod clients_schools;
mod clients_services;
mod containers;
mod delegated;
mod distributions;
mod doctor;
mod documents;
mod filesystems;
mod id_maps;
mod judge_day;
mod kept;
mod leases;
mod limits;
mod looking;
mod memory;
mod package;
mod pins;
mod python;
mod quota;
mod restarts;
mod rootless;
mod rootless_attacks;
mod scope;
mod security;
mod soak;
mod time;
mod units;
mod verdicts;
