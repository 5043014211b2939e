//! A fleet of one machine: the worker starts a nats-server of its own, that listens on the loopback
//! alone and asks for a password. To grow, name other servers in `worker.toml`.

use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};

use crate::connection::connect;
use crate::failure::Failure;
use crate::files::hex;
use crate::settings::Settings;
use crate::verbs::setup;

/// Where the server says how it is reached, and by whom.
const ADDRESS: &str = "url";
const PASSWORD: &str = "password";
/// How long it may take to come up.
const PATIENCE: Duration = Duration::from_secs(30);

/// The directory of the server.
pub(crate) fn dir(named: Option<&Path>, settings: &Settings) -> PathBuf {
    named.map_or_else(|| settings.machine.state_dir.join("local"), Path::to_owned)
}

/// What a server on a machine that does other things, too, is asked for.
pub(crate) fn adapt(settings: &mut Settings) {
    let streams = &mut settings.streams;
    streams.replicas = 1;
    streams.jobs_max.0 = streams.jobs_max.0.min(256 << 20);
    streams.files_max.0 = streams.files_max.0.min(2 << 30);
}

/// Has the settings name the server of this directory.
///
/// # Errors
///
/// No worker has started one there.
pub(crate) fn find(dir: &Path, settings: &mut Settings) -> Result<(), Failure> {
    let file = dir.join(ADDRESS);
    let what = format!(
        "cannot read {}; is isolate-run-worker --local running",
        file.display()
    );
    let url = fs::read_to_string(&file).map_err(Failure::at(what))?;
    settings.nats.urls = vec![url.trim().to_owned()];
    settings.nats.password = Some(dir.join(PASSWORD));
    Ok(())
}

/// Starts the server, unless one runs already, and makes what a fleet needs. It ends when this is
/// dropped.
///
/// # Errors
///
/// There is no nats-server, or it does not come up: what its log says.
pub(crate) async fn start(dir: &Path, settings: &mut Settings) -> Result<Option<Child>, Failure> {
    if find(dir, settings).is_ok() && is_up(settings).await {
        log::info!("a nats-server runs in {} already", dir.display());
        return Ok(None);
    }
    let what = format!("cannot prepare {} for nats-server", dir.display());
    prepare(dir).map_err(Failure::at(what))?;
    find(dir, settings)?;
    let config = dir.join("nats.conf");
    let mut command = Command::new("nats-server");
    command
        .arg("-c")
        .arg(&config)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    // Terminals send SIGINT to the worker, which ends the server when it has no use for it.
    command.process_group(0);
    let server = command.spawn();
    let mut server = server.map_err(Failure::at(
        "cannot start nats-server (the package nats-server of Debian 13 has it)",
    ))?;
    let end = tokio::time::Instant::now() + PATIENCE;
    while !is_up(settings).await {
        let ended = server.try_wait().ok().flatten();
        if ended.is_some() || tokio::time::Instant::now() > end {
            let log = fs::read_to_string(dir.join("log")).unwrap_or_default();
            let last = log.lines().last().unwrap_or("it said nothing");
            return Err(Failure::new(format!(
                "nats-server does not come up in {}: {last}",
                dir.display()
            )));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (_, jetstream) = connect(&settings.nats, "isolate-run-worker", false).await?;
    setup::apply(settings, &jetstream, false).await?;
    log::info!("nats-server runs in {}", dir.display());
    Ok(Some(server))
}

async fn is_up(settings: &Settings) -> bool {
    let Ok((_, jetstream)) = connect(&settings.nats, "isolate-run-worker", false).await else {
        return false;
    };
    jetstream.query_account().await.is_ok()
}

/// Writes the server's configuration, and how it is reached.
fn prepare(dir: &Path) -> std::io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)?;
    // Free now; whoever takes it before the server does has it fail, and the next start another
    // one.
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let mut secret = [0; 16];
    fs::File::open("/dev/urandom")?.read_exact(&mut secret)?;
    let secret = hex(&secret);
    let dir = fs::canonicalize(dir)?;
    let place = dir.display();
    let config = format!(
        "listen: \"127.0.0.1:{port}\"\nlog_file: \"{place}/log\"\n\
         jetstream {{ store_dir: \"{place}/store\", sync_interval: always }}\n\
         authorization {{ user: local, password: \"{secret}\" }}\n"
    );
    let write = |name: &str, text: &str| {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        options.open(dir.join(name))?.write_all(text.as_bytes())
    };
    write("nats.conf", &config)?;
    write(PASSWORD, &format!("local:{secret}\n"))?;
    write(ADDRESS, &format!("nats://127.0.0.1:{port}\n"))
}
