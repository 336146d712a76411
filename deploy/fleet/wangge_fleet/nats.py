"""Configuration of a NATS cluster: one file a node, one list of users for all."""

import json

from keys import write

# A picture has 2 MiB at most; topic and headers come on top. Version 2.9 does not apply this to
# what comes over MQTT (3.3 MB passed), but to what readers over NATS send and restore.
MAX_PAYLOAD = 3 << 20
# Messages on their way to an MQTT receiver at once. The server lets each of its subscriptions have
# as many, but the session as a whole no more than this: what is beyond is sent again only after
# ACK_WAIT, however soon the receiver catches up. With 100 and 60 s, 500 stations that came back
# with pictures got no receipts in time, repeated, and filled the stream.
MAX_ACK_PENDING = 1_000
ACK_WAIT = "30s"
# Login and TLS of many stations at once take their turns; the default of 2 s would end those
# that wait, and they would begin again.
TIMEOUT_S = 30

# What a station writes and reads below its prefix (docs/operator/receiver.md).
UP = ("alerts", "gaps", "answers", "digest", "telemetry.*", "evidence.>")
DOWN = ("receipts", "verdicts", "commands")


def quoted(items):
    """A list of strings as the server's configuration has it, which is as in JSON."""
    return json.dumps(list(items))


def user(name, hashed, publish, subscribe, kinds):
    """One entry of the list of users."""
    return (
        f"      {{ user: {json.dumps(name)}, password: {json.dumps(hashed)},\n"
        f"        permissions: {{ publish: {quoted(publish)}, subscribe: {quoted(subscribe)} }},\n"
        f"        allowed_connection_types: {quoted(kinds)} }}\n"
    )


def users(plan, book):
    """accounts.conf: every station limited to its own subjects."""
    base = plan.subject
    entries = []
    for station in plan.stations:
        own = f"{base}.{station}"
        entries.append(
            user(
                station,
                book.user(station),
                [f"{own}.{what}" for what in UP],
                # The server delivers QoS 1 through a subject of this kind; a client cannot
                # subscribe to it by itself.
                [f"{own}.{what}" for what in DOWN] + ["$MQTT.sub.>"],
                ["MQTT"],
            )
        )
    up, down = [f"{base}.*.{what}" for what in UP], [f"{base}.*.{what}" for what in DOWN]
    stream = "$MQTT_msgs"
    entries.append(user("platform", book.user("platform"), down, [*up, "$MQTT.sub.>"], ["MQTT"]))
    entries.append(
        user(
            "reader",
            book.user("reader"),
            [
                *down,
                f"$JS.API.STREAM.INFO.{stream}",
                f"$JS.API.CONSUMER.INFO.{stream}.>",
                f"$JS.API.CONSUMER.MSG.NEXT.{stream}.>",
                f"$JS.ACK.{stream}.>",
            ],
            ["_INBOX.>"],
            ["STANDARD"],
        )
    )
    entries.append(user("admin", book.user("admin"), [">"], [">"], ["STANDARD"]))
    system = user("system", book.user("system"), [">"], [">"], ["STANDARD"])
    return (
        "# Made by wangge_fleet build; changes here are lost.\n"
        "accounts {\n  SYS {\n    users: [\n" + system + "    ]\n  }\n"
        "  WANGGE {\n    jetstream: enabled\n    users: [\n" + "".join(entries) + "    ]\n  }\n}\n"
        "system_account: SYS\n"
    )


def server(plan, node):
    """nats-server.conf of one node."""
    etc = f"{plan.etc}/{node.name}" if len({n.address for n in plan.nodes}) < len(plan.nodes) else plan.etc
    tls = f'cert_file: "{etc}/cert.pem", key_file: "{etc}/key.pem"'
    routes = [f"tls://{n.address}:{n.routes}" for n in plan.nodes if n.name != node.name]
    cluster = (
        f"""
cluster {{
  name: "{plan.name}"
  listen: "{node.address}:{node.routes}"
  # Nodes know each other by certificates of the fleet's own CA, which issues no others.
  tls {{ {tls}, ca_file: "{etc}/ca.pem", verify: true, timeout: 10 }}
  routes: {quoted(routes)}
}}
"""
        if routes
        else ""
    )
    return f"""# Made by wangge_fleet build for node {node.name}; changes here are lost.
server_name: "{node.name}"
listen: "{node.address}:{node.client}"
# Figures for the operator, on this machine only.
http: "127.0.0.1:{node.monitor}"
pid_file: "{node.store}/nats-server.pid"

max_payload: {MAX_PAYLOAD}
# Stations of the whole fleet, should only this node be left, and some tools.
max_connections: {len(plan.stations) + 200}
# What a client may be behind before it is cut off: the window of pictures to the platform.
max_pending: {256 << 20}
write_deadline: "20s"
# On a rolling update clients are sent away over this time, not all at once.
lame_duck_grace_period: "5s"
lame_duck_duration: "{max(30, len(plan.stations) // 100)}s"

tls {{ {tls}, timeout: {TIMEOUT_S} }}

jetstream {{
  store_dir: "{node.store}"
  max_file_store: {plan.file_bytes}
  max_memory_store: {256 << 20}
}}
{cluster}
mqtt {{
  listen: "{node.address}:{node.mqtt}"
  tls {{ {tls}, timeout: {TIMEOUT_S} }}
  authorization {{ timeout: {TIMEOUT_S} }}
  stream_replicas: {min(3, len(plan.nodes))}
  ack_wait: "{ACK_WAIT}"
  max_ack_pending: {MAX_ACK_PENDING}
}}

include "accounts.conf"
"""


def build(plan, book, out, ca):
    """Writes everything below `out`: nodes/NAME, passwords/USER, stations/ID.toml."""
    accounts = users(plan, book)
    authority = ca[0].read_text()
    for node in plan.nodes:
        folder = out / "nodes" / node.name
        write(folder / "nats-server.conf", server(plan, node))
        write(folder / "accounts.conf", accounts)
        write(folder / "ca.pem", authority, 0o644)
