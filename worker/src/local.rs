//! A fleet of one machine: the worker starts a nats-server of its own, that listens on the loopback
//! alone and asks for a password. To grow, name other servers in `worker.toml`.

use std::env;
use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::unistd::{AccessFlags, access, geteuid};
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

/// What a server on a machine that does other things, too, is asked for; and where a user keeps it
/// all who may not write where the service does.
pub(crate) fn adapt(settings: &mut Settings) {
    let shipped = Settings::default();
    let places = [
        (
            &mut settings.machine.state_dir,
            shipped.machine.state_dir,
            ("XDG_STATE_HOME", ".local/state"),
        ),
        (
            &mut settings.files.cache_dir,
            shipped.files.cache_dir,
            ("XDG_CACHE_HOME", ".cache"),
        ),
    ];
    for (place, shipped, (variable, folder)) in places {
        let is_ours = geteuid().is_root() || access(place.as_path(), AccessFlags::W_OK).is_ok();
        if *place == shipped && !is_ours {
            let own = of_user(env::var_os(variable), env::var_os("HOME"), folder);
            *place = own.unwrap_or(shipped);
        }
    }
    let streams = &mut settings.streams;
    streams.replicas = 1;
    streams.jobs_max.0 = streams.jobs_max.0.min(256 << 20);
    streams.files_max.0 = streams.files_max.0.min(2 << 30);
}

/// A user's own place: in the folder that a variable names, or else in this one of their home.
fn of_user(variable: Option<OsString>, home: Option<OsString>, folder: &str) -> Option<PathBuf> {
    let base = variable
        .map(PathBuf::from)
        .filter(|base| base.is_absolute());
    let base = base.or_else(|| Some(Path::new(&home?).join(folder)))?;
    base.is_absolute().then(|| base.join("isolate-run-worker"))
}

/// The search path, and where Debian has the server, which is not in that of users.
fn search_path(path: Option<OsString>) -> OsString {
    let mut path = path.unwrap_or_else(|| "/usr/bin:/bin".into());
    path.push(":/usr/local/sbin:/usr/sbin");
    path
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
        .env("PATH", search_path(env::var_os("PATH")))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_keeps_it_in_folders_of_their_own() {
        let own = |variable: Option<&str>, home: Option<&str>| {
            of_user(variable.map(Into::into), home.map(Into::into), ".cache")
        };
        let at = |path: &str| Some(PathBuf::from(path));
        let in_home = at("/home/alice/.cache/isolate-run-worker");
        assert_eq!(own(None, Some("/home/alice")), in_home);
        assert_eq!(own(Some(""), Some("/home/alice")), in_home);
        assert_eq!(own(Some("here"), Some("/home/alice")), in_home);
        let named = at("/srv/alice/isolate-run-worker");
        assert_eq!(own(Some("/srv/alice"), Some("/home/alice")), named);
        assert_eq!(own(None, None), None);
        assert_eq!(own(None, Some("alice")), None);
    }

    #[test]
    fn the_server_is_found_where_users_do_not_look() {
        let path = search_path(Some("/opt/nats:/bin".into()));
        assert_eq!(path, "/opt/nats:/bin:/usr/local/sbin:/usr/sbin");
    }
}
