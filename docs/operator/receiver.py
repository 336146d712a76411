#!/usr/bin/env python3
"""The receiver contract in a page: receiver.py PORT DIR [CERT.pem KEY.pem]"""
import hashlib, http.server, json, os, pathlib, ssl, sys, threading

port, folder, lock = int(sys.argv[1]), pathlib.Path(sys.argv[2]), threading.Lock()
(folder / "evidence").mkdir(parents=True, exist_ok=True)
log = open(folder / "events.jsonl", "a+", encoding="utf-8")
log.seek(0)
known = {e["id"]: e["sha256"] for e in map(json.loads, log)}

def durable(file, data):
    file.write(data), file.flush(), os.fsync(file.fileno())

class Receiver(http.server.BaseHTTPRequestHandler):
    protocol_version, wbufsize = "HTTP/1.1", -1
    def do_POST(self):  # /events
        body, sha = self.body()
        event = json.loads(body)
        pictures = [p["sha256"] for p in event["data"].get("evidence", [])]
        with lock:
            if event["id"] in known:
                return self.receipt(event["id"], sha, "stored" if known[event["id"]] == sha else "refused")
            if not all((folder / "evidence" / p).exists() for p in pictures):
                return self.receipt(event["id"], sha, "evidence_missing")
            durable(log, json.dumps({"id": event["id"], "sha256": sha, "body": body.decode()}) + "\n")
            known[event["id"]] = sha
        self.receipt(event["id"], sha, "stored")
    def do_PUT(self):  # /evidence/<sha256>
        body, sha = self.body()
        name = self.path.rsplit("/", 1)[-1]
        if sha != name:
            return self.receipt(name, sha, "refused")
        with open(folder / f"{sha}.part", "wb") as part:
            durable(part, body)
        os.replace(part.name, folder / "evidence" / sha)
        self.receipt(name, sha, "stored")
    def body(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        return body, hashlib.sha256(body).hexdigest()
    def receipt(self, id, sha, status):
        answer = json.dumps({"id": id, "sha256": sha, "status": status}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

server = http.server.ThreadingHTTPServer(("0.0.0.0", port), Receiver)
if len(sys.argv) > 4:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(sys.argv[3], sys.argv[4])
    server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
server.serve_forever()
