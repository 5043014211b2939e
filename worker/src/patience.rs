//! What is asked again for a while before it is said not to work: a server may be about to be
//! replaced by another one, and a job is not to blame for that.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::failure::Failure;

/// For how long.
const ALL: Duration = Duration::from_secs(30);
/// The first pause and the longest.
const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(3);

/// As much as is left of it.
#[derive(Debug)]
pub(crate) struct Patience {
    end: Instant,
    pause: Duration,
}

impl Patience {
    /// From now on.
    pub(crate) fn new() -> Self {
        Self {
            end: Instant::now() + ALL,
            pause: FIRST,
        }
    }

    /// None at all.
    pub(crate) fn none() -> Self {
        Self {
            end: Instant::now(),
            pause: FIRST,
        }
    }

    /// Asks until there is an answer.
    ///
    /// # Errors
    ///
    /// The last failure, when that has gone on for long enough.
    pub(crate) async fn ask<T, A>(&mut self, mut question: impl FnMut() -> A) -> Result<T, Failure>
    where
        A: Future<Output = Result<T, Failure>>,
    {
        loop {
            match question().await {
                Ok(answer) => return Ok(answer),
                Err(failure) => self.or(failure).await?,
            }
        }
    }

    /// Waits until it is time to ask again.
    ///
    /// # Errors
    ///
    /// This one, when it has gone on for long enough.
    pub(crate) async fn or(&mut self, failure: Failure) -> Result<(), Failure> {
        if Instant::now() >= self.end {
            return Err(failure);
        }
        log::debug!("{failure}; trying again");
        sleep(self.pause).await;
        self.pause = (self.pause * 2).min(LONGEST);
        Ok(())
    }
}
