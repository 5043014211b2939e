//! Where a user has their boxes, locks, configuration and systemd, from their environment
//! (XDG Base Directory Specification). Pure, but for what is asked of `is_there`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The name of the program's own directories.
const OWN: &str = "isolate-run";

/// A user's places.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Places {
    /// `$XDG_RUNTIME_DIR`, which systemd makes and removes with the user's manager.
    pub(super) runtime: PathBuf,
    /// The directory of boxes.
    pub(super) boxes: PathBuf,
    /// The directory of locks.
    pub(super) locks: PathBuf,
    /// The directory of the configuration.
    pub(super) config: PathBuf,
    /// The socket of their bus.
    pub(super) bus: PathBuf,
    /// The private socket of their systemd.
    pub(super) systemd: PathBuf,
}

/// Finds them; `None` if neither the variables nor HOME say where. Variables count only with
/// absolute paths, as the specification wants it.
pub(super) fn places(uid: u32, variable: impl Fn(&str) -> Option<OsString>) -> Option<Places> {
    let path = |name: &str| {
        variable(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let in_home = |name: &str, below: &str| path(name).or_else(|| Some(path("HOME")?.join(below)));
    let runtime = path("XDG_RUNTIME_DIR").unwrap_or_else(|| format!("/run/user/{uid}").into());
    let address = variable("DBUS_SESSION_BUS_ADDRESS");
    Some(Places {
        boxes: in_home("XDG_STATE_HOME", ".local/state")?.join(OWN),
        config: in_home("XDG_CONFIG_HOME", ".config")?.join(OWN),
        locks: runtime.join(OWN),
        bus: address
            .and_then(|address| path_in(&address))
            .unwrap_or_else(|| runtime.join("bus")),
        systemd: runtime.join("systemd/private"),
        runtime,
    })
}

/// The path in an address as `unix:path=/run/user/1000/bus,guid=…`; escapes are no part of those.
fn path_in(address: &OsStr) -> Option<PathBuf> {
    let rest = address.as_bytes().strip_prefix(b"unix:path=")?;
    let end = rest.iter().position(|byte| b",;".contains(byte));
    let path = Path::new(OsStr::from_bytes(rest.get(..end.unwrap_or(rest.len()))?));
    (path.is_absolute() && !rest.contains(&b'%')).then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(variables: &[(&str, &str)]) -> Option<Places> {
        places(7, |name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| value.into())
        })
    }

    #[test]
    fn a_home_suffices() {
        let places = found(&[("HOME", "/home/ann"), ("XDG_STATE_HOME", "relative")]).unwrap();
        assert_eq!(
            places.boxes,
            Path::new("/home/ann/.local/state/isolate-run")
        );
        assert_eq!(places.config, Path::new("/home/ann/.config/isolate-run"));
        assert_eq!(places.locks, Path::new("/run/user/7/isolate-run"));
        assert_eq!(places.bus, Path::new("/run/user/7/bus"));
        assert_eq!(places.systemd, Path::new("/run/user/7/systemd/private"));
        assert_eq!(found(&[]), None);
    }

    #[test]
    fn variables_count_before_it() {
        let places = found(&[
            ("XDG_STATE_HOME", "/s"),
            ("XDG_CONFIG_HOME", "/c"),
            ("XDG_RUNTIME_DIR", "/r"),
            ("DBUS_SESSION_BUS_ADDRESS", "unix:path=/b/bus,guid=1"),
        ]);
        let places = places.unwrap();
        assert_eq!(places.boxes, Path::new("/s/isolate-run"));
        assert_eq!(places.config, Path::new("/c/isolate-run"));
        assert_eq!(places.locks, Path::new("/r/isolate-run"));
        assert_eq!(places.bus, Path::new("/b/bus"));
    }

    #[test]
    fn an_address_that_is_no_path_is_passed_over() {
        for address in [
            "unix:abstract=/tmp/x",
            "tcp:host=a",
            "unix:path=x",
            "unix:path=/a%20",
        ] {
            assert_eq!(path_in(OsStr::new(address)), None, "{address}");
        }
    }
}
