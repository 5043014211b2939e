//! isolate.toml(5), from the file that is installed: its comments explain each key.

use super::{Font, Roff, link};
use crate::config::shipped::TEXT;

/// The page.
pub(super) fn page() -> String {
    let mut roff = Roff::new("isolate.toml", "5", "Configuration of isolate-run");
    roff.section("Synopsis");
    roff.text("/etc/isolate/isolate.toml");
    roff.raw(".br");
    roff.text("/etc/isolate/isolate.toml.d/*.toml");
    for top in ["/run", "/usr/lib"] {
        roff.raw(".br");
        roff.text(&format!("{top}/isolate/isolate.toml.d/*.toml"));
    }
    roff.section("Description");
    let mut comments: Vec<String> = Vec::new();
    for line in TEXT.lines() {
        if let Some(table) = line.strip_prefix('[') {
            say(&mut roff, &mut comments);
            let table = table.trim_matches(['[', ']']);
            roff.section(&format!("The table {table}"));
        } else if let Some(comment) = line.strip_prefix("# ").or(line.strip_prefix("#\n")) {
            comments.push(comment.to_owned());
        } else if let Some(key) = line.strip_prefix('#').filter(|key| !key.is_empty()) {
            comments.retain(|comment| comment != "Example:");
            let about = joined(&comments);
            comments.clear();
            let name = key.split(" = ").next().unwrap_or_default();
            let value = key.split_once(" = ").map_or("", |(_, value)| value);
            if key.starts_with("[[") {
                let table = key.trim_matches(['[', ']']);
                let heading = format!("The tables {table}");
                if !roff.text.contains(&heading.to_uppercase()) {
                    roff.section(&heading);
                }
                roff.paragraphs(&about);
                continue;
            }
            let is_new = key.contains(" = ") && !key.starts_with([' ', '"', ']', '[', '#']);
            if is_new {
                roff.item(
                    &[(name, Font::Bold), ("=", Font::Bold), (value, Font::Italic)],
                    &about,
                );
            } else {
                roff.raw(".br");
                roff.text(key);
            }
        } else {
            say(&mut roff, &mut comments);
        }
    }
    say(&mut roff, &mut comments);
    let others = [
        "isolate-run.1",
        "isolate-run-config.1",
        "isolate-run-broker.8",
    ];
    let others: Vec<_> = others.iter().filter_map(|name| link(name)).collect();
    roff.see_also(&others);
    roff.text
}

/// Comments that belong to no key are paragraphs.
fn say(roff: &mut Roff, comments: &mut Vec<String>) {
    if !comments.is_empty() {
        roff.raw(".PP");
        roff.paragraphs(&joined(comments));
        comments.clear();
    }
}

/// Lines of a comment as paragraphs: indented ones stay lines of their own.
fn joined(comments: &[String]) -> String {
    let mut text = String::new();
    for line in comments {
        let is_literal = line.starts_with(' ');
        let after_literal = text
            .lines()
            .last()
            .is_some_and(|last| last.starts_with(' '));
        if !text.is_empty() {
            text.push(if is_literal || after_literal {
                '\n'
            } else {
                ' '
            });
        }
        text.push_str(line);
    }
    text
}
