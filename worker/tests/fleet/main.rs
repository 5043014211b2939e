//! Workers, servers and submitters as they are: real nats-servers of Debian 13 on the loopback, the
//! worker's own program, and a program in the place of `isolate-run` that does as the id of a job
//! says. What is promised of each job is looked for in the streams themselves.

#![allow(clippy::unwrap_used, unreachable_pub, missing_docs)]

mod backlog;
mod chaos;
mod deaths;
mod disks;
mod drains;
mod fake;
mod full;
mod greedy;
mod health;
mod local;
mod metrics;
mod partitions;
mod permissions;
mod queues;
mod quorum;
mod raw;
mod schemas;
mod servers;
mod submitter;
mod tls;
mod tries;
mod troubles;
mod verdicts;
mod versions;
mod ways;
mod world;
