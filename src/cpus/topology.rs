//! Which CPUs make a core, which share a cache, and which are of one kind, as the kernel says below
//! `/sys/devices`: only those that are online.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::CpusError;
use crate::quantity::numbers;

/// Where the kernel tells of CPUs, below the root of the file system.
const CPUS: &str = "sys/devices/system/cpu";

/// The kinds of cores that Intel's hybrid processors have, the fastest first: each is a device with
/// a list of its CPUs.
const KINDS: [&str; 3] = ["cpu_core", "cpu_atom", "cpu_lowpower"];

/// The deepest level of caches that a processor has.
const CACHES: u32 = 5;

/// The processors of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Topology {
    /// Each core that has a CPU online, by its first one.
    pub(super) cores: Vec<Core>,
}

/// A core.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Core {
    /// Its CPUs.
    pub(super) cpus: BTreeSet<u32>,
    /// All CPUs that share its last cache with it.
    pub(super) cache: BTreeSet<u32>,
    /// Of which kind it is.
    pub(super) class: Class,
}

/// A kind of cores; the faster one is the greater one.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Class {
    /// How fast it is, beside others of the same machine.
    speed: u32,
    /// What the kernel calls it. `None`: all are alike.
    pub(super) name: Option<String>,
}

impl Topology {
    /// Reads it below this root of a file system.
    pub(crate) fn read(root: &Path) -> Result<Self, CpusError> {
        let cpus = root.join(CPUS);
        let online = numbers(read(&cpus.join("online"))?.trim_end());
        let classes = classes(root, &online);
        let mut cores: Vec<Core> = Vec::new();
        let mut known: BTreeSet<u32> = BTreeSet::new();
        let mut caches: Vec<BTreeSet<u32>> = Vec::new();
        for cpu in &online {
            if known.contains(cpu) {
                continue;
            }
            let dir = cpus.join(format!("cpu{cpu}"));
            let mut siblings = siblings(&dir)?;
            siblings.retain(|sibling| online.contains(sibling));
            siblings.insert(*cpu);
            known.extend(&siblings);
            let cache = match caches.iter().find(|cache| cache.contains(cpu)) {
                Some(cache) => cache.clone(),
                None => {
                    let cache = last_cache(&dir, &siblings, &online);
                    caches.push(cache.clone());
                    cache
                }
            };
            cores.push(Core {
                cpus: siblings,
                cache,
                class: classes.get(cpu).cloned().unwrap_or_default(),
            });
        }
        Ok(Self { cores })
    }

    /// All CPUs that are online.
    pub(crate) fn online(&self) -> BTreeSet<u32> {
        self.cores
            .iter()
            .flat_map(|core| &core.cpus)
            .copied()
            .collect()
    }
}

fn read(path: &Path) -> Result<String, CpusError> {
    std::fs::read_to_string(path).map_err(|error| CpusError::unread(path, error))
}

/// The CPUs of the core that this one is of. The second file has the same under an older name.
fn siblings(dir: &Path) -> Result<BTreeSet<u32>, CpusError> {
    let text = read(&dir.join("topology/core_cpus_list"));
    let text = text.or_else(|failed| {
        let older = read(&dir.join("topology/thread_siblings_list"));
        older.map_err(|_| failed)
    })?;
    Ok(numbers(text.trim_end()))
}

/// The CPUs that share the last cache. A virtual machine may hide its caches: then all of the
/// package may share one.
fn last_cache(dir: &Path, core: &BTreeSet<u32>, online: &BTreeSet<u32>) -> BTreeSet<u32> {
    let files = (0..=CACHES).rev();
    let files = files.map(|index| format!("cache/index{index}/shared_cpu_list"));
    let mut files = files.chain(["topology/package_cpus_list".to_owned()]);
    let text = files.find_map(|file| read(&dir.join(file)).ok());
    let mut shared = numbers(text.unwrap_or_default().trim_end());
    shared.retain(|cpu| online.contains(cpu));
    shared.extend(core);
    shared
}

/// The kind of each CPU; empty where all are alike.
fn classes(root: &Path, online: &BTreeSet<u32>) -> BTreeMap<u32, Class> {
    let mut found = BTreeMap::new();
    for (name, speed) in KINDS.into_iter().zip([2, 1, 0]) {
        let list = read(&root.join("sys/devices").join(name).join("cpus"));
        let class = || Class {
            speed,
            name: Some(name.to_owned()),
        };
        let list = list.unwrap_or_default();
        found.extend(
            numbers(list.trim_end())
                .into_iter()
                .map(|cpu| (cpu, class())),
        );
    }
    if found.is_empty() {
        for cpu in online {
            let file = root.join(CPUS).join(format!("cpu{cpu}/cpu_capacity"));
            let Some(speed) = read(&file)
                .ok()
                .and_then(|text| text.trim_end().parse().ok())
            else {
                break;
            };
            let name = Some(format!("cpu_capacity {speed}"));
            found.insert(*cpu, Class { speed, name });
        }
    }
    let kinds: BTreeSet<&Class> = found.values().collect();
    if kinds.len() < 2 {
        found.clear();
    }
    found
}
