"""Descriptors that are not what they should be."""

import os
import select
import socket
import struct
import subprocess
import tempfile
import threading

from common import BOX, NULL, PATH, TRUE, ask, hold, kind, tell
from wire import Broker, announcement, request


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
