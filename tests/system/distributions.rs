//! What is for other distributions than the tests' own, as far as Debian has their tools.

use std::fs;

use crate::support::source;
use crate::support::systemd::must;

/// The package puts it where AppArmor's parser knows rules for user namespaces, as this one does.
#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn apparmor_accepts_the_profile_that_the_package_has_put_in_its_place() {
    let profile = "/etc/apparmor.d/isolate-run";
    let expected = fs::read_to_string(source("contrib/apparmor/isolate-run")).unwrap();
    assert_eq!(fs::read_to_string(profile).unwrap(), expected);
    must(
        "apparmor_parser",
        &["--skip-kernel-load", "--skip-cache", profile],
    );
    let names = must("apparmor_parser", &["--names", profile]);
    assert_eq!(names, "isolate-run\n");
}
