//! The command lines of real clients of judges, word for word.

use super::*;

/// The lines that make and remove boxes.
const CEREMONIES: &[(&str, Command)] = &[
    ("--box-id=1000 --cg --cleanup", Command::Cleanup),
    ("--box-id=1000 --cg --init", Command::Init),
    ("--cg -b 1000 --init", Command::Init),
    ("--init --cg -b1000", Command::Init),
    ("--cleanup --cg -b1000", Command::Cleanup),
    ("-b1000 --cg --init", Command::Init),
    ("--cg --box-id=1000 --init", Command::Init),
    ("--init --cg -b 1000", Command::Init),
    ("--box-id 1000 --cg --init", Command::Init),
    ("--init --box-id=1000 --cg", Command::Init),
    ("--cg --wait -b1000 --cleanup", Command::Cleanup),
];

/// Each client's run of a program.
const RUNS: &[(&str, &str, Change)] = &[
    (
        "CMS",
        "--cg --box-id=1000 --chdir=/tmp --dir=/tmp=/o/home:rw --dir=/dev/shm:tmp --dir=/fifo0=/f:rw \
         --full-env --env=HOME=/tmp --fsize=1048576 --stdin=/fifo0/m_to_u0 --stack=1 --cg-mem=262144 \
         --stdout=/tmp/y --processes=1 --stderr=/tmp/stderr.txt --time=1e+06 --verbose --verbose \
         --wall-time=2.5 --extra-time=0.5 --meta=/o/run.meta.0 --run -- prog -a",
        |r| {
            (
                r.common.box_id,
                r.common.cg,
                r.run.full_env,
                r.common.verbosity,
            ) = (Some(BoxChoice::Number(BoxId(1000))), true, true, 2);
            r.run.chdir = Some("/tmp".into());
            r.run.dirs = dirs("tmp=/o/home:rw dev/shm:tmp fifo0=/f:rw");
            r.run.env = vec![set("HOME", "/tmp")];
            (r.run.stdin, r.run.stdout) = (Some("/fifo0/m_to_u0".into()), Some("/tmp/y".into()));
            r.run.stderr = StderrRequest::File("/tmp/stderr.txt".into());
            r.common.meta = Some(OutputTarget::File("/o/run.meta.0".into()));
            (r.run.limits.file_size, r.run.limits.stack) = (kib(1_048_576), kib(1));
            (r.run.limits.cg_mem, r.run.limits.processes) = (kib(262_144), Some(1));
            (r.run.limits.time, r.run.limits.wall_time) = (millis(1_000_000_000), millis(2500));
            r.run.limits.extra_time = millis(500);
        },
    ),
    (
        "Judge0",
        "--cg -s -b 5 -M /w/metadata.txt --stderr-to-stdout -i /dev/null -t 5 -x 0 -w 10 -k 64000 -p60 \
         --no-cg-timing --cg-mem=128000 -f 1024 -E HOME=/tmp -E PATH=/bin:/usr/bin -E LANG \
         -d /etc:noexec --run -- prog -a",
        |r| {
            r.run.cg_timing = false;
            (r.common.box_id, r.common.cg, r.common.silent) =
                (Some(BoxChoice::Number(BoxId(5))), true, true);
            r.common.meta = Some(OutputTarget::File("/w/metadata.txt".into()));
            (r.run.stdin, r.run.stderr) = (Some("/dev/null".into()), StderrRequest::ToStdout);
            (r.run.limits.time, r.run.limits.extra_time) = (millis(5000), millis(0));
            (r.run.limits.wall_time, r.run.limits.stack) = (millis(10_000), kib(64_000));
            (r.run.limits.processes, r.run.limits.cg_mem) = (Some(60), kib(128_000));
            r.run.limits.file_size = kib(1024);
            r.run.env = vec![
                set("HOME", "/tmp"),
                set("PATH", "/bin:/usr/bin"),
                EnvRule::Inherit("LANG".into()),
            ];
            r.run.dirs = dirs("etc:noexec");
        },
    ),
    (
        "Piston",
        "--run -b7 --meta=/tmp/7-metadata.txt --cg -s -c /box/submission -E HOME=/tmp \
         --dir=/piston/packages --dir=/etc:noexec --processes=64 --open-files=2048 --fsize=10 \
         --wall-time=3 --time=3 --extra-time=0 --share-net -- prog -a",
        |r| {
            (
                r.common.box_id,
                r.common.cg,
                r.common.silent,
                r.run.share_net,
            ) = (Some(BoxChoice::Number(BoxId(7))), true, true, true);
            r.common.meta = Some(OutputTarget::File("/tmp/7-metadata.txt".into()));
            r.run.chdir = Some("/box/submission".into());
            r.run.env = vec![set("HOME", "/tmp")];
            r.run.dirs = dirs("piston/packages etc:noexec");
            (r.run.limits.processes, r.run.limits.open_files) = (Some(64), Some(2048));
            (r.run.limits.file_size, r.run.limits.wall_time) = (kib(10), millis(3000));
            (r.run.limits.time, r.run.limits.extra_time) = (millis(3000), millis(0));
        },
    ),
    (
        "ReCodEx",
        "--cg --cg-timing --box-id=1 --cg-mem=65536 --time=1.000000 --wall-time=2.000000 \
         --extra-time=0.000000 --chdir=../x --processes --env=A=1 --share-net --dir=/etc \
         --dir=etc/alternatives=/etc/alternatives:maybe --meta=/t/1/meta.log --run -- prog -a",
        |r| {
            (r.common.box_id, r.common.cg, r.run.share_net) =
                (Some(BoxChoice::Number(BoxId(1))), true, true);
            (r.run.limits.cg_mem, r.run.limits.processes) = (kib(65_536), Some(0));
            (r.run.limits.time, r.run.limits.wall_time) = (millis(1000), millis(2000));
            r.run.limits.extra_time = millis(0);
            r.run.chdir = Some("../x".into());
            r.run.env = vec![set("A", "1")];
            r.run.dirs = dirs("etc etc/alternatives=/etc/alternatives:maybe");
            r.common.meta = Some(OutputTarget::File("/t/1/meta.log".into()));
        },
    ),
    (
        "Judgels",
        "-b3 --dir=/etc --dir=/x:rw -e --cg --cg-timing -p50 -t1.0 -x0.5 -w9.0 --cg-mem=9 -k1 -f102400 \
         -iX -oY -rZ -M/b/_isolate.meta --run -- prog -a",
        |r| {
            (r.common.box_id, r.common.cg, r.run.full_env) =
                (Some(BoxChoice::Number(BoxId(3))), true, true);
            r.run.dirs = dirs("etc x:rw");
            (r.run.limits.processes, r.run.limits.time) = (Some(50), millis(1000));
            (r.run.limits.extra_time, r.run.limits.wall_time) = (millis(500), millis(9000));
            (r.run.limits.cg_mem, r.run.limits.stack) = (kib(9), kib(1));
            r.run.limits.file_size = kib(102_400);
            (r.run.stdin, r.run.stdout) = (Some("X".into()), Some("Y".into()));
            r.run.stderr = StderrRequest::File("Z".into());
            r.common.meta = Some(OutputTarget::File("/b/_isolate.meta".into()));
        },
    ),
    (
        "cafe-grader",
        "--cg --run -b 4 --meta=meta.json -t 1 -x 1.5 -w 1.5 --cg-mem 256000 -d /mybin=/host:rw -p -E PATH \
         -o /output/x -i /input/y --stderr-to-stdout -d /gocache:tmp --as-uid=9 --as-gid=9 -- prog -a",
        |r| {
            (r.common.box_id, r.common.cg) = (Some(BoxChoice::Number(BoxId(4))), true);
            r.common.meta = Some(OutputTarget::File("meta.json".into()));
            (r.run.limits.time, r.run.limits.extra_time) = (millis(1000), millis(1500));
            (r.run.limits.wall_time, r.run.limits.cg_mem) = (millis(1500), kib(256_000));
            (r.run.limits.processes, r.run.stderr) = (Some(0), StderrRequest::ToStdout);
            r.run.dirs = dirs("mybin=/host:rw gocache:tmp");
            r.run.env = vec![EnvRule::Inherit("PATH".into())];
            (r.run.stdout, r.run.stdin) = (Some("/output/x".into()), Some("/input/y".into()));
            r.common.acts_for = Some(Ids { uid: 9, gid: 9 });
        },
    ),
    (
        "NZTrain",
        "-b6 --dir=/dev=/dev:dev --dir=/lib64= -t1.0 -p4 -M/tmp/x --cg --cg-timing --cg-mem=5 \
         --inherit-fds --open-files=5 --env=K=V --run -- prog -a",
        |r| {
            (r.common.box_id, r.common.cg, r.run.inherit_fds) =
                (Some(BoxChoice::Number(BoxId(6))), true, true);
            r.run.dirs = dirs("dev=/dev:dev lib64=");
            (r.run.limits.time, r.run.limits.processes) = (millis(1000), Some(4));
            (r.run.limits.cg_mem, r.run.limits.open_files) = (kib(5), Some(5));
            r.common.meta = Some(OutputTarget::File("/tmp/x".into()));
            r.run.env = vec![set("K", "V")];
        },
    ),
    (
        "camisole",
        "--box-id 2 --cg -d /etc -d /opt --quota=50,5 -p --mem=4 --stdout=._stdout --stderr=._stderr \
         --run -- prog -a",
        |r| {
            (r.common.box_id, r.common.cg) = (Some(BoxChoice::Number(BoxId(2))), true);
            r.run.dirs = dirs("etc opt");
            r.run.quota = Some(DiskQuota {
                blocks: 50,
                inodes: 5,
            });
            (r.run.limits.processes, r.run.limits.address_space) = (Some(0), kib(4));
            r.run.stdout = Some("._stdout".into());
            r.run.stderr = StderrRequest::File("._stderr".into());
        },
    ),
    (
        "Activepieces",
        "--dir=/usr/bin/ --dir=/etc/=/e --dir=X=//X:maybe --share-net --box-id=8 --processes --chdir=/root \
         --run --env=K=v prog -- -a",
        |r| {
            (r.common.box_id, r.run.share_net) = (Some(BoxChoice::Number(BoxId(8))), true);
            r.run.dirs = dirs("usr/bin etc=/e X=//X:maybe");
            r.run.limits.processes = Some(0);
            r.run.chdir = Some("/root".into());
            r.run.env = vec![set("K", "v")];
        },
    ),
    (
        "Broccoli",
        "--box-id=9 --cg --meta=m --wait --as-uid=7 --as-gid=8 --time=1 --cg-mem=1 --full-env --run -- prog -a",
        |r| {
            (r.common.box_id, r.common.cg, r.common.wait, r.run.full_env) =
                (Some(BoxChoice::Number(BoxId(9))), true, true, true);
            r.common.meta = Some(OutputTarget::File("m".into()));
            r.common.acts_for = Some(Ids { uid: 7, gid: 8 });
            (r.run.limits.time, r.run.limits.cg_mem) = (millis(1000), kib(1));
        },
    ),
];

#[test]
fn boxes_are_made_and_removed_in_every_clients_spelling() {
    for (line, command) in CEREMONIES {
        let mut expected = plain(*command);
        (expected.common.cg, expected.common.box_id) = (true, Some(BoxChoice::Number(BoxId(1000))));
        expected.common.wait = line.contains("--wait");
        assert_eq!(parse_line(line), Ok(expected), "{line}");
    }
    let recodex = parse_line("--cg --box-id=1 --quota=5,6 --init").unwrap();
    assert_eq!(
        recodex.run.quota,
        Some(DiskQuota {
            blocks: 5,
            inodes: 6
        })
    );
}

#[test]
fn programs_are_run_in_every_clients_spelling() {
    for (client, line, change) in RUNS {
        let mut expected = plain(Command::Run);
        expected.run.argv = program("prog -a");
        change(&mut expected);
        assert_eq!(parse_line(line), Ok(expected), "{client}");
    }
}

#[test]
fn short_runs_of_other_clients_are_read() {
    for line in [
        "--box-id=1 --cg --dir=/tmp=/o/home:rw --run -- /bin/chmod 777 -R /tmp",
        "-s -b 1 --stderr-to-stdout -t 2 -x 1 -w 4 -k 5 -p9 --run -- /usr/bin/unzip -n -qq files.zip",
        "--box-id=1 --cg --processes --dir=in=/out:rw --dir=in= --env=A=b --meta=/m --silent --run -- cmd",
        "--cg --run -M /tmp/meta.txt -t 1.0 -w 3.0 -x 1.0 -f 262144 -p -s --env=KJUDGE=true --cg-mem=9 -- cmd",
        "--processes --env=HOME --meta=/m --dir=/etc/alternatives:maybe --box-id=1 --time=1 --mem=5 \
         --stdin=isolated.stdin --cg --cg-timing --run -- cmd",
        "-b 1 -M f -t 1 -w 6 -x 2 -i input -o output --processes=128 --cg --cg-mem=5 \
         --dir=/etc/alternatives --run -- runner",
        "--cg --cg-timing --processes=128 -b 1 -M f --dir=etc/alternatives -i input -o output --run -- runner",
    ] {
        let request = parse_line(line).unwrap();
        assert_eq!(request.command, Command::Run, "{line}");
        let words = line.split(" -- ").nth(1).unwrap();
        assert_eq!(request.run.argv, program(words), "{line}");
    }
}

#[test]
fn several_dir_options_joined_with_a_comma_are_refused_as_isolate_does() {
    assert!(mistake("--run --dir=a=/b:rw,maybe x").contains("unknown option 'rw,maybe'"));
}
