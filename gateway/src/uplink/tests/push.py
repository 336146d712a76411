"""A case platform for tests, written from docs/operator/profiles.md and the two shapes alone.

Usage: push.py FORM|JSON STATE_FILE. Prints its port. Reads one command a line from stdin:
  expire      forget all sessions and tokens
  fail N      answer the next N reports with an error in HTTP 200
  status N S  answer the next N requests with HTTP status S
  half N      keep the next N reports and hang up in the middle of the answer
  drop N      keep nothing of the next N reports and hang up
  slow N MS   answer the next N requests after MS milliseconds
  password P  take only this password
STATE_FILE is rewritten after each change: cases, uploads, log-ins, refused requests.
"""

import http.server
import json
import re
import secrets
import sys
import threading
import time
import urllib.parse
from email.parser import BytesParser

SHAPE, STATE = sys.argv[1], sys.argv[2]
LOCK = threading.Lock()
sessions = set()
plan = {"fail": 0, "status": (0, 200), "half": 0, "drop": 0, "slow": (0, 0), "password": "secret"}
state = {"cases": [], "uploads": {}, "logins": 0, "denied": 0, "reports": 0, "lookups": 0, "clears": []}


def save():
    with open(STATE + ".new", "w") as out:
        json.dump(state, out)
    import os

    os.replace(STATE + ".new", STATE)


def take(name):
    with LOCK:
        value = plan[name]
        if isinstance(value, tuple):
            if value[0] > 0:
                plan[name] = (value[0] - 1, value[1])
                return value[1]
            return None
        if value > 0:
            plan[name] = value - 1
            return True
        return None


def multipart(headers, body):
    head = b"Content-Type: " + headers["Content-Type"].encode() + b"\r\n\r\n"
    message = BytesParser().parsebytes(head + body)
    fields, files = {}, []
    for part in message.get_payload():
        name = part.get_param("name", header="content-disposition")
        payload = part.get_payload(decode=True)
        if part.get_filename():
            files.append((name, part.get_filename(), part.get_content_type(), payload))
        else:
            assert name not in fields, name
            fields[name] = payload.decode()
    return fields, files


class Platform(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, document, status=200, headers=(), cut=False):
        body = json.dumps(document, ensure_ascii=False).encode()
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json;charset=UTF-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if cut else body)
        self.wfile.flush()
        if cut:
            self.close_connection = True
            self.connection.close()

    def handle_one(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        wait = take("slow")
        if wait:
            time.sleep(wait / 1000)
        status = take("status")
        if status:
            return self.answer({"error": "planned"}, status)
        path = urllib.parse.urlsplit(self.path)
        route = getattr(self, SHAPE.lower())
        route(path.path, urllib.parse.parse_qs(path.query), body)

    do_GET = do_POST = do_PUT = handle_one

    # ---- forms in a session ----

    def form(self, path, query, body):
        kind = self.headers.get("Content-Type", "")
        if path == "/base/login/validpassword":
            fields = dict(urllib.parse.parse_qsl(body.decode(), strict_parsing=True))
            if (fields["userName"], fields["password"]) != ("station", plan["password"]):
                with LOCK:
                    state["denied"] += 1
                    save()
                return self.answer({"hasError": True, "message": "密码错误"})
            session = secrets.token_hex(8)
            with LOCK:
                sessions.add(session)
                state["logins"] += 1
                save()
            cookie = f"JSESSIONID={session}; Path=/; HttpOnly"
            return self.answer({"hasError": False}, headers=[("Set-Cookie", cookie)])
        found = re.search(r"JSESSIONID=(\w+)", self.headers.get("Cookie", ""))
        if not found or found.group(1) not in sessions:
            return self.answer({"hasError": True, "message": "请先登录"})
        if path == "/base/api/cgdbstat/records/count":
            number = json.loads(body)["otherTaskNum"]
            with LOCK:
                state["lookups"] += 1
                there = [c for c in state["cases"] if c["otherTaskNum"] == number]
                save()
            result = {"taskNum": there[0]["taskNum"]} if there else None
            return self.answer({"hasError": False, "totalCount": len(there), "result": result})
        if path == "/base/home/mis/rec/saverec":
            if kind.startswith("multipart/"):
                fields, files = multipart(self.headers, body)
            else:
                pairs = urllib.parse.parse_qsl(body.decode(), strict_parsing=True)
                assert len(pairs) == len(dict(pairs)), pairs
                fields, files = dict(pairs), []
            fields["files"] = [[n, f, t, len(b)] for n, f, t, b in files]
            return self.keep(fields, {"hasError": True, "message": "数据库忙"},
                             lambda n: {"hasError": False, "result": {"taskNum": n}})
        self.answer({"hasError": True, "message": path}, 404)

    # ---- JSON with a token ----

    def json(self, path, query, body):
        if self.headers.get("tenant-id") != "1":
            return self.answer({"code": 400, "msg": "no tenant"})
        if path == "/base/admin-api/system/auth/login":
            who = json.loads(body)
            if who != {"username": "station", "password": plan["password"]}:
                with LOCK:
                    state["denied"] += 1
                    save()
                return self.answer({"code": 1002000000, "msg": "账号密码不正确"})
            token = secrets.token_hex(8)
            with LOCK:
                sessions.add(token)
                state["logins"] += 1
                save()
            return self.answer({"code": 0, "data": {"accessToken": token}})
        if self.headers.get("Authorization", "")[len("Bearer "):] not in sessions:
            return self.answer({"code": 401, "msg": "账号未登录"})
        if path == "/base/admin-api/infra/file/upload":
            _, files = multipart(self.headers, body)
            [(name, file_name, media_type, payload)] = files
            assert name == "file" and media_type == "image/jpeg", files
            address = f"https://files.example/{len(payload)}/{file_name}"
            with LOCK:
                state["uploads"][address] = state["uploads"].get(address, 0) + 1
                save()
            return self.answer({"code": 0, "data": address})
        if path == "/base/admin-api/event/report/get-by-rpt-id":
            number = query["rptId"][0]
            with LOCK:
                state["lookups"] += 1
                there = [c for c in state["cases"] if c["rptId"] == number]
                save()
            return self.answer({"code": 0, "data": {"id": there[0]["taskNum"]} if there else None})
        if path == "/base/admin-api/event/report/create":
            return self.keep(json.loads(body), {"code": 500, "msg": "系统异常"},
                             lambda n: {"code": 0, "data": n})
        if path == "/base/admin-api/event/report/update-status" and self.command == "PUT":
            with LOCK:
                state["clears"].append(json.loads(body))
                save()
            return self.answer({"code": 0, "data": True})
        self.answer({"code": 404, "msg": path}, 404)

    def keep(self, case, failure, success):
        with LOCK:
            state["reports"] += 1
            save()
        if take("fail"):
            return self.answer(failure)
        if take("drop"):
            self.close_connection = True
            return self.connection.close()
        with LOCK:
            case["taskNum"] = 1000 + len(state["cases"])
            state["cases"].append(case)
            save()
        self.answer(success(case["taskNum"]), cut=bool(take("half")))


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True


server = Server(("127.0.0.1", 0), Platform)
save()
print(server.server_address[1], flush=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
for line in sys.stdin:
    word, *rest = line.split()
    with LOCK:
        if word == "expire":
            sessions.clear()
        elif word == "password":
            plan["password"] = rest[0]
        elif len(rest) == 2:
            plan[word] = (int(rest[0]), int(rest[1]))
        else:
            plan[word] = int(rest[0])
    print("ok", flush=True)
