//! Tests of the grammar and of merging.

use super::*;

fn parse(text: &str) -> Result<DirRequest, DirRuleError> {
    DirRequest::parse(OsStr::new(text))
}

fn rule(text: &str) -> DirRule {
    match parse(text) {
        Ok(DirRequest::Set(rule)) => rule,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn a_bare_directory_is_bound_read_only_on_its_own_name() {
    let usr = rule("usr");
    assert_eq!(usr.inside, Path::new("usr"));
    assert_eq!(usr.source, Source::Host("/usr".into()));
    assert_eq!(usr.flags, DirFlags::default());
    assert_eq!(rule("//usr//lib/").inside, Path::new("usr/lib"));
}

#[test]
fn options_are_read_after_colons() {
    let tmp = rule("tmp:tmp");
    assert_eq!(tmp.source, Source::Temporary);
    assert!(tmp.flags.writable);
    assert_eq!(
        rule("proc=proc:fs").source,
        Source::FileSystem(FileSystem::Proc)
    );
    let all = rule("a=/b:rw:dev:noexec:maybe:norec").flags;
    assert!(all.writable && all.devices && all.no_exec && all.maybe && all.not_recursive);
    assert_eq!(rule("X=//X:maybe").source, Source::Host("//X".into()));
    assert_eq!(rule("box=./box:rw").source, Source::BoxDir("box".into()));
    let sized = |text| rule(text).source;
    for (text, size) in [
        ("s=tmpfs:fs", None),
        ("s=tmpfs:fs:size=64M", Some(Bytes(64 << 20))),
        ("s=tmpfs:size=8:rw:fs", Some(Bytes(8 << 10))),
    ] {
        assert_eq!(sized(text), Source::FileSystem(FileSystem::Tmpfs(size)));
    }
}

#[test]
fn any_name_can_stand_on_either_side() {
    let odd = rule(r"x\=y\:z=/srv/a=b\:c\\d e:rw");
    assert_eq!(odd.inside, Path::new("x=y:z"));
    assert_eq!(odd.source, Source::Host(r"/srv/a=b:c\d e".into()));
    assert!(odd.flags.writable);
    assert_eq!(rule(r"a\:b").source, Source::Host("/a:b".into()));
    let bytes = rule(r"\377=/\377").source;
    assert_eq!(bytes, Source::Host(OsStr::from_bytes(b"/\xff").into()));
}

#[test]
fn mistakes_are_named() {
    for (text, part) in [
        ("", "is empty"),
        ("/", "is empty"),
        ("=/usr", "is empty"),
        ("a/../b", "'..'"),
        ("a=b", "must begin with"),
        ("a=./../b", "must not leave"),
        ("a=/b:rw,maybe", "unknown option 'rw,maybe'"),
        ("a=/b:", "unknown option ''"),
        (r"a=/b\000", "NUL"),
        (r"a\057..=/b", "'..'"),
        ("a=ext4:fs", "file system 'ext4'"),
        ("a:fs", "fs needs"),
        ("a=:fs", "fs needs"),
        ("a=tmpfs:fs:tmp", "exclude"),
        ("a=/b:tmp", "tmp takes nothing"),
        ("a=/b:size=1M", "size= is for tmpfs only"),
        ("a:tmp:size=1M", "size= is for tmpfs only"),
        ("a=tmpfs:fs:size=", "size"),
        ("a=tmpfs:fs:size=0", "would hold nothing"),
        ("a=tmpfs:fs:size=x", "'x'"),
    ] {
        let message = parse(text).unwrap_err().to_string();
        assert!(message.contains(part), "{text}: {message}");
    }
    assert!(DirRequest::parse(OsStr::from_bytes(b"a\xff=/b:\xff")).is_err());
}

#[test]
fn a_rule_for_a_known_path_replaces_it_where_it_stands() {
    let requests: Vec<_> = ["tmp=/x:rw", "new=/n", "usr="]
        .iter()
        .map(|text| parse(text).unwrap())
        .collect();
    let merged = merge(vec![rule("bin"), rule("tmp:tmp"), rule("usr")], &requests);
    let inside: Vec<_> = merged
        .iter()
        .map(|rule| rule.inside.to_str().unwrap())
        .collect();
    assert_eq!(inside, ["bin", "tmp", "new"]);
    assert_eq!(merged[1].source, Source::Host("/x".into()));
}
