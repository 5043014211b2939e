//! The configuration file of isolate, `key = value` on each line, as a fragment like that of a TOML
//! file. Pure: the caller says what a `cg_root` is on this machine.
//!
//! The file is read as isolate reads it: only a whole line can be a comment, the later of two lines
//! for one key counts, and a number is at most 2^31-1. Accepted beyond isolate, where there is only
//! one meaning: blanks around a line, no newline at the end, and missing keys, which have their
//! defaults.

use std::collections::BTreeMap;

use super::key::{Cgroups, IsolateKey, Meaning};
use crate::config::error::{ConfigError, Place};
use crate::config::fragment::Fragment;
use crate::config::table::Key;
use crate::config::value::{Located, Value, excerpt};

/// What a configuration file of isolate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct IsolateFile {
    /// What it sets.
    pub(super) fragment: Fragment,
    /// The lines that set nothing, in order.
    pub(super) left_out: Vec<LeftOut>,
}

/// A line that sets nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LeftOut {
    /// The line.
    pub(super) place: Place,
    /// Why, on one line.
    pub(super) reason: String,
}

/// Parses a file's text.
pub(super) fn parse(
    text: &[u8],
    file: &Place,
    machine: &Cgroups<'_>,
) -> Result<IsolateFile, ConfigError> {
    let mut said: BTreeMap<IsolateKey, (Place, Meaning)> = BTreeMap::new();
    let mut left_out = Vec::new();
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    for (line, number) in text.split(|byte| *byte == b'\n').zip(1..) {
        let place = file.at_line(number);
        let Some((name, value)) = setting(line, &place)? else {
            continue;
        };
        let key = IsolateKey::parse(name, &place)?;
        let place = place.of_key(key.to_string());
        let meaning = key
            .meaning(value, &place, machine)
            .map_err(|reason| place.key_error(key, reason))?;
        if let Some((before, _)) = said.insert(key, (place, meaning)) {
            left_out.push(LeftOut {
                place: before,
                reason: format!("line {number} says otherwise"),
            });
        }
    }
    let mut fragment = Fragment::new();
    let mut pins: BTreeMap<u32, Vec<(String, Located)>> = BTreeMap::new();
    for (place, meaning) in said.into_values() {
        match meaning {
            Meaning::Sets(values) => fragment.extend(values.into_iter().map(|(key, value)| {
                let place = place.clone();
                (key, Located { value, place })
            })),
            Meaning::Pins(id, what, value) => {
                let entry = (what.to_owned(), Located { value, place });
                pins.entry(id).or_default().push(entry);
            }
            Meaning::Nothing(reason) => left_out.push(LeftOut { place, reason }),
        }
    }
    fragment.extend(pin_list(pins));
    left_out.sort_by_key(|left_out| left_out.place.line());
    Ok(IsolateFile { fragment, left_out })
}

/// A line's key and value. `None`: the line is empty or a comment.
fn setting<'t>(line: &'t [u8], place: &Place) -> Result<Option<(&'t str, &'t str)>, ConfigError> {
    let line = line.trim_ascii();
    if line.is_empty() || line.starts_with(b"#") {
        return Ok(None);
    }
    let line = std::str::from_utf8(line)
        .map_err(|_| place.error("not UTF-8 text; other text is allowed in comments alone"))?;
    let (name, value) = line.split_once('=').ok_or_else(|| {
        place.error(format_args!(
            "'{}' has no '='; KEY = VALUE, and comments that begin with '#', are allowed",
            excerpt(line)
        ))
    })?;
    Ok(Some((name.trim_ascii_end(), value.trim_ascii_start())))
}

/// `[[pin]]` with what the file says about each box; `None` if it says nothing.
fn pin_list(pins: BTreeMap<u32, Vec<(String, Located)>>) -> Option<(Key, Located)> {
    let pins = pins.into_iter().filter_map(|(id, mut entries)| {
        let place = entries.first()?.1.place.clone();
        let boxes = Located {
            value: Value::Integer(id.to_string()),
            place: place.clone(),
        };
        entries.insert(0, ("boxes".to_owned(), boxes));
        let value = Value::Table(entries);
        Some(Located { value, place })
    });
    let pins: Vec<Located> = pins.collect();
    let place = pins.first()?.place.clone();
    let value = Value::List(pins);
    Some((Key::PIN, Located { value, place }))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn parse_text(text: impl AsRef<[u8]>) -> Result<IsolateFile, String> {
        let machine = Cgroups {
            is_there: &|path| path == Path::new("/sys/fs/cgroup/judge"),
            named_in: &|path| {
                (path == Path::new("/run/named")).then(|| "/sys/fs/cgroup/judge\n".to_owned())
            },
        };
        parse(
            text.as_ref(),
            &Place::file(Path::new("/etc/isolate")),
            &machine,
        )
        .map_err(|error| error.to_string())
    }

    /// What a text sets, each as `KEY VALUE LINE`. A value that is not a single one is empty.
    fn set(text: impl AsRef<[u8]>) -> Vec<String> {
        let mut set: Vec<String> = parse_text(text)
            .unwrap()
            .fragment
            .iter()
            .map(|(key, at)| {
                let value = match &at.value {
                    Value::Boolean(value) => value.to_string(),
                    other => other.as_written().to_owned(),
                };
                format!("{key} {value} {}", at.place.line().unwrap())
            })
            .collect();
        set.sort_unstable();
        set
    }

    #[test]
    fn blanks_comments_and_line_ends_are_taken_as_they_come() {
        let text = b"\xef\xbb\xbf# \xff is fine here\r\n\r\n num_boxes\t=  007 \r\nlock_root=/a=b #c\n#first_uid = x\nrestricted_init = 2";
        assert_eq!(
            set(text),
            [
                "boxes.count 7 3",
                "boxes.locks /a=b #c 4",
                "boxes.only_root_inits true 6"
            ]
        );
        assert!(set("").is_empty());
    }

    #[test]
    fn the_later_line_counts_and_the_earlier_one_is_left_out() {
        let text = "num_boxes = 1\nbox7.cpus = 0\nnum_boxes = 2\nbox07.cpus = 1\n\
                    cg_root = /sys/fs/cgroup/judge\ncg_root = auto:/run/isolate/cgroup\n";
        let file = parse_text(text).unwrap();
        let left_out = file.left_out.iter().map(|left_out| {
            let LeftOut { place, reason } = left_out;
            format!("{}: {reason}", place.within_file())
        });
        assert_eq!(
            left_out.collect::<Vec<_>>(),
            [
                "line 1, num_boxes: line 3 says otherwise",
                "line 2, box7.cpus: line 4 says otherwise",
                "line 5, cg_root: line 6 says otherwise",
                "line 6, cg_root: 'auto:/run/isolate/cgroup' names no cgroup (v2) below the root of its hierarchy on \
                 this machine, so [cgroup] manager stays \"auto\"",
            ]
        );
        assert_eq!(set(text), ["boxes.count 2 3", "pin  4"]);
    }

    #[test]
    fn a_cgroup_that_is_there_is_delegated_and_any_other_left_to_auto() {
        assert_eq!(
            set("cg_root = /sys/fs//cgroup/judge/\n"),
            [
                "cgroup.manager delegated 1",
                "cgroup.root /sys/fs//cgroup/judge/ 1"
            ]
        );
        assert_eq!(
            set("cg_root = auto:/run/named\n"),
            ["cgroup.root /sys/fs/cgroup/judge 1"]
        );
        for other in ["auto:/run/isolate/cgroup", "auto:", "/sys/fs/cgroup"] {
            let text = format!("cg_root = {other}");
            assert!(set(&text).is_empty(), "{other}");
            assert_eq!(parse_text(&text).unwrap().left_out.len(), 1, "{other}");
        }
        let error = parse_text("cg_root = judge").unwrap_err();
        assert!(
            error.starts_with("/etc/isolate:1: cg_root: 'judge' cannot be used; an absolute path"),
            "{error}"
        );
    }

    #[test]
    fn mistakes_are_named_with_line_and_key() {
        let known = "known here are box_root, lock_root, cg_root, cg_parent, first_uid, first_gid, num_boxes, \
                     subid_user, restricted_init, syscall_flags, boxN.cpus, boxN.mems";
        let range = "is out of range; whole numbers from";
        for (text, expected) in [
            (
                "\nnum_boxes 5",
                "2: 'num_boxes 5' has no '='; KEY = VALUE, and comments that begin with '#', are allowed"
                    .to_owned(),
            ),
            ("color = red", format!("1: color: unknown key; {known}")),
            (
                "numboxes = 5",
                format!("1: numboxes: unknown key; did you mean num_boxes? {known}"),
            ),
            ("= 5", format!("1: \"\": unknown key; {known}")),
            ("box root = /a", format!("1: \"box root\": unknown key; did you mean box_root? {known}")),
            ("\u{7}a = 5", format!("1: \"\\u{{7}}a\": unknown key; {known}")),
            ("cpus = 5", format!("1: cpus: unknown key; {known}")),
            ("bax0.cpus = 5", format!("1: \"bax0.cpus\": unknown key; {known}")),
            (
                "box0.cpu = 5",
                "1: box0.cpu: unknown key; did you mean cpus? known here are cpus, mems".to_owned(),
            ),
            (
                "box0.a.b = 5",
                "1: box0.\"a.b\": unknown key; known here are cpus, mems".to_owned(),
            ),
            ("num_boxes = -1", format!("1: num_boxes: '-1' {range} 1 to 2147483647 are allowed")),
            ("num_boxes =", format!("1: num_boxes: '' {range} 1 to ")),
            ("num_boxes = 5 # five", format!("1: num_boxes: '5 # five' {range} 1 to ")),
            ("first_uid = 0", format!("1: first_uid: '0' {range} 1 to ")),
            ("first_gid = 2147483648", format!("1: first_gid: '2147483648' {range} 1 to ")),
            ("restricted_init = yes", format!("1: restricted_init: 'yes' {range} 0 to ")),
            ("syscall_flags = 0x1f", format!("1: syscall_flags: '0x1f' {range} 0 to ")),
            ("syscall_flags = -1", format!("1: syscall_flags: '-1' {range} 0 to ")),
            (
                "num_boxes = x\nnum_boxes = 1",
                format!("1: num_boxes: 'x' {range} 1 to "),
            ),
            (
                "cg_parent = a\0b",
                "1: cg_parent: 'a\\u{0}b' has a control character in it; ".to_owned(),
            ),
            (
                "lock_root = /\u{85}",
                "1: lock_root: '/\\u{85}' has a control character in it; ".to_owned(),
            ),
        ] {
            let error = parse_text(text).unwrap_err();
            let expected = format!("/etc/isolate:{expected}");
            assert!(
                error.starts_with(&expected),
                "{text}\n  found    {error}\n  expected {expected}"
            );
        }
    }

    #[test]
    fn the_number_of_a_box_is_one_that_a_box_can_have() {
        for number in [
            "",
            "x",
            "-1",
            "+",
            " 1",
            "1 ",
            "2147483648",
            "99999999999999999999",
        ] {
            let error = parse_text(format!("box{number}.cpus = 0")).unwrap_err();
            let expected = format!(
                "/etc/isolate:1: box{number}.cpus: '{number}' is no box; numbers up to 2147483647 as in box0.cpus"
            );
            assert!(error.starts_with(&expected), "{error}");
        }
        assert_eq!(set("box2147483647.mems = 0"), ["pin  1"]);
    }

    #[test]
    fn hostile_files_are_refused_in_one_line() {
        let mega = 1 << 20;
        let noise: Vec<u8> = (0..mega).map(|i: usize| (i * i % 251) as u8).collect();
        for text in [
            noise,
            b"\n\xff = 1".to_vec(),
            b"box_root = /\xff".to_vec(),
            b"\0".to_vec(),
            b"a".repeat(mega),
            b"=".repeat(mega),
            [&b"box_root = /"[..], &b"a".repeat(mega)].concat(),
            [&b"num_boxes = "[..], &b"9".repeat(mega)].concat(),
            [&b"box"[..], &b"9".repeat(mega), b".cpus = 0"].concat(),
            [&b"box0."[..], &b"c".repeat(mega), b" = 0"].concat(),
            [&b"box"[..], &b"0".repeat(mega), b".cpus = \0"].concat(),
            [&b"\n".repeat(mega)[..], b"x"].concat(),
        ] {
            let error = parse_text(&text).unwrap_err();
            assert!(error.starts_with("/etc/isolate:"), "{error}");
            assert!(error.len() < 500 && !error.contains('\n'), "{error}");
        }
    }
}
