//! The file that is installed, whose comments explain each key.

/// Its text.
pub(crate) const TEXT: &str = include_str!("../../isolate.toml");

/// What the file says of a key: the comment above it, where it stands with its default or with an
/// example. Empty: nothing of its own.
pub(super) fn about(table: &str, key: &str) -> String {
    let mut current = "";
    let mut comments: Vec<&str> = Vec::new();
    for line in TEXT.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            comments.push(comment);
            continue;
        }
        let header = line.trim_start_matches('#').strip_prefix('[');
        let set = line
            .strip_prefix('#')
            .and_then(|line| line.split_once(" = "));
        if let Some(name) = header {
            current = name.trim_matches(['[', ']']);
            // What stands above [[pin]] is about all of it.
            if current == key && !comments.is_empty() {
                return joined(&comments);
            }
        } else if set.is_some_and(|(name, _)| name == key && current == table) {
            return joined(&comments);
        }
        comments.clear();
    }
    String::new()
}

/// Lines of a comment as one text; lists keep their lines.
fn joined(comments: &[&str]) -> String {
    let mut text = String::new();
    for line in comments.iter().filter(|line| !line.starts_with("Example")) {
        if !text.is_empty() {
            text.push(if line.starts_with(' ') { '\n' } else { ' ' });
        }
        text.push_str(line);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_explained_by_the_comment_above_it() {
        let of_locks = about("boxes", "locks");
        assert!(
            of_locks.starts_with("The directory of lock files"),
            "{of_locks}"
        );
        assert!(of_locks.ends_with("is empty after a reboot."), "{of_locks}");
        assert_eq!(about("boxes", "first_gid"), "");
        assert!(about("cgroup", "root").starts_with("The delegated subtree"));
        assert!(about("boxes", "subid_user").ends_with("when count says so."));
        assert!(about("cgroup", "manager").contains("\n  \"systemd\"    systemd"));
        let of_pins = about("pin", "pin");
        assert!(
            of_pins.starts_with("Boxes that are bound to CPUs"),
            "{of_pins}"
        );
    }
}
