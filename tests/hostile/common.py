"""What all kinds of hostile clients use."""

import os
import random
import sys

from wire import Broker, request

PATH = os.environ["ISOLATE_RUN_BROKER"]
BOX = f"--box-id={sys.argv[2]}"
chance = random.Random(int(sys.argv[3]) if len(sys.argv) > 3 else 1)
TRUE = ["--run", "--", "/bin/true"]
# An emulated machine takes a twentieth of a second for each process.
FEWER = 10 if "ISOLATE_TEST_SLOW" in os.environ else 1
NULL = os.open("/dev/null", os.O_RDWR)
KINDS = {}


def some(things):
    """All of them, or a part where each takes long."""
    return things if FEWER == 1 else chance.sample(things, -(-len(things) * 2 // 5))


def kind(function):
    """One way of being hostile."""
    KINDS[function.__name__] = function
    return function


def tell(what, answer):
    """Prints what came of something."""
    word, detail = answer
    print(what, word, str(detail)[:200], flush=True)


def ask(what, argv, descriptors=None, **more):
    """A whole conversation about the box."""
    # Before the broker waits for it: a long one takes its time.
    body = request([BOX, *argv], **more)
    broker = Broker(PATH).ask(body, descriptors or [NULL] * 3)
    tell(what, broker.answer())
    broker.close()


def hold():
    """Goes on when whoever started this has seen enough."""
    print("holding", flush=True)
    sys.stdin.read()


def quickly(count, function):
    """So many times, in another process that dies of it or ends."""
    for _ in range(count):
        child = os.fork()
        if child == 0:
            try:
                function()
            finally:
                os._exit(0)
        os.waitpid(child, 0)


def sleeping(*options):
    argv = [BOX, "--wall-time=20", *options, "--run", "--", "/bin/sleep", "0.3"]
    return Broker(PATH).ask(request(argv), [NULL] * 3)


def running(seconds):
    """A run whose program has begun, and sleeps so long."""
    reading, writing = os.pipe()
    argv = [BOX, "--wall-time=20", "--run", "--", "/bin/sh", "-c", f"echo begun; exec /bin/sleep {seconds}"]
    broker = Broker(PATH).ask(request(argv), [NULL, writing, NULL])
    os.close(writing)
    os.read(reading, 1)
    os.close(reading)
    return broker
