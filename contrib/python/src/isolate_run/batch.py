"""A batch process for threads."""

from __future__ import annotations

import io
import os
import subprocess
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, wait
from concurrent.futures import FIRST_COMPLETED
from types import TracebackType

from . import _ledger
from .errors import BatchEnded, BatchError, NoProgram
from .job import Job
from .result import JobResult

STDERR = 64 * 1024


class Batch:
    """``isolate-run batch`` as a context manager: one process for many jobs.

    At the end of the block every job that was submitted has its result; if an exception leaves the block, the process is
    ended instead, and with it everything that it runs. All methods may be called by any thread.
    """

    def __init__(
        self,
        *,
        program: str | os.PathLike[str] = "isolate-run",
        jobs: int | None = None,
        max_output: str | int | None = None,
        config: str | os.PathLike[str] | None = None,
    ) -> None:
        """`jobs` at a time; `max_output` ends a run that prints more, where its job says nothing. NoProgram."""
        self._ledger: _ledger.Ledger[Future[JobResult]] = _ledger.Ledger(jobs)
        self._lock = threading.Lock()
        self._said = b""
        self._ended: BatchError | None = None
        self._closing = False
        self._window = 2 * (jobs or os.cpu_count() or 1)
        words = _ledger.command(program, jobs, max_output, config)
        pipe = subprocess.PIPE
        try:
            self._process = subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0)
        except OSError as error:
            raise NoProgram(f"cannot run {words[0]!r}: {error.strerror}") from error
        self._readers = [threading.Thread(target=read, daemon=True) for read in (self._read, self._listen)]
        for reader in self._readers:
            reader.start()

    def submit(self, job: Job) -> Future[JobResult]:
        """Puts a job in the queue. The future has BatchEnded if the process ends before the job has a result."""
        future: Future[JobResult] = Future()
        future.set_running_or_notify_cancel()
        with self._lock:
            if self._ended is not None:
                raise self._ended
            if self._closing:
                raise ValueError("this batch is closed")
            self._ledger.add(job, future)
            self._send()
        return future

    def run(self, job: Job, timeout: float | None = None) -> JobResult:
        """Submits a job and waits. TimeoutError after `timeout` seconds: the job is cancelled then."""
        future = self.submit(job)
        try:
            return future.result(timeout)
        except BaseException:
            if not future.done():
                self.cancel(job.id)
            raise

    def map(self, jobs: Iterable[Job]) -> Iterator[JobResult]:
        """The results of jobs as they end. Jobs are taken as there is room for them: there may be any number."""
        under_way: set[Future[JobResult]] = set()
        for job in jobs:
            if len(under_way) >= self._window:
                ended, under_way = wait(under_way, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in ended)
            under_way.add(self.submit(job))
        while under_way:
            ended, under_way = wait(under_way, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in ended)

    def cancel(self, id: str) -> None:
        """Ends a job: its result comes with the outcome CANCELLED, unless it was faster. None if there is no such job."""
        with self._lock:
            line = self._ledger.cancel(id)
            if line is not None:
                self._write([line])

    def close(self) -> int:
        """Waits until all jobs have results and the process has ended; its exit code (1: a job was not done)."""
        with self._lock:
            self._closing = True
            self._finish()
        for reader in self._readers:
            reader.join()
        return self._process.wait()

    def kill(self) -> None:
        """Ends the process at once, and everything that it runs."""
        self._process.terminate()
        self.close()

    def __enter__(self) -> Batch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self.kill()

    # What follows is called with the lock.

    def _send(self) -> None:
        self._write(self._ledger.lines())

    def _write(self, lines: list[bytes]) -> None:
        assert self._process.stdin is not None
        for line in lines:
            rest = memoryview(line)
            try:
                while rest:
                    rest = rest[self._process.stdin.write(rest) or 0 :]
            except (BrokenPipeError, ValueError):
                # The reader learns that it has ended, and why.
                return

    def _finish(self) -> None:
        """The end of standard input tells the process that nothing comes any more."""
        assert self._process.stdin is not None
        if self._closing and self._ledger.unfinished == 0 and not self._process.stdin.closed:
            self._process.stdin.close()

    # These are threads of their own.

    def _read(self) -> None:
        assert self._process.stdout is not None
        error: BatchError | None = None
        with io.BufferedReader(self._process.stdout) as results:  # type: ignore[arg-type]
            while error is None and (line := results.readline()):
                with self._lock:
                    try:
                        self._ledger.take(line)
                    except BatchError as mistake:
                        error = mistake
                    self._send()
                    self._finish()
            if error is not None:
                self._process.terminate()
        self._readers[1].join()
        code = self._process.wait()
        with self._lock:
            self._ended = error or BatchEnded(code, self._said.decode(errors="replace"))
            self._ledger.fail(self._ended)
            self._closing = True
            self._finish()

    def _listen(self) -> None:
        assert self._process.stderr is not None
        while more := self._process.stderr.read(1 << 12):
            self._said = (self._said + more)[-STDERR:]
        self._process.stderr.close()
