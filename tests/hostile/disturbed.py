"""Runs that are disturbed, conversations that end, and connections that go from hand to hand."""

import os
import signal
import socket
import sys
import time

from common import BOX, NULL, PATH, TRUE, chance, kind, quickly, running, some, tell
from wire import Broker, announcement, request


@kind
def signals():
    # Not before the program runs: till then, whatever is said ends the conversation.
    for value in 0, -1, signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD, signal.SIGWINCH, 64, 2**31 - 1, -(2**31):
        broker = running(0.3)
        broker.signal(value)
        tell(f"signal {value}", broker.answer())
    broker = running(0.3)
    for _ in range(20_000):
        broker.signal(signal.SIGWINCH)
    tell("a flood", broker.answer())
    broker = running(0.3)
    for _ in range(2000):
        broker.send(os.urandom(chance.randrange(1, 2000)))
    tell("garbage", broker.answer())
    broker = running(10)
    broker.signal(signal.SIGTERM)
    broker.signal(signal.SIGSEGV)
    tell("two", broker.answer())


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
    for argv in some(COMMANDS):
        for point in 0, 1, 2, 3, 4, 4, 4, 4, 4, 4:
            chance.random()
            quickly(1, lambda: interrupted(argv, point, lambda _: os.kill(os.getpid(), signal.SIGKILL)))


@kind
def shutdowns():
    """Closes one direction everywhere."""
    for how in socket.SHUT_RD, socket.SHUT_WR, socket.SHUT_RDWR:
        for argv in some(COMMANDS):
            for point in 0, 1, 2, 3, 4, 4:

                def end(broker):
                    broker.socket.shutdown(how)
                    if how != socket.SHUT_RD:
                        broker.answer()

                chance.random()
                quickly(1, lambda: interrupted(argv, point, end))


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
