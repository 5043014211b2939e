//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Takes jobs from NATS JetStream and runs them by isolate-run batch.
///
/// Without a command it works: it takes jobs until it gets SIGTERM. See docs/fleet.md.
#[derive(Debug, Parser)]
#[command(name = "isolate-run-worker", version, disable_help_subcommand = true)]
pub(crate) struct Cli {
    /// Read this file alone, and not /etc/isolate/worker.toml with its drop-ins.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Use a private nats-server of this machine, with its store in DIR; the worker starts it.
    #[arg(long, global = true, value_name = "DIR", num_args = 0..=1, require_equals = true)]
    pub(crate) local: Option<Option<PathBuf>>,
    /// Log more.
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
    /// Say whether the configuration makes sense, and do nothing.
    #[arg(long)]
    pub(crate) check_config: bool,
    #[command(subcommand)]
    pub(crate) verb: Option<Verb>,
}

/// What is done instead of work.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Make the streams, buckets and consumers of worker.toml on the servers, or change them.
    Setup {
        /// Only say what would be made.
        #[arg(long)]
        dry_run: bool,
    },
    /// Submit jobs, one JSON object a line as for isolate-run batch; files that they name are
    /// uploaded.
    Submit(Submit),
    /// Show what waits, and which machines there are.
    Status {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Make a key for a user of the NATS servers: its seed into FILE, its name to standard output.
    Key {
        /// Must not exist.
        file: PathBuf,
    },
    /// End jobs, whether they have begun or not.
    Cancel {
        /// The contest or course.
        #[arg(long, default_value = "default")]
        queue: String,
        /// Their ids.
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
    },
    /// Have a machine take no more jobs; those that run go on.
    Drain {
        /// The machine; without it, this one.
        machine: Option<String>,
        /// Why.
        #[arg(long, default_value = "an administrator wants it")]
        reason: String,
    },
    /// Have a machine take jobs again.
    Undrain {
        /// The machine; without it, this one.
        machine: Option<String>,
    },
    /// Jobs that no machine could carry out.
    #[command(subcommand)]
    Dead(Dead),
    /// Have all machines of a pool get files before there are jobs that need them.
    Prefetch {
        /// The pool; without it, that of worker.toml.
        #[arg(long)]
        pool: Option<String>,
        /// The contest or course.
        #[arg(long, default_value = "default")]
        queue: String,
        /// The files; they are uploaded.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Compare the machines of each pool; the exit code is 1 when they differ.
    Fleet {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}

/// `submit`
#[derive(Debug, clap::Args)]
pub(crate) struct Submit {
    /// Files with jobs; without any, or with -, standard input.
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// The contest or course.
    #[arg(long, default_value = "default")]
    pub(crate) queue: String,
    /// The class of machines; without it, that of worker.toml.
    #[arg(long)]
    pub(crate) pool: Option<String>,
    /// live, rejudge or bulk.
    #[arg(long, default_value = "live")]
    pub(crate) priority: isolate_run_client::Priority,
    /// Nobody wants results that come later than so many seconds from now.
    #[arg(long, value_name = "SECONDS")]
    pub(crate) within: Option<u64>,
    /// What the jobs are followed by, in results and in the log.
    #[arg(long)]
    pub(crate) trace: Option<String>,
    /// Wait for the results and write them, one a line, as they come.
    #[arg(long)]
    pub(crate) wait: bool,
}

/// `dead`
#[derive(Debug, Subcommand)]
pub(crate) enum Dead {
    /// List them.
    List,
    /// Show one: the job, and on which machines it did not work.
    Show {
        /// Its id.
        id: String,
    },
    /// Submit one again, as if it had no result.
    Retry {
        /// Its id.
        id: String,
    },
}
