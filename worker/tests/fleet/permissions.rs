//! The accounts that `contrib/nats/accounts` makes: everybody can do what is theirs, and nothing
//! that is others'.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::raw::Raw;
use crate::servers::More;
use crate::submitter::wait_until_begun;
use crate::tries::requests;
use crate::world::{Extra, Who, World};

/// Two pools, each with a machine and a queue.
const PEOPLE: &str = "# of the test
admin admin:a

worker w1:w default w1 alpha
worker w2:w other w2 beta
submitter s1:s alpha default
submitter s2:s beta other
submitter s3:s beta other
";

/// The accounts of a list of people.
pub fn accounts(dir: &Path, people: &str) -> Result<String, String> {
    let list = dir.join("people.txt");
    fs::write(&list, people).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contrib/nats/accounts");
    let output = Command::new(script).arg(list).output().unwrap();
    match output.status.success() {
        true => Ok(String::from_utf8(output.stdout).unwrap()),
        false => Err(String::from_utf8(output.stderr).unwrap()),
    }
}

fn who(dir: &Path, user: &str, password: &str) -> Who {
    let file = dir.join(format!("{user}.password"));
    fs::write(&file, format!("{user}:{password}\n")).unwrap();
    Who {
        settings: format!("password = {file:?}"),
        password: Some((user.into(), password.into())),
        ..Who::default()
    }
}

fn guard(dir: &Path) -> (Who, More) {
    let accounts = accounts(dir, PEOPLE).unwrap();
    (who(dir, "admin", "a"), Box::new(move |_| accounts.clone()))
}

/// With both machines.
fn world() -> World {
    let mut world = World::bare(1, guard);
    world.set_up(&["default"], "[queues.alpha]");
    world.set_up(&["other"], "[queues.beta]");
    for (id, pool) in [("w1", "default"), ("w2", "other")] {
        let who = who(world.dir.path(), id, "w");
        let extra = Extra {
            pool,
            who: Some(&who),
            ..Extra::default()
        };
        world.start(id, &extra);
    }
    world
}

#[test]
fn each_role_can_do_what_is_its_own() {
    let world = world();
    let dir = world.dir.path();
    let (s1, s3, w1) = (
        who(dir, "s1", "s"),
        who(dir, "s3", "s"),
        who(dir, "w1", "w"),
    );
    let of = |who| Extra {
        who: Some(who),
        ..Extra::default()
    };
    let submitter = world.config("judge", &of(&s1));
    fs::write(world.path("input"), "3 4\n").unwrap();
    let place = world.path("input");
    let place = place.display();
    let line = format!(
        "{{\"id\":\"large-1\",\"files\":[{{\"name\":\"in\",\"path\":\"{place}\"}}],\"steps\":[{{\"argv\":[\"x\"]}}]}}\n\
         {{\"id\":\"internal-1\",\"steps\":[{{\"argv\":[\"x\"]}}]}}\n"
    );
    fs::write(world.path("jobs.jsonl"), line).unwrap();
    let jobs = world.path("jobs.jsonl");
    let jobs = jobs.to_str().unwrap();
    let output = world.call(&submitter, &["submit", "--wait", "--queue", "alpha", jobs]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}{}", world.log("w1"));
    assert!(
        said.len() > 1_500_000 && said.contains("\"poison\""),
        "{errors}"
    );
    let other = Extra {
        pool: "other",
        ..of(&s3)
    };
    let other = world.config("judge3", &other);
    let file = world.jobs("b.jsonl", ["b-1".to_owned()]);
    assert!(world.judged(&other, "beta", &file).contains("\"done\""));
    // One that hangs is ended by its own queue, and by nobody else.
    let file = world.jobs("hang.jsonl", ["hang-1".to_owned()]);
    world.told(
        &submitter,
        &["submit", "--queue", "alpha", file.to_str().unwrap()],
    );
    wait_until_begun(&world, "hang-1");
    world.told(&other, &["cancel", "--queue", "beta", "hang-1"]);
    let output = world.call(&other, &["cancel", "--queue", "alpha", "hang-1"]);
    assert!(!output.status.success());
    assert!(
        world
            .results()
            .iter()
            .all(|result| result["id"] != "hang-1")
    );
    world.told(&submitter, &["cancel", "--queue", "alpha", "hang-1"]);
    assert_eq!(world.result("hang-1")["outcome"], "cancelled");
    // The administrator.
    let admin = world.config("asker", &Extra::default());
    let status = world.told(&admin, &["status"]);
    assert!(
        status.contains("alpha") && status.contains("beta") && status.contains("w2"),
        "{status}"
    );
    assert!(world.told(&admin, &["dead", "list"]).contains("internal-1"));
    assert!(
        world
            .told(&admin, &["dead", "show", "internal-1"])
            .contains("w1")
    );
    world.told(
        &admin,
        &["prefetch", "--queue", "alpha", &place.to_string()],
    );
    world.told(&admin, &["drain", "w1"]);
    world.told(&admin, &["undrain", "w1"]);
    world.call(&admin, &["fleet"]);
    // A machine of itself.
    let own = world.config("w1", &of(&w1));
    world.told(&own, &["drain"]);
    world.told(&own, &["undrain"]);
    for id in ["w1", "w2"] {
        let log = world.log(id);
        assert!(!log.to_lowercase().contains("permission"), "{log}");
    }
}

/// Whether somebody heard of the secret; a refusal repeats what was asked for.
fn shows(said: &str) -> bool {
    let mut lines = said.lines().filter(|line| !line.starts_with("-ERR"));
    lines.any(|line| line.contains("SECRET"))
}

#[test]
fn what_is_others_is_neither_seen_nor_touched() {
    let world = world();
    let port = world.servers.port();
    let s1 = who(world.dir.path(), "s1", "s");
    let extra = Extra {
        who: Some(&s1),
        ..Extra::default()
    };
    let submitter = world.config("judge", &extra);
    fs::write(world.path("input"), "SECRET").unwrap();
    let submit = |id: &str| {
        let line = format!(
            "{{\"id\":\"{id}\",\"files\":[{{\"name\":\"in\",\"path\":\"{}\"}}],\"steps\":[{{\"argv\":[\"x\"]}}]}}\n",
            world.path("input").display()
        );
        let file = world.path("secret.jsonl");
        fs::write(&file, line).unwrap();
        world.judged(&submitter, "alpha", &file)
    };
    submit("SECRET-1");
    world.told(&submitter, &["cancel", "--queue", "alpha", "keep"]);
    let count = || {
        [
            "ISO_RESULTS",
            "ISO_JOBS_",
            "ISO_DEAD",
            "OBJ_",
            "KV_iso-cancel",
        ]
        .map(|name| world.messages(name))
    };
    let before = count();
    // All that goes through the account of the streams.
    let mut spy = Raw::login(port, "admin", "a");
    spy.subscribe(">");
    spy.heard();
    for (user, password, inbox) in [("s2", "s", "_INBOX.mine"), ("w2", "w", "_INBOX.other.w2")] {
        let is_submitter = user == "s2";
        let mut own = Vec::new();
        if is_submitter {
            // Of its own queue, what only a machine may say.
            own = [
                "iso.result.beta.EVIL",
                "iso.dead.poison.beta.EVIL",
                "$KV.iso-machines.w2",
                "iso.control.w2",
            ]
            .map(|subject| (subject.to_owned(), "EVIL".to_owned()))
            .to_vec();
        }
        let mut asks = Raw::login(port, user, password);
        asks.subscribe(&format!("{inbox}.>"));
        if is_submitter {
            asks.subscribe("_INBOX.EVIL");
        }
        asks.heard();
        for (subject, payload) in requests().into_iter().chain(own) {
            asks.publish(&subject, &payload, &format!("{inbox}.1"));
            let said = asks.heard();
            let refused = said.contains("Permissions Violation")
                || said.contains("NATS/1.0 503")
                || said.contains("\"code\":503");
            assert!(
                refused && !shows(&said),
                "{user} {subject} {payload}: {said}"
            );
        }
        // Nobody else's words are heard, while there are some.
        for subject in [
            ">",
            "_INBOX.>",
            "_INBOX.default.w1.>",
            "_R_.>",
            "iso.>",
            "iso.job.>",
            "iso.result.>",
            "iso.result.alpha.*",
            "iso.control.w1",
            "$JS.>",
            "$KV.>",
            "$O.>",
            "$SYS.>",
        ] {
            asks.subscribe(subject);
        }
        submit(&format!("SECRET-of-{user}"));
        let said = asks.heard();
        assert!(!shows(&said), "{user}: {said}");
        // An answer that is to come out elsewhere, with words of its own choice.
        asks.publish(
            "$O.iso-files-beta.C.x",
            "{\"do\":\"drain\",\"reason\":\"EVIL\"}",
            &format!("{inbox}.2"),
        );
        asks.publish("$O.iso-files-beta.C.x", "EVIL", &format!("{inbox}.2"));
        if is_submitter {
            for place in [
                "iso.control.w2",
                "iso.control.w1",
                "iso.result.alpha.EVIL",
                "iso.job.default.live.alpha",
            ] {
                for seq in 1..20 {
                    asks.publish(
                        "$JS.API.DIRECT.GET.OBJ_iso-files-beta",
                        &format!("{{\"seq\":{seq}}}"),
                        place,
                    );
                }
            }
            // To end one's own jobs is not to forget whose others are to end.
            asks.publish_with(
                "Nats-Rollup: all",
                "$KV.iso-cancel.beta.x",
                "",
                &format!("{inbox}.3"),
            );
        }
        asks.heard();
    }
    std::thread::sleep(Duration::from_millis(500));
    let seen = spy.heard();
    for line in seen
        .lines()
        .filter(|line| line.starts_with("MSG") || line.starts_with("HMSG"))
    {
        let subject = line.split(' ').nth(1).unwrap();
        let is_evil = subject.contains("EVIL") || subject.starts_with("iso.control.");
        assert!(!is_evil, "{line}");
    }
    let after = count();
    // Two results, and what was put into the bucket of beta; a file of alpha is there once.
    assert_eq!(after[0], before[0] + 2);
    assert_eq!(
        (after[1], after[2], after[3], after[4]),
        (0, before[2], before[3] + 4, before[4])
    );
    for id in ["w1", "w2"] {
        assert!(!world.log(id).contains("draining"), "{}", world.log(id));
    }
}

#[test]
fn a_list_that_makes_no_sense_is_refused_with_its_line() {
    let dir = tempfile::tempdir().unwrap();
    for (people, part) in [
        (
            "admin a:b\nworker w:w pool.x m q\n",
            "line 2: 'pool.x' is no name",
        ),
        ("admin a:b\nworker w:w p m\n", "line 2: a name is missing"),
        ("admin a:b\nsubmitter w:w >\n", "line 2"),
        ("admin Unokey\n", "line 1: 'Unokey' is neither"),
        ("admin a:b\nboss c:d\n", "line 2: 'boss'"),
        ("submitter w:w q p\n", "names nobody who"),
        (
            "admin a:b\nsubmitter a:c q p\nsubmitter b:d q x\n",
            "the same pools",
        ),
    ] {
        let said = accounts(dir.path(), people).unwrap_err();
        assert!(said.contains(part), "{people}: {said}");
    }
}
