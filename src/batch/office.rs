//! Whom a slot puts its calls to: keepers of its own for root, and for everybody else the broker.

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::cache::Cache;
use super::result::Outcome;
use crate::barrier::Barrier;
use crate::broker::acts_itself;
use crate::broker::client::Put;
use crate::broker::client::errand::{Errand, Heard};
use crate::broker::client::series::Series;
use crate::broker::server::own::Own;
use crate::caller::{Caller, OpenedDirs};
use crate::cgroup::Place;
use crate::cli::{self, Call};
use crate::clock::Moment;
use crate::config::settings::{LeaseUnit, Settings};
use crate::config::{self, ConfigSource};
use crate::cpus::{Topology, all_leases, granted_in};
use crate::failure::Failure;
use crate::home::{cgroup_of_runs, find_place};
use crate::pool::Pool;
use crate::quantity::Bytes;
use crate::request::{BoxCall, LimitRequest};
use crate::sys::credentials;
use crate::sys::poll::{self, Until, readable};
use crate::sys::socket;
use crate::way;

/// How often a call is put that a broker did not begin, because it was being restarted.
pub(super) const TRIES: usize = 4;

/// What all calls of a batch have in common.
#[derive(Debug, Clone)]
pub(crate) struct House {
    /// Who calls.
    caller: Caller,
    /// Why runs are not in control-group mode: they are wherever there is one.
    no_cg: Option<String>,
    /// How many runs at a time there are CPUs for, where runs lease them.
    leases: Option<usize>,
    /// What root's own calls need.
    own: Option<(Settings, Place)>,
    /// The connection to the broker of those who are not root, for all calls.
    series: Option<Rc<Series>>,
    /// How much an output may be where its job does not say it.
    max_output: Option<Bytes>,
    /// Files by their digests, if the caller has a place for them.
    cache: Option<Cache>,
}

impl House {
    /// Whether its runs are carried out here, not by the broker.
    pub(super) fn acts_itself(&self) -> bool {
        self.own.is_some()
    }

    /// That of the user who calls, with their configuration or, for root, another one.
    pub(crate) fn of_caller(config: Option<&Path>, rootless: bool) -> Result<Self, Failure> {
        let acts_itself = acts_itself(rootless)?;
        let caller = Caller::of_process(None)?;
        if config.is_some() && !caller.called_by_root {
            return Err(Failure::new(
                "Only root may choose the configuration (--config): others have that of isolate.service",
            ));
        }
        let settings = config::load(&ConfigSource::new(config))?.settings;
        Self::new(caller, settings, acts_itself)
    }

    /// How many jobs at a time there are CPUs for: those that this process may use or, where runs
    /// lease them, the leases.
    pub(crate) fn jobs(&self) -> usize {
        let all = || std::thread::available_parallelism().map_or(1, usize::from);
        self.leases.unwrap_or_else(all)
    }

    /// Refuses limits that cannot be kept here.
    pub(crate) fn require(&self, limits: &LimitRequest) -> Result<(), Failure> {
        match (&self.no_cg, limits.cg_mem) {
            (Some(reason), Some(_)) => {
                let text = format!("--memory (--cg-mem) needs control groups: {reason}");
                Err(Failure::new(text))
            }
            _ => Ok(()),
        }
    }

    /// Finds it out.
    fn new(caller: Caller, settings: Settings, acts_itself: bool) -> Result<Self, Failure> {
        let place = find_place(&settings.cgroup);
        let no_cg = match &place {
            Ok(place) => place.require_memory().err().map(|error| error.to_string()),
            Err(error) => Some(error.to_string()),
        };
        let dir = match acts_itself && way::rootless().is_none() {
            true => Some(settings.batch.cache_dir.clone()),
            false => cache_of_user(),
        };
        let cache = dir.map(|dir| Cache::new(dir, settings.batch.cache_max));
        let leases = match (&place, settings.cpus.lease) {
            (_, LeaseUnit::None) | (Err(_), _) => None,
            (Ok(place), _) => Some(count_leases(place, &settings)?),
        };
        let own = match acts_itself {
            true => Some((settings, place?)),
            false => None,
        };
        Ok(Self {
            caller,
            no_cg,
            leases,
            own,
            series: None,
            max_output: None,
            cache,
        })
    }

    /// Connects to the broker, if calls go there, so that processes that are cloned later share the
    /// connection. Without one each connects itself, and says what does not work.
    pub(super) fn call_broker(&mut self) {
        if self.own.is_none() && self.series.is_none() {
            self.series = Series::open().ok().map(Rc::new);
        }
    }

    /// The number of the descriptor that such a process needs.
    pub(super) fn shared(&self) -> Option<i32> {
        self.series.as_ref().map(|series| series.number())
    }

    /// The same with a bound for outputs whose jobs have none.
    pub(super) fn with_max_output(self, max_output: Option<Bytes>) -> Self {
        Self { max_output, ..self }
    }
}

/// How many runs can have CPUs of their own at a time. Where there is none, each run says so.
fn count_leases(place: &Place, settings: &Settings) -> Result<usize, Failure> {
    let granted = granted_in(&cgroup_of_runs(place, &settings.cgroup)?)?;
    let topology = Topology::read("/".as_ref())?;
    Ok(all_leases(&topology, &settings.cpus, &granted).len().max(1))
}

/// The one of a slot.
#[derive(Debug)]
pub(super) struct Office {
    house: House,
    pool: Option<Pool<Own>>,
    /// In the place of streams that a program does not have.
    null: OwnedFd,
}

/// What a call is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum About {
    /// A box as such.
    Box,
    /// A run, whose words name directories or not.
    Run { names_directories: bool },
}

/// A call that is to be put.
pub(super) struct Wanted<'a> {
    /// What it is about.
    pub(super) about: About,
    /// The command line.
    pub(super) argv: Vec<OsString>,
    /// When it is asked for.
    pub(super) asked: Moment,
    /// The program's standard descriptors; `None`: /dev/null.
    pub(super) standard: [Option<BorrowedFd<'a>>; 3],
    /// Further ones, with their numbers, which rise.
    pub(super) inherited: &'a [(i32, OwnedFd)],
    /// Whether the box is made anew after the run, for the next job.
    pub(super) renews: bool,
}

impl Office {
    /// Opens it.
    pub(super) fn open(house: House) -> Result<Self, Failure> {
        let null = File::options().read(true).write(true).open("/dev/null");
        let own = house.own.clone();
        if house.acts_itself() {
            // Once, and not in each keeper. A run where it stays says so.
            let dropped = Barrier::BoundingSet.raise(credentials::drop_bounding_set);
            dropped.unwrap_or_else(|error| log::info!("the bounding set stays: {error}"));
        }
        Ok(Self {
            pool: own.map(|(settings, place)| Pool::new(Own { settings, place })),
            house,
            null: null.map_err(Failure::at("cannot open /dev/null"))?.into(),
        })
    }

    /// Whether boxes and runs are in control-group mode.
    pub(super) fn cg(&self) -> bool {
        self.house.no_cg.is_none()
    }

    /// How much an output may be, in bytes, where its job does not say it.
    pub(super) fn max_output(&self) -> Option<u64> {
        self.house.max_output.map(|Bytes(bytes)| bytes)
    }

    /// Files by their digests.
    pub(super) fn cache(&self) -> Result<&Cache, Failure> {
        self.house.cache.as_ref().ok_or_else(|| {
            Failure::new(
                "there is no place for files by digest: neither XDG_CACHE_HOME nor HOME is an absolute path",
            )
        })
    }

    /// Whether runs lease CPUs.
    pub(super) fn leases_cpus(&self) -> bool {
        self.house.leases.is_some()
    }

    /// Puts a call. That nobody is there to carry it out says nothing about it.
    pub(super) fn put(&mut self, wanted: Wanted<'_>) -> Result<Errand, (Outcome, Failure)> {
        let internal = |failure| (Outcome::Internal, failure);
        let refused = |failure| (Outcome::Refused, failure);
        // Who carries it out reads it, too; here only what it names is of interest.
        let (directories, opened) = match wanted.about {
            About::Run {
                names_directories: true,
            } => self.open_directories(&wanted.argv).map_err(refused)?,
            About::Box | About::Run { .. } => (Vec::new(), Vec::new()),
        };
        let null = self.null.try_clone();
        let null = null.map_err(Failure::at("cannot copy the descriptor of /dev/null"));
        let null = null.map_err(internal)?;
        let connection = self.connect(wanted.about).map_err(internal)?;
        let begun = Errand::begin(
            connection,
            Put {
                argv: wanted.argv,
                environment: Vec::new(),
                asked: wanted.asked,
                standard: wanted.standard.map(|fd| fd.unwrap_or(null.as_fd())),
                inherited: wanted.inherited,
                directories,
                opened: &opened,
                interactive: false,
                of_batch: true,
                renews: wanted.renews,
            },
        );
        begun.map_err(refused)
    }

    /// Opens the directories that a command line names: for each 0 or why it was not opened, and
    /// those that were.
    fn open_directories(&self, argv: &[OsString]) -> Result<(Vec<i32>, Vec<OwnedFd>), Failure> {
        let Call::Box(call) = cli::parse(argv.iter().cloned())? else {
            return Err(Failure::new("this is no call about a box"));
        };
        let BoxCall { command, .. } = &*call;
        Ok(OpenedDirs::open(command.dirs(), self.house.caller)?.into_parts())
    }

    /// Puts a call about a box and waits for its end.
    pub(super) fn ask(&mut self, argv: &[&str]) -> Result<String, (Outcome, Failure)> {
        let internal = |failure| (Outcome::Internal, failure);
        for _ in 0..TRIES {
            let argv = ["isolate-run"].iter().chain(argv).map(OsString::from);
            let asked = Moment::now().map_err(Failure::at("cannot read the clock"));
            let asked = asked.map_err(internal)?;
            let errand = self.put(Wanted {
                about: About::Box,
                argv: argv.collect(),
                asked,
                standard: [None; 3],
                inherited: &[],
                renews: false,
            })?;
            match self.wait(&errand).map_err(internal)? {
                Heard::Done(answer, _) => return Ok(answer.stdout),
                Heard::Failed(reason) => return Err((Outcome::Refused, Failure::new(reason))),
                Heard::Lost => break,
                Heard::Unbegun => self.speak_for_itself(),
            }
        }
        Err(internal(lost()))
    }

    /// Waits for the last word of a call; the own keepers are heard meanwhile.
    fn wait(&mut self, errand: &Errand) -> Result<Heard, Failure> {
        loop {
            let awaited = [errand.ready()].into_iter().chain(self.heard_at());
            let ready = poll::each(awaited.map(readable), Until::Forever);
            let ready = ready.map_err(Failure::at("cannot wait for the end of a call"))?;
            if let Some(heard) = ready[0].then(|| errand.hear()).flatten() {
                return Ok(heard);
            }
            self.hear()?;
        }
    }

    fn connect(&mut self, about: About) -> Result<OwnedFd, Failure> {
        let Some(pool) = &mut self.pool else {
            return self.call_over_series();
        };
        let (ours, theirs) =
            socket::pair().map_err(Failure::at("cannot make a pair of sockets"))?;
        // Those that have ended by now.
        hear(pool)?;
        pool.take(0, theirs);
        let served = match about {
            About::Run { .. } => pool.serve(),
            About::Box => pool.serve_unprepared(),
        };
        let served = served.transpose();
        served.map_err(Failure::at("cannot make a process for the run"))?;
        Ok(ours)
    }

    /// A channel for a call to the broker. A series may have ended meanwhile: its broker was
    /// restarted, the process that opened it is gone, or nothing was asked for a while.
    fn call_over_series(&mut self) -> Result<OwnedFd, Failure> {
        for _ in 0..2 {
            let series = match self.house.series.take() {
                Some(series) => series,
                None => Rc::new(Series::open()?),
            };
            if let Some(channel) = series.another()? {
                self.house.series = Some(series);
                return Ok(channel);
            }
        }
        Err(Failure::new(
            "the broker ends connections at once: see journalctl -u isolate.service",
        ))
    }

    /// Opens a connection of its own for what comes: the process that has opened this one may be
    /// gone, and nobody speaks for it then.
    pub(super) fn speak_for_itself(&mut self) {
        self.house.series = None;
    }

    /// What is readable when [`Self::hear`] has something to do.
    pub(super) fn heard_at(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.pool.iter().flat_map(Pool::heard_at)
    }

    /// Hears the own keepers, and has another one stand by when one has ended.
    pub(super) fn hear(&mut self) -> Result<(), Failure> {
        match &mut self.pool {
            None => Ok(()),
            Some(pool) => hear(pool),
        }
    }

    /// Has a keeper stand by for the next call.
    pub(super) fn stand_by(&mut self) {
        if let Some(pool) = &mut self.pool {
            // Without one the next call is a little later.
            pool.stand_by_at_once().ok();
        }
    }
}

fn hear(pool: &mut Pool<Own>) -> Result<(), Failure> {
    let ready = poll::each(pool.heard_at().map(readable), Until::Now)
        .map_err(Failure::at("cannot look at the processes of runs"))?;
    let places: Vec<usize> = (0..ready.len()).filter(|at| ready[*at]).collect();
    if !places.is_empty() {
        pool.hear(&places);
    }
    Ok(())
}

/// Where a user's files by digest are (XDG Base Directory Specification).
fn cache_of_user() -> Option<PathBuf> {
    let path = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let dir = path("XDG_CACHE_HOME").filter(|dir| dir.is_absolute());
    let dir = dir.or_else(|| Some(path("HOME")?.join(".cache")));
    let dir = dir.filter(|dir| dir.is_absolute())?;
    Some(dir.join("isolate-run"))
}

/// The failure of a call whose other side is gone.
pub(super) fn lost() -> Failure {
    Failure::new(
        "the process that carried this out ended without an answer, and what it ran with it",
    )
}
