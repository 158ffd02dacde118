import os
import select
import socket
import struct
import sys
import time

port, window, silence = map(int, sys.argv[1:4])


def tell_client(kind, number, data=b""):
    frame = kind + struct.pack(">I", number) + data
    while frame:
        frame = frame[os.write(1, frame):]


target, why = None, None


def break_when_closed(breaks):
    """Closed as it is then, the target sees a connection that broke, also when this process is killed."""
    try:
        target.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", breaks, 0))
    except OSError:
        pass


def leave():
    break_when_closed(1)
    sys.exit(0)


def fail(text):
    if target:
        break_when_closed(1)
    text = text.encode("utf-8", "replace")
    tell_client(b"x", len(text), text)
    sys.exit(0)


for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
    try:
        target = socket.socket(family, socket.SOCK_STREAM)
        target.connect((host, port))
        break
    except OSError as error:
        target, why = None, why or error
if target is None:
    fail("refused %s" % why)
target.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
break_when_closed(1)
target.setblocking(False)
tell_client(b"o", 0)

# What came and is not read yet, how much of it is data, and what the target has not taken yet.
data_in, left, waiting = bytearray(), 0, bytearray()
# How much the client takes, and what went each way, as the frames count it.
credit, sent, came = window, 0, 0
client_ended = shut = target_ended = deaf = False
# Why the target's connection broke, where writing to it was told: reading is then told of an end.
lost = None
# For how long nothing was heard. One round takes no more than 5 s, however long this process was stopped.
idle, before = 0, time.monotonic()
while True:
    reads = [0] if target_ended or credit <= 0 else [0, target]
    reads, writes, _ = select.select(reads, [target] if waiting else [], [], 5)
    now = time.monotonic()
    idle, before = idle + min(now - before, 5), now
    if 0 in reads:
        got = os.read(0, 131072)
        if not got:
            leave()
        idle = 0
        data_in += got
        while data_in:
            if left:
                data = data_in[:left]
                del data_in[:left]
                left -= len(data)
                came = (came + len(data)) & 0xFFFFFFFF
                if deaf:
                    tell_client(b"a", len(data))
                else:
                    waiting += data
                continue
            if len(data_in) < 5:
                break
            kind, count = struct.unpack(">cI", data_in[:5])
            del data_in[:5]
            if kind == b"d":
                left = count
            elif kind == b"a":
                # One that was said again comes late, and takes nothing back.
                credit = max(credit, window - ((sent - count) & 0xFFFFFFFF))
            elif kind == b"e":
                if came != count:
                    fail("broken %d bytes came of %d" % (came, count))
                client_ended = True
            elif kind == b"r":
                break_when_closed(1)
                target.close()
                tell_client(b"s", 0)
                sys.exit(0)
            elif kind != b"p":
                fail("broken input that can not be read")
    if idle > silence:
        leave()
    if waiting:
        try:
            wrote = target.send(waiting)
            del waiting[:wrote]
            tell_client(b"a", wrote)
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as error:
            # A target that ended and reads no more has said all of its answer.
            if not isinstance(error, BrokenPipeError):
                lost = error
            deaf = True
            tell_client(b"a", len(waiting))
            waiting.clear()
    if client_ended and not shut and not waiting:
        break_when_closed(0)
        try:
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        shut = True
        tell_client(b"s", 0)
    if target in reads:
        try:
            got = target.recv(min(credit, 32768))
        except (BlockingIOError, InterruptedError):
            continue
        except OSError as error:
            fail("broken %s" % error)
        if got:
            credit -= len(got)
            sent = (sent + len(got)) & 0xFFFFFFFF
            tell_client(b"d", len(got), got)
        elif lost:
            fail("broken %s" % lost)
        else:
            target_ended = True
            tell_client(b"e", sent)
    if target_ended and (shut or deaf):
        sys.exit(0)
