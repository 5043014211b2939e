"""Conversations that do not go on."""

import os
import select
import signal
import socket
import sys
import time

from common import BOX, NULL, PATH, TRUE, hold, kind, sleeping
from wire import Broker, announcement, request


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


@kind
def deaf():
    """Never reads what a very talkative run says, nor its end."""
    held = []
    for _ in range(20):
        held.append(sleeping("-v", "-v", "-v"))
        time.sleep(0.01)
    hold()


@kind
def crowds():
    """Many users, from the last argument on, each with as many silent connections as one may have; whoever is
    hung up on connects again. With one more argument, they announce long requests. Needs root."""
    first = int(sys.argv[4])
    first_words = [announcement(4 << 20), b"x" * 1000] if len(sys.argv) > 5 else []
    children = []
    for uid in range(first, first + 9):
        child = os.fork()
        if child == 0:
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            connect_again_and_again(first_words)
        children.append(child)
    time.sleep(3)
    try:
        hold()
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def connect_again_and_again(first_words):
    poll = select.poll()
    held = {}
    while True:
        while len(held) < 256:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            try:
                connection.connect(PATH)
                for packet in first_words:
                    connection.send(packet)
            except OSError:
                break
            held[connection.fileno()] = connection
            poll.register(connection, select.POLLIN)
        for number, _ in poll.poll(100):
            poll.unregister(number)
            held.pop(number).close()
