//! What a run that has written too much is told to have come to.

use serde_json::Value;

use crate::report::Verdict;

/// A limit that was exceeded counts even if the program ended before it was killed. Limits that its
/// own end came by count more: they are told.
pub(super) fn become_output_limit(report: &mut Value) {
    let ended_by_itself = matches!(
        report["verdict"].as_str(),
        Some("ok" | "exit_code" | "signal")
    );
    if !ended_by_itself {
        return;
    }
    let verdict = Verdict::Output;
    report["verdict"] = verdict.name().into();
    report["status"] = verdict.status().into();
    report["message"] = verdict.message().into();
    if let Some(report) = report.as_object_mut() {
        report.remove("exit_code");
        report.remove("signal");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn who_has_written_too_much_is_not_told_as_well_however_it_ended() {
        for verdict in ["ok", "exit_code", "signal"] {
            let mut report = json!({"verdict": verdict, "exit_code": 1, "signal": null});
            become_output_limit(&mut report);
            let found = [&report["verdict"], &report["status"]];
            assert_eq!(found, [&json!("output_limit"), &json!("SG")]);
            for gone in ["exit_code", "signal"] {
                assert!(report.get(gone).is_none());
            }
        }
        let mut report = json!({"verdict": "memory_limit"});
        become_output_limit(&mut report);
        assert_eq!(report, json!({"verdict": "memory_limit"}));
    }
}
