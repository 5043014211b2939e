#!/usr/bin/env python3
"""Submits jobs to a fleet of isolate-run and waits for their results, by nats-py (pip install nats-py).

    fleet_client.py [--url nats://127.0.0.1:4222] [--queue default] [--pool default] <jobs.jsonl

Jobs are those of isolate-run batch, one JSON object a line; files are named by sha256 (see upload). A judge keeps each job until its
result is there, and sends it again with the next attempt when there is none in its time: that is what `judge` does.
"""
import argparse
import asyncio
import base64
import hashlib
import json
import sys
import time
import uuid

import nats
from nats.js.errors import NotFoundError

CHUNK = 128 * 1024


def now():
    """Milliseconds since 1970."""
    return int(time.time() * 1000)


async def upload(js, queue, content):
    """Puts bytes into the object store of a queue; the digest, by which its jobs name them."""
    digest, bucket, nuid = hashlib.sha256(content).hexdigest(), f"iso-files-{queue}", uuid.uuid4().hex
    subject = f"$O.{bucket}.M.{base64.urlsafe_b64encode(digest.encode()).decode()}"
    try:
        await js.get_last_msg(f"OBJ_{bucket}", subject, direct=True)
    except NotFoundError:
        # As js.object_store() does it, but without questions that a submitter may not ask.
        chunks = [content[at:at + CHUNK] for at in range(0, len(content), CHUNK)]
        for chunk in chunks:
            await js.publish(f"$O.{bucket}.C.{nuid}", chunk)
        await js.publish(subject, json.dumps({"name": digest, "bucket": bucket, "nuid": nuid, "size": len(content),
                                              "chunks": len(chunks)}).encode())
    return digest


async def result_of(js, queue, job_id):
    """The result of a job, or None."""
    try:
        message = await js.get_last_msg("ISO_RESULTS", f"iso.result.{queue}.{job_id}", direct=True)
    except NotFoundError:
        return None
    return json.loads(message.data)


async def cancel(js, queue, job_id):
    """Ends a job of a queue, whether it has begun or not; its result says so."""
    await js.publish(f"$KV.iso-cancel.{queue}.{job_id}", b"")


async def judge(nc, js, job, queue, pool, priority="live", within=60.0, attempts=3):
    """Submits a job and returns its result; as often as `attempts`, each time for `within` seconds."""
    subject = f"iso.job.{pool}.{priority}.{queue}"
    for attempt in range(1, attempts + 1):
        submitted = now()
        envelope = {"format": 1, "attempt": attempt, "queue": queue, "pool": pool, "priority": priority,
                    "submitted": submitted, "not_after": submitted + int(within * 1000), **job}
        # The same id a second time is the same job: the server drops it.
        headers = {"Nats-Msg-Id": f"{job['id']}#{attempt}"}
        await js.publish(subject, json.dumps(envelope).encode(), headers=headers)
        await nc.publish(f"iso.wake.{pool}", b"")
        pause = 0.01
        while now() < envelope["not_after"] + 5000:
            result = await result_of(js, queue, job["id"])
            if result is not None:
                return result
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, 0.5)
    raise TimeoutError(f"job {job['id']} has no result after {attempts} attempts")


async def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="nats://127.0.0.1:4222")
    parser.add_argument("--user")
    parser.add_argument("--password")
    parser.add_argument("--queue", default="default")
    parser.add_argument("--pool", default="default")
    asked = parser.parse_args()
    nc = await nats.connect(asked.url, user=asked.user, password=asked.password)
    js = nc.jetstream()
    jobs = [json.loads(line) for line in sys.stdin if line.strip()]
    tasks = [judge(nc, js, job, asked.queue, asked.pool) for job in jobs]
    for task in asyncio.as_completed(tasks):
        print(json.dumps(await task), flush=True)
    await nc.close()


if __name__ == "__main__":
    asyncio.run(main())
