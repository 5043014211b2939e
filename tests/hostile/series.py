"""Connections for many requests, misused."""

import os
import socket

from common import BOX, FEWER, NULL, PATH, TRUE, hold, kind, quickly, tell
from wire import ANOTHER, STANDARD, Broker, Series, announcement, request


def over(series, what, argv, descriptors=None, **more):
    """A whole conversation over a channel."""
    body = request([BOX, *argv], **more)
    channel = series.another()
    if channel is None:
        return tell(what, ("none", None))
    tell(what, channel.ask(body, descriptors or [NULL] * STANDARD).answer())
    channel.close()


def is_over(series):
    """Whether the series has ended."""
    try:
        return series.socket.recv(1) == b""
    except ConnectionResetError:
        return True


@kind
def series():
    """Requests over one connection, each with more rights than the one before."""
    one = Series(PATH)
    over(one, "first", TRUE)
    over(one, "again", TRUE)
    over(one, "network", ["--share-net", *TRUE])
    dev = os.open("/dev", os.O_PATH | os.O_DIRECTORY)
    over(one, "devices", ["--dir=x=/dev:dev", *TRUE], [NULL] * STANDARD + [dev], directories=[0])
    over(one, "still", TRUE)
    # Rules may look at each of these.
    over(one, "processes", ["--processes=7", *TRUE])
    over(one, "program", ["--run", "--", "/bin/false"])
    over(one, "root", ["--as-uid=0", "--as-gid=0", *TRUE])
    over(one, "directory", ["--dir=x=/etc", *TRUE], directories=[1])
    # A second request over the same channel, and a series in a series.
    channel = one.another()
    channel.ask(request([BOX, *TRUE]), [NULL] * STANDARD)
    channel.ask(request([BOX, "--share-net", *TRUE]), [NULL] * STANDARD)
    tell("two in one", channel.answer())
    channel = one.another()
    channel.send(announcement(0, 0))
    tell("a series in it", channel.answer())
    channel = one.another()
    channel.send(announcement(9, 1025))
    tell("too many descriptors", channel.answer())
    channel = one.another()
    body = request([BOX, *TRUE])
    channel.send(announcement(len(body), 253))
    channel.send_body(body, [NULL] * 253)
    tell("other descriptors", channel.answer())
    over(one, "at last", TRUE)


@kind
def channels():
    """What is no way to send a channel, and channels that nothing comes over."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(b"\0isolate-test-%d" % os.getpid())
    listener.listen()
    to_broker = Broker(PATH)
    kinds = {
        "nothing": [],
        "a file": [NULL],
        "a directory": [os.open("/", os.O_PATH)],
        "two": [NULL, NULL],
        "a listener": [listener.fileno()],
        "the broker": [to_broker.socket.fileno()],
        "a stream": [socket.socketpair()[0].detach()],
        "a datagram": [socket.socketpair(type=socket.SOCK_DGRAM)[0].detach()],
        "not connected": [socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET).detach()],
        "the internet": [socket.socket().detach()],
    }
    for what, descriptors in kinds.items():
        one = Series(PATH)
        one.send(ANOTHER, descriptors)
        if what == "a listener":
            # It is theirs; nobody is there to hear.
            over(one, what, TRUE)
        else:
            tell(what, ("over", None) if is_over(one) else ("open", None))
        one.close()
    for packet in b"", b"\0", b"\1\1", announcement(0, 0), b"x" * 1000:
        one = Series(PATH)
        ours, theirs = socket.socketpair(type=socket.SOCK_SEQPACKET)
        one.send(packet, [theirs.fileno()])
        tell(f"{len(packet)} bytes", ("over", None) if is_over(one) else ("open", None))
        one.close()
    # Nobody listens on the other end.
    one = Series(PATH)
    ours, theirs = socket.socketpair(type=socket.SOCK_SEQPACKET)
    ours.close()
    one.send(ANOTHER, [theirs.fileno()])
    over(one, "after a deaf one", TRUE)

    def dies():
        one = Series(PATH)
        body = request([BOX, "--run", "--", "/bin/sleep", "1000"])
        held = [one.another() for _ in range(3)]
        held[0].ask(body, [NULL] * STANDARD)
        held[1].send(announcement(len(body)))

    quickly(-(-20 // FEWER), dies)


@kind
def many_channels():
    """Very many channels over one connection, with nothing or half a request."""
    one = Series(PATH)
    body = request([BOX, *TRUE])
    held = []
    for number in range(1500 // FEWER):
        channel = one.another()
        if number % 3:
            channel.send(announcement(len(body)))
        held.append(channel)
        if len(held) > 600:
            held.pop(0).close()
    print("refused", held[-1].answer()[0] == "failed", flush=True)
    hold()
