//! Directory rules: what is visible, how, and what may not be.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use crate::support::{Run, TestBox};

/// Runs a script with these directory rules.
fn with_rules(test_box: &TestBox, rules: &[&str], script: &str) -> Run {
    let options: Vec<_> = rules.iter().map(|rule| format!("--dir={rule}")).collect();
    test_box.shell(script).options(&options).run()
}

/// A box, and a directory of the host with a file in it.
fn box_and_directory() -> (TestBox, String) {
    let test_box = TestBox::new();
    let directory = test_box.make_dir("outside", 0, 0o777);
    fs::write(directory.join("file"), "outside\n").unwrap();
    let path = directory.to_str().unwrap().to_owned();
    (test_box, path)
}

#[test]
#[ignore = "needs root: tests/run"]
fn the_root_has_the_default_directories_and_nothing_else() {
    let run = TestBox::new()
        .shell("echo /*; echo /tmp/* /tmp/.*; ls /dev/shm")
        .run();
    let mut expected = vec!["/bin", "/box", "/dev", "/lib", "/proc", "/tmp", "/usr"];
    if fs::metadata("/lib64").is_ok() {
        expected.push("/lib64");
    }
    expected.sort_unstable();
    let first = run.assert_ok().stdout.lines().next().unwrap();
    assert_eq!(first, expected.join(" "));
}

#[test]
#[ignore = "needs root: tests/run"]
fn box_and_tmp_are_writable_and_everything_else_is_not() {
    let script = "for dir in / /bin /usr /usr/bin /lib /dev /proc /box /tmp /dev/shm; do \
                  (> $dir/new) 2>/dev/null && echo $dir; done; true";
    let run = TestBox::new().shell(script).run();
    assert_eq!(run.assert_ok().stdout, "/box\n/tmp\n/dev/shm\n");
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_directory_is_bound_read_only_unless_it_is_rw() {
    let (test_box, path) = box_and_directory();
    let script = "cat /in/file; (> /in/new) 2>/dev/null && echo written; true";
    let read = with_rules(&test_box, &[&format!("in={path}")], script);
    assert_eq!(read.assert_ok().stdout, "outside\n");
    let written = with_rules(&test_box, &[&format!("/in={path}:rw")], script);
    assert_eq!(written.assert_ok().stdout, "outside\nwritten\n");
    let new = fs::metadata(format!("{path}/new")).unwrap();
    assert_eq!(new.uid(), test_box.uid());
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_rule_with_one_path_has_it_on_both_sides() {
    let run = with_rules(&TestBox::new(), &["etc"], "test -r /etc/passwd");
    run.assert_ok();
}

#[test]
#[ignore = "needs root: tests/run"]
fn noexec_keeps_programs_from_being_executed() {
    let (test_box, path) = box_and_directory();
    let program = format!("{path}/program");
    fs::write(&program, "#!/bin/sh\necho ran\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let run = with_rules(&test_box, &[&format!("in={path}")], "/in/program");
    assert_eq!(run.assert_ok().stdout, "ran\n");
    let run = with_rules(&test_box, &[&format!("in={path}:noexec")], "/in/program");
    run.assert_verdict(1, "RE", "Exited with error status 126");
}

#[test]
#[ignore = "needs root: tests/run"]
fn what_is_missing_is_an_error_unless_it_is_maybe() {
    let test_box = TestBox::new();
    let run = with_rules(&test_box, &["in=/no/such"], "true");
    run.assert_failed("cannot bind '/no/such' on 'in': No such file or directory");
    with_rules(&test_box, &["in=/no/such:maybe"], "test ! -e /in").assert_ok();
}

#[test]
#[ignore = "needs root: tests/run"]
fn temporary_directories_are_writable_empty_and_end_with_the_box() {
    let test_box = TestBox::new();
    let rules = ["work:tmp", "deep/er:tmp"];
    let script = "echo /work/* /deep/er/* /tmp/*; > /work/file; > /deep/er/file; > /tmp/file";
    let run = with_rules(&test_box, &rules, script);
    assert_eq!(run.assert_ok().stdout, "/work/* /deep/er/* /tmp/*\n");
    test_box.cleanup();
    test_box.isolate(&["--init"]).assert_success();
    let run = with_rules(&test_box, &rules, script);
    assert_eq!(run.assert_ok().stdout, "/work/* /deep/er/* /tmp/*\n");
}

#[test]
#[ignore = "needs root: tests/run"]
fn file_systems_of_the_kernel_are_made_anew() {
    let rules = [
        "sys=sysfs:fs",
        "mem=tmpfs:fs:rw",
        "sealed=tmpfs:fs",
        "pts=devpts:fs",
        "p=proc:fs",
    ];
    let script = "for dir in /sys /mem /sealed /pts /p; do \
                  grep \" $dir \" /proc/mounts | cut -d' ' -f3,4 | cut -d, -f1; done; \
                  > /mem/file && ! (> /sealed/file) 2>/dev/null && test -c /pts/ptmx && test -d /p/self";
    let run = with_rules(&TestBox::new(), &rules, script);
    assert_eq!(
        run.assert_ok().stdout,
        "sysfs ro\ntmpfs rw\ntmpfs ro\ndevpts ro\nproc ro\n"
    );
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_file_system_in_memory_holds_what_its_rule_says_and_never_all_memory() {
    let fill = "dd if=/dev/zero of=/mem/file bs=1M count=9 2>/dev/null; stat -c %s /mem/file";
    let run = with_rules(&TestBox::new(), &["mem=tmpfs:fs:rw:size=8M"], fill);
    assert_eq!(run.assert_ok().stdout, format!("{}\n", 8 << 20));
    let size = with_rules(&TestBox::new(), &[], "stat -f -c '%b %S' /dev/shm");
    let figures = size.assert_ok().stdout.split_whitespace();
    let bytes: u64 = figures
        .map(|figure| figure.parse::<u64>().unwrap())
        .product();
    assert!(bytes > 0 && bytes <= 1 << 30, "{bytes}");
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_minimal_etc_names_user_and_host_and_shows_no_file_of_the_hosts() {
    let test_box = TestBox::new();
    let script = "id -un; id -gn; hostname=$(cat /etc/hostname); grep -c \"$hostname\" /etc/hosts; \
                  getent hosts localhost >/dev/null && echo resolved; ls /etc; \
                  (> /etc/new) 2>/dev/null || echo sealed";
    let run = test_box
        .shell(script)
        .options(&["--etc=minimal", "-p"])
        .run();
    let found: Vec<_> = run.assert_ok().stdout.lines().collect();
    assert_eq!(found[..4], ["box", "box", "2", "resolved"]);
    assert_eq!(found.last(), Some(&"sealed"));
    let known = [
        "alternatives",
        "group",
        "hostname",
        "hosts",
        "java",
        "ld.so.cache",
        "mono",
        "nsswitch.conf",
        "passwd",
    ];
    for name in &found[4..found.len() - 1] {
        let is_of_jdk = name.starts_with("java-") && name.ends_with("-openjdk");
        assert!(known.contains(name) || is_of_jdk, "{name}");
    }
    // A rule inside of it has its mount point made.
    let (test_box, path) = box_and_directory();
    let own = format!("etc/own={path}");
    let run = with_rules(&test_box, &["etc=etc:fs", &own], "cat /etc/own/file");
    assert_eq!(run.assert_ok().stdout, "outside\n");
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_minimal_etc_has_what_runtimes_in_usr_link_to() {
    let (test_box, path) = box_and_directory();
    let script = format!(
        "mkdir -p {path}/etc/java-99-openjdk {path}/etc/secrets {path}/lib/jvm/java-99-openjdk-amd64 && \
         echo jdk >{path}/etc/java-99-openjdk/conf && exec unshare -m sh -c ' \
         mount -t overlay -o lowerdir={path}/etc:/etc none /etc && \
         mount -t overlay -o lowerdir={path}/lib:/usr/lib none /usr/lib && exec \"$@\"' sh \"$@\""
    );
    let inside = "cat /etc/java-99-openjdk/conf; ls -d /etc/secrets 2>/dev/null; \
                  (> /etc/java-99-openjdk/new) 2>/dev/null || echo sealed";
    let job = test_box.shell(inside).options(&["--etc=minimal", "-p"]);
    let run = job.through(&script).run();
    assert_eq!(run.assert_ok().stdout, "jdk\nsealed\n");
}

#[test]
#[ignore = "needs root: tests/run"]
fn the_name_of_the_host_resolves_whoever_the_etc_is_of() {
    let test_box = TestBox::new();
    for etc in ["--etc=minimal", "--etc=host"] {
        let script =
            "getent hosts \"$(cat /proc/sys/kernel/hostname)\" >/dev/null && echo resolved";
        let run = test_box.shell(script).options(&[etc, "-p"]).run();
        assert_eq!(run.assert_ok().stdout, "resolved\n", "{etc}");
    }
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_rule_replaces_the_one_for_its_place_and_an_empty_one_takes_it_away() {
    let (test_box, path) = box_and_directory();
    let rules = [&*format!("tmp={path}"), "no/such="];
    let run = with_rules(&test_box, &rules, "cat /tmp/file");
    assert_eq!(run.assert_ok().stdout, "outside\n");
    let without = with_rules(
        &test_box,
        &["dev/shm="],
        "! grep -q ' /dev/shm ' /proc/mounts",
    );
    without.assert_ok();
}

#[test]
#[ignore = "needs root: tests/run"]
fn without_default_directories_there_is_what_rules_name() {
    let test_box = TestBox::new();
    test_box.init();
    test_box.install("list_root");
    let job = test_box.command(&["/box/list_root"]);
    let run = job
        .options(&["-D", "-d", "box=./box:rw", "-d", "a/b/c:tmp"])
        .run();
    assert_eq!(run.assert_ok().stdout, "a\nbox\n");
    let job = test_box.command(&["/box/list_root"]);
    let run = job.options(&["--no-default-dirs"]).run();
    run.assert_failed("cannot change to the directory '/box'");
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_single_file_can_be_bound() {
    let (test_box, path) = box_and_directory();
    let rule = format!("etc/single={path}/file");
    let run = with_rules(&test_box, &[&rule], "cat /etc/single; echo /etc/*");
    assert_eq!(run.assert_ok().stdout, "outside\n/etc/single\n");
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_rule_inside_another_directory_needs_its_mount_point_there() {
    let (test_box, path) = box_and_directory();
    let inner = test_box.make_dir("inner", 0, 0o755);
    fs::write(inner.join("file"), "inner\n").unwrap();
    let rules = [format!("in={path}"), format!("in/sub={}", inner.display())];
    let rules = [&*rules[0], &*rules[1]];
    let script = "cat /in/file /in/sub/file";
    let run = with_rules(&test_box, &rules, script);
    run.assert_failed("cannot mount directory rule 'in/sub': No such file or directory");
    fs::create_dir(format!("{path}/sub")).unwrap();
    let run = with_rules(&test_box, &rules, script);
    assert_eq!(run.assert_ok().stdout, "outside\ninner\n");
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_link_as_a_mount_point_leads_nowhere_outside() {
    let (test_box, path) = box_and_directory();
    symlink("/usr", format!("{path}/link")).unwrap();
    let rules = [format!("in={path}"), "in/link=/etc".to_owned()];
    let script = "test -e /usr/passwd || test -e /in/link/passwd";
    let run = with_rules(&test_box, &[&rules[0], &rules[1]], script);
    // Whatever becomes of it inside, the /usr outside has nothing on it.
    assert!(["0", "XX"].contains(&run.meta.get("exitcode").or(run.meta.get("status")).unwrap()));
    assert!(fs::metadata("/usr/passwd").is_err());
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_directory_of_the_box_may_not_lead_out_of_it() {
    let test_box = TestBox::new();
    test_box.init();
    symlink("/etc", test_box.inside().join("link")).unwrap();
    let job = test_box.shell("cat /in/passwd");
    let run = job
        .options(&["--special-files", "--dir=in=./box/link"])
        .run();
    run.assert_failed("cannot bind 'box/link' on 'in'");
    assert!(!run.stdout.contains("root"), "{run:?}");
}

#[test]
#[ignore = "needs root: tests/run"]
fn set_user_id_programs_and_devices_are_without_effect() {
    let (test_box, path) = box_and_directory();
    let rule = format!("in={path}");
    let script = "grep -E ' /(in|usr|bin|box|tmp|proc|dev/shm|) ' /proc/mounts | grep -v nosuid";
    let run = with_rules(&test_box, &[&rule], script);
    run.assert_verdict(1, "RE", "Exited with error status 1");
    let script = "grep -E ' /(in|usr|bin|box|tmp|) ' /proc/mounts | grep -v nodev";
    let run = with_rules(&test_box, &[&rule], script);
    run.assert_verdict(1, "RE", "Exited with error status 1");
    // Where the file system itself allows devices: a rule never takes a restriction of the host's away.
    let script = "grep -E ' /in ' /proc/mounts";
    let run = with_rules(&test_box, &["in=/dev:dev:norec"], script);
    assert!(!run.assert_ok().stdout.contains("nodev"), "{run:?}");
}

#[test]
#[ignore = "needs root: tests/run"]
fn flags_hold_for_what_is_mounted_below_too() {
    let (test_box, path) = box_and_directory();
    // The mounts are made in a namespace that ends with this run.
    let script = format!(
        "mkdir {path}/sub && exec unshare -m sh -c 'mount -t tmpfs -o mode=777 none {path}/sub && \
         echo below >{path}/sub/file && \"$@\"' sh \"$@\""
    );
    let look = "cat /in/sub/file; (> /in/sub/new) 2>/dev/null && echo written; \
                grep ' /in/sub ' /proc/mounts | cut -d' ' -f4 | grep -o '^ro,nosuid,nodev,noexec'";
    let job = test_box
        .shell(look)
        .options(&[format!("--dir=in={path}:noexec")]);
    let run = job.through(&script).run();
    assert_eq!(run.stdout, "below\nro,nosuid,nodev,noexec\n", "{run:?}");
    fs::remove_dir(format!("{path}/sub")).unwrap();
    let look = "test ! -e /in/sub/file";
    let job = test_box
        .shell(look)
        .options(&[format!("--dir=in={path}:norec")]);
    job.through(&script).run().assert_ok();
}

#[test]
#[ignore = "needs root: tests/run"]
fn sources_are_opened_with_the_rights_of_the_caller() {
    let caller = ["--as-uid=1234", "--as-gid=1234"];
    let test_box = TestBox::new().options(&caller);
    let private = test_box.make_dir("private", 4321, 0o700);
    fs::create_dir(private.join("sub")).unwrap();
    let own = test_box.make_dir("own", 1234, 0o700);
    fs::write(own.join("file"), "own\n").unwrap();
    let rule = format!("in={}", private.join("sub").display());
    with_rules(&test_box, &[&rule], "true").assert_failed("Permission denied");
    let rule = format!("in={}", own.display());
    with_rules(&test_box, &[&rule], "test -d /in").assert_ok();
}

#[test]
#[ignore = "needs root: tests/run"]
fn the_whole_directory_of_the_box_can_be_shown() {
    let test_box = TestBox::new();
    test_box.write("file", "inside\n");
    let run = with_rules(&test_box, &["all=./"], "ls /all");
    assert_eq!(run.assert_ok().stdout, "box\ntmp\n");
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_directory_of_any_name_can_be_bound_on_any_name() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let test_box = TestBox::new();
    for (name, written) in [
        (&b"a=b"[..], r"a\=b"),
        (b"a:rw", r"a\:rw"),
        (b"a\\:b", r"a\\\:b"),
        (b"a b\n", "a b\n"),
        (b"\xff\xfe", r"\377\376"),
        (b"\\x2d", r"\x2d"),
    ] {
        let outside = test_box.dir().join(OsStr::from_bytes(name));
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("file"), "there").unwrap();
        let rule = format!("--dir=in/{written}={}/{written}", test_box.dir().display());
        let run = test_box
            .shell("cat /in/*/file; ls /in")
            .options(&[rule])
            .run();
        let seen = run.assert_ok().stdout.clone();
        assert!(seen.starts_with("there"), "{run:?}");
        if let Ok(name) = std::str::from_utf8(name) {
            assert!(seen.contains(name), "{run:?}");
        }
    }
    // The bytes themselves do as well, where they have no meaning.
    let rule = [
        &b"--dir=in="[..],
        test_box.dir().as_os_str().as_bytes(),
        b"/\xff\xfe",
    ]
    .concat();
    let options = [OsStr::from_bytes(&rule)];
    let run = test_box.shell("cat /in/file").options(&options).run();
    assert_eq!(run.assert_ok().stdout, "there");
}
