"""What is no request, and requests for what nobody may have, or for too much."""

import os
import struct

from common import BOX, FEWER, NULL, PATH, TRUE, ask, chance, kind, tell
from wire import Broker, announcement, request


@kind
def malformed():
    good = request([BOX, *TRUE])
    for what, first in {
        "magic": announcement(len(good), magic=b"xxxx"),
        "version": announcement(len(good), version=7),
        "nothing announced": announcement(0),
        "length": announcement((4 << 20) + 1),
        "huge": announcement(-1, -1),
        "too few descriptors": announcement(len(good), 2),
        "too many descriptors": announcement(len(good), 1025),
        "short": announcement(len(good))[:15],
        "long": announcement(len(good)) + b"x",
        "one byte": b"x",
        "long garbage": os.urandom(100_000),
    }.items():
        broker = Broker(PATH)
        broker.send(first)
        broker.send(good, [NULL] * 3)
        tell(what, broker.answer())
    bodies = {
        "garbage": os.urandom(1000),
        "zeroes": bytes(1000),
        "ones": b"\xff" * 1000,
        "cut": good[:-1],
        "more": good + b"\0",
        "endless list": b"\xff\xff\xff\xff\x0f" + bytes(100),
    }
    for what, body in bodies.items():
        tell(what, Broker(PATH).ask(body, [NULL] * 3).answer())
    for _ in range(40):
        body = bytearray(good)
        for _ in range(chance.randrange(1, 5)):
            body[chance.randrange(len(body))] = chance.randrange(256)
        tell("changed", Broker(PATH).ask(bytes(body), [NULL] * 3).answer())
    broker = Broker(PATH)
    broker.send(announcement(len(good) - 1))
    broker.send(good, [NULL] * 3)
    tell("more than announced", broker.answer())
    broker = Broker(PATH)
    broker.send(announcement(len(good)))
    broker.send(b"", [NULL] * 3)
    tell("an empty packet", broker.answer())


@kind
def descriptors():
    good = request([BOX, *TRUE])
    for what, announced, sent in [
        ("none", 3, 0),
        ("too few", 3, 2),
        ("one more", 3, 4),
        ("many more", 3, 253),
        ("many too few", 1024, 253),
        ("more than the request says", 5, 5),
    ]:
        broker = Broker(PATH)
        broker.send(announcement(len(good), announced))
        broker.send_body(good, [NULL] * sent)
        tell(what, broker.answer())
    broker = Broker(PATH)
    broker.send(announcement(len(good)), [NULL] * 3)
    broker.send(good)
    tell("beside the announcement", broker.answer())
    for what, numbers in {
        "out of range": [65_536],
        "huge": [2**31 - 1],
        "negative": [-1],
        "standard": [2],
        "twice": [7, 7],
        "falling": [8, 7],
        "the lowest": [3],
        "the highest": [65_535],
        "a thousand": list(range(3, 1003)),
    }.items():
        argv = ["--inherit-fds", *TRUE]
        ask(f"inherited {what}", argv, [NULL] * 3 + [NULL] * len(numbers), inherited=numbers)
    for what, errors in {"negative": [-1], "no such": [999_999], "too many": [0, 0], "none": []}.items():
        sent = [NULL] * 3 + [NULL] * errors.count(0)
        ask(f"directory {what}", ["--dir=in=/etc", *TRUE], sent, directories=errors)
    broker = Broker(PATH).ask(request([BOX, *TRUE]), [NULL] * 3)
    broker.send(struct.pack("=i", 0), [NULL] * 253)
    tell("beside a signal", broker.answer())


@kind
def floods():
    for size in 1, 16, 4096, 100_000:
        broker = Broker(PATH)
        broker.socket.setblocking(False)
        for _ in range(200):
            if not broker.send(os.urandom(size)):
                break
        broker.close()
    for _ in range(1000 // FEWER):
        Broker(PATH).close()
    for _ in range(200 // FEWER):
        broker = Broker(PATH)
        broker.send(announcement(100))
        broker.close()


@kind
def command_lines():
    for what, argv in {
        "configuration": ["--config=/etc/shadow", *TRUE],
        "as somebody": ["--as-uid=0", "--as-gid=0", *TRUE],
        "only version": ["--version"],
        "check": ["--check-config"],
        "help": ["--help"],
        "empty": [""],
        "unknown": ["--nothing"],
        "NUL": ["--run", "--", "/bin/true\0/bin/false"],
        "NUL in a rule": ["--dir=in=/etc\0x", *TRUE],
        "NUL in a file": ["--stdin=a\0b", *TRUE],
        "NUL in a variable": ["--env=A=b\0c", *TRUE],
        "not UTF-8": ["--run", "--", b"/bin/\xff\xfe"],
        "a long name": ["--run", "--", "/" + "x" * 100_000],
        "a very long name": ["--run", "--", "/" + "x" * (3_000_000 // FEWER)],
        "a long option": ["--" + "x" * (3_000_000 // FEWER)],
        "many arguments": ["--run", "--", "/bin/true", *["x"] * 100_000],
        "many options": ["--verbose"] * 100_000 + TRUE,
        "many empty words": ["--run", "--", "/bin/true", *[""] * (4_000_000 // FEWER)],
        "many rules": [f"--dir=d{n}=/etc:maybe" for n in range(20_000)] + TRUE,
        "many variables": [f"--env=A{n}=x" for n in range(50_000)] + TRUE,
    }.items():
        ask(what, argv)
    for what, argv in {"import": ["config", "import", "/etc/shadow"], "broker": ["broker"], "no words": []}.items():
        tell(what, Broker(PATH).ask(request(argv), [NULL] * 3).answer())
    environment = [("A=B", "c"), ("", "x"), ("N\0", "y"), ("V", "a\0b"), ("V", "again"), ("L", "x" * 1_000_000)]
    ask("environment", ["--full-env", *TRUE], environment=environment)
    for what, more in {
        "long ago": {"asked": 0},
        "in ages": {"asked": (1 << 64) - 1},
        "no limits": {"limits": []},
        "limits of nothing": {"limits": [(0, 0)] * 15},
        "no CPUs": {"cpus": []},
        "CPUs that are not": {"cpus": [65_535]},
        "too nice": {"nice": 2**31 - 1},
        "not nice": {"nice": -(2**31)},
        "somebody is there": {"interactive": 1},
        "of a batch": {"of_batch": 1},
    }.items():
        ask(what, TRUE, **more)
