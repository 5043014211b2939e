//! Names of users. Only /etc/passwd is read: other sources (nsswitch.conf(5)) are libraries that a
//! statically linked program cannot load, and they may keep it waiting.

use std::collections::HashMap;
use std::fs;

/// The names of users, by their uids.
#[derive(Debug, Default)]
pub(super) struct Names(HashMap<u32, String>);

impl Names {
    /// Reads them; who is not found has none.
    pub(super) fn read() -> Self {
        let text = fs::read("/etc/passwd").unwrap_or_default();
        Self::parse(&String::from_utf8_lossy(&text))
    }

    fn parse(text: &str) -> Self {
        let mut names = HashMap::new();
        for line in text.lines() {
            let mut fields = line.split(':');
            if let (Some(name), Some(Ok(uid))) = (fields.next(), fields.nth(1).map(str::parse)) {
                // The first one counts, as for getpwuid(3).
                names.entry(uid).or_insert_with(|| name.to_owned());
            }
        }
        Self(names)
    }

    /// The name of a user.
    pub(super) fn of(&self, uid: u32) -> Option<String> {
        self.0.get(&uid).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_name_of_a_uid_counts() {
        let text =
            "root:x:0:0:root:/root:/bin/sh\ntoor:x:0:0::/:/bin/sh\nbad\n\nalice:x:1000:1000::/:\n";
        let names = Names::parse(text);
        assert_eq!(names.of(0).as_deref(), Some("root"));
        assert_eq!(names.of(1000).as_deref(), Some("alice"));
        assert_eq!(names.of(7), None);
    }
}
