//! What the dashboard and the alerts ask for is what a worker says of itself.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::servers::ports;
use crate::world::{Extra, PATIENCE, World};

/// Labels that Prometheus itself gives, or that are of its histograms.
const GIVEN: [&str; 3] = ["job", "instance", "le"];

/// The names of metrics, each with the labels that it has somewhere.
type Names = BTreeMap<String, BTreeSet<String>>;

/// What an answer of a worker has.
fn exposed(text: &str) -> Names {
    let mut found = Names::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, rest) = line.split_at(line.find(['{', ' ']).unwrap());
        let labels = found.entry(name.to_owned()).or_default();
        labels.extend(labels_of(rest));
    }
    found
}

/// The labels in the braces that a text begins with, if it does.
fn labels_of(text: &str) -> impl Iterator<Item = String> {
    let inner = text
        .strip_prefix('{')
        .and_then(|rest| rest.split('}').next());
    let pairs = inner.unwrap_or_default().split(',');
    let pairs = pairs.filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split(['=', '!']).next().unwrap().trim().to_owned())
}

/// What queries name: metrics, and labels in braces or after by.
fn asked(query: &str) -> Names {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = |text: &str| -> Vec<String> {
        let parts = text.split(|c| !is_word(c)).filter(|word| !word.is_empty());
        parts.map(str::to_owned).collect()
    };
    let mut found = Names::new();
    let by = query
        .split("by (")
        .skip(1)
        .flat_map(|rest| words(rest.split(')').next().unwrap()));
    let by: BTreeSet<String> = by.collect();
    for (at, _) in query.match_indices("isolate_run_") {
        let rest = &query[at..];
        let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let labels = found.entry(rest[..end].to_owned()).or_default();
        labels.extend(by.clone());
        labels.extend(labels_of(&rest[end..]));
    }
    found
}

fn read(file: &str) -> String {
    let place = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../contrib")
        .join(file);
    std::fs::read_to_string(place).unwrap()
}

/// All queries of the dashboard, and those that fill its lists.
fn dashboard() -> Vec<String> {
    let whole: serde_json::Value =
        serde_json::from_str(&read("grafana/isolate-run-worker.json")).unwrap();
    let panels = whole["panels"].as_array().unwrap().iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().unwrap());
    let mut found: Vec<String> = targets
        .map(|target| target["expr"].as_str().unwrap().to_owned())
        .collect();
    let lists = whole["templating"]["list"].as_array().unwrap().iter();
    found.extend(lists.filter_map(|list| list["definition"].as_str().map(str::to_owned)));
    found
}

fn alerts() -> Vec<String> {
    let text = read("prometheus/isolate-run-worker.rules.yml");
    let lines = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("expr: "));
    lines.map(str::to_owned).collect()
}

fn get(port: u16) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        .ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned())
}

#[test]
fn the_dashboard_and_the_alerts_ask_for_what_a_worker_says() {
    let mut world = World::new(1, &["default"]);
    let port = ports(1)[0];
    let listen = format!("[metrics]\nlisten = \"127.0.0.1:{port}\"");
    let extra = Extra {
        jobs: &listen,
        ..Extra::default()
    };
    world.start("a", &extra);
    world.submit("default", &["good-1", "refused-1"]);
    world.result("good-1");
    world.result("refused-1");
    // The queues are counted from time to time.
    let end = Instant::now() + PATIENCE;
    let text = loop {
        let text = get(port).unwrap_or_default();
        if text.contains("queue_pending{") && text.contains("jobs_total{") {
            break text;
        }
        assert!(Instant::now() < end, "{text}{}", world.log("a"));
        std::thread::sleep(Duration::from_millis(100));
    };
    let said = exposed(&text);
    let (dashboard, alerts) = (dashboard(), alerts());
    assert!(dashboard.len() > 15 && alerts.len() == 6, "{dashboard:?}");
    for query in dashboard.iter().chain(&alerts) {
        let asked = asked(query);
        assert!(!asked.is_empty(), "{query}");
        for (name, labels) in asked {
            let has = said
                .get(&name)
                .unwrap_or_else(|| panic!("nobody says {name}: {query}\n{text}"));
            for label in labels
                .iter()
                .filter(|label| !GIVEN.contains(&label.as_str()))
            {
                assert!(
                    has.contains(label),
                    "{name} has no label {label}: {query}\n{text}"
                );
            }
        }
    }
    // And the other way round: what is said is shown.
    let shown: BTreeSet<String> = dashboard
        .iter()
        .flat_map(|query| asked(query).into_keys())
        .collect();
    for name in said
        .keys()
        .filter(|name| !name.ends_with("_sum") && !name.ends_with("_count"))
    {
        assert!(shown.contains(name), "{name} is not shown");
    }
}
