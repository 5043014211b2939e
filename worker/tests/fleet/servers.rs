//! nats-servers: one, or a cluster of three.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::disks::Disk;
use crate::world::PATIENCE;

/// The program, which a script gets out of Debian's archive, once.
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/guest/nats");
        let output = Command::new(&script)
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{} did not get nats-server",
            script.display()
        );
        String::from_utf8(output.stdout).unwrap().trim().into()
    })
}

/// What else the configuration of a server says, by its number; the cluster, too, if it wants to.
pub type More = Box<dyn Fn(usize) -> String>;

/// Them, with their folders.
pub struct Servers {
    /// Small ones, if each is to have its own.
    pub disks: Vec<Disk>,
    dir: PathBuf,
    more: More,
    scheme: &'static str,
    ports: Vec<u16>,
    routes: Vec<u16>,
    running: Vec<Option<Child>>,
}

/// Ports that nobody has, all different. They are below those which the kernel gives to clients:
/// one of those could have a server's own while that is away, or even be connected to itself.
pub fn ports(count: usize) -> Vec<u16> {
    const FIRST: u32 = 10_000;
    const COUNT: u32 = 22_000;
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id().wrapping_mul(97);
    let next = || {
        let number = start.wrapping_add(GIVEN.fetch_add(1, Ordering::Relaxed));
        u16::try_from(FIRST + number % COUNT).unwrap()
    };
    std::iter::repeat_with(next)
        .filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .take(count)
        .collect()
}

impl Servers {
    /// So many, with what else their configuration says, and how large the disk of each is.
    pub fn start(dir: &Path, count: usize, more: More, disk: Option<&str>) -> Self {
        let all = ports(2 * count);
        let place = |index| dir.join(format!("nats-{index}"));
        let disk = |index| disk.map(|size| Disk::new(&place(index), size));
        let mut servers = Self {
            disks: (0..count).filter_map(disk).collect(),
            dir: dir.to_owned(),
            scheme: if more(0).contains("tls {") {
                "tls"
            } else {
                "nats"
            },
            more,
            ports: all[..count].to_vec(),
            routes: all[count..].to_vec(),
            running: (0..count).map(|_| None).collect(),
        };
        servers.begin_all();
        servers
    }

    fn begin_all(&mut self) {
        for index in 0..self.count() {
            self.begin(index);
            // Started at once, some versions do not place streams for more than a minute.
            if self.count() > 1 {
                self.wait_until_up(index);
                sleep(Duration::from_secs(1));
            }
        }
    }

    /// Starts all of them again, with nothing of what they had.
    pub fn begin_anew(&mut self) {
        for index in 0..self.count() {
            self.kill(index);
            match self.disks.get(index) {
                // Where a disk is, its folder is not to go: the disk would go with it.
                Some(disk) => disk.clear(),
                None => drop(fs::remove_dir_all(self.dir.join(format!("nats-{index}")))),
            }
        }
        self.begin_all();
    }

    /// Starts one, again with what it had.
    pub fn begin(&mut self, index: usize) {
        let store = self.dir.join(format!("nats-{index}"));
        let (port, route, place) = (self.ports[index], self.routes[index], store.display());
        let mut config = format!(
            "listen: \"127.0.0.1:{port}\"\nserver_name: n{index}\nlog_file: \"{place}.log\"\n\
             jetstream {{ store_dir: \"{place}\", sync_interval: always, max_file_store: 40GB }}\n"
        );
        config += &(self.more)(index);
        if self.ports.len() > 1 && !config.contains("cluster {") {
            let routes: Vec<String> = self
                .routes
                .iter()
                .map(|port| format!("nats://127.0.0.1:{port}"))
                .collect();
            config += &format!(
                "cluster {{ name: c, listen: \"127.0.0.1:{route}\", routes: {routes:?} }}\n"
            );
        }
        let file = self.dir.join(format!("nats-{index}.conf"));
        fs::write(&file, config).unwrap();
        let mut command = match self.disks.get(index) {
            Some(disk) => disk.command(program()),
            None => Command::new(program()),
        };
        let child = command
            .arg("-c")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.running[index] = Some(child.unwrap());
    }

    /// Waits until clients of one can connect.
    pub fn wait_until_up(&self, index: usize) {
        let end = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", self.ports[index])).is_err() {
            assert!(Instant::now() < end, "server {index} does not come up");
            sleep(Duration::from_millis(20));
        }
    }

    /// As if its machine lost power.
    pub fn kill(&mut self, index: usize) {
        if let Some(mut child) = self.running[index].take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// The id of the process of one that runs.
    pub fn process(&self, index: usize) -> u32 {
        self.running[index].as_ref().unwrap().id()
    }

    /// What one has said.
    pub fn log(&self, index: usize) -> String {
        fs::read_to_string(self.dir.join(format!("nats-{index}.log"))).unwrap_or_default()
    }

    pub fn count(&self) -> usize {
        self.ports.len()
    }

    /// How clients reach them.
    pub fn urls(&self) -> Vec<String> {
        self.ports
            .iter()
            .map(|port| format!("{}://127.0.0.1:{port}", self.scheme))
            .collect()
    }

    /// Where the first one listens.
    pub fn port(&self) -> u16 {
        self.ports[0]
    }

    /// Has all of them read their configuration again.
    pub fn reload(&self) {
        for child in self.running.iter().flatten() {
            let id = Pid::from_raw(child.id().try_into().unwrap());
            kill(id, Signal::SIGHUP).unwrap();
        }
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        for index in 0..self.running.len() {
            self.kill(index);
        }
    }
}
