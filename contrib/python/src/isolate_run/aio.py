"""A batch process for asyncio."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterable
from types import TracebackType

from . import _ledger
from .errors import BatchEnded, BatchError, NoProgram
from .job import Job
from .result import JobResult

STDERR = 64 * 1024
# The longest line that a result may be: outputs are in it.
LINE = 1 << 30


class AsyncBatch:
    """The same as ``Batch``: ``async with AsyncBatch() as batch: await batch.run(job)``."""

    def __init__(
        self,
        *,
        program: str | os.PathLike[str] = "isolate-run",
        jobs: int | None = None,
        max_output: str | int | None = None,
        config: str | os.PathLike[str] | None = None,
    ) -> None:
        self._words = _ledger.command(program, jobs, max_output, config)
        self._ledger: _ledger.Ledger[asyncio.Future[JobResult]] = _ledger.Ledger(jobs)
        self._window = 2 * (jobs or os.cpu_count() or 1)
        self._ended: BatchError | None = None
        self._closing = False
        self._said = b""
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[int] | None = None

    async def __aenter__(self) -> AsyncBatch:
        pipe = asyncio.subprocess.PIPE
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._words, stdin=pipe, stdout=pipe, stderr=pipe, limit=LINE
            )
        except OSError as error:
            raise NoProgram(f"cannot run {self._words[0]!r}: {error.strerror}") from error
        self._reader = asyncio.create_task(self._read(self._process))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and self._process is not None and self._process.returncode is None:
            self._process.terminate()
        await self.close()

    def submit(self, job: Job) -> asyncio.Future[JobResult]:
        """Puts a job in the queue. The future has BatchEnded if the process ends before the job has a result."""
        if self._ended is not None:
            raise self._ended
        if self._process is None or self._closing:
            raise ValueError("this batch is not open")
        future: asyncio.Future[JobResult] = asyncio.get_running_loop().create_future()
        self._ledger.add(job, future)
        self._send()
        return future

    async def run(self, job: Job) -> JobResult:
        """Submits a job and waits. If the waiting task is cancelled (asyncio.timeout), so is the job."""
        future = self.submit(job)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            self.cancel(job.id)
            raise

    async def map(self, jobs: Iterable[Job]) -> AsyncIterator[JobResult]:
        """The results of jobs as they end. Jobs are taken as there is room for them: there may be any number."""
        under_way: set[asyncio.Future[JobResult]] = set()
        for job in jobs:
            if len(under_way) >= self._window:
                ended, under_way = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
                for future in ended:
                    yield future.result()
            under_way.add(self.submit(job))
        while under_way:
            ended, under_way = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
            for future in ended:
                yield future.result()

    def cancel(self, id: str) -> None:
        """Ends a job: its result comes with the outcome CANCELLED, unless it was faster."""
        line = self._ledger.cancel(id)
        if line is not None:
            self._write([line])

    async def close(self) -> int:
        """Waits until all jobs have results and the process has ended; its exit code (1: a job was not done)."""
        if self._reader is None:
            raise ValueError("this batch is not open")
        self._closing = True
        self._finish()
        return await self._reader

    def _send(self) -> None:
        self._write(self._ledger.lines())

    def _write(self, lines: list[bytes]) -> None:
        assert self._process is not None and self._process.stdin is not None
        # What does not fit in the pipe is kept by the loop; if the process has ended, the reader learns why.
        if not self._process.stdin.is_closing():
            self._process.stdin.writelines(lines)

    def _finish(self) -> None:
        assert self._process is not None and self._process.stdin is not None
        if self._closing and self._ledger.unfinished == 0:
            self._process.stdin.close()

    async def _read(self, process: asyncio.subprocess.Process) -> int:
        assert process.stdout is not None
        listener = asyncio.create_task(self._listen(process))
        error: BatchError | None = None
        while line := await process.stdout.readline():
            try:
                self._ledger.take(line)
            except BatchError as mistake:
                error = mistake
                process.terminate()
                break
            self._send()
            self._finish()
        await listener
        code = await process.wait()
        self._ended = error or BatchEnded(code, self._said.decode(errors="replace"))
        self._ledger.fail(self._ended)
        return code

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        while more := await process.stderr.read(1 << 12):
            self._said = (self._said + more)[-STDERR:]
