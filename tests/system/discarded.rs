//! A box with many files is gone at once, and what is left of it is removed by a process that nobody waits for.

use std::fs;
use std::path::PathBuf;

use nix::fcntl::{Flock, FlockArg};

use crate::support::systemd::{private_mounts, user_box};
use crate::support::{TestBox, entries, wait_until};

/// More than are removed while somebody waits.
const FILES: u32 = 3_000;

fn fill(test_box: &TestBox) {
    let script = format!("mkdir many && cd many && seq {FILES} | xargs touch");
    let job = test_box.shell(&script).options(&["--processes=8"]);
    job.run().assert_ok();
}

fn left(test_box: &TestBox) -> PathBuf {
    test_box.root().join(".discarded")
}

/// Leaves something there as if its remover had been killed, and keeps everybody from it.
fn hold_what_is_left(test_box: &TestBox) -> Flock<fs::File> {
    let stale = left(test_box).join("1-1/many");
    fs::create_dir_all(&stale).unwrap();
    fs::write(stale.join("file"), "").unwrap();
    let held = fs::File::open(left(test_box)).unwrap();
    Flock::lock(held, FlockArg::LockExclusive).unwrap()
}

/// Of root and of a user; also what a process has left that was killed.
#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn what_is_left_of_a_box_with_many_files_goes_by_itself_and_its_number_is_free_at_once() {
    for test_box in [TestBox::with_manager("systemd"), user_box()] {
        test_box.init();
        fill(&test_box);
        let held = hold_what_is_left(&test_box);
        test_box.isolate(&["--init"]).assert_success();
        assert_eq!(entries(&test_box.inside()).count(), 0);
        // While somebody is at it, nobody else is.
        assert_eq!(entries(&left(&test_box)).count(), 2);
        drop(held);
        fill(&test_box);
        test_box.isolate(&["--cleanup"]).assert_silent_success();
        assert!(!test_box.path().exists());
        wait_until("nothing is left", || !left(&test_box).exists());
        test_box.assert_gone();
    }
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn gc_has_removed_what_a_killed_process_has_left() {
    let test_box = TestBox::with_manager("systemd");
    test_box.init();
    drop(hold_what_is_left(&test_box));
    test_box.verb("gc", &["--older-than=1h"]).assert_success();
    wait_until("nothing is left", || !left(&test_box).exists());
    test_box.cleanup();
}

/// Who mounted something has a reason.
#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn nothing_is_put_away_in_which_something_is_mounted() {
    private_mounts();
    let test_box = user_box();
    test_box.init();
    fill(&test_box);
    let point = test_box.inside().join("many/mounted");
    fs::create_dir(&point).unwrap();
    let nothing: Option<&str> = None;
    nix::mount::mount(
        Some("none"),
        &point,
        Some("tmpfs"),
        nix::mount::MsFlags::empty(),
        nothing,
    )
    .unwrap();
    let refused = test_box.isolate(&["--cleanup"]);
    assert!(refused.stderr.contains("is a mount point"), "{refused:?}");
    assert!(!left(&test_box).exists());
    nix::mount::umount(&point).unwrap();
    test_box.cleanup();
}
