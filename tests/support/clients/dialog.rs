//! A dialog: the manager says numbers, the user answers with the double of each, and both are content in the end.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::{Client, put};

/// The manager's script in the directory of the FIFOs; it gets the paths of the one to write and the one to read.
pub(crate) const MANAGER: &str = "/fifo/manager";

/// The user's script there; it uses its standard streams.
pub(crate) const USER: &str = "/fifo/user";

/// What the manager does with two descriptors that are open.
pub(crate) const ASK: &str = "for i in 1 2 3 20 100; do\n\
     echo $i >&3; read answer <&4 || exit 5; test $answer = $((2 * i)) || exit 6\n\
     done\necho done >&3\n";

/// What the user does.
pub(crate) const ANSWER: &str = "while read n; do test $n = done && exit 0; echo $((2 * n)); done; echo no numbers >&2; exit 4\n";

/// A directory with a FIFO in each direction, which programs in boxes may open.
#[derive(Debug)]
pub(crate) struct Fifos(PathBuf);

impl Fifos {
    /// Makes them, and the scripts of the two who talk.
    pub(crate) fn new(client: &Client) -> Self {
        let dir = client.test_box.make_dir("fifo", 0, 0o755);
        for name in ["m_to_u", "u_to_m"] {
            mkfifo(&dir.join(name), Mode::S_IRWXU).unwrap();
            fs::set_permissions(dir.join(name), fs::Permissions::from_mode(0o666)).unwrap();
        }
        put(
            &dir.join("manager"),
            &format!("exec 3>$1 4<$2\n{ASK}"),
            0o644,
        );
        put(&dir.join("user"), ANSWER, 0o644);
        Self(dir)
    }

    /// Where they are.
    pub(crate) fn dir(&self) -> &Path {
        &self.0
    }

    /// The manager opens both FIFOs, and is killed.
    pub(crate) fn let_the_manager_die(&self) {
        let script = "exec 3>$1 4<$2\nkill -9 $$\n";
        put(&self.0.join("manager"), script, 0o644);
    }
}
