//! Jobs of anybody, for the fuzz targets in `fuzz/`. A panic is a finding.

use super::job::argv::argv;
use super::job::{Course, Line};
use crate::cli;
use crate::quantity::BoxId;

/// Reads a line of the input. A job that is carried out means the same when it is written anew, and
/// each of its steps is a command line that begins as ours do.
pub fn job(bytes: &[u8]) {
    match Line::read(bytes) {
        Ok(Line::Job(job)) => {
            let again = serde_json::to_vec(&job).expect("a job can be written");
            assert_eq!(Line::read(&again), Ok(Line::Job(job.clone())));
            assert!(Course::of(&job).is_ok());
            for step in &job.steps {
                let words = argv(step, BoxId(7), true, true, []);
                assert_eq!(words[1], "--run");
                // A step may ask for what no command line may: that is refused then.
                drop(cli::parse(words));
            }
        }
        Ok(Line::Cancel(_) | Line::Empty) => {}
        Err(refused) => assert!(!refused.reason.is_empty()),
    }
}
