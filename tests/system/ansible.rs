//! The role of `contrib/ansible` by Debian's Ansible, which makes the machine that the tests run on one of a fleet.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::support::systemd::{has_controllers, must, package, property};
use crate::support::{source, wait_until};

const UNIT: &str = "isolate-run-worker.service";
const USER: &str = "isolate-run-worker";
/// What the role makes besides what the package has.
const FOLDERS: [&str; 2] = [
    "/etc/isolate/worker.toml.d",
    "/etc/systemd/system/isolate-run-worker.service.d",
];

/// A queue, a folder for all that Ansible writes, and what the role has brought: all of it goes when this is dropped.
struct Fleet {
    dir: TempDir,
    server: Child,
}

impl Fleet {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let at = |name: &str| dir.path().join(name);
        let debs = debs().map(|deb| format!("{:?}", deb.display().to_string()));
        // What the doctor says of a container, which may have no controllers.
        let accepts = if has_controllers() { "" } else { "controllers" };
        let hosts = format!(
            "judges:\n  hosts:\n    one:\n      ansible_connection: local\n      ansible_python_interpreter: /usr/bin/python3\n  \
             vars:\n    isolate_run_worker_debs: [{}]\n    isolate_run_worker_doctor_accepts: [{accepts}]\n    \
             isolate_run_worker_settings:\n      machine: {{pool: ours}}\n      slots: {{count: 1}}\n      \
             files: {{min_free: 1M}}\n      queues: {{finals: {{weight: 3}}, course: {{}}}}\n      \
             streams: {{replicas: 1, jobs_max: 16M, files_max: 64M}}\n",
            debs.join(", ")
        );
        fs::write(at("hosts.yml"), hosts).unwrap();
        let setup = "[machine]\npool = \"ours\"\n[queues.finals]\n[queues.course]\n\
                     [streams]\nreplicas = 1\njobs_max = \"16M\"\nfiles_max = \"64M\"\n";
        fs::write(at("setup.toml"), setup).unwrap();
        let place = dir.path().display();
        let config = format!(
            "listen: \"127.0.0.1:4222\"\nlog_file: \"{place}/log\"\njetstream {{ store_dir: \"{place}/store\" }}\n"
        );
        fs::write(at("nats.conf"), config).unwrap();
        let mut server = Command::new(brought("nats-server"));
        server.arg("-c").arg(at("nats.conf")).stdin(Stdio::null());
        let server = server.spawn().unwrap();
        let fleet = Self { dir, server };
        wait_until("the queue to be there", || {
            let worker = brought("isolate-run-worker");
            let mut setup = Command::new(worker);
            setup.arg("--config").arg(fleet.at("setup.toml"));
            setup.arg("setup").output().unwrap().status.success()
        });
        fleet
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A program of Ansible that has to succeed; what it printed. It takes minutes in a slow guest.
    fn ansible(&self, program: &str, words: &[&str]) -> String {
        let ansible = source("contrib/ansible");
        let mut command = Command::new(program);
        command.args(words).current_dir(self.dir.path());
        command
            .env("HOME", self.dir.path())
            .env("LC_ALL", "C.UTF-8");
        command.env("ANSIBLE_HOME", self.at("home"));
        command.env("ANSIBLE_REMOTE_TEMP", self.at("remote"));
        command.env("ANSIBLE_ROLES_PATH", ansible.join("roles"));
        command
            .env("ANSIBLE_PIPELINING", "1")
            .env("ANSIBLE_NOCOLOR", "1");
        let output = command.stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "{program} {words:?}: {said}{error}"
        );
        said
    }

    /// Plays the role with these options; what it printed, of which the last line counts.
    fn play(&self, words: &[&str]) -> String {
        let site = source("contrib/ansible/site.yml").display().to_string();
        let hosts = ["-i", "hosts.yml", &site];
        self.ansible("ansible-playbook", &[&hosts[..], words].concat())
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        // A test that failed may leave it in any state.
        let does = |program: &str, words: &[&str]| {
            Command::new(program).args(words).output().ok();
        };
        does("dpkg", &["--purge", USER]);
        does("userdel", &[USER]);
        for folder in FOLDERS {
            fs::remove_dir_all(folder).ok();
        }
        does("systemctl", &["daemon-reload"]);
        does("systemctl", &["reset-failed", UNIT]);
        for deb in debs() {
            fs::remove_file(Path::new("/var/cache").join(deb.file_name().unwrap())).ok();
        }
        self.server.kill().ok();
        self.server.wait().ok();
    }
}

/// A program that `tests/run` has brought along.
fn brought(name: &str) -> PathBuf {
    let folder = std::env::var_os("ISOLATE_TEST_FLEET").expect("tests/run sets it");
    PathBuf::from(folder).join(name)
}

/// The packages; that of the worker lies beside the other one in guests that have Ansible.
fn debs() -> [PathBuf; 2] {
    let file = package::file().expect("ISOLATE_TEST_PACKAGE names the package: tests/run");
    let worker = file.with_file_name("isolate-run-worker.deb");
    [file, worker]
}

#[test]
#[ignore = "needs systemd and cgroup v2: tests/run"]
fn the_role_makes_a_machine_one_of_a_fleet_and_changes_nothing_the_second_time() {
    let fleet = Fleet::new();
    let ansible = source("contrib/ansible").display().to_string();
    fleet.ansible("cp", &["-r", &ansible, "role"]);
    fleet.ansible(
        "ansible-lint",
        &["--offline", "--project-dir", "role", "role"],
    );
    fleet.play(&["--syntax-check"]);

    let said = fleet.play(&["--check"]);
    assert!(said.contains("failed=0"), "{said}");
    assert!(!Path::new("/usr/bin/isolate-run-worker").exists());

    let said = fleet.play(&[]);
    assert!(said.contains("See whether the worker is there"), "{said}");
    assert_eq!(property(UNIT, "ActiveState"), "active");
    let status = must("/usr/bin/isolate-run-worker", &["status", "--json"]);
    assert!(status.contains("\"ours\""), "{status}");

    let said = fleet.play(&[]);
    assert!(said.contains("changed=0"), "{said}");
}
