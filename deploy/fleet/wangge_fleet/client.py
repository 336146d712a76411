"""A small NATS client: what applying streams, looking on and backing up need, and no more."""

import json
import secrets
import socket
import ssl
import time

from plan import Fault

# How long an answer is waited for, s...
PATIENCE_S = 30
# ...and when a question is asked again.
AGAIN_S = 3


class Lost(Fault):
    """The connection ended or nothing came in time."""


class Late(Lost):
    """Nothing came in time; the connection stands."""


class Client:
    """One connection, used by one thread."""

    def __init__(self, host, port, user, password, ca):
        self.buffer = b""
        self.next_sid = 1
        self.inbox = f"_INBOX.{secrets.token_hex(8)}"
        try:
            self.socket = socket.create_connection((host, port), PATIENCE_S)
            info = json.loads(self._line().split(b" ", 1)[1])
            context = ssl.create_default_context(cafile=str(ca))
            # The server speaks first in clear, then both change to TLS.
            self.socket = context.wrap_socket(self.socket, server_hostname=host)
        except (OSError, ssl.SSLError, IndexError, ValueError) as e:
            raise Lost(f"{host}:{port}: {e}") from None
        self.server = info.get("server_name", "")
        self.max_payload = info.get("max_payload", 1 << 20)
        hello = {
            "verbose": False, "pedantic": False, "user": user, "pass": password,
            "lang": "python3", "version": "1", "protocol": 1, "headers": True,
            "no_responders": True, "name": "wangge_fleet", "tls_required": True,
        }  # fmt: skip
        self._send(b"CONNECT " + json.dumps(hello).encode() + b"\r\nPING\r\n")
        while (line := self._line()) != b"PONG":
            if line.startswith(b"-ERR"):
                raise Fault(f"{host}:{port}: the server answers {line[5:].decode()}")
        self.subscribe(self.inbox + ".*")

    def close(self):
        """Says nothing more."""
        self.socket.close()

    def _send(self, data):
        try:
            self.socket.sendall(data)
        except OSError as e:
            raise Lost(str(e)) from None

    def _more(self):
        try:
            data = self.socket.recv(1 << 16)
        except TimeoutError:
            raise Late("nothing came in time") from None
        except OSError as e:
            raise Lost(str(e) or "nothing came in time") from None
        if not data:
            raise Lost("the server closed the connection")
        self.buffer += data

    def _line(self):
        while b"\r\n" not in self.buffer:
            self._more()
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line

    def _take(self, count):
        while len(self.buffer) < count:
            self._more()
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def subscribe(self, subject):
        """All that comes is returned by `next`."""
        self._send(f"SUB {subject} {self.next_sid}\r\n".encode())
        self.next_sid += 1

    def publish(self, subject, payload=b"", reply=""):
        """At most once, as all of core NATS."""
        head = f"PUB {subject} {reply + ' ' if reply else ''}{len(payload)}\r\n"
        self._send(head.encode() + payload + b"\r\n")

    def next(self, patience=PATIENCE_S):
        """(subject, reply, header, payload) of the next message."""
        end = time.monotonic() + patience
        while True:
            self.socket.settimeout(max(0.01, end - time.monotonic()))
            line = self._line()
            word, _, rest = line.partition(b" ")
            if word == b"PING":
                self._send(b"PONG\r\n")
            elif word in (b"MSG", b"HMSG"):
                parts = rest.decode().split(" ")
                head = int(parts[-2]) if word == b"HMSG" else 0
                counts = 2 if word == b"HMSG" else 1
                reply = parts[2] if len(parts) == 3 + counts else ""
                data = self._take(int(parts[-1]) + 2)[:-2]
                return parts[0], reply, data[:head], data[head:]
            elif word == b"-ERR":
                raise Fault(f"the server answers {rest.decode()}")
            if time.monotonic() > end:
                raise Late("nothing came in time")

    def request(self, subject, payload=b"", patience=PATIENCE_S):
        """The one answer."""
        reply = f"{self.inbox}.{secrets.token_hex(6)}"
        self.publish(subject, payload, reply)
        end = time.monotonic() + patience
        while True:
            to, _, header, data = self.next(max(0.01, end - time.monotonic()))
            if to == reply:
                if header.startswith(b"NATS/1.0 503"):
                    raise Late(f"nobody answers {subject}: is JetStream up?")
                return data

    def ask(self, subject, **body):
        """A JetStream request; its error is a fault.

        Servers that are about to choose a leader answer nothing, and never will: so it is asked
        again. What is asked for twice is done once.
        """
        end = time.monotonic() + PATIENCE_S
        payload = json.dumps(body).encode() if body else b""
        while True:
            try:
                answer = json.loads(self.request("$JS.API." + subject, payload, AGAIN_S))
                break
            except Late:
                if time.monotonic() > end:
                    raise
                time.sleep(0.2)
        if "error" in answer:
            error = answer["error"]
            raise Refused(subject, error.get("err_code", 0), error.get("description", str(error)))
        return answer


class Refused(Fault):
    """JetStream's own no."""

    def __init__(self, subject, code, text):
        super().__init__(f"{subject}: {text} ({code})")
        self.code = code
