//! Clients that run some programs in control-group mode and some without it.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};

use super::{Client, get, meta, put};
use crate::support::finish;

/// What a compiler makes of this is a program that adds the numbers it reads and counts them on standard error.
pub(crate) const SOURCE: &str =
    "s=0 n=0; while read x; do s=$((s + x)) n=$((n + 1)); done; echo $s; echo $n >&2\n";

/// A compiler of such sources, as a script: it makes a program of the file `$1`, and complains when there is none.
pub(crate) const COMPILER: &str = "test -e $1 || { echo $1: no source >&2; exit 1; }\n\
     { echo '#!/bin/sh'; cat $1; } >$2 && chmod 755 $2\n";

/// Judge0, whose submission tells which of the limits are those of each process. `mode`: the options that follow.
pub(crate) fn judge0(client: &Client, mode: &str, timing: &str, memory: &str) {
    let id = client.id();
    let cg = !mode.is_empty();
    let init = client.shell(&format!("isolate {mode} -b {id} --init"));
    assert_eq!((init.code, &*init.stderr), (0, ""));
    let work = std::path::PathBuf::from(init.stdout.trim_end_matches('\n'));
    let at = work.display();
    // The client's files, in a directory in which only root can make any.
    let files = ["stdin", "stdout", "stderr", "metadata", "compile_output"]
        .map(|name| work.join(format!("{name}.txt")));
    for file in &files {
        put(file, "", 0o644);
        chown(file, Some(1234), Some(1234)).unwrap();
    }
    let [stdin, stdout, stderr, metadata, compile_output] = &files;
    fs::write(stdin, "1\n2\n39\n").unwrap();
    let inside = work.join("box");
    put(&inside.join("main.src"), SOURCE, 0o644);
    put(
        &inside.join("compile.sh"),
        &format!("set -- main.src main\n{COMPILER}"),
        0o644,
    );
    put(&inside.join("run.sh"), "./main", 0o644);
    put(&inside.join("additional_files.zip"), "more", 0o644);
    let is_in_place = (
        fs::metadata(metadata).unwrap().ino(),
        fs::metadata(metadata).unwrap().uid(),
    );

    let limits = format!("-t 30 -x 1 -w 60 -k 64000 -p60 {timing} {memory} -f 10240");
    let environment = "-E HOME=/tmp -E PATH=\"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\" \
         -E LANG -E LANGUAGE -E LC_ALL -E JUDGE0_HOMEPAGE -E JUDGE0_SOURCE_CODE -E JUDGE0_MAINTAINER \
         -E JUDGE0_VERSION -d /etc:noexec";
    let unpack = client.shell(&format!(
        "isolate {mode} -s -b {id} --stderr-to-stdout -t 20 -x 1 -w 40 -k 64000 -p60 {timing} {memory} -f 10240 \
         --run -- /usr/bin/cp -n additional_files.zip data"
    ));
    unpack.assert_silent_success();
    assert_eq!(get(&inside.join("data")), "more");

    let compile = |expected: i32| {
        let output = client.shell(&format!(
            "isolate {mode} -s -b {id} -M {at}/metadata.txt --stderr-to-stdout -i /dev/null {limits} {environment} \
             --run -- /bin/bash compile.sh > {at}/compile_output.txt"
        ));
        assert_eq!(
            (output.code, &*output.stdout, &*output.stderr),
            (expected, "", "")
        );
        meta(metadata, cg)
    };
    compile(0);
    assert_eq!(get(compile_output), "");

    let run = |more: &str| {
        let output = client.shell(&format!(
            "isolate {mode} -s -b {id} -M {at}/metadata.txt {more} {limits} {environment} --run -- /bin/bash run.sh \
             < {at}/stdin.txt > {at}/stdout.txt 2> {at}/stderr.txt"
        ));
        assert_eq!((&*output.stdout, &*output.stderr), ("", ""));
        (output.code, meta(metadata, cg))
    };
    for share in ["", "--share-net"] {
        let (code, meta) = run(share);
        assert_eq!(
            (code, get(stdout), get(stderr)),
            (0, "42\n".into(), "3\n".into())
        );
        assert_eq!(meta.get("exitcode"), Some("0"));
        let memory = meta.number(if cg { "cg-mem" } else { "max-rss" });
        assert!(memory > 0.0 && meta.number("time-wall") > 0.0, "{meta:?}");
    }
    run("--stderr-to-stdout");
    let both = get(stdout);
    assert!(both == "42\n3\n" && get(stderr).is_empty(), "{both}");
    put(&inside.join("run.sh"), "echo sorry >&2; exit 9", 0o644);
    let (code, meta) = run("");
    assert_eq!(
        (code, meta.get("status"), meta.get("exitcode")),
        (1, Some("RE"), Some("9"))
    );
    assert_eq!(get(stderr), "sorry\n", "the contestant's words alone");
    fs::remove_file(inside.join("main.src")).unwrap();
    assert_eq!(compile(1).get("status"), Some("RE"));
    assert_eq!(get(compile_output), "main.src: no source\n");
    let now = fs::metadata(metadata).unwrap();
    assert_eq!(
        (now.ino(), now.uid()),
        is_in_place,
        "it is the client's file still"
    );

    client
        .shell(&format!(
            "chown -R 1234:1234 {at}/box; rm -rf {at}/box/* {at}/tmp/*; rm {at}/*.txt; isolate {mode} -b {id} --cleanup"
        ))
        .assert_silent_success();
    assert!(!work.exists(), "cleanup of the sandbox has failed");
}

/// cafe-grader, which has the mode as an option of the language.
pub(crate) fn cafe_grader(client: &Client, cg: bool) {
    let id = client.id();
    let (mode, memory) = if cg { ("--cg", "--cg-mem") } else { ("", "-m") };
    client.init(&format!("--init {mode} -b {id}"));
    let host = client.test_box.out().join("grader");
    for name in ["source", "mybin", "input", "output"] {
        fs::create_dir_all(host.join(name)).unwrap();
        fs::set_permissions(
            host.join(name),
            std::os::unix::fs::PermissionsExt::from_mode(0o777),
        )
        .unwrap();
    }
    put(&host.join("source/main.src"), SOURCE, 0o644);
    put(&host.join("source/compile"), COMPILER, 0o644);
    put(&host.join("input/1.txt"), "20\n3\n", 0o644);
    // The meta file's name is relative to where the client is.
    let call = |line: &str| {
        let mut command = client.command(line);
        command.current_dir(&host).env("PATH", "/usr/bin:/bin");
        finish(command)
    };
    let at = host.display();
    let compile = call(&format!(
        "{mode} --run -b {id} --meta=meta.json -t 30 -x 31.5 -w 60 {memory} 512000 -d /mybin=/{at}/mybin:rw \
         -d /source={at}/source -p -E PATH -f 50000 -d /gocache:tmp --env=GOCACHE=/gocache \
         -- /usr/bin/sh /source/compile /source/main.src /mybin/main"
    ));
    assert_eq!(compile.code, 0, "{compile:?}");
    meta(&host.join("meta.json"), cg);
    let chmod = call(&format!(
        "{mode} --run -b {id} -d /mybin={at}/mybin:rw -- /usr/bin/chmod 0555 /mybin/main"
    ));
    assert_eq!(chmod.code, 0, "{chmod:?}");
    let run = call(&format!(
        "{mode} --run -b {id} --meta=meta.json -t 10.5 -x 11 -w 31.5 {memory} 256000 -d /mybin={at}/mybin \
         -d /input={at}/input -d /output={at}/output:rw -p -E PATH -o /output/1.txt -i /input/1.txt -f 50000 \
         -- /mybin/main"
    ));
    assert_eq!((run.code, &*run.stdout), (0, ""), "{run:?}");
    assert!(run.stderr.starts_with("2\nOK ("), "{run:?}");
    assert_eq!(get(&host.join("output/1.txt")), "23\n");
    let result = meta(&host.join("meta.json"), cg);
    assert!(result.number("max-rss") > 0.0 && result.number("time-wall") > 0.0);
    let late = call(&format!(
        "{mode} --run -b {id} --meta=meta.json -t 10 -x 11 -w 0.5 {memory} 256000 -o /output/1.txt \
         --stderr-to-stdout -d /output={at}/output:rw -- /usr/bin/sleep 1000"
    ));
    assert_eq!(
        (late.code, &*late.stderr),
        (1, "Time limit exceeded (wall clock)\n")
    );
    let result = meta(&host.join("meta.json"), cg);
    assert_eq!(result.get("status"), Some("TO"));
    client.cleanup(&format!("--cleanup -b {id} {mode}"));
    fs::remove_dir_all(&host).unwrap();
}

/// taskgrader: the program and its standard streams are files in the box.
pub(crate) fn taskgrader(client: &Client, cg: bool) {
    let id = client.id();
    let (mode, more, memory) = if cg {
        ("--cg", "--cg --cg-timing", "--cg-mem")
    } else {
        ("", "", "--mem")
    };
    let inside = client
        .init(&format!("--init --box-id={id} {mode}"))
        .join("box");
    put(&inside.join("main.src"), SOURCE, 0o644);
    put(&inside.join("compile"), COMPILER, 0o644);
    put(&inside.join("isolated.stdin"), "5\n6\n", 0o644);
    let result = client.test_box.out().join("isolate.meta");
    let at = result.display();
    let run = |program: &str, wall: &str| {
        let output = client.call(&format!(
            "--processes --env=HOME --env=PATH --env=LANG --env=LC_ALL --env=TASKGRADER_LOCALE --meta={at} \
             --dir=/etc/alternatives:maybe --box-id={id} --time=30 --wall-time={wall} {memory}=512000 \
             --stdin=isolated.stdin {more} --stdout=isolated.stdout --stderr=isolated.stderr --run -- {program}"
        ));
        assert_eq!(output.stdout, "");
        (output.code, meta(&result, cg))
    };
    let (code, _) = run("/bin/sh compile main.src main", "60");
    assert_eq!(
        (code, get(&inside.join("isolated.stderr"))),
        (0, String::new())
    );
    let (code, meta) = run("./main", "60");
    assert_eq!((code, meta.get("exitcode")), (0, Some("0")));
    assert_eq!(get(&inside.join("isolated.stdout")), "11\n");
    assert_eq!(get(&inside.join("isolated.stderr")), "2\n");
    assert!(meta.number(if cg { "cg-mem" } else { "max-rss" }) > 0.0);
    let (code, meta) = run("/bin/sleep 1000", "0.5");
    assert_eq!(
        (code, meta.get("status"), meta.get("killed")),
        (1, Some("TO"), Some("1"))
    );
    let (code, meta) = run("no-such-program", "60");
    assert_eq!((code, meta.get("exitcode")), (1, Some("127")));
    // An internal error: then it removes the box, whatever its mode.
    let broken = client.call(&format!(
        "--meta={at} --dir=absent=/no/such --box-id={id} {more} --run -- ./main"
    ));
    assert_eq!(broken.code, 2);
    assert_eq!(super::meta(&result, cg).get("status"), Some("XX"));
    client.cleanup(&format!("--cleanup --box-id={id}"));
}

/// Broccoli, as root for a user of this uid, or for itself.
pub(crate) fn broccoli(client: &Client, cg: bool, user: Option<u32>) {
    let id = client.id();
    let (mode, memory) = if cg {
        ("--cg", "--cg-mem")
    } else {
        ("", "--mem")
    };
    let user = user.map_or(String::new(), |uid| {
        format!("--as-uid={uid} --as-gid={uid}")
    });
    let inside = client
        .init(&format!("--box-id={id} {mode} {user} --init"))
        .join("box");
    put(&inside.join("main.src"), SOURCE, 0o644);
    put(&inside.join("compile"), COMPILER, 0o644);
    put(&inside.join("input.txt"), "100\n23\n", 0o644);
    let result = client.test_box.out().join(format!("meta{}", user.len()));
    let at = result.display();
    let run = |processes: &str, environment: &str, program: &str| {
        let output = client.call(&format!(
            "--box-id={id} {mode} --meta={at} --wait {user} --time=30 --wall-time=60 --extra-time=0.5 {memory}=512000 \
             --stack=65536 --open-files=64 --fsize=10240 {processes} --stdin=input.txt --stdout=output.txt \
             --stderr=error.txt {environment} --dir=etc=/etc:noexec --run -- {program}"
        ));
        (output.code, meta(&result, cg))
    };
    let (code, _) = run(
        "--processes=16",
        "--full-env",
        "/bin/sh compile main.src main",
    );
    assert_eq!((code, get(&inside.join("error.txt"))), (0, String::new()));
    let (code, meta) = run("--processes", "--env=A=b", "main");
    assert_eq!((code, meta.get("exitcode")), (0, Some("0")));
    assert_eq!(get(&inside.join("output.txt")), "123\n");
    let (code, meta) = run("--processes", "--env=A=b", "no-such-program");
    assert_eq!((code, meta.get("exitcode")), (1, Some("127")));
    let said = get(&inside.join("error.txt"));
    assert_eq!(
        said,
        "execve(\"no-such-program\"): No such file or directory\n"
    );
    client
        .call(&format!(
            "--box-id={id} {mode} {user} --dir=in={}:rw,maybe --run -- main",
            client.test_box.out().display()
        ))
        .assert_refused(2, "rw,maybe");
    client.cleanup(&format!("--box-id={id} {mode} {user} --cleanup"));
}
