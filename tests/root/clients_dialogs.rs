//! Interactive tasks: two programs in two boxes talk to each other, through FIFOs or through pipes of the caller.

use crate::support;
use crate::support::clients;
use std::path::PathBuf;

use crate::support::clients::dialog::{Fifos, MANAGER, USER};
use crate::support::clients::{Client, under_both_names};
use crate::support::{Started, TestBox, wait_until};

/// Two boxes, made, and the FIFOs between them.
struct Table<'a> {
    client: &'a Client,
    fifos: Fifos,
}

impl<'a> Table<'a> {
    fn new(client: &'a Client) -> Self {
        let fifos = Fifos::new(client);
        for id in [client.id(), client.id() + 1] {
            client.init(&format!("--box-id={id} --init"));
        }
        Self { client, fifos }
    }

    /// Where the meta file of one of the two is.
    fn meta(&self, name: &str) -> PathBuf {
        self.client.test_box.out().join(name)
    }

    /// The manager opens the FIFOs by itself, the user finds them as its standard streams.
    fn start(&self, who: &str, wall: &str) -> Started {
        let (id, at) = (self.client.id(), self.fifos.dir().display());
        let meta = self.meta(who).display().to_string();
        let line = match who {
            "manager" => format!(
                "--box-id={id} --dir=/fifo={at}:rw --time=30 --wall-time={wall} --meta={meta} --run -- /bin/sh {MANAGER} \
                 /fifo/m_to_u /fifo/u_to_m"
            ),
            _ => format!(
                "--box-id={} --dir=/fifo={at}:rw --stdin=/fifo/m_to_u --stdout=/fifo/u_to_m --time=30 \
                 --wall-time={wall} --meta={meta} --run -- /bin/sh {USER}",
                id + 1
            ),
        };
        Started::new(self.client.command(&line), Some(b""))
    }

    fn clear(self) {
        for id in [self.client.id(), self.client.id() + 1] {
            let line = format!("--box-id={id} --cleanup");
            self.client.call(&line).assert_silent_success();
        }
    }
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_dialog_through_fifos_completes_whoever_comes_first() {
    under_both_names(TestBox::new, |client| {
        let table = Table::new(client);
        for order in [["manager", "user"], ["user", "manager"]] {
            let first = table.start(order[0], "60");
            // Until it has nothing to do but wait for the other.
            let uid = client.test_box.uid() + u32::from(order[0] == "user");
            wait_until("the first is there", || {
                !support::processes_of(uid).is_empty()
            });
            let second = table.start(order[1], "60");
            for (who, started) in order.iter().zip([first, second]) {
                let output = started.finish();
                assert_eq!((output.code, &*output.stdout), (0, ""), "{who}: {output:?}");
                let meta = clients::meta(&table.meta(who), false);
                assert_eq!(meta.get("exitcode"), Some("0"), "{who}: {meta:?}");
            }
        }
        table.clear();
    });
}

/// The open of a FIFO waits for the other side. That takes time on the clock, and the limit of it ends the run.
#[test]
#[ignore = "needs root: tests/run"]
fn whoever_waits_for_a_side_that_never_comes_is_out_of_time() {
    under_both_names(TestBox::new, |client| {
        let table = Table::new(client);
        for who in ["manager", "user"] {
            let output = table.start(who, "0.7").finish();
            assert_eq!((output.code, &*output.stdout), (1, ""), "{who}: {output:?}");
            let said = "Time limit exceeded (wall clock)\n";
            assert_eq!(output.stderr, said, "{who}");
            let meta = clients::meta(&table.meta(who), false);
            assert_eq!(
                (meta.get("status"), meta.get("killed")),
                (Some("TO"), Some("1")),
                "{who}"
            );
            assert!(meta.number("time-wall") >= 0.7, "{who}: {meta:?}");
        }
        // Nothing of it stays: the next dialog completes.
        let user = table.start("user", "60");
        let manager = table.start("manager", "60");
        for started in [user, manager] {
            assert_eq!(started.finish().code, 0);
        }
        table.clear();
    });
}

/// When the manager goes without a word, the user reads an end of file.
#[test]
#[ignore = "needs root: tests/run"]
fn a_user_whose_manager_dies_sees_the_end_of_its_input() {
    under_both_names(TestBox::new, |client| {
        let table = Table::new(client);
        table.fifos.let_the_manager_die();
        let user = table.start("user", "60");
        let manager = table.start("manager", "60").finish();
        assert_eq!(manager.stderr, "Caught fatal signal 9\n");
        let output = user.finish();
        assert_eq!(
            (output.code, &*output.stderr),
            (1, "no numbers\nExited with error status 4\n")
        );
        for who in ["manager", "user"] {
            clients::meta(&table.meta(who), false);
        }
        table.clear();
    });
}
