#!/usr/bin/env python3
"""Verify one stored alert in a page: verify.py KEY(base64) ALERT.json [PICTURES]"""
import base64, hashlib, json, pathlib, sys
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

body = pathlib.Path(sys.argv[2]).read_bytes()
head, signature = body.removesuffix(b'"}').rsplit(b',"signature":"', 1)
key = Ed25519PublicKey.from_public_bytes(base64.b64decode(sys.argv[1]))
key.verify(base64.urlsafe_b64decode(signature + b"=="), head + b"}")  # raises if it is not so
alert = json.loads(body)
for picture in alert["data"].get("evidence", []) if len(sys.argv) > 3 else []:
    file = next(pathlib.Path(sys.argv[3]).glob(picture["sha256"] + "*"))
    assert hashlib.sha256(file.read_bytes()).hexdigest() == picture["sha256"], file
print("sequence", alert["sequence"], "previous", alert["previous"], "this", hashlib.sha256(body).hexdigest())
