//! isolate-run-worker: a machine of a fleet. It takes jobs from NATS JetStream, has `isolate-run
//! batch` run them, and publishes one result for each.
//!
//! ```text
//! ISO_JOBS ─ dispatch ─▶ carry ─ validate, decide ─ files ─ batches ─ conclude ─▶ ISO_RESULTS
//!             shares      lease                     cache   (a batch)  spool, courier
//! ```
//!
//! The judge's own database is the truth, and a message only a reminder: `docs/fleet.md` says what
//! is promised to whom. What is decided is in modules without effects: `settings`, `layout`,
//! `names`, `validate`, `decide`, `trouble`, `shares`, `quantity`.

mod batches;
mod cache;
mod carry;
mod cli;
mod conclude;
mod config;
mod connection;
mod control;
mod courier;
mod decide;
mod dispatch;
mod fail;
mod failure;
mod files;
mod health;
mod keys;
mod layout;
mod lease;
mod local;
mod machine;
mod metrics;
mod names;
mod newer;
mod past;
mod patience;
mod quantity;
mod settings;
mod shares;
mod silence;
mod spool;
mod station;
mod store;
mod tell;
mod trouble;
mod validate;
mod verbs;
mod worker;

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use cli::{Cli, Verb};
use failure::Failure;

/// The exit code of what was refused or did not work.
const EXIT_FAILURE: u8 = 2;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help that nobody reads is no error.
            error.print().ok();
            let is_help = matches!(
                error.kind(),
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
            );
            return if is_help {
                ExitCode::SUCCESS
            } else {
                ExitCode::from(EXIT_FAILURE)
            };
        }
    };
    tell::start_log(cli.verbose);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            tell::complain(&format!("cannot start threads: {error}"));
            return ExitCode::from(EXIT_FAILURE);
        }
    };
    match runtime.block_on(carry_out(cli)) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            tell::complain(&failure.to_string());
            ExitCode::from(EXIT_FAILURE)
        }
    }
}

/// Does what the command line says; the exit code.
async fn carry_out(cli: Cli) -> Result<u8, Failure> {
    let loaded = config::load(cli.config.as_deref())?;
    let mut settings = loaded.settings;
    if cli.check_config {
        for file in &loaded.files {
            tell::tell(&format!("read {}", file.display()));
        }
        let id = machine::id(&settings)?;
        let (pool, slots) = (&settings.machine.pool, machine::slots(&settings.slots));
        tell::tell(&format!(
            "machine {id} of pool {pool}, slots: {slots}; the configuration makes sense"
        ));
        return Ok(0);
    }
    if settings.nats.inbox.is_none() {
        // Whoever may hear everybody's answers reads what they read: each has a place of its own.
        let of_machine = |id| format!("_INBOX.{}.{id}", settings.machine.pool);
        settings.nats.inbox = machine::id(&settings).ok().map(of_machine);
    }
    if cli.local.is_some() {
        local::adapt(&mut settings);
    }
    let local = cli.local.map(|dir| local::dir(dir.as_deref(), &settings));
    let Some(verb) = cli.verb else {
        return work(settings, local).await;
    };
    if let Some(dir) = local {
        local::find(&dir, &mut settings)?;
    }
    match verb {
        Verb::Setup { dry_run } => verbs::setup::setup(&settings, dry_run).await?,
        Verb::Submit(submit) => return verbs::submit::submit(&settings, &submit).await,
        Verb::Status { json } => verbs::status::status(&settings, json).await?,
        Verb::Key { file } => keys::make(&file)?,
        Verb::Cancel { queue, ids } => verbs::orders::cancel(&settings, &queue, &ids).await?,
        Verb::Drain { machine, reason } => {
            verbs::orders::drain(&settings, machine, Some(reason)).await?;
        }
        Verb::Undrain { machine } => verbs::orders::drain(&settings, machine, None).await?,
        Verb::Dead(dead) => verbs::dead::dead(&settings, &dead).await?,
        Verb::Prefetch { pool, queue, files } => {
            verbs::orders::prefetch(&settings, pool, &queue, &files).await?;
        }
        Verb::Fleet { json } => return verbs::drift::drift(&settings, json).await,
    }
    Ok(0)
}

/// Takes jobs until a signal says to stop, from a server of its own if it is to have one.
async fn work(
    mut settings: settings::Settings,
    local: Option<std::path::PathBuf>,
) -> Result<u8, Failure> {
    let mut stop = worker::until_signal()?;
    let server = match &local {
        Some(dir) => tokio::select! {
            started = local::start(dir, &mut settings) => started?,
            _ = stop.changed() => return Ok(0),
        },
        None => None,
    };
    worker::work(settings, stop).await?;
    drop(server);
    Ok(0)
}
