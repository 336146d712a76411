"""Configuration of one Mosquitto for a district: users from the list, the rest by hand."""

from keys import write


def build(plan, book, out, ca):
    """Writes `passwords`, which goes beside deploy/mosquitto's two files."""
    names = [*plan.stations, "platform"]
    lines = [f"{name}:{book.user(name)}\n" for name in names]
    node = plan.nodes[0]
    folder = out / "nodes" / node.name
    write(folder / "passwords", "".join(lines))
    write(folder / "ca.pem", ca[0].read_text(), 0o644)
