#!/usr/bin/env python3
"""Contract v1 of receiver.md over HTTPS in two pages; the clauses are named where they are kept.

receiver.py PORT DIR [CERT.pem KEY.pem] [--token-file FILE] [--schemas protocol/schema]
Without a certificate it serves plain HTTP on loopback; --schemas needs `pip install jsonschema`.
"""
import argparse, hashlib, hmac, http.server, json, os, pathlib, re, ssl, threading

MAX_EVENT, MAX_PICTURE = 64 << 10, 2 << 20  # C-14, C-23: a station sends 3,584 bytes and 2 MiB
NAMES = {f"urn:wangge:schema:{name}:1": name for name in (
    "alert", "answer", "clock", "digest", "gap", "telemetry")}

class Unfit(Exception):
    """Will never be taken as it is; the id, as far as it could be read, and why."""

class Store:
    def __init__(self, folder, schemas=None):
        self.evidence, self.lock = folder / "evidence", threading.Lock()
        self.evidence.mkdir(parents=True, exist_ok=True)
        self.log = open(folder / "events.jsonl", "ab+")
        self.log.seek(0)
        lines = self.log.read().split(b"\n")
        self.log.truncate(sum(len(line) + 1 for line in lines[:-1]))  # a crash may cut a line off
        self.known = {e["id"]: e["sha256"] for e in map(json.loads, lines[:-1])}
        self.checks = {}
        if schemas:
            import jsonschema
            for uri, name in NAMES.items():
                file = schemas / f"{name}.json"
                if file.exists():
                    self.checks[uri] = jsonschema.Draft202012Validator(json.loads(file.read_text()))

    def read(self, body):  # C-15, C-16
        try:
            event = json.loads(body)
        except (ValueError, RecursionError) as e:
            raise Unfit(None, f"not JSON: {e}") from e
        id = event.get("id") if isinstance(event, dict) else None
        if not isinstance(id, str) or not id:
            raise Unfit(None, "no id")
        data, schema = event.get("data"), event.get("dataschema")
        if not isinstance(data, dict) or not isinstance(schema, str):
            raise Unfit(id, "data or dataschema is missing")
        if self.checks:
            if schema not in self.checks:
                raise Unfit(id, f"dataschema {schema} is not known here")
            error = next(self.checks[schema].iter_errors(event), None)
            if error:
                raise Unfit(id, f"{error.json_path}: {error.message}"[:300])
        pictures = data.get("evidence", [])
        if not isinstance(pictures, list) or not all(
            isinstance(p, dict) and re.fullmatch("[0-9a-f]{64}", str(p.get(name, "0" * 64)))
            for p in pictures for name in ("sha256", "thumbnail")
        ):
            raise Unfit(id, "data.evidence is not a list of pictures")
        return id, pictures

    def here(self, picture):  # C-25: a small one in its place will do
        return any(name and (self.evidence / name).exists()
                   for name in (picture["sha256"], picture.get("thumbnail")))

    def event(self, body, sha):
        try:
            id, pictures = self.read(body)
        except Unfit as e:
            return receipt(e.args[0] or sha, sha, "refused", e.args[1])
        with self.lock:  # C-6: looking and storing are one
            if id in self.known:
                if self.known[id] == sha:
                    return receipt(id, sha, "stored")  # C-4
                return receipt(id, sha, "refused", "other bytes are stored under this id")  # C-5
            for picture in pictures:
                if not self.here(picture):
                    missing = f"{picture['sha256']} is not here"
                    return receipt(id, sha, "evidence_missing", missing)  # C-22
            line = {"id": id, "sha256": sha, "body": body.decode()}
            durable(self.log, json.dumps(line).encode() + b"\n")  # C-3: before the receipt
            self.known[id] = sha
        return receipt(id, sha, "stored")

    def picture(self, name, body, sha):
        if name != sha:
            return receipt(name, sha, "refused", "its bytes do not have this hash")  # C-21
        part = self.evidence / f"{sha}.{threading.get_ident()}.part"
        with open(part, "wb") as file:
            durable(file, body)
        os.replace(part, self.evidence / sha)
        folder = os.open(self.evidence, os.O_RDONLY)
        os.fsync(folder), os.close(folder)
        return receipt(name, sha, "stored")

def durable(file, data):
    file.write(data), file.flush(), os.fsync(file.fileno())

def receipt(id, sha, status, reason=None):
    return {"id": id, "sha256": sha, "status": status, **({"reason": reason} if reason else {})}

class Receiver(http.server.BaseHTTPRequestHandler):
    protocol_version, wbufsize, timeout = "HTTP/1.1", -1, 60
    store = token = None

    def do_POST(self):
        self.take(MAX_EVENT, lambda body, sha: self.store.event(body, sha), "/events")

    def do_PUT(self):
        name = self.path.rsplit("/", 1)[-1]
        self.take(MAX_PICTURE, lambda body, sha: self.store.picture(name, body, sha),
                  "/evidence/[0-9a-f]{64}")

    def take(self, limit, store, path):
        length = self.headers.get("Content-Length", "")
        if not length.isdigit():
            self.close_connection = True
            return self.answer(411)
        body, left = b"", int(length)
        while left > 0:  # read to the end in any case: who is cut off does not see the answer
            part = self.rfile.read(min(left, 1 << 16))
            if not part:
                return
            left -= len(part)
            if int(length) <= limit:
                body += part
        given = self.headers.get("Authorization", "").encode()
        if self.token and not hmac.compare_digest(given, b"Bearer " + self.token):
            return self.answer(401)  # C-30
        if not re.fullmatch(f".*{path}", self.path):
            return self.answer(404)
        if int(length) > limit:
            return self.answer(413)  # C-17
        self.answer(200, store(body, hashlib.sha256(body).hexdigest()))  # C-2

    def answer(self, status, body=None):
        body = json.dumps(body).encode() if body else b""
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

def main(receiver=Receiver, store=Store):
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    args.add_argument("port", type=int)
    args.add_argument("dir", type=pathlib.Path)
    args.add_argument("pem", nargs="*", type=pathlib.Path, help="certificate and key")
    args.add_argument("--token-file", type=pathlib.Path)
    args.add_argument("--schemas", type=pathlib.Path)
    args = args.parse_args()
    receiver.store = store(args.dir, args.schemas)
    receiver.token = args.token_file and args.token_file.read_bytes().strip()
    host = "0.0.0.0" if args.pem else "127.0.0.1"
    server = http.server.ThreadingHTTPServer((host, args.port), receiver)
    if args.pem:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(*args.pem)
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.serve_forever()

if __name__ == "__main__":
    main()
