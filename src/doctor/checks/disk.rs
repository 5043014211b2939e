//! The file system that the boxes are on.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::doctor::change::Change;
use crate::doctor::finding::{Finding, Verdict};
use crate::doctor::machine::Machine;
use crate::doctor::mounts;
use crate::quantity::Bytes;
use crate::remedy::Remedy;
use crate::user::Who;

/// With less free space than this, in bytes, runs fail soon.
const SCARCE: u64 = 1 << 30;
/// With less free space than this, in bytes, runs fail at once.
const NONE: u64 = 64 << 20;
/// With fewer free files than this, runs fail soon.
const FEW_FILES: u64 = 50_000;
/// With fewer free files than this, runs fail at once.
const NO_FILES: u64 = 1000;
/// What stands in the place of a figure that was not looked for.
const UNKNOWN: &str = "not looked at below --root";

pub(in super::super) fn boxes(machine: &Machine) -> Finding {
    let boxes = &machine.settings.boxes;
    if let Some(finding) = strange_owner(machine, [&boxes.root, &boxes.locks]) {
        return finding;
    }
    let mut loose = Vec::new();
    for directory in [&boxes.root, &boxes.locks] {
        let Ok(stat) = std::fs::metadata(machine.tree.path(directory)) else {
            // It is made when it is needed.
            continue;
        };
        let shown = directory.to_string_lossy();
        let of_others = stat.mode() & 0o002 != 0;
        if of_others || (stat.mode() & 0o020 != 0 && stat.gid() != 0) {
            let taken = if of_others { "o-w" } else { "g-w" };
            loose.push((shown, taken));
        }
    }
    let finding = match loose.as_slice() {
        [] if machine.facts.looker.is_rootless => {
            return Finding::ok("only you and root may write there");
        }
        [] => return Finding::ok("only root may write there"),
        [(one, _)] => Finding::error(format!("others may write into {one}")),
        [(one, _), ..] => Finding::error(format!("others may write into {one} and others")),
    };
    loose.iter().fold(finding, |finding, (directory, taken)| {
        let given = taken.replace('-', "+");
        finding.change(Change::run(
            &["chmod", taken, directory],
            &["chmod", &given, directory],
            true,
        ))
    })
}

/// A directory on the way to these that belongs to a stranger, neither to root nor, where a user
/// does without root, to the user. They could put another one in the place of what is in it.
fn strange_owner(machine: &Machine, directories: [&PathBuf; 2]) -> Option<Finding> {
    let owner = |path: &Path| {
        let stat = std::fs::metadata(machine.tree.path(path)).ok();
        stat.map(|stat| (stat.uid(), stat.gid()))
    };
    // Root, or who has made a tree to look at.
    let (root, _) = owner(Path::new("/"))?;
    let looker = &machine.facts.looker;
    let is_users = |uid: u32| looker.is_rootless && uid == looker.owner;
    let is_strange =
        |path: &Path| owner(path).is_some_and(|(uid, _)| uid != root && !is_users(uid));
    let strange = topmost(directories, is_strange)?;
    let (uid, gid) = owner(strange)?;
    let shown = strange.to_string_lossy();
    let finding = Finding::error(format!("{shown} belongs to {}, not to root", Who(uid)));
    if !directories.iter().any(|directory| *directory == strange) {
        // It may be somebody's home.
        return Some(finding.advise(
            "set boxes.root and boxes.locks to directories below those of root alone, such as /var/lib",
        ));
    }
    Some(finding.change(Change::run(
        &["chown", "--no-dereference", "root:root", &shown],
        &["chown", "--no-dereference", &format!("{uid}:{gid}"), &shown],
        true,
    )))
}

/// The topmost of such directories on the way to these: what is below it is in its owner's hands,
/// whoever owns that.
fn topmost(directories: [&PathBuf; 2], is_such: impl Fn(&Path) -> bool) -> Option<&Path> {
    let all = directories
        .into_iter()
        .flat_map(|directory| directory.ancestors());
    all.filter(|path| is_such(path))
        .min_by_key(|path| path.as_os_str().len())
}

pub(in super::super) fn space(machine: &Machine) -> Finding {
    let Some(volume) = machine.facts.volume else {
        return Finding::not_applicable(UNKNOWN);
    };
    let (_, bytes) = volume.bytes;
    let (all_files, files) = volume.files;
    let root = machine.settings.boxes.root.display();
    let mut value = format!("{} MiB free for {root}", bytes >> 20);
    if all_files > 0 {
        value += &format!(", {files} files");
    }
    let counts = all_files > 0;
    let verdict = if bytes < NONE || counts && files < NO_FILES {
        Verdict::Error
    } else if bytes < SCARCE || counts && files < FEW_FILES {
        Verdict::Warning
    } else {
        return Finding::ok(value);
    };
    Finding::new(verdict, value)
        .advise("remove what is not needed; boxes that nobody uses are numbered directories")
        .command(format!("du -xsh {root}/* | sort -h | tail"))
}

pub(in super::super) fn quota(machine: &Machine) -> Finding {
    if machine.facts.looker.is_rootless {
        return Finding::not_applicable("there are none without root; a tmpfs has a size");
    }
    let Some(quotas) = machine.facts.quotas else {
        return Finding::not_applicable(UNKNOWN);
    };
    let wanted = machine.settings.ceilings.disk;
    let errno = match quotas {
        Ok(()) => return Finding::ok("the file system of the boxes has quotas for users"),
        Err(errno) => errno,
    };
    let remedy = Remedy::for_quotas(errno);
    let value = match remedy {
        Some(_) => "none".to_owned(),
        None => format!("none ({})", errno.desc()),
    };
    let finding = match wanted {
        Some(Bytes(most)) => {
            let most = most >> 20;
            Finding::error(format!(
                "{value}, but [ceilings] disk is {most} MiB: runs of users fail"
            ))
        }
        None => Finding::note(value),
    };
    match remedy {
        Some(remedy) => finding.remedy(remedy),
        None => finding,
    }
}

pub(in super::super) fn id_maps(machine: &Machine) -> Finding {
    let mounts = machine.mounts();
    let kind = mounts::of(&mounts, &machine.settings.boxes.root);
    let kind = kind.map_or("the file system", |mount| mount.kind.as_str());
    match machine.facts.id_maps {
        None => Finding::not_applicable("root alone can try it"),
        Some(Ok(())) => Finding::ok(format!("{kind} can: files of users' boxes stay theirs")),
        Some(Err(errno)) => Finding::note(format!("{kind} cannot here ({})", errno.desc())).advise(
            "runs in boxes of users take longer the more files there are; ext4, xfs and btrfs can, \
             tmpfs since Linux 6.3",
        ),
    }
}

pub(in super::super) fn mount_options(machine: &Machine) -> Finding {
    let boxes: &Path = &machine.settings.boxes.root;
    let mounts = machine.mounts();
    let Some(mount) = mounts::of(&mounts, boxes) else {
        return Finding::not_applicable("the mounts cannot be read");
    };
    let target = mount.target.display();
    let value = format!("{} on {target}", mount.kind);
    for (option, what) in [
        ("ro", "is read-only"),
        ("noexec", "executes nothing (noexec)"),
    ] {
        if mount.has(option) {
            let wanted = if option == "ro" { "rw" } else { "exec" };
            // A remount drops what it does not repeat.
            let kept = mount.those_of(&["nosuid", "nodev"]);
            let options = [&["remount", wanted], &kept[..]].concat().join(",");
            return Finding::error(format!("{value} {what}"))
                .advise("for good: change its line in /etc/fstab, or set [boxes] root elsewhere")
                .command(format!("mount -o {options} {target}"));
        }
    }
    let loose = ["nosuid", "nodev"]
        .into_iter()
        .filter(|option| !mount.has(option));
    let loose: Vec<_> = loose.collect();
    let is_own = mount.target == boxes;
    match (is_own, loose.as_slice()) {
        // The file system of the whole system needs both.
        (false, _) | (true, []) => Finding::ok(value),
        (true, loose) => Finding::note(format!("{value}, without {}", loose.join(" and "))).advise(
            "programs cannot use either, but whoever gets at the directory of a box from outside \
             could; add nosuid and nodev in /etc/fstab",
        ),
    }
}

#[cfg(test)]
mod tests {
    use nix::errno::Errno;

    use super::*;
    use crate::doctor::machine::Volume;
    use crate::doctor::machine::tests::with;

    #[test]
    fn space_and_files_both_run_out() {
        let mut made_up = with(&[]);
        assert_eq!(space(&made_up).verdict, Verdict::NotApplicable);
        for (free, all_files, files, verdict) in [
            (2 << 30, 100, 100_000, Verdict::Ok),
            (2 << 30, 0, 0, Verdict::Ok),
            (1 << 29, 100, 100_000, Verdict::Warning),
            (2 << 30, 100, 40_000, Verdict::Warning),
            (1 << 20, 100, 100_000, Verdict::Error),
            (2 << 30, 100, 0, Verdict::Error),
        ] {
            made_up.machine.facts.volume = Some(Volume {
                bytes: (1 << 40, free),
                files: (all_files, files),
            });
            assert_eq!(space(&made_up).verdict, verdict, "{free} {files}");
        }
    }

    #[test]
    fn a_directory_of_boxes_that_others_may_write_to_is_an_error() {
        use std::os::unix::fs::PermissionsExt;
        let made_up = with(&[("/var/local/lib/isolate/0/x", "")]);
        let root = made_up.machine.tree.path("/var/local/lib/isolate");
        let of = |mode| {
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(&root, mode).unwrap();
            boxes(&made_up)
        };
        assert_eq!(of(0o755).verdict, Verdict::Ok);
        let found = of(0o1777);
        assert_eq!(found.verdict, Verdict::Error);
        let taken = ["chmod o-w /var/local/lib/isolate"];
        assert_eq!(found.commands(), taken);
    }

    #[test]
    fn the_topmost_directory_of_a_stranger_is_the_one_to_mend() {
        let directories = [PathBuf::from("/home/j/boxes"), PathBuf::from("/run/locks")];
        let found = |strange: &[&str]| {
            let is_such = |path: &Path| strange.iter().any(|one| Path::new(one) == path);
            topmost([&directories[0], &directories[1]], is_such).map(Path::to_owned)
        };
        let home = Path::new("/home/j");
        assert_eq!(found(&["/home/j/boxes", "/home/j"]).as_deref(), Some(home));
        assert_eq!(found(&["/run/locks"]).as_ref(), Some(&directories[1]));
        assert_eq!(found(&[]), None);
    }

    #[test]
    fn quotas_that_are_configured_must_be_there() {
        let mut made_up = with(&[]);
        made_up.machine.facts.quotas = Some(Ok(()));
        assert_eq!(quota(&made_up).verdict, Verdict::Ok);
        made_up.machine.facts.quotas = Some(Err(Errno::ESRCH));
        let found = quota(&made_up);
        assert_eq!(found.verdict, Verdict::Note);
        assert_eq!(found.advice.as_deref(), Some(Remedy::EnableQuotas.words()));
        made_up.machine.settings.ceilings.disk = Some(Bytes(64 << 20));
        assert_eq!(quota(&made_up).verdict, Verdict::Error);
    }

    #[test]
    fn a_file_system_without_maps_of_ids_is_noted_by_its_name() {
        let root = "21 1 8:1 / / rw - overlay overlay rw\n";
        let mut made_up = with(&[("/proc/self/mountinfo", root)]);
        assert_eq!(id_maps(&made_up).verdict, Verdict::NotApplicable);
        made_up.machine.facts.id_maps = Some(Ok(()));
        assert_eq!(id_maps(&made_up).verdict, Verdict::Ok);
        made_up.machine.facts.id_maps = Some(Err(Errno::EINVAL));
        let found = id_maps(&made_up);
        assert_eq!(found.verdict, Verdict::Note);
        assert!(found.value.starts_with("overlay cannot"), "{found:?}");
    }

    #[test]
    fn boxes_from_which_nothing_is_executed_are_an_error() {
        let of = |mounts: &str| mount_options(&with(&[("/proc/self/mountinfo", mounts)]));
        let root = "21 1 8:1 / / rw - ext4 /dev/a rw\n";
        let own = |options: &str| {
            format!("{root}22 21 8:2 / /var/local/lib/isolate {options} - xfs /dev/b rw\n")
        };
        assert_eq!(of(root).verdict, Verdict::Ok);
        assert_eq!(of(&own("rw,nosuid,nodev")).verdict, Verdict::Ok);
        assert_eq!(of(&own("rw,nosuid")).verdict, Verdict::Note);
        assert_eq!(of(&own("ro")).verdict, Verdict::Error);
        let found = of(&own("rw,nodev,noexec"));
        assert_eq!(found.verdict, Verdict::Error);
        assert_eq!(
            found.commands(),
            ["mount -o remount,exec,nodev /var/local/lib/isolate"]
        );
    }
}
