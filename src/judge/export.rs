//! Verdicts for programs: JSON, CSV (RFC 4180) and the XML that test runners call JUnit's. Pure.

use serde_json::{Map, Value};

use super::row::{Row, Verdict};
use crate::error::printable;

/// One object, with all tests in the order of their names.
pub(super) fn json(rows: &[Row]) -> String {
    let tests: Vec<Value> = rows
        .iter()
        .map(|row| {
            let mut object = Map::new();
            object.insert("name".into(), row.name.clone().into());
            object.insert("verdict".into(), row.verdict.name().into());
            for (key, figure) in figures(row) {
                if let Some(figure) = figure {
                    object.insert(key.into(), figure.into());
                }
            }
            if !row.message.is_empty() {
                object.insert("message".into(), row.message.clone().into());
            }
            if !row.stderr.is_empty() {
                object.insert("stderr".into(), row.stderr.clone().into());
            }
            object.into()
        })
        .collect();
    let passed = rows.iter().filter(|row| row.is_passed()).count();
    let all = serde_json::json!({"format": 1, "passed": passed, "tests": tests});
    format!("{all:#}\n")
}

fn figures(row: &Row) -> [(&'static str, Option<u64>); 3] {
    [
        ("cpu_time_us", row.cpu_us),
        ("wall_time_us", row.wall_us),
        ("memory_bytes", row.memory_bytes),
    ]
}

/// A line for each test, below a line of names.
pub(super) fn csv(rows: &[Row]) -> String {
    let mut text = "name,verdict,cpu_time_us,wall_time_us,memory_bytes,message\r\n".to_owned();
    for row in rows {
        let figures =
            figures(row).map(|(_, figure)| figure.map_or_else(String::new, |one| one.to_string()));
        let [cpu, wall, memory] = figures;
        let (name, message) = (
            quoted(&printable(&row.name)),
            quoted(&printable(&row.message)),
        );
        let verdict = row.verdict.name();
        text.push_str(&format!(
            "{name},{verdict},{cpu},{wall},{memory},{message}\r\n"
        ));
    }
    text
}

/// A field of CSV. A reader that takes fields for formulas gets none.
fn quoted(field: &str) -> String {
    match field.contains([',', '"', '\r', '\n']) {
        true => format!("\"{}\"", field.replace('"', "\"\"")),
        false => field.to_owned(),
    }
}

/// A suite with a case for each test.
pub(super) fn junit(rows: &[Row]) -> String {
    let count = |is: fn(&Row) -> bool| rows.iter().filter(|row| is(row)).count();
    let errors = count(|row| row.verdict == Verdict::Internal);
    let skipped = count(|row| row.verdict == Verdict::NotRun);
    let failures = rows.len() - count(Row::is_passed) - errors - skipped;
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <testsuite name=\"isolate-run\" tests=\"{}\" failures=\"{failures}\" errors=\"{errors}\" skipped=\"{skipped}\">\n",
        rows.len()
    );
    for row in rows {
        let seconds = row.cpu_us.unwrap_or_default() as f64 / 1e6;
        let case = format!(
            "  <testcase name=\"{}\" time=\"{seconds:.6}\"",
            escaped(&row.name)
        );
        let kind = match row.verdict {
            Verdict::Ok => {
                text.push_str(&format!("{case}/>\n"));
                continue;
            }
            Verdict::NotRun => "skipped",
            Verdict::Internal => "error",
            _ => "failure",
        };
        let (verdict, message) = (row.verdict.name(), escaped(&row.message));
        let of_kind = match kind {
            "skipped" => format!("message=\"{message}\""),
            _ => format!("type=\"{verdict}\" message=\"{message}\""),
        };
        text.push_str(&format!("{case}>\n    <{kind} {of_kind}/>\n"));
        if !row.stderr.is_empty() {
            let stderr = row
                .stderr
                .lines()
                .map(escaped)
                .collect::<Vec<_>>()
                .join("\n");
            text.push_str(&format!("    <system-err>{stderr}</system-err>\n"));
        }
        text.push_str("  </testcase>\n");
    }
    text.push_str("</testsuite>\n");
    text
}

/// Text for an attribute of XML; characters that XML cannot have at all become spaces.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::super::table::tests::rows;
    use super::*;

    #[test]
    fn json_has_units_in_its_names() {
        let value: Value = serde_json::from_str(&json(&rows())).unwrap();
        assert_eq!(value["passed"], 1);
        assert_eq!(value["tests"][1]["verdict"], "WA");
        assert_eq!(value["tests"][0]["cpu_time_us"], 1001);
        assert_eq!(value["tests"][0].get("message"), None);
    }

    #[test]
    fn fields_of_csv_are_quoted_where_they_must_be() {
        assert_eq!(
            csv(&rows()),
            "name,verdict,cpu_time_us,wall_time_us,memory_bytes,message\r\n\
             1,OK,1001,20000,1048576,\r\n\
             10,WA,1500000,2000000,1048577,\"word 1 is '<a>', not '\"\"b\"\"'\"\r\n"
        );
    }

    #[test]
    fn cases_of_junit_are_escaped() {
        let text = junit(&rows());
        assert!(
            text.contains("tests=\"2\" failures=\"1\" errors=\"0\" skipped=\"0\""),
            "{text}"
        );
        let failure =
            "<failure type=\"WA\" message=\"word 1 is '&lt;a&gt;', not '&quot;b&quot;'\"/>";
        assert!(text.contains(failure), "{text}");
        let mut failed = rows();
        failed[1].stderr = "<a>\n\x1bb\n".to_owned();
        let text = junit(&failed);
        assert!(
            text.contains("/>\n    <system-err>&lt;a&gt;\n b</system-err>\n  </testcase>\n"),
            "{text}"
        );
        assert!(
            text.contains("<testcase name=\"1\" time=\"0.001001\"/>"),
            "{text}"
        );
    }
}
