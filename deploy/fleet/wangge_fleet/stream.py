"""The stream of what stations publish: made, looked at, saved and brought back."""

import json
import pathlib
import struct
import time

from client import Client, Fault, Lost, Refused

# The server acknowledges an MQTT publish after it is in the stream of this name, and makes one
# without limits if there is none. So it is made before, with limits, and no second copy is kept.
MESSAGES = "$MQTT_msgs"
SESSIONS = "$MQTT_sess"
STREAM_MISSING = 10059
CONSUMER_MISSING = 10014
# What a cluster answers whose nodes have not found each other yet: no suitable peers, or the
# system is temporarily unavailable. Where it goes on, something is wrong.
GATHERING = (10005, 10008)
GATHERED_S = 30
NANO = 1_000_000_000
# Acks that pull consumers may owe.
MAX_ACK_PENDING = 5_000


def wanted(plan):
    """Configuration of the streams by name."""
    common = {"storage": "file", "num_replicas": min(3, len(plan.nodes)), "max_consumers": -1}
    return {
        MESSAGES: common
        | {
            "name": MESSAGES,
            "subjects": ["$MQTT.msgs.>"],
            # Kept until everyone who asked for it has acknowledged it.
            "retention": "interest",
            "max_age": plan.message_age_s * NANO,
            "max_bytes": plan.message_bytes,
            "max_msgs": -1,
            # When it is full the publisher gets no acknowledgement and keeps the message; the
            # other choice throws away what was acknowledged.
            "discard": "new",
            "duplicate_window": 0,
        },
        SESSIONS: common
        | {
            "name": SESSIONS,
            "subjects": ["$MQTT.sess.>"],
            "retention": "limits",
            "max_msgs_per_subject": 1,
            "max_bytes": plan.session_bytes,
            "discard": "new",
        },
    }


def connect(plan, out, user="admin"):
    """To the first node that answers."""
    password = (out / "passwords" / user).read_text().strip()
    faults = []
    for node in plan.nodes:
        try:
            return Client(node.address, node.client, user, password, out / "ca" / "ca.pem")
        except Lost as e:
            faults.append(str(e))
    raise Fault("no node answers:\n  " + "\n  ".join(faults))


def create(client, name, config):
    """Makes a stream, as soon as the cluster has its nodes together."""
    end = time.monotonic() + GATHERED_S
    while True:
        try:
            return client.ask(f"STREAM.CREATE.{name}", **config)
        except Refused as e:
            if e.code not in GATHERING or time.monotonic() >= end:
                raise
            time.sleep(0.5)


def apply(plan, client):
    """Makes the streams, or changes them to what is wanted; returns what was done."""
    done = []
    for name, config in wanted(plan).items():
        try:
            has = client.ask(f"STREAM.INFO.{name}")["config"]
        except Refused as e:
            if e.code != STREAM_MISSING:
                raise
            create(client, name, config)
            done.append(f"{name}: made")
            continue
        different = {k: v for k, v in config.items() if has.get(k, 0) != v}
        if not different:
            done.append(f"{name}: as it should be")
            continue
        client.ask(f"STREAM.UPDATE.{name}", **(has | config))
        done.append(f"{name}: changed {', '.join(sorted(different))}")
    return done


def consumers(plan):
    """Durable pull consumers for a receiver that speaks NATS, by name."""
    base = f"$MQTT.msgs.{plan.subject}.*."
    filters = {"alerts": "alerts", "gaps": "gaps", "answers": "answers", "digest": "digest",
               "telemetry": "telemetry.*", "evidence": "evidence.>"}  # fmt: skip
    return {
        f"reader-{name}": {
            "durable_name": f"reader-{name}",
            "filter_subject": base + what,
            "deliver_policy": "all",
            "ack_policy": "explicit",
            "ack_wait": 60 * NANO,
            "max_ack_pending": MAX_ACK_PENDING,
            "replay_policy": "instant",
        }
        for name, what in filters.items()
    }


def reader(plan, client, remove):
    """Makes or removes the durable consumers of a native reader."""
    done = []
    for name, config in consumers(plan).items():
        if remove:
            try:
                client.ask(f"CONSUMER.DELETE.{MESSAGES}.{name}")
                done.append(f"{name}: removed")
            except Refused as e:
                if e.code != CONSUMER_MISSING:
                    raise
                done.append(f"{name}: was not there")
        else:
            client.ask(f"CONSUMER.DURABLE.CREATE.{MESSAGES}.{name}", stream_name=MESSAGES, config=config)
            done.append(f"{name}: there")
    return done


def status(plan, client):
    """(lines, whether a node may be taken down now)."""
    lines, safe = [], True
    for name in wanted(plan):
        info = client.ask(f"STREAM.INFO.{name}")
        config, state, cluster = info["config"], info["state"], info.get("cluster", {})
        share = 100 * state["bytes"] / config["max_bytes"] if config.get("max_bytes", -1) > 0 else 0
        lines.append(
            f"{name}: {state['messages']} messages, {state['bytes']} bytes ({share:.1f} % of its limit), "
            f"{config['num_replicas']} replicas, {state['consumer_count']} consumers, leader {cluster.get('leader') or 'NONE'}"
        )
        replicas = cluster.get("replicas", [])
        for replica in replicas:
            fresh = replica.get("current") and not replica.get("offline")
            word = "current" if fresh else "OFFLINE" if replica.get("offline") else f"BEHIND by {replica.get('lag', '?')}"
            lines.append(f"  {replica['name']}: {word}")
            safe &= bool(fresh)
        safe &= bool(cluster.get("leader")) or len(plan.nodes) == 1
        if share > 80:
            lines.append("  WARNING: nearly full; stations will keep what no longer fits")
    offset = 0
    while True:
        page = client.ask(f"CONSUMER.LIST.{MESSAGES}", offset=offset)
        for info in page["consumers"] or []:
            config, pending = info["config"], info["num_pending"] + info["num_ack_pending"]
            if pending or config.get("durable_name", "").startswith("reader-"):
                lines.append(
                    f"  consumer {info['name']} ({config.get('filter_subject', '')}): "
                    f"{info['num_pending']} to come, {info['num_ack_pending']} not acknowledged"
                )
        offset += len(page["consumers"] or [])
        if offset >= page["total"] or not page["consumers"]:
            break
    return lines, safe


def backup(client, path):
    """Saves the messages stream with its consumers to a file; returns messages and bytes.

    The file: a JSON line with the server's configuration and state, then the snapshot's chunks,
    each after its length (32 bits, big-endian)."""
    inbox = client.inbox + ".snapshot"
    head = client.ask(f"STREAM.SNAPSHOT.{MESSAGES}", deliver_subject=inbox, chunk_size=128 << 10)
    path = pathlib.Path(path)
    part = path.with_name(path.name + ".part")
    total = 0
    with part.open("wb") as out:
        out.write(json.dumps({"config": head["config"], "state": head["state"]}).encode() + b"\n")
        while True:
            to, reply, header, data = client.next(60)
            if to != inbox:
                continue
            if not data:
                if b"408" in header or b"503" in header:
                    raise Fault(f"the server gave the snapshot up: {header.decode().strip()}")
                break
            out.write(struct.pack(">I", len(data)) + data)
            total += len(data)
            client.publish(reply)
    part.replace(path)
    return head["state"]["messages"], total


def restore(client, path):
    """Brings a saved stream back where there is none of its name; returns its messages."""
    with pathlib.Path(path).open("rb") as saved:
        head = json.loads(saved.readline())
        answer = client.ask(f"STREAM.RESTORE.{MESSAGES}", config=head["config"], state=head["state"])
        to = answer["deliver_subject"]
        while size := saved.read(4):
            chunk = saved.read(struct.unpack(">I", size)[0])
            said = client.request(to, chunk, 60)
            if said and "error" in json.loads(said):
                raise Fault(f"{path}: {json.loads(said)['error']['description']}")
        done = json.loads(client.request(to, b"", 120))
        if "error" in done:
            raise Fault(f"{path}: {done['error']['description']}")
    return done["state"]["messages"]
