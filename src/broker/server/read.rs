//! Reads what a caller's command line asks for. Pure.

use crate::broker::of_root;
use crate::broker::protocol::Called;
use crate::cli::{self, Call};
use crate::failure::Failure;
use crate::request::BoxCall;

/// The most rules for the environment: each one searches all variables.
const MOST_ENV_RULES: usize = 4096;
/// The most rules for directories: each one is compared with every other one.
const MOST_RULES: usize = 1024;

/// Reads the command line as the caller's own process did. Commands and options that are root's are
/// refused.
pub(super) fn read(called: &Called) -> Result<BoxCall, Failure> {
    let Call::Box(call) = cli::parse(called.argv())? else {
        return Err(Failure::new(
            "the broker carries out commands about boxes alone",
        ));
    };
    if let Some(refusal) = of_root(&call.common) {
        return Err(refusal);
    }
    if call.command.env_rules() > MOST_ENV_RULES {
        return Err(Failure::new(format!(
            "at most {MOST_ENV_RULES} rules for the environment (--env) are allowed"
        )));
    }
    if call.command.dirs().len() > MOST_RULES {
        return Err(Failure::new(format!(
            "at most {MOST_RULES} directory rules (--dir) are allowed"
        )));
    }
    Ok(*call)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::protocol::words;
    use crate::caller::Inheritance;

    fn called(line: &str) -> Called {
        Called {
            argv: words(line.split(' ').map(Into::into)),
            environment: Vec::new(),
            asked: 0,
            inherited: Vec::new(),
            directories: Vec::new(),
            inheritance: Inheritance::of_process().unwrap(),
            interactive: false,
            of_batch: false,
            renews: false,
        }
    }

    #[test]
    fn only_commands_about_boxes_are_read_and_what_is_roots_is_refused() {
        for line in ["i --init", "i --run a", "i --cleanup", "i exec a"] {
            assert!(read(&called(line)).is_ok(), "{line}");
        }
        for (line, reason) in [
            ("i --version", "commands about boxes"),
            ("i --check-config", "commands about boxes"),
            ("i --print-cg-root", "commands about boxes"),
            ("i config import /etc/shadow", "commands about boxes"),
            ("i broker", "commands about boxes"),
            ("i --what", "what"),
            ("", "no command"),
            ("i --help", ""),
            ("i --as-uid=0 --as-gid=0 --init", "Only root"),
            ("i --config=/etc/shadow --init", "Only root"),
            (
                &format!("i{} --run a", " -Ea=b".repeat(MOST_ENV_RULES + 1)),
                "at most 4096 rules for the environment",
            ),
            (
                &format!("i{} --run a", " -da=".repeat(MOST_RULES + 1)),
                "at most 1024 directory rules",
            ),
        ] {
            let refused = read(&called(line)).unwrap_err().to_string();
            assert!(refused.contains(reason), "{line}: {refused}");
        }
    }
}
