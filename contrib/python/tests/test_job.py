"""Jobs as JSON."""

import unittest

from isolate_run import (
    BoxFile,
    Cached,
    Collect,
    Data,
    File,
    HostFile,
    Inline,
    Input,
    Job,
    Limits,
    Output,
    Pipe,
    Step,
    ToStdout,
)


class Jobs(unittest.TestCase):
    def test_what_is_not_said_is_not_there(self) -> None:
        job = Job("1", [Step(["/bin/true"])])
        self.assertEqual(job.to_json(), {"format": 1, "id": "1", "steps": [{"argv": ["/bin/true"]}]})

    def test_everything_has_its_place(self) -> None:
        step = Step(
            ["main", "-x"],
            name="run",
            env={"A": "b"},
            chdir="sub",
            stdin=Data("3 4\n"),
            stdout=HostFile("/tmp/out", "64M"),
            stderr=Inline("64K", cut=True),
            limits=Limits(time="1s", wall_time=5, cg_mem="64M", processes=10),
            dirs=["/opt"],
            default_dirs=False,
            network=True,
            always=True,
            repeat=2,
            box="other",
            transcript=HostFile("talk.txt"),
            collect=[Collect("answer", "1M", "/tmp/answer")],
        )
        files = [File("main", path="/srv/main", mode="755"), File("in", b"\xff"), File("big", sha256="0" * 64, writable=True)]
        self.assertEqual(
            Job("17", [step], files).to_json(),
            {
                "format": 1,
                "id": "17",
                "files": [
                    {"name": "main", "path": "/srv/main", "mode": "755"},
                    {"name": "in", "base64": "/w=="},
                    {"name": "big", "sha256": "0" * 64, "writable": True},
                ],
                "steps": [
                    {
                        "argv": ["main", "-x"],
                        "name": "run",
                        "env": {"A": "b"},
                        "chdir": "sub",
                        "stdin": {"text": "3 4\n"},
                        "stdout": {"path": {"name": "/tmp/out", "max": "64M"}},
                        "stderr": {"inline": {"max": "64K", "cut": True}},
                        "limits": {"time": "1s", "wall_time": 5, "cg_mem": "64M", "processes": 10},
                        "dirs": ["/opt"],
                        "default_dirs": False,
                        "network": True,
                        "on": "always",
                        "repeat": 2,
                        "box": "other",
                        "transcript": {"name": "talk.txt"},
                        "collect": [{"name": "answer", "max": "1M", "path": "/tmp/answer"}],
                    }
                ],
            },
        )

    def test_streams(self) -> None:
        streams: list[tuple[Input | Output, dict[str, object]]] = [
            (BoxFile("in"), {"file": "in"}),
            (HostFile("in"), {"path": "in"}),
            (Cached("ab"), {"sha256": "ab"}),
            (Pipe("0"), {"pipe": "0"}),
            (ToStdout(), {"stdout": {}}),
            (Inline(), {"inline": {}}),
        ]
        for stream, expected in streams:
            self.assertEqual(stream.to_json(), expected)

    def test_a_file_has_one_content(self) -> None:
        with self.assertRaises(ValueError):
            File("x")
        with self.assertRaises(ValueError):
            File("x", "text", path="/path")
