"""Which jobs wait, which are under way, and whose a result is: what both kinds of batch share. No input, no output."""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

from .errors import NotAResult
from .job import Job
from .result import JobResult


class Promise(Protocol):
    """A future of either kind."""

    def done(self) -> bool: ...
    def set_result(self, result: JobResult, /) -> None: ...
    def set_exception(self, error: BaseException, /) -> None: ...


P = TypeVar("P", bound=Promise)


def command(
    program: str | os.PathLike[str],
    jobs: int | None,
    max_output: str | int | None,
    config: str | os.PathLike[str] | None,
) -> list[str]:
    """The command line of the batch process."""
    words = [os.fspath(program), "batch", "--keep-going"]
    words += [] if jobs is None else [f"--jobs={jobs}"]
    words += [] if max_output is None else [f"--max-output={max_output}"]
    words += [] if config is None else [f"--config={os.fspath(config)}"]
    return words


class Ledger(Generic[P]):
    """Jobs with their promises. No more are sent than the batch process reads ahead: so a job that waits here can be
    cancelled at once, and a line to the process does not block behind others.
    """

    def __init__(self, jobs: int | None) -> None:
        self._window = 2 * (jobs or os.cpu_count() or 1)
        self._waiting: deque[tuple[Job, P]] = deque()
        self._sent: dict[str, P] = {}
        self._ids: set[str] = set()

    @property
    def unfinished(self) -> int:
        return len(self._ids)

    def add(self, job: Job, promise: P) -> None:
        if job.id in self._ids:
            raise ValueError(f"there is a job with the id {job.id!r} already")
        self._ids.add(job.id)
        self._waiting.append((job, promise))

    def lines(self) -> list[bytes]:
        """What may be sent now."""
        lines = []
        while self._waiting and len(self._sent) < self._window:
            job, promise = self._waiting.popleft()
            try:
                line = json.dumps(job.to_json()).encode() + b"\n"
            except (TypeError, ValueError) as error:
                self._ids.discard(job.id)
                promise.set_exception(error)
                continue
            self._sent[job.id] = promise
            lines.append(line)
        return lines

    def take(self, line: bytes) -> None:
        """Keeps the promise that a line of the process is the result of."""
        try:
            value = json.loads(line)
        except ValueError as error:
            raise NotAResult(f"isolate-run batch wrote {line[:80]!r}") from error
        if not isinstance(value, dict):
            raise NotAResult(f"isolate-run batch wrote {line[:80]!r}")
        result = JobResult.of(value)
        promise = self._sent.pop(result.id, None) if result.id is not None else None
        if promise is None:
            raise NotAResult(f"isolate-run batch wrote a result of no job: {line[:200]!r}")
        self._ids.discard(result.id or "")
        if not promise.done():
            promise.set_result(result)

    def cancel(self, id: str) -> bytes | None:
        """Gives a job up: the line to send if it is under way."""
        for entry in self._waiting:
            if entry[0].id == id:
                self._waiting.remove(entry)
                self._ids.discard(id)
                if not entry[1].done():
                    entry[1].set_result(JobResult.cancelled(id))
                return None
        return json.dumps({"cancel": id}).encode() + b"\n" if id in self._sent else None

    def fail(self, error: BaseException) -> None:
        """Breaks all promises."""
        promises: Sequence[P] = [*self._sent.values(), *(promise for _, promise in self._waiting)]
        self._sent.clear()
        self._waiting.clear()
        self._ids.clear()
        for promise in promises:
            if not promise.done():
                promise.set_exception(error)
