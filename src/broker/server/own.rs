//! Keepers for root's own calls. A process that makes many calls sends them over a private
//! connection, as users send theirs to the broker. polkit is not asked, and there are no ceilings.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::sys::signal::SigSet;

use super::adopt::adopt;
use super::arrival::REQUEST_PATIENCE;
use super::attend::{Admitted, answer, log_to, refuse};
use super::prepared::Prepared;
use super::read::read;
use crate::broker::protocol::{Called, ProtocolError};
use crate::broker::wire::receive_request;
use crate::caller::{Caller, Line, OpenedDirs};
use crate::cgroup::Place;
use crate::chronicle::Memory;
use crate::clock::Moment;
use crate::commands::{Asked, Brokered};
use crate::config::ceilings::Ceilings;
use crate::config::settings::Settings;
use crate::failure::Failure;
use crate::keeper::Signals;
use crate::plan::grant;
use crate::pool::{Account, Beginning, Front};
use crate::sys::socket::die_when_heard;

/// What every call of root's has in common.
#[derive(Debug)]
pub(crate) struct Own {
    /// The settings, which are read once.
    pub(crate) settings: Settings,
    /// Where the cgroups of runs come from, which is found out once.
    pub(crate) place: Place,
}

impl Front for Own {
    type Prepared = Prepared;

    fn prepare(&self) -> io::Result<Prepared> {
        // The scope of a run is there before it, and then there is nothing to ask systemd for.
        Prepared::for_root(self.settings.cgroup.keep_ready == 0)
    }

    fn attend(&self, beginning: Beginning<Prepared>) {
        let Beginning {
            account,
            channel: mut connection,
            prepared,
            ..
        } = beginning;
        let mut memory = Memory::new(false);
        let admitted = self.admit(&mut connection, account, prepared, &mut memory);
        answer(&connection, admitted, &memory);
    }

    // Nobody is asked about root.
    fn remember(&mut self, _uid: u32, _note: &[u8]) {}

    fn refuse(&self, connection: BorrowedFd<'_>, refusal: &Failure) {
        refuse(connection, refusal);
    }
}

impl Own {
    fn admit(
        &self,
        connection: &mut OwnedFd,
        account: OwnedFd,
        mut prepared: Prepared,
        memory: &mut Memory,
    ) -> Result<Admitted, Failure> {
        let mut account =
            Account::new(account).map_err(Failure::at("cannot hear the process of the batch"))?;
        // The mask and handlers of the batch are not for its keepers.
        let own_signals = SigSet::empty().thread_set_mask();
        own_signals
            .and_then(|()| Signals::hold_back_write_errors())
            .map_err(Failure::at("cannot set which signals are blocked"))?;
        let all = |_| Ok::<_, Failure>(());
        let received = receive_request(connection.as_fd(), REQUEST_PATIENCE, all)?;
        let (bytes, descriptors) = received.ok_or(ProtocolError::Unintelligible)?;
        let called = Called::from_bytes(&bytes, descriptors.len())?;
        drop(bytes);
        let call = read(&called)?;
        memory.uid = Some(0);
        memory.ask(&call);
        memory.configure(&self.settings, &call);
        if !called.inherited.is_empty() {
            // What was prepared may have one of the numbers to be inherited.
            prepared = Prepared::default();
        }
        let own = &mut [&mut *connection, account.channel()];
        let cannot_adopt = Failure::at("cannot take over the descriptors of the run");
        let rest = adopt(descriptors, &called.inherited, own).map_err(cannot_adopt)?;
        let directories = OpenedDirs::from_parts(call.command.dirs(), &called.directories, rest)
            .ok_or_else(|| Failure::new("the call names other directories than those it opened"))?;
        log_to(connection.as_fd(), call.common.verbosity)
            .map_err(Failure::at("cannot copy the connection for what is logged"))?;
        let granted = grant(&call, &self.settings, None)?;
        account.ask(granted.amounts(), Ceilings::default())?;
        account.wait()?;
        // The end of the caller ends this process; once a run has begun, it ends the run instead.
        die_when_heard(connection.as_fd())
            .map_err(Failure::at("cannot watch for the end of the caller"))?;
        let line = connection.try_clone();
        let line = line.map_err(Failure::at("cannot copy the connection for signals"))?;
        Ok(Admitted {
            asked: Asked {
                call,
                granted,
                settings: self.settings.clone(),
                caller: Caller::of_process(None)?,
                at: Moment::from_nanoseconds(called.asked),
                environment: called.environment(),
                directories,
                of_batch: called.of_batch,
                renews: called.of_batch && called.renews,
                inheritance: Some(called.inheritance),
            },
            brokered: Brokered {
                place: self.place.clone(),
                rights: None,
                line: Line::new(line),
            },
            ahead: prepared.ahead,
            account,
        })
    }
}
