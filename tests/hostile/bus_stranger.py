"""A stranger on the system bus: sends to everybody who connects what they have not asked for.

    bus_stranger.py descriptors|long|flood

Prints "ready" when it watches, and a line for each name that it has dealt with.
"""

import os
import socket
import struct
import sys
import time

BUS = "/run/dbus/system_bus_socket"
LINGER_SECONDS = 30
MIB = 1 << 20
CALL, RETURN, ERROR, SIGNAL = 1, 2, 3, 4


def padded(data, to):
    return data + bytes(-len(data) % to)


def string(text):
    data = text.encode()
    return struct.pack("<I", len(data)) + data + b"\0"


def field(code, kind, text):
    value = bytes([len(text)]) + text.encode() + b"\0" if kind == "g" else string(text)
    return struct.pack("<BB2s", code, 1, kind.encode() + b"\0") + value


def message(kind, serial, texts, signature="", body=b"", descriptors=0):
    """Texts are of the fields 1 path, 2 interface, 3 member, 6 destination."""
    fields = b""
    for code, text in texts.items():
        fields = padded(fields, 8) + field(code, "o" if code == 1 else "s", text)
    if signature:
        fields = padded(fields, 8) + field(8, "g", signature)
    if descriptors:
        fields = padded(fields, 8) + struct.pack("<BB2sI", 9, 1, b"u\0", descriptors)
    head = struct.pack("<cBBBIII", b"l", kind, 0, 1, len(body), serial, len(fields))
    return padded(head + fields, 8) + body


def answered(data):
    """The serial number of the message that this one answers."""
    at, end = 16, 16 + struct.unpack_from("<I", data, 12)[0]
    while at < end:
        at += -at % 8
        code, length = data[at], data[at + 1]
        kind = data[at + 2 : at + 2 + length]
        at += 3 + length
        if kind == b"g":
            at += data[at] + 2
            continue
        at += -at % 4
        number = struct.unpack_from("<I", data, at)[0]
        if code == 5:
            return number
        at += 4 if kind == b"u" else 4 + number + 1
    return None


class Bus:
    def __init__(self):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(BUS)
        digits = str(os.geteuid()).encode().hex()
        self.socket.sendall(f"\0AUTH EXTERNAL {digits}\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n".encode())
        self.received = b""
        while self.received.count(b"\r\n") < 2:
            self.received += self.socket.recv(1)
        self.received = b""
        self.serial = 0
        self.call("Hello")

    def call(self, member, signature="", body=b""):
        texts = {1: "/org/freedesktop/DBus", 2: "org.freedesktop.DBus", 3: member, 6: "org.freedesktop.DBus"}
        return self.send(CALL, texts, signature, body)

    def send(self, kind, texts, signature="", body=b"", descriptor=None):
        self.serial += 1
        beside = [] if descriptor is None else [descriptor]
        data = message(kind, self.serial, texts, signature, body, len(beside))
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", *beside))] if beside else []
        sent = self.socket.sendmsg([data], rights)
        self.socket.sendall(data[sent:])
        return self.serial

    def signal(self, to, signature="", body=b"", descriptor=None):
        texts = {1: "/a", 2: "b.c", 3: "JobRemoved", 6: to}
        return self.send(SIGNAL, texts, signature, body, descriptor)

    def next(self):
        """Kind, whole message, and body of the next one."""
        while True:
            if len(self.received) >= 16:
                _, kind, _, _, length, _, fields = struct.unpack_from("<cBBBIII", self.received)
                at = 16 + fields + -fields % 8
                if len(self.received) >= at + length:
                    whole, self.received = self.received[: at + length], self.received[at + length :]
                    return kind, whole, whole[at:]
            self.received += self.socket.recv(1 << 16)


def lingering():
    """A socket whose last close(2) takes its time."""
    listener = socket.create_server(("127.0.0.1", 0))
    ours = socket.create_connection(listener.getsockname())
    peer, _ = listener.accept()
    ours.setblocking(False)
    try:
        while True:
            ours.send(bytes(1 << 16))
    except BlockingIOError:
        pass
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, LINGER_SECONDS))
    return ours, (listener, peer)


def newcomer(body):
    """The name of whoever has connected, of the arguments of NameOwnerChanged."""
    texts = []
    at = 0
    while at < len(body) and len(texts) < 3:
        at += -at % 4
        length = struct.unpack_from("<I", body, at)[0]
        texts.append(body[at + 4 : at + 4 + length].decode())
        at += 4 + length + 1
    if len(texts) == 3 and texts[0].startswith(":") and texts[2]:
        return texts[0]
    return None


def main(what):
    bus = Bus()
    bus.call("AddMatch", "s", string("type='signal',member='NameOwnerChanged'"))
    kept, refused, asked = [], set(), {}
    null = os.open("/dev/null", os.O_RDONLY)
    print("ready", flush=True)
    while True:
        kind, whole, body = bus.next()
        if kind == ERROR:
            refused.add(answered(whole))
        elif kind == RETURN:
            probe, to = asked.pop(answered(whole), (None, None))
            if to and probe not in refused:
                ours, peers = lingering()
                bus.signal(to, descriptor=ours.fileno())
                ours.close()
                kept.append(peers)
            if to:
                print("refused" if probe in refused else "lingers", to, flush=True)
        to = newcomer(body) if kind == SIGNAL else None
        if to is None:
            continue
        if what == "descriptors":
            # The bus itself lingers over what it cannot pass on, and that is not what is tried here. So this is for those
            # alone who stay, the first descriptor is a harmless one, and where that was refused no other one follows.
            time.sleep(0.2)
            probe = bus.signal(to, descriptor=null)
            asked[bus.call("GetId")] = (probe, to)
        elif what == "long":
            for size in (2, 30):
                data = bytes(size * MIB)
                bus.signal(to, "ay", struct.pack("<I", len(data)) + data)
            print("sent", to, flush=True)
        else:
            for _ in range(2000):
                bus.signal(to, "s", string("x" * 100))
            print("sent", to, flush=True)


main(sys.argv[1])
