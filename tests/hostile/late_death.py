"""Kills a keeper while its init is stopped before it has armed its death signal, and while this process has the keeper's
end of the line between them, too. The program begins then; gives the end back, and tells whether the run ends.

usage: late_death.py COMMAND...
"""

import ctypes
import os
import signal
import subprocess
import sys
import time

PIDFD_GETFD = 438
PATIENCE = 30

libc = ctypes.CDLL(None, use_errno=True)


def fields(pid):
    """What /proc says of a process; nothing if it is gone."""
    try:
        with open(f"/proc/{pid}/status") as status:
            return dict(line.rstrip("\n").split(":\t", 1) for line in status if ":\t" in line)
    except OSError:
        return {}


def children(of):
    """The processes with this parent."""
    try:
        with open(f"/proc/{of}/task/{of}/children") as numbers:
            return [int(number) for number in numbers.read().split()]
    except OSError:
        return []


def wait_for(found):
    """What is found at last."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        what = found()
        if what:
            return what
        time.sleep(0.0002)
    return None


def init(keeper):
    """The child that is the first process of another namespace."""
    return next((pid for pid in children(keeper) if fields(pid).get("NSpid", "").endswith("\t1")), None)


def stopped():
    """A keeper, and its init, which was stopped in time."""
    for _ in range(100):
        keeper = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        first = wait_for(lambda: init(keeper.pid))
        os.kill(first, signal.SIGSTOP)
        # Until the keeper has told it to go, which it has not read.
        time.sleep(0.3)
        if not children(first):
            return keeper, first
        keeper.kill()
        keeper.wait()
        wait_for(lambda: not fields(first))
    sys.exit("init was never stopped in time")


keeper, first = stopped()
kept = []
pidfd = os.pidfd_open(keeper.pid)
for name in os.listdir(f"/proc/{keeper.pid}/fd"):
    if os.readlink(f"/proc/{keeper.pid}/fd/{name}").startswith("socket:"):
        kept.append(libc.syscall(PIDFD_GETFD, pidfd, int(name), 0))
assert kept and min(kept) >= 0, kept
keeper.kill()
keeper.wait()
os.kill(first, signal.SIGCONT)
program = wait_for(lambda: [pid for pid in children(first) if fields(pid).get("Name") == "sleep"])
print("began" if program else "did not begin")
for descriptor in kept:
    os.close(descriptor)
ended = wait_for(lambda: fields(first).get("State", "Z").startswith("Z"))
print("ended" if ended else "stayed")
if not ended:
    os.kill(first, signal.SIGKILL)
