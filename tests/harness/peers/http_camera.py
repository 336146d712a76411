#!/usr/bin/env python3
"""A camera that is asked for pictures over HTTP, as Hikvision's and Dahua's are.

    http_camera.py [--user NAME --password WORD --scheme basic|digest]
                   [--certificate PEM --key PEM] [--fault NAME] FOLDER

Each GET is answered with the next JPEG of FOLDER, in the order of numbers in their names, for
ever. Faults are what it does instead, after the login:

    huge      announces 4 GB and sends zeros          endless   sends chunks without end
    garbage   sends what is no picture                page      sends a web page
    mjpeg     sends a multipart stream                redirect  sends elsewhere
    dribble   sends a byte a second                   missing   answers 404
    stale     every nonce is old after one use        strange   wants a login nobody knows
    cut       sends half a picture                    closes    hangs up
    tail      adds what is its own to each picture    busy      each fourth: 503, or half a picture

Prints `READY PORT`, and `ASKED open|good|wrong` for every request.
"""
import argparse
import base64
import hashlib
import itertools
import pathlib
import re
import secrets
import ssl
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

REALM = "camera"


def md5(text):
    return hashlib.md5(text.encode()).hexdigest()


class Camera(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def login(self):
        """`open` without a login, else whether it is right."""
        a = self.server.options
        given = self.headers.get("Authorization")
        if not a.user or not given:
            return "open"
        if a.scheme == "basic":
            right = base64.b64encode(f"{a.user}:{a.password}".encode()).decode()
            return "good" if given == f"Basic {right}" else "wrong"
        parts = re.findall(r'(\w+)=(?:"([^"]*)"|([^,\s]*))', given)
        told = {key: quoted or plain for key, quoted, plain in parts}
        nonce = told.get("nonce")
        if nonce not in self.server.nonces or told.get("uri") != self.path:
            return "wrong"
        if a.fault == "stale":
            self.server.nonces.discard(nonce)
        first = md5(f"{a.user}:{REALM}:{a.password}")
        second = md5(f"GET:{self.path}")
        right = md5(f"{first}:{nonce}:{told.get('nc')}:{told.get('cnonce')}:{told.get('qop')}:{second}")
        return "good" if told.get("response") == right else "wrong"

    def challenge(self):
        a = self.server.options
        self.send_response(401)
        if a.fault == "strange":
            self.send_header("WWW-Authenticate", "Negotiate")
        elif a.scheme == "basic":
            self.send_header("WWW-Authenticate", f'Basic realm="{REALM}"')
        else:
            nonce = secrets.token_hex(16)
            self.server.nonces.add(nonce)
            self.send_header(
                "WWW-Authenticate", f'Digest realm="{REALM}", qop="auth", nonce="{nonce}", stale="false"'
            )
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self):
        login = self.login()
        print("ASKED", login, flush=True)
        if self.server.options.user and login != "good":
            return self.challenge()
        fault = self.server.options.fault
        if fault in ("huge", "endless", "garbage", "page", "mjpeg", "redirect", "dribble", "missing", "cut", "closes"):
            self.close_connection = True
            try:
                return getattr(self, fault)()
            except (BrokenPipeError, ConnectionResetError):
                return None
        jpeg = next(self.server.pictures)
        if fault == "tail":
            jpeg += b"temperature=35" * 1000
        self.server.turn = getattr(self.server, "turn", 0) + 1
        if fault == "busy" and self.server.turn % 8 == 3:
            return self.send_error(503)
        if fault == "busy" and self.server.turn % 8 == 7:
            jpeg = jpeg[: len(jpeg) // 2]
        self.picture(jpeg)

    def picture(self, jpeg, kind="image/jpeg"):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(jpeg)))
        self.end_headers()
        self.wfile.write(jpeg)

    def huge(self):
        self.send_response(200)
        self.send_header("Content-Length", str(4 << 30))
        self.end_headers()
        while True:
            self.wfile.write(bytes(1 << 16))

    def endless(self):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        chunk = b"\xff\xd8\xff" + bytes((1 << 16) - 3)
        while True:
            self.wfile.write(b"10000\r\n" + chunk + b"\r\n")

    def garbage(self):
        self.picture(bytes(range(256)) * 64)

    def page(self):
        self.picture(b"<!DOCTYPE html><html><body>Log in</body></html>", "image/jpeg")

    def mjpeg(self):
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=b")
        self.end_headers()
        while True:
            self.wfile.write(b"--b\r\nContent-Type: image/jpeg\r\n\r\n" + next(self.server.pictures) + b"\r\n")
            time.sleep(0.1)

    def redirect(self):
        self.send_response(302)
        self.send_header("Location", f"http://127.0.0.1:{self.server.server_port}/elsewhere?ticket=geheim")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def dribble(self):
        self.send_response(200)
        self.send_header("Content-Length", "5000")
        self.end_headers()
        for byte in b"\xff\xd8\xff" + bytes(4997):
            self.wfile.write(bytes([byte]))
            self.wfile.flush()
            time.sleep(1)

    def missing(self):
        self.send_error(404)

    def cut(self):
        jpeg = next(self.server.pictures)
        self.picture(jpeg[: len(jpeg) // 2])

    def closes(self):
        self.connection.close()


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--user")
    ap.add_argument("--password")
    ap.add_argument("--scheme", choices=("basic", "digest"), default="digest")
    ap.add_argument("--certificate")
    ap.add_argument("--key")
    ap.add_argument("--fault")
    ap.add_argument("folder", type=pathlib.Path)
    a = ap.parse_args()
    names = sorted(a.folder.glob("*.jpg"), key=lambda path: int("0" + re.sub(r"\D", "", path.stem)))
    if not names:
        raise SystemExit(f"{a.folder}: no picture in it")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Camera)
    server.daemon_threads = True
    server.options = a
    server.nonces = set()
    server.pictures = itertools.cycle([path.read_bytes() for path in names])
    if a.certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(a.certificate, a.key)
        # The handshake belongs to the connection's own thread.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    print("READY", server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
