"""What is to be run. Field for field this is ``docs/job.schema.json``; what is None is left to the configuration.

Times are seconds and sizes KiB when they are bare numbers, as on the command line; "200ms" and "64M" are clearer.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, Union

Time = Union[float, int, str]
Size = Union[float, int, str]
Json = dict[str, Any]


def _content(content: str | bytes) -> Json:
    if isinstance(content, str):
        return {"text": content}
    return {"base64": base64.b64encode(content).decode("ascii")}


def _known(**values: Any) -> Json:
    return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True)
class Data:
    """Of standard input: these bytes."""

    content: str | bytes

    def to_json(self) -> Json:
        return _content(self.content)


@dataclass(frozen=True)
class BoxFile:
    """A file inside of the box, opened as the program."""

    name: str

    def to_json(self) -> Json:
        return {"file": self.name}


@dataclass(frozen=True)
class HostFile:
    """A file of the caller's; of an output with a bound, which is not of an input's."""

    path: str | PurePath
    max: Size | None = None

    def to_json(self) -> Json:
        return {"path": str(self.path)}

    def bounded(self) -> Json:
        """The same as an output."""
        return {"path": _known(name=str(self.path), max=self.max)}


@dataclass(frozen=True)
class Cached:
    """Of standard input: the file of the cache that has this SHA-256."""

    sha256: str

    def to_json(self) -> Json:
        return {"sha256": self.sha256}


@dataclass(frozen=True)
class Pipe:
    """The other end is a stream of this step, which runs at the same time."""

    step: str

    def to_json(self) -> Json:
        return {"pipe": self.step}


@dataclass(frozen=True)
class Inline:
    """Of an output: in the result. What is more than `max` ends the run, or is dropped (`cut`)."""

    max: Size | None = None
    cut: bool = False

    def to_json(self) -> Json:
        return {"inline": _known(max=self.max, cut=self.cut or None)}


@dataclass(frozen=True)
class ToStdout:
    """Of standard error: wherever standard output goes."""

    def to_json(self) -> Json:
        return {"stdout": {}}


Input = Union[Data, BoxFile, HostFile, Cached, Pipe]
Output = Union[Inline, BoxFile, HostFile, Pipe, ToStdout]


def _output(output: Output | None) -> Json | None:
    if isinstance(output, HostFile):
        return output.bounded()
    return None if output is None else output.to_json()


@dataclass(frozen=True)
class File:
    """A file that is put into a box before its first step.

    Of `content`, `path` and `sha256` at least one is given: what is in it, a file of the caller's, a file of the cache.
    """

    name: str
    content: str | bytes | None = None
    path: str | PurePath | None = None
    sha256: str | None = None
    writable: bool = False
    mode: str | None = None
    box: str | None = None

    def __post_init__(self) -> None:
        if self.content is not None and self.path is not None:
            raise ValueError(f"file {self.name!r} has both a content and a path")
        if self.content is None and self.path is None and self.sha256 is None:
            raise ValueError(f"file {self.name!r} has neither a content nor a path nor a sha256")

    def to_json(self) -> Json:
        content = {} if self.content is None else _content(self.content)
        path = None if self.path is None else str(self.path)
        rest = _known(path=path, sha256=self.sha256, writable=self.writable or None, mode=self.mode, box=self.box)
        return {"name": self.name, **content, **rest}


@dataclass(frozen=True)
class Collect:
    """A file that is taken out of the box after a step: into the result, or to `path`."""

    name: str
    max: Size | None = None
    path: str | PurePath | None = None

    def to_json(self) -> Json:
        path = None if self.path is None else str(self.path)
        return _known(name=self.name, max=self.max, path=path)


@dataclass(frozen=True)
class Limits:
    """Limits of one step. `cg_mem` is that of all its processes together, and needs control groups."""

    time: Time | None = None
    extra_time: Time | None = None
    wall_time: Time | None = None
    mem: Size | None = None
    cg_mem: Size | None = None
    stack: Size | None = None
    fsize: Size | None = None
    core: Size | None = None
    open_files: int | str | None = None
    processes: int | str | None = None
    output: Size | None = None

    def to_json(self) -> Json:
        return _known(**vars(self))


@dataclass(frozen=True)
class Step:
    """One program: `argv` as it is found inside, and how it is run."""

    argv: Sequence[str]
    name: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    chdir: str | None = None
    stdin: Input | None = None
    stdout: Output | None = None
    stderr: Output | None = None
    limits: Limits = Limits()
    dirs: Sequence[str] = ()
    default_dirs: bool = True
    network: bool = False
    always: bool = False
    repeat: int | None = None
    box: str | None = None
    pair_with: str | None = None
    talks_with: Sequence[str] = ()
    transcript: HostFile | None = None
    collect: Sequence[Collect] = ()

    def to_json(self) -> Json:
        transcript = None if self.transcript is None else self.transcript.bounded()["path"]
        return {
            "argv": list(self.argv),
            **_known(
                name=self.name,
                env=dict(self.env) or None,
                chdir=self.chdir,
                stdin=None if self.stdin is None else self.stdin.to_json(),
                stdout=_output(self.stdout),
                stderr=_output(self.stderr),
                limits=self.limits.to_json() or None,
                dirs=list(self.dirs) or None,
                default_dirs=None if self.default_dirs else False,
                network=self.network or None,
                on="always" if self.always else None,
                repeat=self.repeat,
                box=self.box,
                pair_with=self.pair_with,
                talks_with=list(self.talks_with) or None,
                transcript=transcript,
                collect=[one.to_json() for one in self.collect] or None,
            ),
        }


@dataclass(frozen=True)
class Job:
    """Steps that run one after the other in one box, or together in several. No two under way have the same `id`."""

    id: str
    steps: Sequence[Step]
    files: Sequence[File] = ()

    def to_json(self) -> Json:
        files = [one.to_json() for one in self.files]
        steps = [one.to_json() for one in self.steps]
        return {"format": 1, "id": self.id, **_known(files=files or None), "steps": steps}
