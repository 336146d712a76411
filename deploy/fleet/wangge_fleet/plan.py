"""What the operator wrote: fleet.toml and the list of stations, checked."""

import pathlib
import re
import tomllib
from dataclasses import dataclass

# As `wangge check` has it for station ids, without the dot: NATS takes it for a separator of
# subjects and closes the connection of whoever publishes to such a topic.
STATION = re.compile(r"[A-Za-z0-9_-]{1,64}")
NODE = re.compile(r"[A-Za-z0-9-]{1,32}")
PREFIX = re.compile(r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*")
SIZE = re.compile(r"([0-9]+) ?(MiB|GiB|TiB)")
AGE = re.compile(r"([0-9]+) ?(h|d)")
# Users of the broker that are no stations.
RESERVED = ("platform", "reader", "admin", "system")


class Fault(Exception):
    """Something that the operator can mend; the text says what, where and how."""


@dataclass(frozen=True)
class Node:
    """One server."""

    name: str
    address: str
    names: tuple[str, ...]
    mqtt: int
    client: int
    routes: int
    monitor: int
    store: str


@dataclass(frozen=True)
class Plan:
    """A fleet."""

    name: str
    prefix: str
    stations: tuple[str, ...]
    nodes: tuple[Node, ...]
    file_bytes: int
    message_bytes: int
    message_age_s: int
    session_bytes: int
    etc: str

    @property
    def subject(self):
        """The stations' prefix as a NATS subject."""
        return self.prefix.replace("/", ".")


def size(text):
    """Bytes of "200 GiB"."""
    match = SIZE.fullmatch(text)
    if not match:
        raise ValueError(f'"{text}" is no size; write e.g. "200 GiB"')
    unit = {"MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}[match[2]]
    return int(match[1]) * unit


def age(text):
    """Seconds of "72h" or "3d"."""
    match = AGE.fullmatch(text)
    if not match:
        raise ValueError(f'"{text}" is no length of time; write e.g. "72h"')
    return int(match[1]) * {"h": 3_600, "d": 86_400}[match[2]]


def stations(path):
    """The ids in a plain list: one a line, `#` begins a remark."""
    faults, found = [], {}
    try:
        lines = path.read_text("utf-8").splitlines()
    except OSError as e:
        raise Fault(f"{path}: {e.strerror}; write one station id a line") from None
    for number, line in enumerate(lines, 1):
        name = line.split("#", 1)[0].strip()
        if not name:
            continue
        where = f"{path}:{number}: station {name!r}"
        if "." in name:
            faults.append(f"{where} has a dot, which NATS cannot have in a topic; use `-`")
        elif not STATION.fullmatch(name):
            faults.append(f"{where}: letters, digits, `-` and `_`, 64 at most")
        elif name in RESERVED:
            faults.append(f"{where} is the name of an account of the platform's")
        elif name in found:
            faults.append(f"{where} stands in line {found[name]} already")
        found.setdefault(name, number)
    if not found:
        faults.append(f"{path}: no station")
    if faults:
        raise Fault("\n".join(faults))
    return tuple(found)


TOP = {"name", "prefix", "stations", "etc", "storage", "node"}
STORAGE = {"file", "messages", "age", "sessions"}
OF_NODE = {"name", "address", "names", "mqtt", "client", "routes", "monitor", "store"}


def load(path):
    """Reads and checks a fleet.toml; all faults at once."""
    path = pathlib.Path(path)
    try:
        raw = tomllib.loads(path.read_text("utf-8"))
    except OSError as e:
        raise Fault(f"{path}: {e.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise Fault(f"{path}: {e}") from None
    faults = []

    def known(table, keys, where):
        for key in table.keys() - keys:
            faults.append(f"{where}: `{key}` is not known; there are {', '.join(sorted(keys))}")

    def take(table, key, default, convert, where):
        try:
            return convert(table.get(key, default))
        except (ValueError, TypeError, AttributeError) as e:
            faults.append(f"{where}: `{key}`: {e}")
            return convert(default)

    def text(pattern):
        def convert(value):
            if not isinstance(value, str) or not pattern.fullmatch(value):
                raise ValueError(f"{value!r} does not fit {pattern.pattern}")
            return value

        return convert

    def port(value):
        if not isinstance(value, int) or not 0 < value < 65_536:
            raise ValueError(f"{value!r} is no port")
        return value

    known(raw, TOP, str(path))
    storage = raw.get("storage", {})
    known(storage, STORAGE, f"{path}: [storage]")
    nodes = []
    for number, table in enumerate(raw.get("node", []), 1):
        where = f"{path}: [[node]] {number}"
        known(table, OF_NODE, where)
        if "address" not in table:
            faults.append(f"{where}: no `address`; other nodes and stations reach it there")
        name = take(table, "name", f"n{number}", text(NODE), where)
        node = Node(
            name=name,
            address=str(table.get("address", "127.0.0.1")),
            names=tuple(str(n) for n in table.get("names", [])),
            mqtt=take(table, "mqtt", 8883, port, where),
            client=take(table, "client", 4222, port, where),
            routes=take(table, "routes", 6222, port, where),
            monitor=take(table, "monitor", 8222, port, where),
            store=str(table.get("store", "/var/lib/nats/jetstream")),
        )
        if any(n.name == name for n in nodes):
            faults.append(f"{where}: the name {name} is taken")
        nodes.append(node)
    if len(nodes) not in (1, 3, 5):
        faults.append(f"{path}: {len(nodes)} nodes; a majority needs 3 or 5 (1 for a trial)")
    where = f"{path}: [storage]"
    file = take(storage, "file", "200 GiB", size, where)
    messages = take(storage, "messages", "150 GiB", size, where)
    sessions = take(storage, "sessions", "1 GiB", size, where)
    if messages + sessions > file:
        faults.append(f"{where}: `messages` and `sessions` together are more than `file`")
    listed = path.parent / str(raw.get("stations", "stations.txt"))
    names = ()
    try:
        names = stations(listed)
    except Fault as e:
        faults.append(str(e))
    plan = Plan(
        name=take(raw, "name", "wangge", text(NODE), str(path)),
        prefix=take(raw, "prefix", "wangge/v1", text(PREFIX), str(path)),
        stations=names,
        nodes=tuple(nodes),
        file_bytes=file,
        message_bytes=messages,
        message_age_s=take(storage, "age", "72h", age, where),
        session_bytes=sessions,
        etc=str(raw.get("etc", "/etc/nats")),
    )
    if faults:
        raise Fault("\n".join(faults))
    return plan
