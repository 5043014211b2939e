//! What somebody asks for who may not.

/// What would show or change something of queue alpha, pool default, or of the fleet.
pub fn requests() -> Vec<(String, String)> {
    let api = |rest: &str, payload: &str| (format!("$JS.API.{rest}"), payload.to_owned());
    let everything = "{\"seq\":1}";
    let mut all = Vec::new();
    for (stream, subject) in [
        ("ISO_RESULTS", "iso.result.alpha.>"),
        ("ISO_JOBS_default", "iso.job.default.>"),
        ("ISO_DEAD", "iso.dead.>"),
        ("OBJ_iso-files-alpha", "$O.iso-files-alpha.>"),
    ] {
        for (what, payload) in [
            ("DIRECT.GET", everything.to_owned()),
            ("DIRECT.GET", format!("{{\"last_by_subj\":\"{subject}\"}}")),
            (
                "DIRECT.GET",
                format!("{{\"next_by_subj\":\"{subject}\",\"seq\":1}}"),
            ),
            ("STREAM.MSG.GET", everything.to_owned()),
            ("STREAM.INFO", "{\"subjects_filter\":\">\"}".to_owned()),
            ("STREAM.MSG.DELETE", everything.to_owned()),
            ("STREAM.PURGE", String::new()),
            ("STREAM.DELETE", String::new()),
            (
                "STREAM.UPDATE",
                format!("{{\"name\":\"{stream}\",\"subjects\":[\"EVIL\"]}}"),
            ),
            (
                "STREAM.SNAPSHOT",
                "{\"deliver_subject\":\"_INBOX.EVIL\"}".to_owned(),
            ),
            ("STREAM.LEADER.STEPDOWN", String::new()),
            ("CONSUMER.LIST", String::new()),
            ("CONSUMER.NAMES", String::new()),
        ] {
            all.push(api(&format!("{what}.{stream}"), &payload));
        }
        all.push(api(&format!("DIRECT.GET.{stream}.{subject}"), ""));
        let config = format!(
            "{{\"stream_name\":\"{stream}\",\"config\":{{\"name\":\"EVIL\",\"deliver_subject\":\"_INBOX.EVIL\",\"ack_policy\":\"none\",\"filter_subject\":\"{subject}\"}}}}"
        );
        all.push(api(&format!("CONSUMER.CREATE.{stream}"), &config));
        all.push(api(&format!("CONSUMER.CREATE.{stream}.EVIL"), &config));
        all.push(api(
            &format!("CONSUMER.CREATE.{stream}.EVIL.{subject}"),
            &config,
        ));
        all.push(api(
            &format!("CONSUMER.DURABLE.CREATE.{stream}.EVIL"),
            &config,
        ));
    }
    all.extend([
        api("DIRECT.GET.ISO_RESULTS.iso.result.alpha.SECRET-1", ""),
        api("DIRECT.GET.ISO_RESULTS.iso.result.*.*", ""),
        api("DIRECT.GET.ISO_RESULTS.>", ""),
        api("CONSUMER.MSG.NEXT.ISO_JOBS_default.default_live_alpha", "1"),
        api("CONSUMER.INFO.ISO_JOBS_default.default_live_alpha", ""),
        api("CONSUMER.DELETE.ISO_JOBS_default.default_live_alpha", ""),
        api(
            "STREAM.CREATE.EVIL",
            "{\"name\":\"EVIL\",\"subjects\":[\"iso.>\"]}",
        ),
        api("STREAM.LIST", ""),
        api("STREAM.NAMES", ""),
    ]);
    for subject in [
        "iso.job.default.live.alpha",
        "iso.job.default.live.beta",
        "iso.job.other.live.alpha",
        "iso.result.alpha.EVIL",
        "iso.dead.poison.alpha.EVIL",
        "iso.dead.error.alpha.EVIL",
        "iso.dead.nonsense.alpha",
        "$KV.iso-machines.w1",
        "$KV.iso-cancel.alpha.SECRET-1",
        "$O.iso-files-alpha.C.EVIL",
        "$JS.ACK.ISO_JOBS_default.default_live_alpha.1.1.1.1.1",
        "iso.wake.default",
        "iso.control.w1",
    ] {
        all.push((
            subject.to_owned(),
            "{\"do\":\"drain\",\"reason\":\"EVIL\"}".to_owned(),
        ));
    }
    all
}
