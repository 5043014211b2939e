//! `calibrate`: loads that run in boxes, and a result that is saved and compared with.

use std::fs;

use serde_json::Value;

use crate::support::{Output, TestBox, finish, isolate_command};

fn calibrate(test_box: &TestBox, options: &[&str]) -> Output {
    let mut command = isolate_command(&["calibrate", "--time=10ms", "--config"]);
    command.arg(test_box.config_file()).args(options);
    command
        .arg("--reference")
        .arg(test_box.dir().join("reference.json"));
    finish(command)
}

#[test]
#[ignore = "needs root: tests/run"]
fn every_load_runs_in_a_box_and_is_compared_with_what_was_saved() {
    let test_box = TestBox::new();
    let first = calibrate(&test_box, &["--save", "--json"]);
    first.assert_success();
    let saved = fs::read_to_string(test_box.dir().join("reference.json")).unwrap();
    assert_eq!(saved, first.stdout);
    let saved: Value = serde_json::from_str(&saved).unwrap();
    assert_eq!(saved["factor"], Value::Null);
    let loads = saved["loads"].as_array().unwrap();
    let names: Vec<_> = loads
        .iter()
        .map(|load| load["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        ["integer", "branches", "latency", "bandwidth", "calls"]
    );
    for load in loads {
        assert!(load["rounds"].as_u64().unwrap() >= 5, "{load}");
    }
    let text = calibrate(&test_box, &[]).stdout;
    assert!(
        text.contains("\nscore ") && text.contains("takes 1 s on the reference"),
        "{text}"
    );
    // Each load has a factor: the third figure.
    for name in names {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        let factor = line.split_whitespace().nth(4).unwrap();
        assert!(factor.parse::<f64>().unwrap() > 0.0, "{line}");
    }
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_reference_that_makes_no_sense_and_a_run_that_fails_are_named() {
    let test_box = TestBox::new();
    fs::write(test_box.dir().join("reference.json"), "nonsense").unwrap();
    let refused = calibrate(&test_box, &[]);
    assert_eq!(refused.code, 2);
    assert!(
        refused
            .stderr
            .contains("is no calibration (make it anew by --save)"),
        "{refused:?}"
    );
    // What is to be done about it helps.
    calibrate(&test_box, &["--save"]).assert_success();
    calibrate(&test_box, &[]).assert_success();
    let test_box = test_box.config("[exec]\nmem = \"16M\"\n");
    let failed = calibrate(&test_box, &[]);
    assert_eq!(failed.code, 2);
    let says = "isolate-run: cannot measure ";
    assert!(failed.stderr.starts_with(says), "{failed:?}");
}
