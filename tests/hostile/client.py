"""Clients that want no good.

client.py KIND BOX [SEED]      as any user; the socket is in ISOLATE_RUN_BROKER, wire.py is beside this

Prints what came of everything that it tried, one line each: what, and the last word. A kind that holds something prints
"holding", and goes on when its standard input ends.
"""

import os
import random
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from wire import Broker, announcement, request  # noqa: E402

PATH = os.environ["ISOLATE_RUN_BROKER"]
BOX = f"--box-id={sys.argv[2]}"
chance = random.Random(int(sys.argv[3]) if len(sys.argv) > 3 else 1)
TRUE = ["--run", "--", "/bin/true"]
# An emulated machine takes a twentieth of a second for each process.
FEWER = 10 if "ISOLATE_TEST_SLOW" in os.environ else 1
NULL = os.open("/dev/null", os.O_RDWR)
KINDS = {}


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
    broker = Broker(PATH).ask(request([BOX, *argv], **more), descriptors or [NULL] * 3)
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


# Conversations that do not go on.


@kind
def stalls():
    body = request([BOX, *TRUE])
    held = []
    for packets in [], [announcement(100)[:8]], [announcement(len(body))], [announcement(len(body)), body[:20]]:
        for _ in range(24):
            broker = Broker(PATH)
            for packet in packets:
                broker.send(packet)
            held.append(broker)
    hold()


@kind
def stopped():
    """Clients that are stopped in the middle of everything, by signal."""
    body = request([BOX, "--run", "--", "/bin/sleep", "1000"])
    children = []
    for packets in [], [announcement(len(body))], [announcement(len(body)), body]:
        child = os.fork()
        if child == 0:
            broker = Broker(PATH)
            for packet in packets:
                broker.send(packet, [NULL] * 3 if packet is body else [])
            os.kill(os.getpid(), signal.SIGSTOP)
            os._exit(0)
        os.waitpid(child, os.WUNTRACED)
        children.append(child)
    try:
        hold()
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)


@kind
def crowd():
    """As many connections as one user may have, and more, which are refused."""
    held = [Broker(PATH) for _ in range(300)]
    refused = 0
    for broker in held[256:]:
        refused += broker.answer()[0] == "failed"
    print("refused", refused, flush=True)
    hold()


# What is no request.


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
    for _ in range(3000 // FEWER):
        Broker(PATH).close()
    for _ in range(500 // FEWER):
        broker = Broker(PATH)
        broker.send(announcement(100))
        broker.close()


# Descriptors that are not what they should be.


def lingering(keep):
    """A TCP socket whose last close takes ten minutes: what it has sent is not received."""
    server = socket.socket()
    server.bind(("127.0.0.1", 0))
    server.listen(1)
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 600))
    client.connect(server.getsockname())
    keep.append(server.accept()[0])
    client.setblocking(False)
    try:
        while True:
            client.send(bytes(65536))
    except BlockingIOError:
        return client.detach()


def close_slowly(one):
    """Leaves such a socket to those who were sent it; if nobody was, this waits itself."""
    threading.Thread(target=os.close, args=[one], daemon=True).start()


def other_mounts():
    """A directory of a mount namespace that only this user has, and the process that keeps it."""
    # It ends with this process, which has the other end of its standard input.
    script = "mount -t tmpfs none /mnt && mkdir /mnt/sub && echo && read -r _"
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script]
    keeper = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    keeper.stdout.readline()
    return os.open(f"/proc/{keeper.pid}/root/mnt/sub", os.O_PATH), keeper


def deleted():
    path = tempfile.mkdtemp()
    descriptor = os.open(path, os.O_PATH)
    os.rmdir(path)
    return descriptor


def foreign_ones():
    """All that somebody may send instead of a directory or a file, by name."""
    reading, writing = os.pipe()
    ones = {
        "memfd": os.memfd_create("x"),
        "null": NULL,
        "zero": os.open("/dev/zero", os.O_RDWR),
        "full": os.open("/dev/full", os.O_RDWR),
        "memory": os.open("/proc/self/mem", os.O_RDWR),
        "process": os.open("/proc/self", os.O_PATH),
        "root": os.open("/proc/self/root", os.O_PATH),
        "set-user-ID": os.open("/usr/bin/su", os.O_PATH),
        "local socket": socket.socket(socket.AF_UNIX).detach(),
        "network socket": socket.socket().detach(),
        "reading": reading,
        "writing": writing,
        "epoll": select.epoll().fileno(),
        "deleted": deleted(),
        "link": os.open("/proc/self/exe", os.O_PATH | os.O_NOFOLLOW),
        "pidfd": os.pidfd_open(os.getpid()),
        "terminal": os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY),
        "socket of the broker": os.open(PATH, os.O_PATH),
    }
    # The one of epoll is its object's, which would close it.
    ones["epoll"] = os.dup(ones["epoll"])
    return ones


@kind
def foreign():
    ones = foreign_ones()
    ones["other mounts"], keeper = other_mounts()
    show = ["--dir=in=/etc", *TRUE]
    below = ["--dir=in=/etc", "--dir=in/etc/made-by-a-test=/etc", *TRUE]
    link = os.open("/proc/self/root", os.O_PATH | os.O_NOFOLLOW)
    ask("link as place for a directory:", below, [NULL, NULL, NULL, link, NULL], directories=[0, 0])
    for name, one in ones.items():
        ask(f"{name} as directory:", show, [NULL, NULL, NULL, one], directories=[0])
        for at, role in enumerate(["stdin", "stdout", "stderr"]):
            standard = [NULL] * 3
            standard[at] = one
            ask(f"{name} as {role}:", ["--tty-hack", *TRUE], standard)
        ask(f"{name} as inherited:", ["--inherit-fds", *TRUE], [NULL, NULL, NULL, one], inherited=[9])
    broker = Broker(PATH)
    itself = broker.socket.fileno()
    broker.ask(request([BOX, "--inherit-fds", "--wall-time=5", *TRUE], inherited=[9]), [itself, itself, itself, itself])
    tell("the connection itself:", broker.answer())
    keeper.kill()
    keeper.wait()


@kind
def lingerers():
    """Descriptors that nobody closes quickly, wherever they may be left."""
    keep = []
    held = []
    body = request([BOX, *TRUE])
    for packets in [
        [(b"bad", 0), (b"x", 3)],
        [(announcement(len(body)), 0), (body, 4)],
        [(announcement(len(body)), 3), (body, 3)],
        [(announcement(len(body)), 0), (body, 3), (b"abcd", 1)],
        [(announcement(10), 0), (b"1234567890", 3), (b"x", 3)],
    ]:
        for _ in range(8):
            one = lingering(keep)
            broker = Broker(PATH)
            for packet, copies in packets:
                broker.send(packet, [one] * copies)
            close_slowly(one)
            held.append(broker)
    for broker in held[::2]:
        broker.close()
    # More than one user may have: these are not received at all.
    for _ in range(300):
        broker = Broker(PATH)
        held.append(broker)
        if len(held) % 10 == 0:
            one = lingering(keep)
            broker.send(announcement(10), [one])
            broker.send(b"x", [one])
            close_slowly(one)
    hold()


# Requests that ask for what nobody may have, or for too much.


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
        "a very long name": ["--run", "--", "/" + "x" * 3_000_000],
        "a long option": ["--" + "x" * 3_000_000],
        "many arguments": ["--run", "--", "/bin/true", *["x"] * 100_000],
        "many options": ["--verbose"] * 100_000 + TRUE,
        "many empty words": ["--run", "--", "/bin/true", *[""] * 4_000_000],
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
    }.items():
        ask(what, TRUE, **more)


# Runs that are disturbed.


def sleeping(*options):
    argv = [BOX, "--wall-time=20", *options, "--run", "--", "/bin/sleep", "0.3"]
    return Broker(PATH).ask(request(argv), [NULL] * 3)


@kind
def signals():
    for value in 0, -1, signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD, signal.SIGWINCH, 64, 2**31 - 1, -(2**31):
        broker = sleeping()
        broker.signal(value)
        tell(f"signal {value}", broker.answer())
    broker = sleeping()
    for _ in range(20_000):
        broker.signal(signal.SIGWINCH)
    tell("a flood", broker.answer())
    broker = sleeping()
    for _ in range(2000):
        broker.send(os.urandom(chance.randrange(1, 2000)))
    tell("garbage", broker.answer())
    broker = sleeping()
    time.sleep(0.1)
    broker.signal(signal.SIGTERM)
    broker.signal(signal.SIGSEGV)
    tell("two", broker.answer())


@kind
def deaf():
    """Never reads what a very talkative run says, nor its end."""
    held = []
    for _ in range(20):
        held.append(sleeping("-v", "-v", "-v"))
        time.sleep(0.01)
    hold()


COMMANDS = [["--init"], TRUE, ["--run", "--", "/bin/sleep", "1000"], ["--cleanup"], ["exec", "/bin/sleep", "1000"]]


def interrupted(argv, point, end):
    """Comes to a point of a conversation, and ends it."""
    argv = argv if argv[0] == "exec" else [BOX, *argv]
    body = request(argv)
    broker = Broker(PATH)
    if point >= 1:
        broker.send(announcement(len(body)))
    if point == 2:
        broker.send(body[: len(body) // 2], [NULL] * 2)
    if point >= 3:
        broker.send(body, [NULL] * 3)
        # The shorter, the more happens in that time.
        time.sleep(0 if point == 3 else chance.choice([0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.03, 0.1]))
    end(broker)


@kind
def deaths():
    """Dies everywhere."""
    for argv in COMMANDS:
        for point in 0, 1, 2, 3, 4, 4, 4, 4, 4, 4:
            chance.random()
            quickly(1, lambda: interrupted(argv, point, lambda _: os.kill(os.getpid(), signal.SIGKILL)))


@kind
def shutdowns():
    """Closes one direction everywhere."""
    for how in socket.SHUT_RD, socket.SHUT_WR, socket.SHUT_RDWR:
        for argv in COMMANDS:
            for point in 0, 1, 2, 3, 4, 4:

                def end(broker):
                    broker.socket.shutdown(how)
                    if how != socket.SHUT_RD:
                        broker.answer()

                chance.random()
                quickly(1, lambda: interrupted(argv, point, end))


# Connections that go from hand to hand.


@kind
def passed_on():
    """As root: one user connects, another one asks."""
    connects, asks = (int(uid) for uid in sys.argv[4:6])
    for stays in True, False:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        child = os.fork()
        if child == 0:
            os.setgid(connects)
            os.setuid(connects)
            broker = Broker(PATH)
            socket.send_fds(theirs, [b"x"], [broker.socket.fileno()])
            theirs.recv(1)
            os._exit(0)
        _, [connection], _, _ = socket.recv_fds(ours, 1, 1)
        if not stays:
            ours.send(b"x")
            os.waitpid(child, 0)
        other = os.fork()
        if other == 0:
            os.setgid(asks)
            os.setuid(asks)
            broker = Broker(PATH)
            broker.socket.close()
            broker.socket = socket.socket(fileno=connection)
            broker.socket.settimeout(60)
            broker.ask(request([BOX, "--init"]), [NULL] * 3)
            tell("asked by another" if stays else "the one who connected is gone", broker.answer())
            os._exit(0)
        os.waitpid(other, 0)
        os.close(connection)
        if stays:
            ours.send(b"x")
            os.waitpid(child, 0)


@kind
def anything():
    """All kinds in any order until standard input ends; for a soak."""
    names = ["malformed", "descriptors", "floods", "foreign", "command_lines", "signals", "deaths", "shutdowns"]
    names += ["stalls", "crowd", "deaf", "lingerers", "stopped"]
    out = os.open("/dev/null", os.O_WRONLY)
    os.dup2(out, 1)
    while not select.select([0], [], [], 0)[0]:
        name = chance.choice(names)
        child = os.fork()
        if child == 0:
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
        if not ended:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


# Whatever hangs here is a failure, which is seen.
if sys.argv[1] != "anything":
    signal.alarm(200 * FEWER)
KINDS[sys.argv[1]]()
# At once: the threads that wait are not waited for.
sys.stdout.flush()
os._exit(0)
