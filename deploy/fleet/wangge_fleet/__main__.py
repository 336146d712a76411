"""wangge_fleet: configures a broker for many stations from a plain list of them.

  python3 deploy/fleet/wangge_fleet build fleet.toml --out fleet
  python3 deploy/fleet/wangge_fleet apply fleet.toml --out fleet      # once the nodes run
  python3 deploy/fleet/wangge_fleet status fleet.toml --out fleet

docs/operator/fleet.md tells the whole. Python 3.11 or later, openssl; no other package."""

import argparse
import sys

import keys
import mosquitto
import nats
import plan as plans
import station
import stream
from plan import Fault


def build(plan, arguments):
    """Certificates, passwords and configuration files."""
    out = keys.folder(arguments.out)
    district = arguments.broker == "mosquitto"
    if district and len(plan.nodes) != 1:
        raise Fault("one Mosquitto is one `[[node]]`")
    ca = keys.authority(out / "ca", plan.name)
    for node in plan.nodes:
        keys.certificate(out / "nodes" / node.name, node, ca)
    book = keys.Book(out, "pbkdf2" if district else "bcrypt")
    for name in arguments.renew:
        if name not in plan.stations and name not in plans.RESERVED:
            raise Fault(f"--renew {name}: no such station in the list")
        book.user(name, renew=True)
    (mosquitto if district else nats).build(plan, book, out, ca)
    station.build(plan, out)
    gone = book.keep([*plan.stations, *plans.RESERVED])
    print(f"{len(plan.stations)} stations, {len(plan.nodes)} nodes in {out}")
    if book.made:
        print(f"{len(book.made)} new passwords in {out / 'passwords'}; delete each once its owner has it")
    if gone:
        print(f"no longer known: {', '.join(gone)}")


def with_client(work):
    """A command that talks to the cluster."""

    def run(plan, arguments):
        out = keys.folder(arguments.out)
        client = stream.connect(plan, out)
        try:
            return work(plan, client, arguments)
        finally:
            client.close()

    return run


def apply(plan, client, _):
    """Makes or changes the streams."""
    print("\n".join(stream.apply(plan, client)))


def reader(plan, client, arguments):
    """Consumers for a receiver that speaks NATS."""
    print("\n".join(stream.reader(plan, client, arguments.remove)))


def status(plan, client, _):
    """How the cluster stands."""
    lines, safe = stream.status(plan, client)
    print("\n".join(lines))
    print("a node may be taken down" if safe else "NOT SAFE: take no node down now")
    return 0 if safe else 1


def backup(_, client, arguments):
    """Saves the stream."""
    messages, size = stream.backup(client, arguments.file)
    print(f"{messages} messages in {size} bytes: {arguments.file}")


def restore(_, client, arguments):
    """Brings it back."""
    print(f"{stream.restore(client, arguments.file)} messages are back")


def main():
    """Returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="wangge_fleet", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name, run):
        made = commands.add_parser(name, help=run.__doc__ or name)
        made.add_argument("fleet", help="fleet.toml")
        made.add_argument("--out", default="fleet", help="folder of what was made")
        made.set_defaults(run=run)
        return made

    made = command("build", build)
    made.add_argument("--broker", choices=["nats", "mosquitto"], default="nats")
    made.add_argument("--renew", nargs="*", default=[], metavar="STATION", help="give these a new password")
    for name, work, text in [
        ("apply", apply, "make or change the streams"),
        ("status", status, "how the cluster stands; exit code 1 when no node may be taken down"),
    ]:
        command(name, with_client(work)).description = text
    made = command("reader", with_client(reader))
    made.description = "durable consumers for a receiver that speaks NATS"
    made.add_argument("--remove", action="store_true", help="remove them: nothing is kept for them any more")
    for name, work, text in [
        ("backup", backup, "save the messages stream to a file"),
        ("restore", restore, "bring a saved stream back where there is none"),
    ]:
        made = command(name, with_client(work))
        made.description = text
        made.add_argument("file")

    arguments = parser.parse_args()
    try:
        code = arguments.run(plans.load(arguments.fleet), arguments) or 0
        sys.stdout.flush()
        return code
    except Fault as fault:
        print(f"error: {fault}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # Whoever read this has seen enough.
        sys.stderr.close()
        return 0


sys.exit(main())
