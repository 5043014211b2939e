//! Boxes work alike on every file system that a machine is likely to have.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::support::TestBox;
use crate::support::systemd::{Mounted, assert_nothing_left, must, private_mounts};

/// A box's life, with everything that depends on the file system: ownership that goes to and fro, what is removed and what is not.
fn a_box_lives_well_in(parent: &Path) {
    let test_box = TestBox::new_in(parent, "systemd").options(&["--cg"]);
    test_box.write("input", "from outside\n");
    let script = "umask 077; cat input >output && mkdir -p deep/er && echo x >deep/er/file && \
                  ln -s output link && ln output second && mkfifo fifo && chmod 555 deep/er && stat -c %u . output";
    let run = test_box.shell(script).run();
    run.assert_ok();
    let uid = test_box.uid();
    assert_eq!(run.stdout, format!("{uid}\n{uid}\n"));

    let owner =
        |name: &str| fs::symlink_metadata(test_box.inside().join(name)).map(|found| found.uid());
    assert_eq!(test_box.read("output"), "from outside\n");
    for name in [".", "input", "output", "second", "deep/er/file"] {
        assert_eq!(owner(name).unwrap(), 0, "{name}");
    }
    for name in ["link", "fifo"] {
        assert!(owner(name).is_err(), "{name} is no plain file");
    }

    // A second run finds what the first one left, and may change it.
    let script = "chmod 755 deep/er && cat output deep/er/file && rm -r deep && mv output renamed";
    let run = test_box.shell(script).run();
    run.assert_ok();
    assert_eq!(run.stdout, "from outside\nx\n");
    assert!(owner("renamed").is_ok() && owner("deep").is_err());

    test_box
        .shell("mkdir -p a/b/c && touch a/b/c/d && chmod 0 a/b")
        .run()
        .assert_ok();
    test_box.cleanup();
    assert_nothing_left(&test_box);
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn boxes_live_on_ext4() {
    private_mounts();
    let mounted = Mounted::image(32, &["mkfs.ext4", "-q"], "rw");
    a_box_lives_well_in(mounted.path());
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn boxes_live_on_xfs() {
    private_mounts();
    let mounted = Mounted::image(320, &["mkfs.xfs", "-q"], "rw");
    a_box_lives_well_in(mounted.path());
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn boxes_live_on_btrfs_and_on_a_subvolume_of_it() {
    private_mounts();
    let mounted = Mounted::image(128, &["mkfs.btrfs", "-q"], "rw");
    a_box_lives_well_in(mounted.path());
    let subvolume = mounted.path().join("subvolume");
    must(
        "btrfs",
        &["subvolume", "create", subvolume.to_str().unwrap()],
    );
    a_box_lives_well_in(&subvolume);
}

/// Everybody may make subvolumes and read-only snapshots of what they own.
#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_read_only_snapshot_of_btrfs_in_a_box_changes_hands_and_goes() {
    private_mounts();
    let mounted = Mounted::image(128, &["mkfs.btrfs", "-q"], "rw");
    let test_box = TestBox::new_in(mounted.path(), "systemd").options(&["--cg"]);
    test_box.init();
    let subvolume = |args: &[&str], names: &[&str]| {
        let names: Vec<_> = names
            .iter()
            .map(|name| test_box.inside().join(name))
            .collect();
        let names = names.iter().map(|name| name.to_str().unwrap());
        let args: Vec<_> = ["subvolume"]
            .into_iter()
            .chain(args.iter().copied())
            .collect();
        must("btrfs", &args.into_iter().chain(names).collect::<Vec<_>>());
    };
    let make = || {
        subvolume(&["create"], &["volume"]);
        fs::create_dir(test_box.inside().join("volume/dir")).unwrap();
        fs::write(test_box.inside().join("volume/dir/file"), "x").unwrap();
        subvolume(&["create"], &["volume/inner"]);
        subvolume(&["snapshot", "-r"], &["volume", "frozen"]);
    };
    make();
    let run = test_box
        .shell("cat frozen/dir/file && echo y >frozen/dir/file")
        .run();
    run.assert_ok();
    assert_eq!(test_box.read("frozen/dir/file"), "y\n");
    let file = test_box.inside().join("frozen/dir/file");
    assert_eq!(fs::metadata(file).unwrap().uid(), 0);
    test_box.isolate(&["--init"]).assert_success();
    assert_eq!(fs::read_dir(test_box.inside()).unwrap().count(), 0);
    make();
    test_box.cleanup();
    assert_nothing_left(&test_box);
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn boxes_live_on_a_tmpfs() {
    private_mounts();
    let mounted = Mounted::tmpfs("size=16m,mode=755");
    a_box_lives_well_in(mounted.path());
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn boxes_live_on_an_overlay() {
    private_mounts();
    let mounted = Mounted::overlay();
    a_box_lives_well_in(mounted.path());
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn a_full_file_system_is_the_program_s_trouble_and_not_the_sandbox_s() {
    private_mounts();
    let mounted = Mounted::tmpfs("size=2m,nr_inodes=60,mode=755");
    let test_box = TestBox::new_in(mounted.path(), "systemd").options(&["--cg"]);
    // What the caller gets to read is not on the full file system.
    let elsewhere = tempfile::tempdir().unwrap();
    let out = test_box.out();
    must(
        "mount",
        &[
            "--bind",
            elsewhere.path().to_str().unwrap(),
            out.to_str().unwrap(),
        ],
    );
    let fill =
        "head -c 4M /dev/zero >big; n=0; while true 2>/dev/null >$n; do n=$((n+1)); done; exit 9";
    let run = test_box.shell(fill).run();
    run.assert_verdict(1, "RE", "Exited with error status 9");
    assert!(run.stderr.contains("No space left on device"), "{run:?}");
    // It stays full, and so it can still be used and removed.
    test_box.command(&["/bin/rm", "big"]).run().assert_ok();
    test_box.cleanup();
    assert_nothing_left(&test_box);
    must("umount", &[out]);
}
