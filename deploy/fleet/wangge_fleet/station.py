"""What an installer takes to a station."""

from keys import write


def uplink(plan, station):
    """The station's part, to be copied into its station.toml."""
    first = plan.nodes[0]
    host = first.names[0] if first.names else first.address
    return (
        f"# Station {station}: below its `[[uplink]]` tables, or as the only one. The files go\n"
        "# beside station.toml, `city.password` with mode 0600 and owned by wangge.\n"
        "[[uplink]]\n"
        'name = "city"\n'
        f'url = "mqtts://{host}:{first.mqtt}"\n'
        f'username = "{station}"\n'
        'password_file = "city.password"\n'
        'ca_file = "city-ca.pem"\n'
        + (f'topic_prefix = "{plan.prefix}/{station}"\n' if plan.prefix != "wangge/v1" else "")
    )


def build(plan, out):
    """Writes stations/ID.toml."""
    for station in plan.stations:
        write(out / "stations" / f"{station}.toml", uplink(plan, station))
