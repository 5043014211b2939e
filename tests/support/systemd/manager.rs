//! What systemd says of units, asked over the bus: no process is started for a question.

use std::collections::HashMap;

use futures_lite::future;
use zbus::zvariant::{OwnedObjectPath, OwnedValue};
use zbus::{Connection, block_on, connection};

use crate::support::patience;

/// A unit in a list: name, description, load state, active state, state of its kind, whom it follows, object, and its
/// job's number, kind and object.
type Listed = (
    String,
    String,
    String,
    String,
    String,
    String,
    OwnedObjectPath,
    u32,
    String,
    OwnedObjectPath,
);

#[zbus::proxy(
    interface = "org.freedesktop.systemd1.Manager",
    default_service = "org.freedesktop.systemd1",
    default_path = "/org/freedesktop/systemd1",
    gen_blocking = false
)]
trait Manager {
    fn list_units_by_patterns(
        &self,
        states: &[&str],
        patterns: &[&str],
    ) -> zbus::Result<Vec<Listed>>;

    fn load_unit(&self, name: &str) -> zbus::Result<OwnedObjectPath>;
}

#[zbus::proxy(
    interface = "org.freedesktop.DBus.Properties",
    default_service = "org.freedesktop.systemd1",
    gen_blocking = false
)]
trait Properties {
    fn get_all(&self, interface: &str) -> zbus::Result<HashMap<String, OwnedValue>>;
}

/// Asks over a connection of its own, all of it in this thread. Asks once more where the bus or systemd was replaced meanwhile.
fn ask<T>(question: impl AsyncFn(&Connection) -> zbus::Result<T>) -> T {
    let asked = || -> zbus::Result<T> {
        block_on(async {
            let builder = connection::Builder::system()?.internal_executor(false);
            let connection = builder.method_timeout(patience()).build().await?;
            let work = async {
                loop {
                    connection.executor().tick().await;
                }
            };
            future::or(question(&connection), work).await
        })
    };
    asked().or_else(|_| asked()).expect("systemd answers")
}

/// The names of the units that match a pattern, loaded ones.
pub(crate) fn units(pattern: &str) -> Vec<String> {
    let listed = ask(async |connection| {
        let manager = ManagerProxy::new(connection).await?;
        manager.list_units_by_patterns(&[], &[pattern]).await
    });
    listed.into_iter().map(|unit| unit.0).collect()
}

/// The properties of a unit, of all its interfaces.
pub(crate) fn properties(unit: &str) -> HashMap<String, OwnedValue> {
    ask(async |connection| {
        let manager = ManagerProxy::new(connection).await?;
        let object = manager.load_unit(unit).await?;
        let properties = PropertiesProxy::new(connection, object).await?;
        properties.get_all("").await
    })
}

/// A property of a unit, in words.
#[track_caller]
pub(crate) fn property(unit: &str, name: &str) -> String {
    let value = properties(unit).remove(name).unwrap();
    value.try_into().unwrap()
}

/// The main process of a service.
#[track_caller]
pub(crate) fn main_pid(service: &str) -> u32 {
    let value = properties(service).remove("MainPID").unwrap();
    value.try_into().unwrap()
}
