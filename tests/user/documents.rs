//! The documentation keeps its form: what a page shows can be run and compared, what it refers to is there, and every option is
//! told of. `system::documents` runs the commands. No privileges.

use std::fs;
use std::path::Path;

use crate::compatibility::options_in;
use crate::support::pages::{blocks, commands, is_as_shown, pages};
use crate::support::source;

/// What blocks may be: commands, forms of files, sources, pictures. Commands are nowhere else than in `console`.
const KINDS: [&str; 14] = [
    "console", "text", "toml", "json", "js", "ini", "c", "cpp", "csharp", "go", "haskell", "java",
    "python", "yaml",
];

/// How many blocks with commands are not run, each with its reason: a new one is to be seen.
const NOT_RUN: usize = 5;

fn read(page: &Path) -> String {
    fs::read_to_string(source(page.to_str().unwrap())).unwrap()
}

#[test]
fn every_block_is_of_a_known_kind_and_says_why_it_is_not_run() {
    let mut not_run = Vec::new();
    for page in pages() {
        for block in blocks(&read(&page)) {
            let place = format!("{}:{}", page.display(), block.line);
            assert!(
                KINDS.contains(&block.kind.as_str()),
                "{place}: {}",
                block.kind
            );
            for note in block.notes() {
                assert!(["file", "not-run"].contains(&note), "{place}: {note}");
            }
            if block.kind == "console" {
                assert!(!commands(&block).is_empty(), "{place} shows no command");
                not_run.extend(block.note("not-run").map(|why| format!("{place}: {why}")));
            }
        }
    }
    assert_eq!(not_run.len(), NOT_RUN, "{not_run:#?}");
    let is_short = |why: &&String| why.rsplit(": ").next().is_none_or(|why| why.len() < 15);
    assert!(not_run.iter().find(is_short).is_none(), "{not_run:#?}");
}

#[test]
fn what_pages_link_to_is_there_and_the_index_has_every_page() {
    for page in pages() {
        let text = read(&page);
        for link in text.split("](").skip(1) {
            let link = link.split(')').next().unwrap();
            if link.starts_with("https://") {
                continue;
            }
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => page.clone(),
                file => page.parent().unwrap().join(file),
            };
            assert!(
                source(target.to_str().unwrap()).exists(),
                "{}: {link}",
                page.display()
            );
            let known =
                heading.is_empty() || headings(&read(&target)).any(|known| known == heading);
            assert!(known, "{}: no heading #{heading}", page.display());
        }
    }
    let index = read(Path::new("docs/README.md"));
    for page in pages() {
        let name = page.strip_prefix("docs").map(|name| name.to_str().unwrap());
        if let Ok(name) = name {
            assert!(
                name == "README.md" || index.contains(&format!("]({name})")),
                "{name}"
            );
        }
    }
}

/// The headings of a page, as links name them.
fn headings(page: &str) -> impl Iterator<Item = String> {
    let lines = page.lines().filter(|line| line.starts_with('#'));
    lines.map(|line| {
        let words = line.trim_start_matches('#').trim().to_lowercase();
        let kept = words
            .chars()
            .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    })
}

#[test]
fn every_option_is_in_the_page_of_options() {
    let page = read(Path::new("docs/options.md"));
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let words: Vec<&str> = page.split(|c| !is_part(c)).collect();
    let overview = crate::support::finish(crate::support::isolate_command(&["-h"])).stdout;
    let verbs = overview
        .lines()
        .skip_while(|line| *line != "Verbs:")
        .skip(1);
    let verbs = verbs.take_while(|line| !line.is_empty());
    let verbs: Vec<_> = verbs
        .map(|line| line.split_whitespace().next().unwrap())
        .collect();
    assert!(verbs.len() > 10 && verbs.contains(&"exec"), "{verbs:?}");
    let mut calls = vec![vec!["--help"]];
    calls.extend(verbs.iter().map(|verb| vec![*verb, "--help"]));
    for call in calls {
        let help = crate::support::finish(crate::support::isolate_command(&call)).stdout;
        let missing: Vec<_> = options_in(&help)
            .into_iter()
            .filter(|option| option.starts_with("--") && !words.contains(&option.as_str()))
            .collect();
        assert!(
            missing.is_empty(),
            "{call:?}: not in docs/options.md: {missing:?}"
        );
    }
    for verb in verbs {
        assert!(words.contains(&verb), "{verb} is not in docs/options.md");
    }
}

/// The texts of the program, with `{…}` for what differs.
fn sources(folder: &str, text: &mut String) {
    for entry in fs::read_dir(source(folder)).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{folder}/{}", entry.file_name().to_str().unwrap());
        match entry.path().is_dir() {
            true => sources(&path, text),
            false => text.push_str(&read(Path::new(&path))),
        }
    }
}

#[test]
fn every_message_in_the_page_about_trouble_is_one_of_the_program() {
    let mut text = String::new();
    sources("src", &mut text);
    // A text that goes on in the next line of the source.
    let mut joined = String::new();
    for part in text.split("\\\n") {
        joined.push_str(part.trim_start());
    }
    let page = read(Path::new("docs/troubleshooting.md"));
    let messages = page.lines().filter_map(|line| line.strip_prefix("### `"));
    let messages: Vec<_> = messages.map(|line| line.trim_end_matches('`')).collect();
    assert!(messages.len() >= 15, "{messages:?}");
    for message in messages {
        for part in message
            .split('…')
            .map(str::trim)
            .filter(|part| part.len() > 3)
        {
            assert!(joined.contains(part), "{message}: nobody says {part:?}");
        }
    }
}

#[test]
fn what_is_printed_is_compared_but_for_figures_and_what_is_left_out() {
    let shown = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let line = "isolate-run: ok; CPU 0.051 s of 1 s, wall 0.058 s";
    for (pattern, printed, fit) in [
        (
            line,
            "isolate-run: ok; CPU 12.3 s of 1 s, wall 0.1 s\n",
            true,
        ),
        (
            line,
            "isolate-run: ok; CPU 12.3 s of 2 s, wall 0.1 s\n",
            false,
        ),
        (
            line,
            "isolate-run: ok; CPU 12 s of 1 s, wall 0.1 s\n",
            false,
        ),
        ("a\n…\nd", "a\nb\nc\nd\n", true),
        ("a\n…\nd", "a\nd", true),
        ("a\n…\nd", "a\nb\n", false),
        ("max-rss:…", "max-rss:3284", true),
        ("3  alice   …  0.1", "3 alice running 12s 0.2", true),
        ("", "", true),
        ("", "more", false),
        ("…", "", true),
    ] {
        assert_eq!(
            is_as_shown(&shown(pattern), printed),
            fit,
            "{pattern:?} {printed:?}"
        );
    }
    let page = "```console not-run=\"a good reason\"\n# a \\\n  b\nc\n$ d\n```\n   ```c file=\"x.c\"\n   int\n   ```\n";
    let blocks = blocks(page);
    assert_eq!(blocks[0].note("not-run"), Some("a good reason"));
    assert_eq!(
        (blocks[1].note("file"), &blocks[1].text[..]),
        (Some("x.c"), &["int".to_owned()][..])
    );
    let commands = commands(&blocks[0]);
    assert_eq!(commands[0].command, "a \\\n  b");
    assert_eq!(commands[0].output, ["c"]);
    assert!(commands[0].is_roots && !commands[1].is_roots && commands[1].output.is_empty());
}
