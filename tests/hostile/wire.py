"""The protocol of src/broker/protocol.rs, spoken by hand, so that everything can be said wrong."""

import os
import socket
import struct
import time

VERSION = 5
MAGIC = b"isol"
ANOTHER = b"\x01"
STANDARD = 3
LIMITS = 15
NO_LIMIT = (1 << 64) - 1


def number(value):
    """An unsigned number as postcard writes it: 7 bits in each byte, the lowest first."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def signed(value):
    """A signed number: the sign is the lowest bit."""
    return number(value << 1 if value >= 0 else (-value << 1) - 1)


def text(content):
    """Bytes with their length in front."""
    content = os.fsencode(content)
    return number(len(content)) + content


def sequence(parts):
    """A list of what is written already."""
    parts = list(parts)
    return number(len(parts)) + b"".join(parts)


def request(
    argv,
    environment=(),
    asked=None,
    inherited=(),
    directories=(),
    limits=None,
    cpus=None,
    nice=0,
    interactive=0,
    of_batch=0,
    renews=0,
):
    """A request; `argv` without the program's own name."""
    asked = time.monotonic_ns() if asked is None else asked
    limits = [(NO_LIMIT, NO_LIMIT)] * LIMITS if limits is None else limits
    cpus = sorted(os.sched_getaffinity(0)) if cpus is None else cpus
    return b"".join(
        [
            sequence(map(text, ["isolate-run", *argv])),
            sequence(text(name) + text(value) for name, value in environment),
            number(asked),
            sequence(map(signed, inherited)),
            sequence(map(signed, directories)),
            sequence(number(soft) + number(hard) for soft, hard in limits),
            sequence(map(number, cpus)),
            signed(nice),
            bytes([interactive, of_batch, renews]),
        ]
    )


def announcement(length, descriptors=STANDARD, version=VERSION, magic=MAGIC):
    """What comes before a request."""
    return magic + struct.pack("=III", version, length % (1 << 32), descriptors % (1 << 32))


class Broker:
    """A connection. It forgives everything: whoever is refused early cannot send the rest."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # Longer than the broker's patience with anybody.
        self.socket.settimeout(900 if "ISOLATE_TEST_SLOW" in os.environ else 60)
        while True:
            try:
                return self.socket.connect(path)
            except BlockingIOError:
                # So many are waiting to be accepted.
                time.sleep(0.01)

    @classmethod
    def over(cls, channel):
        """The same over the channel of a series."""
        new = cls.__new__(cls)
        new.socket = channel
        new.socket.settimeout(900 if "ISOLATE_TEST_SLOW" in os.environ else 60)
        return new

    def send(self, packet, descriptors=()):
        """Sends one packet; whether it went."""
        try:
            if descriptors:
                socket.send_fds(self.socket, [packet], list(descriptors))
            else:
                self.socket.send(packet)
            return True
        except OSError:
            return False

    def ask(self, body, descriptors):
        """Sends an announcement and a request with these descriptors."""
        descriptors = list(descriptors)
        if self.send(announcement(len(body), len(descriptors))):
            self.send_body(body, descriptors)
        return self

    def send_body(self, body, descriptors):
        """Sends a request in packets."""
        longest = 128 << 10
        packets = max(-(-len(body) // longest), -(-len(descriptors) // 253), 1)
        size = max(-(-len(body) // packets), 1)
        for at in range(packets):
            beside, descriptors = descriptors[:253], descriptors[253:]
            self.send(body[at * size : (at + 1) * size], beside)

    def signal(self, value):
        """Passes a signal on."""
        return self.send(struct.pack("=i", value))

    def answer(self):
        """The last word: `("done", exit code)`, `("failed", why)` or `("gone", None)`. Log lines are dropped."""
        while True:
            try:
                reply = self.socket.recv(256 << 10)
            except ConnectionResetError:
                # Told once, when the other side had not read all; what it had said comes after.
                continue
            except OSError:
                reply = b""
            if not reply:
                return "gone", None
            if reply[0] != 0:
                return understand(reply)

    def close(self):
        """Hangs up."""
        self.socket.close()


class Series(Broker):
    """A connection for many requests."""

    def __init__(self, path):
        super().__init__(path)
        self.send(announcement(0, 0))

    def another(self):
        """The channel of another request; `None` where there is none."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sent = self.send(ANOTHER, [theirs.fileno()])
        theirs.close()
        if not sent:
            return None
        ours.settimeout(self.socket.gettimeout())
        packet, descriptors, _, _ = socket.recv_fds(ours, 1, 1)
        ours.close()
        if packet != ANOTHER or not descriptors:
            return None
        return Broker.over(socket.socket(fileno=descriptors[0]))


def understand(reply):
    """Reads a last word."""
    at = 1

    def take_number():
        nonlocal at
        value = shift = 0
        while True:
            byte = reply[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def take_text():
        nonlocal at
        length = take_number()
        at += length
        return reply[at - length : at].decode(errors="replace")

    if reply[0] == 2:
        return "failed", take_text()
    take_text()
    at += 1
    if reply[at - 1]:
        take_text()
    return "done", reply[at]
