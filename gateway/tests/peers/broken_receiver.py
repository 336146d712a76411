"""Receivers that are wrong in one way each: broken_receiver.py FAULT PORT DIR [...], see FAULTS.

Each is the receiver of the operator's guide with one thing done wrong, so that what conformance
finds is that one thing.
"""
import hashlib, importlib.util, json, pathlib, sys, time

guide = pathlib.Path(__file__).resolve().parents[3] / "docs/operator/receiver.py"
spec = importlib.util.spec_from_file_location("receiver", guide)
good = importlib.util.module_from_spec(spec)
spec.loader.exec_module(good)

class Rehashes(good.Store):
    """Hashes the JSON that it wrote anew."""
    def event(self, body, sha):
        try:
            again = json.dumps(json.loads(body), ensure_ascii=False, separators=(",", ":"))
        except ValueError:
            return super().event(body, sha)
        return super().event(body, hashlib.sha256(again.encode()).hexdigest())

class EchoesName(good.Store):
    """Believes the hash in the path."""
    def picture(self, name, body, sha):
        return super().picture(name, body, name)

class ForgetsRepeats(good.Store):
    """Calls a repeat a duplicate."""
    def event(self, body, sha):
        answer = super().event(body, sha)
        seen = self.__dict__.setdefault("seen", set())
        if answer["status"] == "stored" and sha in seen:
            return good.receipt(answer["id"], sha, "refused", "duplicate")
        if answer["status"] == "stored":
            seen.add(sha)
        return answer

class Careless(good.Store):
    """Answers before it stores, and never does."""
    def __init__(self, *args):
        super().__init__(*args)
        good.durable = lambda file, data: None

class Overwrites(good.Store):
    """Takes the newest under an id."""
    def event(self, body, sha):
        try:
            id, _ = self.read(body)
            self.known.pop(id, None)
        except good.Unfit:
            pass
        return super().event(body, sha)

class NeverMissing(good.Store):
    """Stores alerts without their pictures."""
    def read(self, body):
        return super().read(body)[0], []

class Insists(good.Store):
    """Wants the large picture although it has the small one."""
    def here(self, picture):
        return (self.evidence / picture["sha256"]).exists()

class Lax(good.Store):
    """Stores whatever is JSON with an id."""
    def __init__(self, folder, schemas=None):
        super().__init__(folder, None)

class Strict(good.Store):
    """Refuses keys that it does not know."""
    def read(self, body):
        result = super().read(body)
        known = {"specversion", "id", "source", "type", "subject", "time", "datacontenttype",
                 "dataschema", "data", "padding", "extra", "clock", "bootid", "uptimems", "software",
                 "confighash", "sequence", "previous", "keyid", "signature"}
        unknown = set(json.loads(body)) - known
        if unknown:
            raise good.Unfit(result[0], f"unknown keys {unknown}")
        return result

class Distrusts(good.Store):
    """Refuses what is sealed with a key that it does not know."""
    def read(self, body):
        result = super().read(body)
        if "signature" in json.loads(body):
            raise good.Unfit(result[0], "the key is not registered")
        return result

class InOrder(good.Store):
    """Refuses an update of an alert that it does not know."""
    def event(self, body, sha):
        try:
            data = json.loads(body)["data"]
            alert, revision = data.get("alert_id"), data.get("revision")
        except (ValueError, KeyError, TypeError, AttributeError):
            return super().event(body, sha)
        raised = self.__dict__.setdefault("raised", set())
        if isinstance(revision, int) and revision > 1 and alert not in raised:
            return good.receipt(json.loads(body)["id"], sha, "refused", "unknown alert")
        answer = super().event(body, sha)
        raised.add(alert)
        return answer

class Racy(good.Store):
    """Looks, waits, stores: copies at the same time collide as in a table with a unique key."""
    coming = set()

    def event(self, body, sha):
        try:
            id, pictures = self.read(body)
        except good.Unfit:
            return super().event(body, sha)
        there, first = id in self.known, id not in self.coming
        self.coming.add(id)
        time.sleep(0.2)
        if not there and not first:
            return good.receipt(id, sha, "refused", "duplicate key value violates unique constraint")
        self.coming.discard(id)
        return super().event(body, sha)

class SmallPictures(good.Receiver):
    """Its proxy takes a mebibyte."""
    def do_PUT(self):
        if int(self.headers["Content-Length"]) > 1 << 20:
            return self.take(1 << 20, None, "")
        super().do_PUT()

class Empty(good.Receiver):
    """200, and nothing in it."""
    def answer(self, status, body=None):
        super().answer(status, None)

class ErrorBody(good.Receiver):
    """200 for everything, errors are in the body."""
    def answer(self, status, body=None):
        super().answer(200, {"code": 0, "msg": "ok"} if status == 200 else {"code": status})

class Crashes(good.Receiver):
    """500 for whatever it will not take."""
    def answer(self, status, body=None):
        refused = body and body["status"] == "refused"
        super().answer(500 if refused else status, None if refused else body)

class Open(good.Receiver):
    """Never asks for the token."""
    def take(self, *args):
        self.token = None
        super().take(*args)

class StoresFirst(good.Receiver):
    """Stores, then looks at the token."""
    def take(self, limit, store, path):
        token, self.token, right = self.token, None, self.headers.get("Authorization", "")
        self.allowed = right.encode() == b"Bearer " + token if token else True
        super().take(limit, store, path)

    def answer(self, status, body=None):
        super().answer(*(status, body) if self.allowed else (401, None))

class BadRequest(good.Receiver):
    """400 in place of a refusal."""
    def answer(self, status, body=None):
        refused = body and body["status"] == "refused"
        super().answer(400 if refused else status, body)

class Redirects(good.Receiver):
    """Sends everybody elsewhere."""
    def answer(self, status, body=None):
        super().answer(307, None)

class Behind(good.Receiver):
    """An array of receipts, in which the message's own is not the first."""
    def answer(self, status, body=None):
        other = good.receipt("01936b2a-7c4e-7a10-8b1c-0123456789ab", "0" * 64, "stored")
        super().answer(status, [other, body] if body else None)

FAULTS = {
    "none": {}, "rehashes": {"store": Rehashes}, "echoes-name": {"store": EchoesName},
    "forgets-repeats": {"store": ForgetsRepeats}, "careless": {"store": Careless},
    "overwrites": {"store": Overwrites}, "never-missing": {"store": NeverMissing},
    "lax": {"store": Lax}, "strict": {"store": Strict}, "in-order": {"store": InOrder},
    "distrusts": {"store": Distrusts},
    "racy": {"store": Racy}, "small-pictures": {"receiver": SmallPictures},
    "empty": {"receiver": Empty}, "error-body": {"receiver": ErrorBody},
    "crashes": {"receiver": Crashes}, "open": {"receiver": Open},
    "stores-first": {"receiver": StoresFirst}, "bad-request": {"receiver": BadRequest},
    "redirects": {"receiver": Redirects}, "behind": {"receiver": Behind},
    "insists": {"store": Insists},
}
good.main(**FAULTS[sys.argv.pop(1)])
