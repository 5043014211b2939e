//! Certificates and keys: whoever has none that holds is told so, and the others go on.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::permissions::accounts;
use crate::world::{Extra, Who, World};

fn openssl(dir: &Path, line: &str) {
    let output = Command::new("openssl")
        .args(line.split(' '))
        .current_dir(dir)
        .output();
    let output = output.unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// An authority: NAME.pem.
fn authority(dir: &Path, name: &str) {
    openssl(
        dir,
        &format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {name}.key -out {name}.pem -subj /CN={name} -days 30"
        ),
    );
}

/// A server's certificate, which holds for so many days: NAME.pem.
fn certificate(dir: &Path, name: &str, days: i32) {
    openssl(
        dir,
        &format!(
            "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {name}.key -out {name}.csr -subj /CN={name} -addext subjectAltName=IP:127.0.0.1"
        ),
    );
    openssl(
        dir,
        &format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -copy_extensions copy -days {days} -out {name}.pem"
        ),
    );
}

/// A new key of somebody; who that is, and its name.
fn key(dir: &Path, name: &str) -> (Who, String) {
    let file = dir.join(format!("{name}.nk"));
    let output = Command::new(env!("CARGO_BIN_EXE_isolate-run-worker"))
        .arg("key")
        .arg(&file)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let ca = dir.join("ca.pem");
    let who = Who {
        settings: format!("nkey = {file:?}\nca = {ca:?}"),
        key: Some(file),
        ca: Some(ca),
        ..Who::default()
    };
    (
        who,
        String::from_utf8(output.stdout).unwrap().trim().to_owned(),
    )
}

fn include(dir: &Path) -> PathBuf {
    dir.join("accounts.conf")
}

#[test]
fn who_has_no_certificate_or_key_that_holds_is_told_and_the_others_go_on() {
    let mut keys = Vec::new();
    let mut world = World::bare(3, |dir| {
        authority(dir, "ca");
        authority(dir, "strange");
        certificate(dir, "good", 30);
        // The third server's has run out.
        certificate(dir, "old", -1);
        keys = ["admin", "w1", "w2", "s1"]
            .map(|name| key(dir, name))
            .to_vec();
        let people = people(&keys, true);
        fs::write(include(dir), accounts(dir, &people).unwrap()).unwrap();
        let (place, list) = (dir.display().to_string(), include(dir));
        let more = move |index| {
            let name = if index == 2 { "old" } else { "good" };
            format!(
                "include {:?}\ntls {{ cert_file: \"{place}/{name}.pem\", key_file: \"{place}/{name}.key\" }}\n",
                list.file_name().unwrap()
            )
        };
        (keys[0].0.clone(), Box::new(more))
    });
    world.set_up(&["default"], "[queues.alpha]");
    let [_, w1, w2, s1] = [0, 1, 2, 3].map(|index: usize| keys[index].0.clone());
    let of = |who| Extra {
        who: Some(who),
        ..Extra::default()
    };
    world.start("w1", &of(&w1));
    world.start("w2", &of(&w2));
    let judge = world.config("judge", &of(&s1));
    let done = |id: &str| {
        let file = world.jobs(&format!("{id}.jsonl"), [id.to_owned()]);
        world.judged(&judge, "alpha", &file)
    };
    assert!(done("first").contains("\"done\""));
    // Those that the server does not know, and those that do not know the server.
    let refused = |change: &dyn Fn(String) -> String, part: &str| {
        let text = change(fs::read_to_string(&judge).unwrap());
        let config = world.path("refused.toml");
        fs::write(&config, text).unwrap();
        let output = world.call(&config, &["status"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && said.contains(part),
            "{part}: {said}"
        );
    };
    // In whatever order they are tried, each server has its own reason.
    let urls = world.servers.urls();
    let strange = |text: String| text.replace("ca.pem", "strange.pem");
    let good_ones = format!("at {}, {}: ", urls[0], urls[1]);
    for part in [&good_ones, &format!("at {}: ", urls[2]), "see nats.ca"] {
        refused(&strange, part);
    }
    let only = |index: usize, text: String| {
        text.replace(&format!("{urls:?}"), &format!("[{:?}]", urls[index]))
    };
    refused(&|text| strange(only(0, text)), "UnknownIssuer");
    refused(&|text| only(2, text), "xpired");
    let (_, name) = key(world.dir.path(), "nobody");
    assert!(name.starts_with('U'), "{name}");
    refused(
        &|text| text.replace("s1.nk", "nobody.nk"),
        "the server does not know who this is",
    );
    // A key that holds no longer: its machine is out, and the others have its jobs.
    let people = people(&keys, false);
    fs::write(
        include(world.dir.path()),
        accounts(world.dir.path(), &people).unwrap(),
    )
    .unwrap();
    world.servers.reload();
    world.wait_for_log("w2", "uthorization");
    for number in 0..4 {
        assert!(done(&format!("later-{number}")).contains("\"id\":\"w1\""));
    }
    world.wait_until_empty();
}

/// The list, with the second machine or without.
fn people(keys: &[(Who, String)], with_second: bool) -> String {
    let names: Vec<&str> = keys.iter().map(|(_, name)| name.as_str()).collect();
    let mut people = format!(
        "admin {}\nworker {} default w1 alpha\nsubmitter {} alpha default\n",
        names[0], names[1], names[3]
    );
    if with_second {
        people += &format!("worker {} default w2 alpha\n", names[2]);
    }
    people
}
