"""Passwords and certificates: made once, kept, renewed when asked."""

import base64
import ctypes
import ctypes.util
import hashlib
import json
import os
import pathlib
import secrets
import subprocess

from plan import Fault

# A password of 256 random bits is not guessed, so a slow hash would protect nothing; but each
# connection would pay for it: 2^11 rounds are 0.1 s of a core, and a city that reconnects after
# an outage would wait for its login. 4 is the least that bcrypt has.
BCRYPT_COST = 4
# Mosquitto's own default is 101 rounds of PBKDF2; the same reasoning holds.
PBKDF2_ROUNDS = 101
CA_DAYS = 3_650
NODE_DAYS = 825
# A certificate that ends within so many seconds is made anew by `build`.
RENEW_S = 60 * 86_400


def write(path, text, mode=0o600):
    """Replaces a file at once; secrets are never readable by others, not even for a moment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    part.replace(path)


def bcrypt(password):
    """`$2a$…`, the only form that nats-server takes for a hash, by the system's libcrypt."""
    name = ctypes.util.find_library("crypt") or "libcrypt.so.1"
    try:
        crypt = ctypes.CDLL(name).crypt
    except OSError:
        raise Fault("libcrypt is missing; on Debian: apt-get install libcrypt1") from None
    crypt.restype = ctypes.c_char_p
    alphabet = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    # 16 bytes are 22 characters, the last of which has two bits only.
    salt = "".join(secrets.choice(alphabet) for _ in range(21)) + secrets.choice(".Oeu")
    setting = f"$2a${BCRYPT_COST:02}${salt}"
    made = crypt(password.encode(), setting.encode())
    if not made or not made.startswith(b"$2a$"):
        raise Fault("this system's libcrypt has no bcrypt")
    return made.decode()


def pbkdf2(password):
    """A line's hash as Mosquitto 2 has it."""
    salt = secrets.token_bytes(12)
    made = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, PBKDF2_ROUNDS)
    encode = lambda data: base64.b64encode(data).decode()
    return f"$7${PBKDF2_ROUNDS}${encode(salt)}${encode(made)}"


class Book:
    """Hashes by user, kept in a file; passwords go into files of their own, once."""

    def __init__(self, folder, scheme):
        self.folder = folder
        self.path = folder / "hashes.json"
        self.hash = {"bcrypt": bcrypt, "pbkdf2": pbkdf2}[scheme]
        self.hashes = json.loads(self.path.read_text()) if self.path.exists() else {}
        self.made = []

    def user(self, name, renew=False):
        """The user's hash; a new user's password is written to `passwords/NAME`."""
        if renew or name not in self.hashes:
            password = secrets.token_urlsafe(32)
            self.hashes[name] = self.hash(password)
            write(self.folder / "passwords" / name, password + "\n")
            self.made.append(name)
        return self.hashes[name]

    def keep(self, names):
        """Forgets all others; returns who was forgotten."""
        gone = sorted(self.hashes.keys() - set(names))
        for name in gone:
            del self.hashes[name]
            (self.folder / "passwords" / name).unlink(missing_ok=True)
        write(self.path, json.dumps(self.hashes, indent=0, sort_keys=True) + "\n")
        return gone


def openssl(*arguments):
    """Runs openssl; its words are the fault's."""
    try:
        done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise Fault("openssl is missing; on Debian: apt-get install openssl") from None
    if done.returncode:
        raise Fault(f"openssl {arguments[0]}: {done.stderr.strip()}")


def good(certificate):
    """Whether it lasts some time yet."""
    command = ["openssl", "x509", "-checkend", str(RENEW_S), "-noout", "-in", str(certificate)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


KEY = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc"]


def authority(folder, name):
    """The fleet's CA, made if it is not there."""
    certificate, key = folder / "ca.pem", folder / "ca.key"
    if not certificate.exists():
        folder.mkdir(parents=True, exist_ok=True)
        os.umask(0o077)
        openssl(
            *KEY, "-days", str(CA_DAYS), "-subj", f"/CN=wangge fleet {name}",
            "-addext", "basicConstraints=critical,CA:TRUE,pathlen:0",
            "-addext", "keyUsage=critical,keyCertSign,cRLSign",
            "-keyout", str(key), "-out", str(certificate),
        )  # fmt: skip
    return certificate, key


def certificate(folder, node, ca):
    """The node's certificate for what it is called and for the addresses it has."""
    made, key = folder / "cert.pem", folder / "key.pem"
    names = [node.address, *node.names, "localhost", "127.0.0.1"]
    kind = lambda name: "IP" if name.replace(".", "").isdigit() or ":" in name else "DNS"
    alternative = ",".join(dict.fromkeys(f"{kind(name)}:{name}" for name in names))
    told = folder / "cert.names"
    if made.exists() and good(made) and told.exists() and told.read_text() == alternative:
        return
    if not ca[1].exists():
        raise Fault(f"{ca[1]} is not here: fetch it from where you keep it, to make {made}")
    folder.mkdir(parents=True, exist_ok=True)
    os.umask(0o077)
    # Servers are each other's clients on the routes.
    openssl(
        *KEY, "-days", str(NODE_DAYS), "-subj", f"/CN={node.name}",
        "-CA", str(ca[0]), "-CAkey", str(ca[1]),
        "-addext", f"subjectAltName={alternative}",
        "-addext", "basicConstraints=critical,CA:FALSE",
        "-addext", "extendedKeyUsage=serverAuth,clientAuth",
        "-keyout", str(key), "-out", str(made),
    )  # fmt: skip
    write(told, alternative)


def folder(path):
    """An output folder that only its owner can enter."""
    path = pathlib.Path(path)
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path
