"""Both kinds of batch beside a program that only speaks like isolate-run."""

import asyncio
import unittest
from pathlib import Path

from isolate_run import (
    AsyncBatch,
    Batch,
    BatchEnded,
    Job,
    JobNotDone,
    NoProgram,
    NotAResult,
    Outcome,
    Step,
    Verdict,
)

FAKE = Path(__file__).with_name("fake_batch.py")
PATIENCE = 60


def job(id: str, *words: str) -> Job:
    return Job(id, [Step(words)])


class Threads(unittest.TestCase):
    def test_a_job_has_a_typed_result(self) -> None:
        with Batch(program=FAKE) as batch:
            result = batch.run(job("a", "echo", "hello"), PATIENCE)
        self.assertTrue(result.ok)
        step = result.step("0")
        assert step.report is not None and step.report.figures is not None and step.stdout is not None
        self.assertEqual((step.report.verdict, step.report.exit_code), (Verdict.OK, 0))
        self.assertEqual(step.stdout.text, "hello")
        self.assertEqual(step.report.figures.cpu_time, 0.0015)
        self.assertIsNone(step.report.figures.memory_peak)
        with self.assertRaises(KeyError):
            result.step("absent")

    def test_any_number_of_jobs_goes_through(self) -> None:
        with Batch(program=FAKE, jobs=1) as batch:
            results = {result.id: result for result in batch.map(job(str(i), "echo", str(i)) for i in range(500))}
        self.assertEqual(len(results), 500)
        self.assertTrue(all(result.ok for result in results.values()))

    def test_a_refusal_is_a_result_and_an_error_if_wanted(self) -> None:
        with Batch(program=FAKE) as batch:
            result = batch.run(job("a", "refuse"), PATIENCE)
        self.assertIs(result.outcome, Outcome.REFUSED)
        with self.assertRaisesRegex(JobNotDone, r"job a: refused \(steps\[0\].dirs\): no such thing"):
            result.require_done()

    def test_jobs_are_cancelled_under_way_and_before(self) -> None:
        with Batch(program=FAKE, jobs=1) as batch:
            futures = [batch.submit(job(str(i), "hang")) for i in range(5)]
            for i in (4, 0, 1, 2, 3):
                batch.cancel(str(i))
                self.assertIs(futures[i].result(PATIENCE).outcome, Outcome.CANCELLED)
            batch.cancel("absent")
            with self.assertRaises(TimeoutError):
                batch.run(job("late", "hang"), 0.05)

    def test_an_end_of_the_process_is_told_to_all(self) -> None:
        batch = Batch(program=FAKE, jobs=1)
        waiting = [batch.submit(job(str(i), "hang")) for i in range(1)]
        futures = [*waiting, batch.submit(job("x", "die")), batch.submit(job("y", "echo"))]
        for future in futures:
            with self.assertRaisesRegex(BatchEnded, r"(?s)has ended with 2: .*the end") as caught:
                future.result(PATIENCE)
            self.assertEqual(caught.exception.code, 2)
        with self.assertRaises(BatchEnded):
            batch.submit(job("z", "echo"))
        self.assertEqual(batch.close(), 2)

    def test_what_is_no_result_is_no_silence(self) -> None:
        for word in "future", "garbage":
            batch = Batch(program=FAKE)
            with self.assertRaises(NotAResult):
                batch.run(job("x", word), PATIENCE)
            batch.close()

    def test_an_exception_in_the_block_ends_everything(self) -> None:
        with self.assertRaises(RuntimeError):
            with Batch(program=FAKE) as batch:
                future = batch.submit(job("x", "hang"))
                raise RuntimeError
        with self.assertRaises(BatchEnded):
            future.result(PATIENCE)

    def test_mistakes(self) -> None:
        with self.assertRaises(NoProgram):
            Batch(program="/absent")
        with Batch(program=FAKE, jobs=3, max_output="1M", config="/etc/x.toml") as batch:
            future = batch.submit(job("x", "hang"))
            with self.assertRaises(ValueError):
                batch.submit(job("x", "echo"))
            batch.cancel("x")
            future.result(PATIENCE)
        self.assertIn("--jobs=3 --max-output=1M --config=/etc/x.toml", batch._said.decode())
        with self.assertRaises((ValueError, BatchEnded)):
            batch.submit(job("y", "echo"))


class Asyncio(unittest.IsolatedAsyncioTestCase):
    async def test_results_come_as_they_do(self) -> None:
        async with AsyncBatch(program=FAKE, jobs=1) as batch:
            result = await batch.run(job("a", "echo", "hello"))
            self.assertTrue(result.ok)
            jobs = (job(str(i), "echo", str(i)) for i in range(500))
            self.assertEqual(len({result.id async for result in batch.map(jobs)}), 500)

    async def test_a_task_that_is_cancelled_cancels_its_job(self) -> None:
        async with AsyncBatch(program=FAKE) as batch:
            future = batch.submit(job("a", "hang"))
            with self.assertRaises(asyncio.TimeoutError):
                await asyncio.wait_for(batch.run(job("b", "hang")), 0.05)
            batch.cancel("a")
            self.assertIs((await future).outcome, Outcome.CANCELLED)

    async def test_an_end_of_the_process_is_told_to_all(self) -> None:
        async with AsyncBatch(program=FAKE) as batch:
            futures = [batch.submit(job("a", "hang")), batch.submit(job("x", "die"))]
            for future in futures:
                with self.assertRaisesRegex(BatchEnded, r"(?s)has ended with 2: .*the end"):
                    await future
            with self.assertRaises(BatchEnded):
                batch.submit(job("z", "echo"))

    async def test_an_exception_in_the_block_ends_everything(self) -> None:
        with self.assertRaises(RuntimeError):
            async with AsyncBatch(program=FAKE) as batch:
                future = batch.submit(job("x", "hang"))
                raise RuntimeError
        with self.assertRaises(BatchEnded):
            await future

    async def test_mistakes(self) -> None:
        with self.assertRaises(NoProgram):
            async with AsyncBatch(program="/absent"):
                pass
        with self.assertRaises(ValueError):
            AsyncBatch(program=FAKE).submit(job("x", "echo"))
