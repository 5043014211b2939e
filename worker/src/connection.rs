//! The connection to NATS: who we are there, and what is found there.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::object_store::ObjectStore;
use async_nats::jetstream::stream::Stream;
use async_nats::jetstream::{self, Context, kv};
use async_nats::{Client, ConnectOptions};

use crate::failure::Failure;
use crate::names::{CANCEL, DEAD, FILES, JOBS, MACHINES, RESULTS};
use crate::settings::NatsSettings;

/// How long an answer of the server is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest pause before a server that is gone is tried again.
const PAUSE: u64 = 2000;

/// A connection, and what `setup` has made.
#[derive(Clone)]
pub(crate) struct Fleet {
    pub(crate) client: Client,
    pub(crate) jetstream: Context,
    pub(crate) jobs: Stream,
    pub(crate) results: Stream,
    pub(crate) dead: Stream,
    pub(crate) files: ObjectStore,
    pub(crate) machines: kv::Store,
    pub(crate) cancel: kv::Store,
}

/// Connects. Whoever waits for the first connection does so for ever; later ones are made anew by
/// themselves.
///
/// # Errors
///
/// A file of the settings cannot be read, or no server answers.
pub(crate) async fn connect(
    settings: &NatsSettings,
    name: &str,
    waits: bool,
) -> Result<(Client, Context), Failure> {
    let places = settings.urls.join(", ");
    let client = loop {
        match options(settings, name)?
            .connect(settings.urls.clone())
            .await
        {
            Ok(client) => break client,
            Err(error) if waits => {
                log::warn!("no NATS server answers at {places} ({error}); trying again");
                tokio::time::sleep(Duration::from_millis(PAUSE)).await;
            }
            Err(error) => {
                let text = format!(
                    "no NATS server answers at {places} ({error}); is one there? See nats.urls in worker.toml"
                );
                return Err(Failure::new(text));
            }
        }
    };
    let mut jetstream = jetstream::new(client.clone());
    jetstream.set_timeout(PATIENCE);
    Ok((client, jetstream))
}

/// Who we are, and how patient.
fn options(settings: &NatsSettings, name: &str) -> Result<ConnectOptions, Failure> {
    let mut options = ConnectOptions::new()
        .name(name)
        .connection_timeout(PATIENCE)
        .request_timeout(Some(PATIENCE))
        .max_reconnects(None)
        .reconnect_delay_callback(|attempts| {
            let pause = 50_u64.saturating_mul(1 << attempts.min(6));
            Duration::from_millis(pause.min(PAUSE))
        });
    let service = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    let secret = |named: &Option<PathBuf>, usual: &str| {
        let of_service = || service.as_ref().map(|folder| folder.join(usual));
        named
            .clone()
            .or_else(|| of_service().filter(|file| file.exists()))
    };
    if let Some(file) = secret(&settings.credentials, "nats.creds") {
        let text = read(&file)?;
        let what = format!("{} is no file of credentials", file.display());
        options = options.credentials(&text).map_err(Failure::at(what))?;
    } else if let Some(file) = secret(&settings.nkey, "nats.nk") {
        options = options.nkey(read(&file)?.trim().to_owned());
    } else if let Some(file) = secret(&settings.password, "nats.password") {
        let text = read(&file)?;
        let (user, password) = text.trim().split_once(':').ok_or_else(|| {
            Failure::new(format!(
                "{}: it has to be one line user:password",
                file.display()
            ))
        })?;
        options = options.user_and_password(user.to_owned(), password.to_owned());
    }
    if let Some(file) = &settings.ca {
        options = options.add_root_certificates(file.clone());
    }
    if let (Some(certificate), Some(key)) = (&settings.certificate, &settings.key) {
        options = options.add_client_certificate(certificate.clone(), key.clone());
    }
    Ok(options)
}

fn read(file: &Path) -> Result<String, Failure> {
    let text = fs::read_to_string(file);
    text.map_err(Failure::at(format!("cannot read {}", file.display())))
}

impl fmt::Debug for Fleet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fleet").finish_non_exhaustive()
    }
}

impl Fleet {
    /// Finds what `setup` has made.
    ///
    /// # Errors
    ///
    /// Something is missing, or the server does not answer.
    pub(crate) async fn open(client: Client, jetstream: Context) -> Result<Self, Failure> {
        let stream = |name: &'static str| {
            let jetstream = jetstream.clone();
            async move {
                let missing =
                    format!("there is no stream {name} (isolate-run-worker setup makes it)");
                jetstream
                    .get_stream(name)
                    .await
                    .map_err(Failure::at(missing))
            }
        };
        let bucket = |name: &'static str| {
            let jetstream = jetstream.clone();
            async move {
                let missing =
                    format!("there is no bucket {name} (isolate-run-worker setup makes it)");
                jetstream
                    .get_key_value(name)
                    .await
                    .map_err(Failure::at(missing))
            }
        };
        let missing =
            format!("there is no object store {FILES} (isolate-run-worker setup makes it)");
        let files = jetstream.get_object_store(FILES).await;
        Ok(Self {
            jobs: stream(JOBS).await?,
            results: stream(RESULTS).await?,
            dead: stream(DEAD).await?,
            files: files.map_err(Failure::at(missing))?,
            machines: bucket(MACHINES).await?,
            cancel: bucket(CANCEL).await?,
            client,
            jetstream,
        })
    }

    /// The consumer of this name.
    ///
    /// # Errors
    ///
    /// There is none, or the server does not answer.
    pub(crate) async fn consumer(&self, name: &str) -> Result<PullConsumer, Failure> {
        let found = self.jobs.get_consumer(name).await;
        found.map_err(Failure::at(format!("there is no consumer {name}")))
    }
}
