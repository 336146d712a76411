"""An RS-485 line: one master, an emulated sensor node, and another unit that is played here.

usage: rtu_street.py LINK SOCKET BAUD UNIT STATS

LINK becomes a symbolic link to the master's serial port. The emulator connects to SOCKET and may
go away and come back. Frames take the time that they take at BAUD. UNIT answers every read with
its register's address. STATS is a JSON file, written anew twice a second: polls of UNIT, the
longest time between two of them in s, and how many blocks of an update passed by.
"""

import json
import os
import selectors
import socket
import struct
import sys
import termios
import time
import tty


def crc(data):
    value = 0xFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ 0xA001 if value & 1 else value >> 1
    return struct.pack("<H", value)


def whole(frame):
    return len(frame) >= 4 and crc(frame[:-2]) == frame[-2:]


def main():
    link, path, baud, unit, stats_file = sys.argv[1:]
    baud, unit = int(baud), int(unit)
    master, slave = os.openpty()
    tty.setraw(slave)
    attributes = termios.tcgetattr(slave)
    termios.tcsetattr(slave, termios.TCSANOW, attributes)
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen(1)
    os.symlink(os.ttyname(slave), link)
    print("ready", flush=True)

    selector = selectors.DefaultSelector()
    selector.register(master, selectors.EVENT_READ, "master")
    selector.register(server, selectors.EVENT_READ, "server")
    node = None
    frame = b""
    stats = {"polls": 0, "longest": 0.0, "blocks": 0}
    last = None
    written = 0.0

    def on_the_wire(data):
        time.sleep(len(data) * 10 / baud)

    while True:
        for key, _ in selector.select(0.2):
            if key.data == "server":
                if node is not None:
                    selector.unregister(node)
                    node.close()
                node, _ = server.accept()
                selector.register(node, selectors.EVENT_READ, "node")
            elif key.data == "node":
                try:
                    data = node.recv(512)
                except OSError:
                    data = b""
                if not data:
                    selector.unregister(node)
                    node.close()
                    node = None
                    continue
                on_the_wire(data)
                os.write(master, data)
            else:
                frame += os.read(master, 512)
                if not whole(frame):
                    if len(frame) > 256:
                        frame = b""
                    continue
                request, frame = frame, b""
                on_the_wire(request)
                if request[0] == unit:
                    now = time.monotonic()
                    if last is not None:
                        stats["longest"] = max(stats["longest"], now - last)
                    last = now
                    stats["polls"] += 1
                    first, count = struct.unpack(">HH", request[2:6])
                    words = [(first + i) & 0xFFFF for i in range(count)]
                    body = bytes([unit, request[1], 2 * count])
                    body += struct.pack(f">{count}H", *words)
                    answer = body + crc(body)
                    on_the_wire(answer)
                    os.write(master, answer)
                elif node is not None:
                    if request[1] == 16 and request[2:4] == b"\x02\x80":
                        stats["blocks"] += 1
                    try:
                        node.sendall(request)
                    except OSError:
                        pass
        if time.monotonic() - written > 0.5:
            written = time.monotonic()
            with open(stats_file + ".new", "w", encoding="utf-8") as file:
                json.dump(stats, file)
            os.replace(stats_file + ".new", stats_file)


main()
