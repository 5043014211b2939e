//! Names of users. Only /etc/passwd is read: other sources (nsswitch.conf(5)) are libraries that a
//! statically linked program cannot load, and they may keep it waiting.

use std::collections::HashMap;
use std::fmt;
use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;

/// Where users are, one a line (passwd(5)).
const FILE: &str = "/etc/passwd";
/// How much of it is read, in bytes: some 100 000 users.
const LONGEST: u64 = 4 << 20;

/// A user as a message tells them: `user alice (uid 1000)`, or `user 1000` without a name. The name
/// is looked up only when it is written, so that nothing that goes well waits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Who(pub(crate) u32);

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&in_words(self.name().as_deref(), self.0))
    }
}

impl Who {
    /// The name. That of root is not looked up: it is the same everywhere.
    pub(crate) fn name(self) -> Option<String> {
        match self.0 {
            0 => Some("root".to_owned()),
            uid => name_in(&read(), uid).map(str::to_owned),
        }
    }

    /// The name, or the number where there is none.
    pub(crate) fn short(self) -> String {
        self.name().unwrap_or_else(|| self.0.to_string())
    }
}

/// A user of this name, if it is known, and of this number.
pub(crate) fn in_words(name: Option<&str>, uid: u32) -> String {
    match name {
        Some(name) if uid == 0 => format!("user {name}"),
        Some(name) => format!("user {name} (uid {uid})"),
        None => format!("user {uid}"),
    }
}

/// The names of all users, by their uids.
#[derive(Debug, Default)]
pub(crate) struct Names(HashMap<u32, String>);

impl Names {
    /// Reads them; who is not found has none.
    pub(crate) fn read() -> Self {
        let mut names = HashMap::new();
        for (name, uid) in users_in(&read()) {
            // The first one counts, as for getpwuid(3).
            names.entry(uid).or_insert_with(|| name.to_owned());
        }
        Self(names)
    }

    /// The name of a user.
    pub(crate) fn of(&self, uid: u32) -> Option<String> {
        self.0.get(&uid).cloned()
    }
}

/// The number of the user of this name, of which several may have the same one.
pub(crate) fn uid_of(name: &str) -> Option<u32> {
    let text = read();
    let mut users = users_in(&text);
    users.find(|(known, _)| *known == name).map(|(_, uid)| uid)
}

/// The file, or nothing. A FIFO in its place is not waited for.
fn read() -> String {
    let mut options = OpenOptions::new();
    let options = options.read(true).custom_flags(libc::O_NONBLOCK);
    let mut bytes = Vec::new();
    if let Ok(file) = options.open(FILE) {
        file.take(LONGEST).read_to_end(&mut bytes).ok();
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn name_in(text: &str, uid: u32) -> Option<&str> {
    let mut users = users_in(text);
    users.find(|(_, known)| *known == uid).map(|(name, _)| name)
}

/// The lines that make sense.
fn users_in(text: &str) -> impl Iterator<Item = (&str, u32)> {
    text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        Some((name, fields.nth(1)?.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_name_of_a_uid_counts() {
        let text = "root:x:0:0:root:/root:/bin/sh\ntoor:x:0:0::/:/bin/sh\nbad\n\n:x:7:7::/:\nalice:x:1000:1000::/:\n";
        assert_eq!(name_in(text, 0), Some("root"));
        assert_eq!(name_in(text, 1000), Some("alice"));
        assert_eq!(name_in(text, 7), None);
    }

    #[test]
    fn a_user_is_told_by_name_and_number_or_by_number_alone() {
        assert_eq!(in_words(Some("alice"), 1000), "user alice (uid 1000)");
        assert_eq!(Who(0).to_string(), "user root");
        assert_eq!(Who(4_100_000_000).to_string(), "user 4100000000");
        assert_eq!(Who(4_100_000_000).short(), "4100000000");
    }
}
