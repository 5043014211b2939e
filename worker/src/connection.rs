//! The connection to NATS: who we are there, and what is found there.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::stream::Stream;
use async_nats::jetstream::{self, Context, kv};
use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event};
use tokio::time::timeout;

use crate::failure::Failure;
use crate::names::{DEAD, RESULTS};
use crate::settings::NatsSettings;

/// How long an answer of the server is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest pause before a server that is gone is tried again.
const PAUSE: u64 = 2000;

/// A connection, and what `setup` has made. Nothing is asked of the server before it is used: not
/// everybody may ask for everything.
#[derive(Clone)]
pub(crate) struct Fleet {
    pub(crate) client: Client,
    pub(crate) jetstream: Context,
    pub(crate) results: Stream<()>,
    pub(crate) dead: Stream<()>,
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
    let mut urls = settings.urls.clone();
    // Else they are tried in any order, so that not all who connect have the first one.
    let mut in_order = false;
    let client = loop {
        match attempt(settings, name, &urls, in_order).await? {
            Ok(client) => break client,
            Err(refusal) => {
                // The last reason is told of one server, and each may have another.
                let refusals = match urls.as_slice() {
                    [_] => vec![refusal],
                    all => match each_alone(settings, name, all).await? {
                        Err(refusals) => refusals,
                        // The others may take all the time that there is.
                        Ok(well) => {
                            urls.swap(0, well);
                            in_order = true;
                            continue;
                        }
                    },
                };
                let text = describe(&refusals);
                if !waits {
                    return Err(Failure::new(text));
                }
                log::warn!("{text}; trying again");
                tokio::time::sleep(Duration::from_millis(PAUSE)).await;
            }
        }
    };
    let mut jetstream = jetstream::new(client.clone());
    jetstream.set_timeout(PATIENCE);
    Ok((client, jetstream))
}

/// Why a server is not reached, and what to do about it.
#[derive(Debug)]
struct Refusal {
    url: String,
    reason: String,
    advice: &'static str,
}

/// Tries these servers once. One that takes a connection and says nothing would keep
/// the library waiting for ever.
async fn attempt(
    settings: &NatsSettings,
    name: &str,
    urls: &[String],
    in_order: bool,
) -> Result<Result<Client, Refusal>, Failure> {
    let mut options = options(settings, name)?;
    if in_order {
        options = options.retain_servers_order();
    }
    let connecting = options.connect(urls);
    let (reason, advice) = match timeout(2 * PATIENCE, connecting).await {
        Ok(Ok(client)) => return Ok(Ok(client)),
        Ok(Err(error)) => {
            let reason = error.to_string();
            let advice = advice(error.kind(), &reason);
            (reason, advice)
        }
        Err(_) => (
            "it does not answer".to_owned(),
            "does the server work, and does its network?",
        ),
    };
    Ok(Err(Refusal {
        url: urls.join(", "),
        reason,
        advice,
    }))
}

/// The place of the first of these servers that is reached, or why each of them is not.
async fn each_alone(
    settings: &NatsSettings,
    name: &str,
    urls: &[String],
) -> Result<Result<usize, Vec<Refusal>>, Failure> {
    let mut refusals = Vec::new();
    for (place, url) in urls.iter().enumerate() {
        match attempt(settings, name, std::slice::from_ref(url), true).await? {
            Ok(_) => return Ok(Ok(place)),
            Err(refusal) => refusals.push(refusal),
        }
    }
    Ok(Err(refusals))
}

/// One sentence: servers with the same reason are told together.
fn describe(refusals: &[Refusal]) -> String {
    let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
    let mut advices: Vec<&str> = Vec::new();
    for Refusal {
        url,
        reason,
        advice,
    } in refusals
    {
        match reasons.iter_mut().find(|(known, _)| known == reason) {
            Some((_, urls)) => urls.push(url),
            None => reasons.push((reason, vec![url])),
        }
        if !advices.contains(advice) {
            advices.push(advice);
        }
    }
    let reasons: Vec<String> = reasons
        .iter()
        .map(|(reason, urls)| format!("at {}: {reason}", urls.join(", ")))
        .collect();
    format!(
        "cannot connect to NATS {}; {}",
        reasons.join("; "),
        advices.join("; ")
    )
}

/// What to do about a connection that is not made.
fn advice(kind: ConnectErrorKind, error: &str) -> &'static str {
    match kind {
        // A certificate that is refused is an error of input and output to the library.
        _ if kind == ConnectErrorKind::Tls || error.contains("certificate") => {
            "see nats.ca, nats.certificate and nats.key in worker.toml, the server's certificate, and the clocks"
        }
        ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => {
            "the server does not know who this is: see nats.credentials, nats.nkey and nats.password in worker.toml, and the server's accounts"
        }
        _ => "is a server there? See nats.urls in worker.toml",
    }
}

/// What the connection says of itself later, and whether it was gone before.
fn hear(event: &Event, was_gone: &AtomicBool) {
    match event {
        Event::Disconnected => {
            was_gone.store(true, Ordering::Relaxed);
            log::warn!("the connection to NATS is gone; making it anew");
        }
        Event::Connected if was_gone.swap(false, Ordering::Relaxed) => {
            log::info!("connected to NATS again");
        }
        Event::ServerError(error) => log::warn!("NATS says: {error}"),
        Event::ClientError(error) => log::warn!("the connection to NATS does not work: {error}"),
        other => log::debug!("the connection to NATS: {other}"),
    }
}

/// Who we are, and how patient.
fn options(settings: &NatsSettings, name: &str) -> Result<ConnectOptions, Failure> {
    let was_gone = AtomicBool::new(false);
    let mut options = ConnectOptions::new()
        .name(name)
        .connection_timeout(PATIENCE)
        .request_timeout(Some(PATIENCE))
        .max_reconnects(None)
        .event_callback(move |event| {
            hear(&event, &was_gone);
            std::future::ready(())
        })
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
    if let Some(inbox) = &settings.inbox {
        options = options.custom_inbox_prefix(inbox);
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
    /// For this connection.
    ///
    /// # Errors
    ///
    /// None that a server could be the reason of.
    pub(crate) async fn open(client: Client, jetstream: Context) -> Result<Self, Failure> {
        Ok(Self {
            results: handle(&jetstream, RESULTS).await?,
            dead: handle(&jetstream, DEAD).await?,
            client,
            jetstream,
        })
    }

    /// A stream of this name, whether it is there or not.
    ///
    /// # Errors
    ///
    /// No stream can have this name.
    pub(crate) async fn stream(&self, name: &str) -> Result<Stream<()>, Failure> {
        handle(&self.jetstream, name).await
    }

    /// A bucket with values.
    ///
    /// # Errors
    ///
    /// It is not there, or the server does not answer.
    pub(crate) async fn bucket(&self, name: &str) -> Result<kv::Store, Failure> {
        let missing = format!("there is no bucket {name} (isolate-run-worker setup makes it)");
        let found = self.jetstream.get_key_value(name).await;
        found.map_err(Failure::at(missing))
    }
}

/// The consumer of this name.
///
/// # Errors
///
/// There is none, or the server does not answer.
pub(crate) async fn consumer(jobs: &Stream<()>, name: &str) -> Result<PullConsumer, Failure> {
    let found = jobs.get_consumer(name).await;
    found.map_err(Failure::at(format!("there is no consumer {name}")))
}

async fn handle(jetstream: &Context, name: &str) -> Result<Stream<()>, Failure> {
    let found = jetstream.get_stream_no_info(name).await;
    found.map_err(Failure::at(format!("no stream can be called {name}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_server_is_told_with_its_own_reason_and_each_reason_once() {
        let refusal = |url: &str, reason: &str, advice| Refusal {
            url: url.into(),
            reason: reason.into(),
            advice,
        };
        let one = refusal("a", "refused", "is it there?");
        assert_eq!(
            describe(&[one]),
            "cannot connect to NATS at a: refused; is it there?"
        );
        let three = [
            refusal("a", "unknown", "see ca"),
            refusal("b", "expired", "see ca"),
            refusal("c", "unknown", "see ca"),
        ];
        assert_eq!(
            describe(&three),
            "cannot connect to NATS at a, c: unknown; at b: expired; see ca"
        );
    }
}
