"""Clients that want no good.

client.py KIND BOX [SEED]      as any user; the socket is in ISOLATE_RUN_BROKER, the kinds are in the files
beside this

Prints what came of everything that it tried, one line each: what, and the last word. A kind that holds something prints
"holding", and goes on when its standard input ends.
"""

import os
import select
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
import disturbed  # noqa: E402, F401
import foreign  # noqa: E402, F401
import nonsense  # noqa: E402, F401
import series  # noqa: E402, F401
import stalling  # noqa: E402, F401
from common import FEWER, KINDS, chance, kind  # noqa: E402


@kind
def anything():
    """All kinds in any order until standard input ends; for a soak."""
    names = ["malformed", "descriptors", "floods", "foreign", "command_lines", "signals", "deaths", "shutdowns"]
    names += ["stalls", "crowd", "deaf", "lingerers", "stopped", "series", "channels"]
    out = os.open("/dev/null", os.O_WRONLY)
    os.dup2(out, 1)
    while not select.select([0], [], [], 0)[0]:
        name = chance.choice(names)
        child = os.fork()
        if child == 0:
            # A group, to be killed with all that it leaves.
            os.setsid()
            chance.seed(chance.random())
            null_in, holder = os.pipe()
            os.dup2(null_in, 0)
            os.close(null_in)
            if os.fork() == 0:
                # What is held is held for so long.
                time.sleep(chance.random() * 3)
                os._exit(0)
            os.close(holder)
            try:
                KINDS[name]()
            finally:
                os._exit(0)
        ended = False
        while not ended and not select.select([0], [], [], 0.05)[0]:
            ended = os.waitpid(child, os.WNOHANG)[0] == child
        try:
            os.killpg(child, signal.SIGKILL)
        except ProcessLookupError:
            pass
        if not ended:
            os.waitpid(child, 0)


# Whatever hangs here is a failure, which is seen.
if sys.argv[1] != "anything":
    signal.alarm(200 * FEWER)
KINDS[sys.argv[1]]()
# At once: the threads that wait are not waited for.
sys.stdout.flush()
os._exit(0)
