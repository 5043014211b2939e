"""The problem of docs/tutorial.md with the real program, which `ISOLATE_RUN` names; where that is, python3 and g++ are."""

import os
import unittest

from isolate_run import (
    AsyncBatch,
    Batch,
    Collect,
    Data,
    File,
    Inline,
    Job,
    Limits,
    Outcome,
    Step,
    Verdict,
)

PROGRAM = os.environ["ISOLATE_RUN"]
PATIENCE = 600

BEST = """\
#include <algorithm>
#include <iostream>

int main() {
    long long n, number, here, best;
    std::cin >> n >> best;
    here = best;
    while (--n > 0 && std::cin >> number) {
        here = std::max(here, 0LL) + number;
        best = std::max(best, here);
    }
    std::cout << best << "\\n";
}
"""

SLOW = """\
import sys

count, *numbers = map(int, sys.stdin.read().split())
best = numbers[0]
for begin in range(count):
    here = 0
    for number in numbers[begin:]:
        here += number
        best = max(best, here)
print(best)
"""

TESTS = {"1": ("5\n-1 4 -2 3 -9\n", "5"), "2": ("3\n-1 -2 -3\n", "-1")}
WHILE = Limits(time="60s", wall_time="300s", processes=20)


def compiled() -> bytes:
    compile = Step(
        ["/usr/bin/g++", "-O2", "-o", "best", "best.cpp"],
        env={"PATH": "/usr/bin:/bin"},
        limits=WHILE,
        stderr=Inline("64K", cut=True),
        collect=[Collect("best", "16M")],
    )
    with Batch(program=PROGRAM) as batch:
        result = batch.run(Job("compile", [compile], [File("best.cpp", BEST)]), PATIENCE).require_done()
    step = result.steps[0]
    assert step.ok and step.collected[0].data is not None, result
    return step.collected[0].data


class Tutorial(unittest.IsolatedAsyncioTestCase):
    def test_a_solution_is_compiled_and_judged(self) -> None:
        best = File("best", compiled(), mode="755")
        with Batch(program=PROGRAM, jobs=2) as batch:
            run = {
                name: Job(name, [Step(["best"], stdin=Data(text), stdout=Inline("64K"), limits=WHILE)], [best])
                for name, (text, _) in TESTS.items()
            }
            results = {result.id: result for result in batch.map(run.values())}
        for name, (_, answer) in TESTS.items():
            result = results[name]
            self.assertTrue(result.ok, result)
            step = result.steps[0]
            assert step.stdout is not None and step.report is not None and step.report.figures is not None
            self.assertEqual(step.stdout.text.split(), [answer])
            self.assertGreater(step.report.figures.wall_time, 0)

    async def test_verdicts_refusals_and_the_end(self) -> None:
        numbers = " ".join(map(str, [20000, *range(20000)]))
        async with AsyncBatch(program=PROGRAM, jobs=2) as batch:
            slow = Step(["/usr/bin/python3", "slow.py"], stdin=Data(numbers), limits=Limits(time="0.3s", wall_time="300s"))
            result = await batch.run(Job("slow", [slow], [File("slow.py", SLOW)]))
            report = result.steps[0].report
            assert report is not None
            self.assertIs(report.verdict, Verdict.CPU_TIME_LIMIT)
            self.assertEqual((report.status, report.killed), ("TO", True))

            fails = Job("fails", [Step(["/bin/sh", "-c", "exit 7"]), Step(["/bin/true"])])
            result = await batch.run(fails)
            report = result.steps[0].report
            assert report is not None
            self.assertEqual((report.verdict, report.exit_code), (Verdict.EXIT_CODE, 7))
            self.assertTrue(result.steps[1].skipped and not result.ok)

            refused = await batch.run(Job("refused", [Step([])]))
            self.assertIs(refused.outcome, Outcome.REFUSED)
            self.assertEqual(refused.field, "steps[0].argv")

            sleeps = batch.submit(Job("sleeps", [Step(["/bin/sleep", "1000"])]))
            batch.cancel("sleeps")
            self.assertIs((await sleeps).outcome, Outcome.CANCELLED)
