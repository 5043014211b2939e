//! A lease, from the wait for it to what was beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use super::choice::{Bounds, Choice, best, leases};
use super::slots::{Slot, Slots};
use super::topology::Topology;
use super::{CpusError, Leased, Wanted};
use crate::config::settings::CpuSettings;
use crate::quantity::CpuList;
use crate::sys::poll::{Until, first, readable};
use crate::sys::process::has_processes;

/// How long a lease that is being given back is waited for, by those who do not wait otherwise.
const GRACE: Duration = Duration::from_millis(200);
/// How often is looked for a free CPU although nobody has told of one: the kernel tells that a file
/// is closed before it unlocks it.
const LOOK: Duration = Duration::from_millis(20);
/// How long processes of a killed run may take to die.
const DYING: Duration = Duration::from_secs(10);

/// CPUs that are a run's alone until this is dropped, and the last process with a copy of its
/// descriptor has ended.
#[derive(Debug)]
pub(crate) struct Lease {
    slots: Slots,
    settings: CpuSettings,
    choice: Choice,
    runs_on: CpuList,
    /// How many leases had begun on each CPU beside and around, those of before not counted.
    before: BTreeMap<u32, u64>,
}

impl Lease {
    /// Takes a lease, as soon as there is one for those who wait.
    pub(crate) fn take(
        topology: &Topology,
        settings: &CpuSettings,
        wanted: &Wanted<'_>,
    ) -> Result<Self, CpusError> {
        let bounds = Bounds {
            granted: wanted.granted,
            usable: Some(&wanted.usable),
        };
        let all = leases(topology, settings, bounds);
        if all.is_empty() {
            return Err(none(topology, settings, wanted));
        }
        let slots = Slots::open(wanted.locks)?;
        let taken = wait_for_one(&slots, &all, wanted.waits)?;
        let Taken { choice, before, .. } = taken.ok_or(CpusError::Busy {
            unit: settings.lease,
            count: all.len(),
        })?;
        let runs_on = CpuList::of(&choice.runs_on);
        let lease = Self {
            runs_on: runs_on.ok_or_else(|| none(topology, settings, wanted))?,
            slots,
            settings: settings.clone(),
            choice,
            before,
        };
        log::debug!("the run has the CPUs {} to itself", lease.runs_on.as_str());
        Ok(lease)
    }

    /// The CPUs that the program may use.
    pub(crate) fn cpus(&self) -> &CpuList {
        &self.runs_on
    }

    /// The descriptor that holds the lease, for a child that is to inherit it.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.slots.fd()
    }

    /// Notes whose processes have the CPUs from now on.
    pub(crate) fn begin(&self, uid: u32) -> Result<(), CpusError> {
        let first = self.choice.first();
        let slot = self.slots.read(first)?;
        self.slots.write(first, Slot { uid, ..slot })
    }

    /// Gives the CPUs back when nothing of the run is there any more, and says what was beside it.
    pub(crate) fn finish(self) -> Result<Leased, CpusError> {
        let count = |cpus: &BTreeSet<u32>| -> Result<u64, CpusError> {
            let mut count = 0;
            for cpu in cpus {
                let before = self.before.get(cpu).copied().unwrap_or_default();
                count += self.slots.read(*cpu)?.leases.saturating_sub(before);
            }
            Ok(count)
        };
        let Choice {
            runs_on,
            holds,
            beside,
            around,
            class,
        } = &self.choice;
        let leased = Leased {
            unit: self.settings.lease,
            cpus: self.runs_on.clone(),
            idle: CpuList::of(&(holds - runs_on)),
            class: class.name.clone(),
            on_core: count(beside)?,
            on_cache: count(around)?,
        };
        let first = self.choice.first();
        let slot = self.slots.read(first)?;
        let over = Slot {
            is_open: false,
            uid: 0,
            ..slot
        };
        self.slots.write(first, over)?;
        for cpu in holds {
            self.slots.give_back(*cpu)?;
        }
        Ok(leased)
    }
}

/// What was taken, in turn.
struct Taken {
    choice: Choice,
    before: BTreeMap<u32, u64>,
    /// CPUs whose last run did not say that it was over, and its user.
    left: Vec<(u32, u32)>,
}

/// Takes one of these leases; `None` when others have them, and nobody is to wait.
fn wait_for_one(slots: &Slots, all: &[Choice], waits: bool) -> Result<Option<Taken>, CpusError> {
    let failed = |step| CpusError::locks(step, slots.path());
    let began = Instant::now();
    let mut news = None;
    loop {
        if let Some(taken) = slots.in_turn(|| take_one(slots, all))? {
            settle(slots, &taken)?;
            return Ok(Some(taken));
        }
        if !waits && began.elapsed() >= GRACE {
            return Ok(None);
        }
        let news: &Inotify = match &mut news {
            Some(news) => news,
            news => {
                if waits {
                    log::info!("all CPUs are leased to other runs; waiting");
                }
                news.insert(watch(slots.path()).map_err(|errno| failed("watch")(errno.into()))?)
            }
        };
        let told = first([((), readable(news.as_fd()))], Until::within(LOOK));
        if told.map_err(failed("wait for"))?.is_some() {
            // What it was does not matter: whoever is free is found by a look.
            drop(news.read_events());
        }
    }
}

/// Who closes the file, or writes to it, may have given a CPU back.
fn watch(path: &Path) -> nix::Result<Inotify> {
    let news = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
    let events = AddWatchFlags::IN_CLOSE_WRITE | AddWatchFlags::IN_MODIFY;
    news.add_watch(path, events)?;
    Ok(news)
}

/// Takes the best lease that is free.
fn take_one(slots: &Slots, all: &[Choice]) -> Result<Option<Taken>, CpusError> {
    let held = slots.held()?;
    let Some(choice) = best(all.to_vec(), &held) else {
        return Ok(None);
    };
    let mut left = Vec::new();
    for cpu in &choice.holds {
        if !slots.take(*cpu)? {
            // Somebody else has begun to use the file. What was taken goes with it.
            let source = std::io::Error::other("another program locks it");
            return Err(CpusError::locks("lock", slots.path())(source));
        }
        let slot = slots.read(*cpu)?;
        if slot.is_open && slot.uid != 0 {
            left.push((*cpu, slot.uid));
        }
    }
    let mut before = BTreeMap::new();
    for cpu in &choice.around | &choice.beside {
        let slot = slots.read(cpu)?;
        let is_there = slot.is_open && held.contains(&cpu);
        before.insert(cpu, slot.leases.saturating_sub(u64::from(is_there)));
    }
    let slot = slots.read(choice.first())?;
    let begun = Slot {
        leases: slot.leases + 1,
        is_open: true,
        ..slot
    };
    slots.write(choice.first(), begun)?;
    Ok(Some(Taken {
        choice,
        before,
        left,
    }))
}

/// Waits for the end of processes that a killed run has left there: the kernel closes the files of
/// a killed init, and with them the lease, before it kills the rest (see `box_dir::stragglers`).
fn settle(slots: &Slots, taken: &Taken) -> Result<(), CpusError> {
    for (cpu, uid) in taken.left.iter().copied() {
        let end = Instant::now() + DYING;
        while is_left(slots, uid)? {
            if Instant::now() >= end {
                return Err(CpusError::Stragglers { cpu, uid });
            }
            sleep(Duration::from_millis(2));
        }
        let slot = slots.read(cpu)?;
        let is_open = cpu == taken.choice.first();
        slots.write(
            cpu,
            Slot {
                is_open,
                uid: 0,
                ..slot
            },
        )?;
    }
    Ok(())
}

/// Whether processes of this user are those of a killed run. If another run has the user by now,
/// they are its own: it began when there were none any more.
fn is_left(slots: &Slots, uid: u32) -> Result<bool, CpusError> {
    let failed = CpusError::locks("look for the processes of a run by", slots.path());
    if !has_processes(uid).map_err(failed)? {
        return Ok(false);
    }
    for cpu in slots.held()? {
        let slot = slots.read(cpu)?;
        if slot.is_open && slot.uid == uid {
            return Ok(false);
        }
    }
    Ok(true)
}

/// There is nothing to be leased, and what there would have to be.
fn none(topology: &Topology, settings: &CpuSettings, wanted: &Wanted<'_>) -> CpusError {
    let shown = |cpus: &BTreeSet<u32>| {
        let list = CpuList::of(cpus);
        list.map_or("none".to_owned(), |list| list.as_str().to_owned())
    };
    let reserved = settings.reserve.as_ref().map_or("none", CpuList::as_str);
    CpusError::None {
        unit: settings.lease,
        among: format!(
            "online are {}, the control groups of runs may use {}, reserved are {reserved}, and the [[pin]] and the \
             caller leave {}",
            shown(&topology.online()),
            shown(wanted.granted),
            shown(&wanted.usable)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_of_a_killed_run_count_until_another_run_has_their_user() {
        let dir = tempfile::tempdir().unwrap();
        let slots = Slots::open(dir.path()).unwrap();
        let own = nix::unistd::getuid().as_raw();
        let own = if own == 0 { 1 } else { own };
        let nobodys = 4_000_000_001;
        assert!(!is_left(&slots, nobodys).unwrap());
        let mut sleeper = std::process::Command::new("sleep");
        use std::os::unix::process::CommandExt;
        let mut sleeper = sleeper.arg("60").uid(own).spawn().unwrap();
        assert!(is_left(&slots, own).unwrap());
        let other = Slots::open(dir.path()).unwrap();
        assert!(other.take(3).unwrap());
        let slot = Slot {
            leases: 1,
            is_open: true,
            uid: own,
        };
        other.write(3, slot).unwrap();
        assert!(!is_left(&slots, own).unwrap());
        drop(other);
        assert!(is_left(&slots, own).unwrap());
        sleeper.kill().unwrap();
        sleeper.wait().unwrap();
    }
}
