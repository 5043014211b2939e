//! `--quota`: how much a box may write, where the file system keeps count.

use crate::support;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use crate::support::systemd::{Mounted, must, private_mounts};
use crate::support::{Run, TestBox};

/// A file system that counts what users have on it.
fn with_quotas() -> Mounted {
    must("modprobe", &["quota_v2"]);
    // Without a reserve for root: what is free is for everybody.
    let make = ["mkfs.ext4", "-q", "-m", "0", "-O", "quota", "-N", "1024"];
    Mounted::image(32, &make, "usrquota")
}

/// How many of what it was told the program could write, and why it stopped.
fn written(run: &Run) -> (u32, &str) {
    let line = run.stdout.trim_end();
    let (count, reason) = line.split_once(' ').unwrap_or((line, ""));
    (count.parse().unwrap_or_else(|_| panic!("{run:?}")), reason)
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_box_holds_as_many_blocks_and_files_as_its_quota_and_no_more() {
    private_mounts();
    let mounted = with_quotas();
    let test_box = TestBox::new_in(mounted.path(), "systemd").options(&["--cg"]);
    // The box's program is copied by root, but belongs to the box when it runs: 800 KiB or so.
    test_box
        .isolate(&["--quota=4096,40", "--init"])
        .assert_success();
    let program = support::program("fill_file");
    let own = fs::metadata(&program).unwrap().size() / 1024;
    let run = test_box.isolate(&["--quota=4096,40", "--cleanup"]);
    run.assert_silent_success();

    let test_box = TestBox::new_in(mounted.path(), "systemd").options(&["--cg", "--quota=4096,40"]);
    let run = test_box.program("fill_file").args(&["big", "8192"]).run();
    let (kib, reason) = written(&run);
    assert_eq!(reason, "Disk quota exceeded", "{run:?}");
    let room = 4096 - u32::try_from(own).unwrap();
    // Directories take blocks, too.
    assert!(
        kib <= room && kib + 100 >= room,
        "{kib} of {room} KiB: {run:?}"
    );
    fs::remove_file(test_box.inside().join("big")).unwrap();

    let run = test_box.program("fill_files").args(&["100"]).run();
    let (files, reason) = written(&run);
    assert_eq!(reason, "Disk quota exceeded", "{run:?}");
    assert!((20..40).contains(&files), "{run:?}");
}

/// It counts what the box user owns: files that stay their owner's on disk would not be in it.
#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn the_quota_of_a_users_box_holds_in_runs_that_do_not_name_it() {
    private_mounts();
    let mounted = with_quotas();
    let test_box = TestBox::new_in(mounted.path(), "systemd").called_by(support::ALICE);
    test_box
        .isolate(&["--quota=512,20", "--init"])
        .assert_success();
    let script = "head -c 2M /dev/zero >big";
    let run = test_box.isolate(&["--processes=3", "--run", "--", "/bin/sh", "-c", script]);
    assert!(run.stderr.contains("Disk quota exceeded"), "{run:?}");
    let cleanup = test_box.isolate(&["--cleanup"]);
    cleanup.assert_silent_success();
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn the_quota_goes_with_the_box() {
    private_mounts();
    let mounted = with_quotas();
    let test_box = TestBox::new_in(mounted.path(), "systemd");
    let uid = test_box.uid();
    // Beside the boxes, where the user of the box can write without the sandbox.
    let free = test_box.make_dir("free", uid, 0o755);
    let fill = |kib: &str| {
        let user = format!("--reuid={uid}");
        let group = format!("--regid={uid}");
        let file = free.join("file");
        let program = support::program("fill_file");
        let mut command = std::process::Command::new("setpriv");
        command
            .args([&user, &group, "--clear-groups", "--"])
            .arg(program)
            .arg(file)
            .arg(kib);
        support::finish(command)
    };
    test_box
        .isolate(&["--quota=512,20", "--init"])
        .assert_success();
    assert!(fill("1024").stdout.contains("Disk quota exceeded"));
    fs::remove_file(free.join("file")).unwrap();
    test_box.cleanup();
    fill("1024").assert_success();
    fs::remove_file(free.join("file")).unwrap();

    // The same when the box is made anew without a quota.
    test_box
        .isolate(&["--quota=512,20", "--init"])
        .assert_success();
    test_box.isolate(&["--init"]).assert_success();
    fill("1024").assert_success();
    test_box.cleanup();
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_file_system_without_quotas_is_refused_with_what_to_do() {
    private_mounts();
    let mounted = Mounted::tmpfs("size=8m");
    let refused = |at: &Path| {
        let test_box = TestBox::new_in(at, "systemd");
        let refused = test_box.isolate(&["--quota=100,10", "--init"]);
        refused.assert_refused(2, "cannot set the disk quota on the file system of");
        // A box that could not be made is not there, and stands in nobody's way.
        test_box
            .isolate(&["--run", "--", "/bin/true"])
            .assert_refused(2, "Box not found, did you run");
        test_box.command(&["/bin/true"]).run().assert_ok();
    };
    refused(mounted.path());
    let without = Mounted::image(16, &["mkfs.ext4", "-q"], "noquota");
    refused(without.path());
}

/// What is left of a large box would count for whoever has its ids next.
#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_large_box_is_removed_as_a_whole_where_quotas_count() {
    private_mounts();
    must("modprobe", &["quota_v2"]);
    let make = ["mkfs.ext4", "-q", "-O", "quota", "-N", "8192"];
    let mounted = Mounted::image(32, &make, "usrquota");
    let test_box = TestBox::new_in(mounted.path(), "systemd");
    let place = test_box.dir().join("boxes.removed");
    fs::create_dir(&place).unwrap();
    fs::set_permissions(&place, fs::Permissions::from_mode(0o700)).unwrap();
    test_box.init();
    for number in 0..5_000 {
        fs::write(test_box.inside().join(number.to_string()), "").unwrap();
    }
    test_box.cleanup();
    assert_eq!(fs::read_dir(&place).unwrap().count(), 0);
}
