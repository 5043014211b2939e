use std::fs::{self, File};
use std::os::unix::fs::symlink;

use nix::sys::stat::FileStat;

use super::super::removal::{Mounts, Removal};
use super::*;

/// Notes every entry that it finds, and moves a directory away when it enters it.
#[derive(Default)]
struct Witness {
    begun: usize,
    entered: usize,
    left: Vec<String>,
    others: Vec<String>,
    moves: Vec<(PathBuf, PathBuf)>,
}

impl Visitor for Witness {
    fn begin(&mut self) {
        self.begun += 1;
        self.entered = 0;
        self.left.clear();
        self.others.clear();
    }

    fn enter(&mut self, _dir: BorrowedFd<'_>, _stat: &FileStat) -> Result<(), Fault> {
        self.entered += 1;
        if let Some((from, to)) = self.moves.pop() {
            fs::rename(from, to).unwrap();
        }
        Ok(())
    }

    fn entry(&mut self, _parent: BorrowedFd<'_>, name: &CStr) -> Result<Found, Fault> {
        self.others.push(name.to_str().unwrap().to_owned());
        Ok(Found::Other)
    }

    fn leave(&mut self, _parent: BorrowedFd<'_>, name: &CStr) -> Result<(), Fault> {
        self.left.push(name.to_str().unwrap().to_owned());
        Ok(())
    }
}

fn walk_over(path: &Path, witness: &mut Witness) -> Result<(), BoxDirError> {
    let top = File::open(path).unwrap();
    walk(top.as_fd(), path, witness)
}

#[test]
fn everything_below_the_top_is_visited_once_and_children_are_left_before_parents() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("a/b/c")).unwrap();
    fs::create_dir_all(dir.path().join("a/d")).unwrap();
    symlink("/", dir.path().join("a/b/link")).unwrap();
    fs::write(dir.path().join("a/d/file"), "").unwrap();
    let mut witness = Witness::default();
    walk_over(dir.path(), &mut witness).unwrap();
    assert_eq!((witness.begun, witness.entered), (1, 4));
    let at = |name| witness.left.iter().position(|left| left == name).unwrap();
    assert!(at("c") < at("b") && at("b") < at("a") && at("d") < at("a"));
    witness.others.sort();
    assert_eq!(witness.others, ["file", "link"]);
}

#[test]
fn a_directory_that_is_moved_away_during_the_walk_leads_nowhere_else() {
    let dir = tempfile::tempdir().unwrap();
    let top = dir.path().join("top");
    fs::create_dir_all(top.join("a/b")).unwrap();
    fs::create_dir_all(dir.path().join("outside/secret")).unwrap();
    // On entering b (the second directory), b is moved out of the tree; in the next attempt it
    // is a.
    let mut witness = Witness {
        moves: vec![
            (top.join("a"), dir.path().join("outside/a")),
            (top.join("a/b"), dir.path().join("outside/b")),
            (top.clone(), top.clone()),
        ],
        ..Witness::default()
    };
    walk_over(&top, &mut witness).unwrap();
    assert_eq!(witness.begun, 3);
    assert_eq!(witness.entered, 0);
    assert!(dir.path().join("outside/secret").exists());
}

#[test]
fn a_tree_that_never_stops_changing_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let (top, outside) = (dir.path().join("top"), dir.path().join("outside"));
    fs::create_dir_all(&top).unwrap();
    fs::create_dir_all(&outside).unwrap();
    for number in 0..ATTEMPTS {
        fs::create_dir(top.join(number.to_string())).unwrap();
    }
    struct Thief(PathBuf, PathBuf);
    impl Visitor for Thief {
        fn enter(&mut self, dir: BorrowedFd<'_>, _stat: &FileStat) -> Result<(), Fault> {
            let id = file_id(&fstat(dir).unwrap());
            for entry in fs::read_dir(&self.0).unwrap() {
                let entry = entry.unwrap();
                let stat = nix::sys::stat::stat(&entry.path()).unwrap();
                if file_id(&stat) == id {
                    fs::rename(entry.path(), self.1.join(entry.file_name())).unwrap();
                }
            }
            Ok(())
        }
        fn entry(&mut self, _parent: BorrowedFd<'_>, _name: &CStr) -> Result<Found, Fault> {
            Ok(Found::Other)
        }
    }
    let open = File::open(&top).unwrap();
    let error = walk(open.as_fd(), &top, &mut Thief(top.clone(), outside)).unwrap_err();
    assert_eq!(error, BoxDirError::Changing { path: top });
}

#[test]
fn a_removal_remembers_few_of_many_names() {
    let dir = tempfile::tempdir().unwrap();
    let long = "long".repeat(60);
    let mut path = dir.path().to_path_buf();
    for _ in 0..2 {
        for number in 0..3_000 {
            fs::create_dir(path.join(format!("{number} {long}"))).unwrap();
        }
        path.push(format!("7 {long}"));
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("file"), "").unwrap();
    }
    let top = File::open(dir.path()).unwrap();
    let mut removal = Removal::of(Mounts::Refuse, u64::MAX);
    let mut buffer = Vec::with_capacity(BUFFER);
    let mut walk = Walk {
        path: dir.path(),
        names: Vec::new(),
        levels: Vec::new(),
        buffer: &mut buffer,
        rescans: 0,
    };
    assert!(walk.run(top.as_fd(), &mut removal).is_ok());
    assert!(
        walk.names.capacity() <= PENDING,
        "{}",
        walk.names.capacity()
    );
    assert_eq!(walk.rescans, 0);
    assert_eq!(removal.removed(), 6_002);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_mount_point_ends_the_walk_and_is_named() {
    // /dev/pts is a mount point that every machine has, also in a container.
    let error = walk_over(Path::new("/dev"), &mut Witness::default()).unwrap_err();
    assert!(matches!(error, BoxDirError::MountPoint { .. }), "{error}");
}
