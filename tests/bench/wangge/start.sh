#!/usr/bin/env bash
# Writes station.toml for $SCENARIO into $WORK and becomes the gateway. See contestant.toml.
# WANGGE_BIN names another gateway than this checkout's release build.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
bin=${WANGGE_BIN:-$here/../../../target/release/wangge}

cat > "$WORK/station.toml" <<T
[station]
id = "bench"
unit_grid = "530102001001001"
lon = 102.7
lat = 25.05

[storage]
path = "$WORK/spool"

[console]
listen = "off"

[[stream]]
name = "readings"
batch = true

[[uplink]]
name = "bench"
url = "mqtt://127.0.0.1:$UPLINK_PORT"
topic_prefix = "uplink/bench"
border = "broker"
alerts = false
streams = ["readings"]
T

bins() {
    cat <<T
[listen]
address = "127.0.0.1:$FIELD_PORT"

[profile.bin]
title = "Load generator's bin"
payload = { json_pointer = { id = "/id", time = "/ts", values = [
    { quantity = "fill", pointer = "/level" },
    { quantity = "temperature", pointer = "/temp" },
] } }

[[profile.bin.rule]]
id = "full"
kind = "bin_overflow"
type = "threshold"
quantity = "fill"
raise = 80.0
clear = 79.9
hold = "0s"
T
    for k in {0..199}; do
        printf '\n[[device]]\nid = "bin-%03d"\nprofile = "bin"\ntopic = "station/%d/bin/%03d"\nmax_rate = 1000.0\n' "$k" $((k % 4)) "$k"
    done
}

slaves() {
    cat <<T
[profile.slave]
title = "Simulated slave, 20 registers"
T
    point() { printf '\n[[profile.slave.point]]\nquantity = "%s"\nname = "%s"\nparts = [{ address = %d, format = "%s" }]\nscale = %s\n' "$@"; }
    point level seq 0 u16 1.0
    point level t 1 u16 1.0
    point fill level 2 u16 0.1
    point temperature temperature 3 i16 0.1
    for r in {4..19}; do point level "r$r" "$r" u16 1.0; done
    cat <<T

[[profile.slave.rule]]
id = "full"
kind = "bin_overflow"
type = "threshold"
quantity = "fill"
raise = 80.0
clear = 79.9
hold = "0s"
T
    local buses=1
    [ "$MODBUS_LAYOUT" = ports ] && buses=$MODBUS_SLAVES
    for ((b = 0; b < buses; b++)); do
        printf '\n[[bus]]\nname = "bus-%d"\ntcp = "127.0.0.1:%d"\n' "$b" $((MODBUS_PORT + b))
    done
    for ((i = 0; i < MODBUS_SLAVES; i++)); do
        if [ "$MODBUS_LAYOUT" = ports ]; then bus=$i unit=1; else bus=0 unit=$((i + 1)); fi
        printf '\n[[device]]\nid = "slave-%d"\nprofile = "slave"\nbus = "bus-%d"\nunit_id = %d\nevery = "%dms"\n' \
            "$i" "$bus" "$unit" "$POLL_MS"
    done
}

if [ "$SCENARIO" = modbus ]; then slaves; else bins; fi >> "$WORK/station.toml"
exec "$bin" run --config "$WORK/station.toml"
