//! The table for people at the end. Pure.

use std::collections::BTreeMap;

use super::row::{Row, Verdict};
use crate::error::printable;

/// A table of all tests, with the worst and the total.
pub(super) fn format(rows: &[Row]) -> String {
    let mut cells = vec![head("test")];
    cells.extend(rows.iter().map(cells_of));
    let worst = |figure: fn(&Row) -> Option<u64>| rows.iter().filter_map(figure).max();
    cells.push(cells_of(&Row {
        cpu_us: worst(|row| row.cpu_us),
        wall_us: worst(|row| row.wall_us),
        memory_bytes: worst(|row| row.memory_bytes),
        ..Row::new("worst".to_owned())
    }));
    if let Some(last) = cells.last_mut() {
        last[1].clear();
    }
    format!("{}{}\n", aligned(&cells), counts(rows))
}

/// A table of programs that ran together.
pub(super) fn programs(rows: &[Row]) -> String {
    let mut cells = vec![head("program")];
    cells.extend(rows.iter().map(cells_of));
    aligned(&cells)
}

fn head(first: &str) -> [String; 6] {
    [first, "verdict", "CPU", "wall", "memory", ""].map(str::to_owned)
}

fn cells_of(row: &Row) -> [String; 6] {
    let text =
        |figure: Option<u64>, shown: fn(u64) -> String| figure.map_or_else(String::new, shown);
    [
        printable(&row.name),
        row.verdict.name().to_owned(),
        text(row.cpu_us, time),
        text(row.wall_us, time),
        text(row.memory_bytes, memory),
        // A checker repeats what the program printed.
        printable(&row.message),
    ]
}

fn aligned(cells: &[[String; 6]]) -> String {
    let width = |column: usize| cells.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..6).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for [name, verdict, cpu, wall, memory, message] in cells {
        let line = format!(
            "{name:<0$}  {verdict:<1$}  {cpu:>2$}  {wall:>3$}  {memory:>4$}  {message}",
            widths[0], widths[1], widths[2], widths[3], widths[4]
        );
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// How many tests there are of each verdict.
pub(super) fn counts(rows: &[Row]) -> String {
    let mut counts: BTreeMap<Verdict, usize> = BTreeMap::new();
    for row in rows {
        *counts.entry(row.verdict).or_default() += 1;
    }
    let parts = counts
        .iter()
        .map(|(verdict, count)| format!("{count} {}", verdict.name()));
    let parts: Vec<_> = parts.collect();
    format!("{} tests: {}", rows.len(), parts.join(", "))
}

/// Rounded up, as everywhere: what is above a limit does not read as within it.
fn time(micros: u64) -> String {
    let millis = micros.div_ceil(1000);
    format!("{}.{:03} s", millis / 1000, millis % 1000)
}

fn memory(bytes: u64) -> String {
    let tenths = bytes.saturating_mul(10).div_ceil(1 << 20);
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::judge) fn rows() -> Vec<Row> {
        vec![
            Row {
                verdict: Verdict::Ok,
                cpu_us: Some(1001),
                wall_us: Some(20_000),
                memory_bytes: Some(1 << 20),
                ..Row::new("1".to_owned())
            },
            Row {
                verdict: Verdict::Wrong,
                message: "word 1 is '<a>', not '\"b\"'".to_owned(),
                cpu_us: Some(1_500_000),
                wall_us: Some(2_000_000),
                memory_bytes: Some((1 << 20) + 1),
                ..Row::new("10".to_owned())
            },
        ]
    }

    #[test]
    fn what_a_program_printed_reaches_no_terminal_by_the_words_of_a_checker() {
        let row = Row {
            message: "expected 1, found \x1b[2J\u{9b}2J".to_owned(),
            ..Row::new("a\nb".to_owned())
        };
        let text = format(&[row]);
        assert!(
            text.contains("a\\nb ") && text.contains("found \\u{1b}[2J\\u{9b}2J\n"),
            "{text}"
        );
    }

    #[test]
    fn the_table_has_all_tests_the_worst_and_the_counts() {
        assert_eq!(
            format(&rows()),
            "test   verdict      CPU     wall   memory\n\
             1      OK       0.002 s  0.020 s  1.0 MiB\n\
             10     WA       1.500 s  2.000 s  1.1 MiB  word 1 is '<a>', not '\"b\"'\n\
             worst           1.500 s  2.000 s  1.1 MiB\n\
             2 tests: 1 OK, 1 WA\n"
        );
    }
}
