#!/usr/bin/env python3
"""Speaks as `isolate-run batch` does, and runs nothing: the first word of a job's first program says what becomes of it."""

import json
import sys

REPORT = {
    "format": 1,
    "isolate_run": "0.0.0",
    "verdict": "ok",
    "killed": False,
    "exit_code": 0,
    "figures": {"cpu_time_us": 1500, "cpu_user_us": 1000, "cpu_system_us": 500, "wall_time_us": 2000000, "later": 1},
}


def tell(value: object) -> None:
    print(json.dumps(value), flush=True)


hanging = set()
print(" ".join(sys.argv[1:]), file=sys.stderr, flush=True)
for line in sys.stdin:
    job = json.loads(line)
    if "cancel" in job:
        hanging.discard(job["cancel"])
        tell({"format": 1, "id": job["cancel"], "outcome": "cancelled", "reason": "somebody wanted it to end"})
        continue
    what, *words = job["steps"][0]["argv"]
    step = {"name": "0", "report": REPORT, "stdout": {"text": " ".join(words)}}
    if what == "echo":
        tell({"format": 1, "id": job["id"], "outcome": "done", "steps": [step]})
    elif what == "refuse":
        tell({"format": 1, "id": job["id"], "outcome": "refused", "field": "steps[0].dirs", "reason": "no such thing"})
    elif what == "hang":
        hanging.add(job["id"])
    elif what == "die":
        print("isolate-run: the end", file=sys.stderr, flush=True)
        sys.exit(2)
    elif what == "future":
        tell({"format": 2, "id": job["id"]})
    elif what == "garbage":
        print("garbage", flush=True)
sys.exit(0 if not hanging else 1)
