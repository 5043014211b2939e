//! What large boxes have left, and whether somebody deletes it.

use std::fs::{self, Metadata};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::box_dir::leftovers_of;
use crate::doctor::change::{Change, quoted};
use crate::doctor::finding::Finding;
use crate::doctor::machine::Machine;
use crate::doctor::mounts;

/// The unit that has it deleted.
const WATCH: &str = "isolate-removal.path";
/// The link that enables it.
const ENABLED: &str = "/etc/systemd/system/paths.target.wants/isolate-removal.path";
/// For how many seconds something may wait, while there is other work.
const LONG: i64 = 3_600;

pub(in super::super) fn removal(machine: &Machine) -> Finding {
    let looker = &machine.facts.looker;
    if looker.is_rootless {
        return Finding::not_applicable("a box is deleted by the command that removes it");
    }
    let place = leftovers_of(&machine.settings.boxes.root);
    let place = place.map(|place| (fs::symlink_metadata(machine.tree.path(&place)), place));
    let Some((Ok(stat), place)) = place else {
        return Finding::ok("boxes are deleted by those who remove them");
    };
    if let Some(finding) = unfit(machine, &stat, &place) {
        return finding;
    }
    if !looker.is_root {
        return Finding::for_root_only();
    }
    let watch = machine.survey().map(|survey| survey.unit(WATCH));
    let watch = watch.map(|unit| unit.map_or("", |unit| unit.active.as_str()) == "active");
    let found = Found {
        waiting: waiting(&machine.tree.path(&place)),
        is_watched: watch,
        is_enabled: machine.tree.has(ENABLED),
    };
    found.judge(&place)
}

/// Why nothing is put into the place, if that is so.
fn unfit(machine: &Machine, stat: &Metadata, place: &Path) -> Option<Finding> {
    let shown = place.display();
    let unused = |what: &str| Finding::warning(format!("{shown} is not used: it {what}"));
    let name = quoted(&place.to_string_lossy());
    if !stat.is_dir() {
        let finding = unused("is no directory");
        let command = format!("mv {name} {name}.old && systemctl restart {WATCH}");
        return Some(finding.command(command));
    }
    let root = fs::symlink_metadata(machine.tree.path(Path::new("/")));
    if root.is_ok_and(|root| root.uid() != stat.uid()) {
        let finding = unused("does not belong to root");
        return Some(finding.command(format!("chown root:root {name}")));
    }
    if stat.permissions().mode() & 0o077 != 0 {
        let finding = unused("may be entered by others than root");
        return Some(finding.command(format!("chmod 0700 {name}")));
    }
    let mounts = machine.mounts();
    let on = |path: &Path| mounts::of(&mounts, path).map(|mount| mount.target.clone());
    let boxes = &machine.settings.boxes.root;
    // A link to the boxes may lead to another file system; so does a subvolume of btrfs.
    let device = fs::metadata(machine.tree.path(boxes)).map(|boxes| boxes.dev());
    let is_elsewhere = on(place) != on(boxes) || device.is_ok_and(|device| device != stat.dev());
    is_elsewhere.then(|| {
        let what = "is not on the mount of the boxes, and nothing can be moved there";
        let root = boxes.join("boxes");
        Finding::note(format!("{shown} is not used: it {what}")).advise(format!(
            "large boxes are deleted by those who remove them. Otherwise: remove all boxes, set [boxes] root = \"{}\", \
             and have {WATCH} watch what is beside it (docs/administration.md, Large boxes)",
            root.display()
        ))
    })
}

/// What was found in the place of leftovers.
struct Found {
    /// How many wait, and for how many seconds the oldest has.
    waiting: (usize, i64),
    /// Whether the unit is active, where systemd was asked.
    is_watched: Option<bool>,
    /// Whether it comes with the boot.
    is_enabled: bool,
}

impl Found {
    fn judge(&self, place: &Path) -> Finding {
        let (count, seconds) = self.waiting;
        let place = place.display();
        let what = match count {
            0 => format!("nothing waits in {place}"),
            1 => format!("what a box has left waits in {place}"),
            _ => format!("what {count} boxes have left waits in {place}"),
        };
        if self.is_watched == Some(false) {
            let value = format!("{what}, and {WATCH} is not active");
            let finding = match count {
                0 => Finding::note(value),
                _ => Finding::warning(value),
            };
            // What was enabled and only stopped is not to be disabled by --undo.
            let undo: &[&str] = match self.is_enabled {
                true => &["systemctl", "stop", WATCH],
                false => &["systemctl", "disable", "--now", WATCH],
            };
            let command = ["systemctl", "enable", "--now", WATCH];
            return finding.change(Change::run(&command, undo, true));
        }
        if count > 0 && seconds > LONG {
            return Finding::warning(format!("{what}, for {} minutes", seconds / 60))
                .advise("isolate-run gc --removed says what keeps it")
                .command("isolate-run gc --removed");
        }
        Finding::ok(what)
    }
}

/// How many are there, and for how many seconds the one has that was put there first.
fn waiting(place: &Path) -> (usize, i64) {
    let entries = fs::read_dir(place).into_iter().flatten().flatten();
    let stats: Vec<Metadata> = entries.filter_map(|entry| entry.metadata().ok()).collect();
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |now| i64::try_from(now.as_secs()).unwrap_or(0));
    let oldest = stats.iter().map(MetadataExt::ctime).min();
    (stats.len(), now.saturating_sub(oldest.unwrap_or(now)))
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;

    use super::*;
    use crate::doctor::finding::Verdict;
    use crate::doctor::machine::tests::with;

    #[test]
    fn what_waits_long_or_for_nobody_is_a_warning() {
        let judge = |waiting, is_watched| {
            let found = Found {
                waiting,
                is_watched,
                is_enabled: false,
            };
            found.judge(Path::new("/boxes.removed"))
        };
        assert_eq!(judge((0, 0), Some(true)).verdict, Verdict::Ok);
        assert_eq!(judge((3, 60), Some(true)).verdict, Verdict::Ok);
        assert_eq!(judge((3, 7_200), Some(true)).verdict, Verdict::Warning);
        assert_eq!(judge((3, 60), None).verdict, Verdict::Ok);
        assert_eq!(judge((1, 7_200), None).verdict, Verdict::Warning);
        assert_eq!(judge((0, 0), Some(false)).verdict, Verdict::Note);
        let stopped = judge((1, 0), Some(false));
        assert_eq!(stopped.verdict, Verdict::Warning);
        let command = "systemctl enable --now isolate-removal.path";
        assert_eq!(stopped.commands(), [command]);
        let undone = stopped.changes[0].undo_command();
        assert_eq!(undone, "systemctl disable --now isolate-removal.path");
    }

    #[test]
    fn a_place_that_is_not_there_is_fine_and_one_that_is_open_is_not() {
        let without = with(&[]);
        assert_eq!(removal(&without).verdict, Verdict::Ok);
        let mut here = with(&[("/var/local/lib/isolate.removed/0.7/x", "")]);
        let place = here.machine.tree.path("/var/local/lib/isolate.removed");
        fs::set_permissions(&place, Permissions::from_mode(0o755)).unwrap();
        let open = removal(&here);
        assert_eq!(open.verdict, Verdict::Warning);
        assert_eq!(
            open.commands(),
            ["chmod 0700 /var/local/lib/isolate.removed"]
        );
        fs::set_permissions(&place, Permissions::from_mode(0o700)).unwrap();
        let found = removal(&here);
        assert_eq!(found.verdict, Verdict::Ok);
        assert!(found.value.starts_with("what a box has left"), "{found:?}");
        let mounts = "21 1 8:1 / / rw - ext4 x rw\n\
                      22 21 0:30 / /var/local/lib/isolate rw - tmpfs x rw\n";
        let elsewhere = with(&[
            ("/var/local/lib/isolate.removed/0.7/x", ""),
            ("/proc/self/mountinfo", mounts),
        ]);
        let place = elsewhere
            .machine
            .tree
            .path("/var/local/lib/isolate.removed");
        fs::set_permissions(&place, Permissions::from_mode(0o700)).unwrap();
        let found = removal(&elsewhere);
        assert_eq!(found.verdict, Verdict::Note);
        assert!(found.value.contains("is not on the mount"), "{found:?}");
        fs::remove_dir_all(&place).unwrap();
        fs::write(&place, "").unwrap();
        let found = removal(&elsewhere);
        assert!(found.value.ends_with("is no directory"), "{found:?}");
        here.machine.facts.looker.is_root = false;
        assert!(removal(&here).needs_root);
        here.machine.facts.looker.is_rootless = true;
        assert_eq!(removal(&here).verdict, Verdict::NotApplicable);
    }
}
