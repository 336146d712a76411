#!/usr/bin/env python3
"""A Modbus peer made with pymodbus.

    modbus_server.py tcp [--port N] UNITS.json
    modbus_server.py rtu --device PATH [--baud N] UNITS.json

UNITS.json: {"UNIT": {"holding": {"ADDRESS": VALUE, ...}, "input": {...}}}, 0-based addresses, 16-bit
values. It is read again at every request, so a test changes a register by writing the file. A
register that is not in it answers exception 2, another unit id exception 4 (pymodbus cannot keep silent:
stop the process, SIGSTOP, for that).
Prints `READY PORT`, or `READY 0` on a serial line.
"""
import argparse
import asyncio
import json
import pathlib

from pymodbus import FramerType
from pymodbus.server import ModbusSerialServer, ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

TABLES = {3: "holding", 4: "input"}


def block(values):
    return [SimData(int(a), values=v, datatype=DataType.REGISTERS) for a, v in sorted(values.items(), key=lambda i: int(i[0]))]


def device(unit, tables, path):
    async def refresh(function, start, _address, _count, registers, _written):
        now = json.loads(path.read_text())[unit].get(TABLES.get(function, ""), {})
        for address, value in now.items():
            if 0 <= int(address) - start < len(registers):
                registers[int(address) - start] = value

    bits = [SimData(0, values=[False] * 16, datatype=DataType.BITS)]
    nothing = {"65535": 0}
    simdata = (bits, bits, block(tables.get("holding") or nothing), block(tables.get("input") or nothing))
    return SimDevice(int(unit), simdata=simdata, action=refresh)


async def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("link", choices=["tcp", "rtu"])
    ap.add_argument("--port", type=int, default=0, help="0: any free port")
    ap.add_argument("--device")
    ap.add_argument("--baud", type=int, default=9600)
    ap.add_argument("units", type=pathlib.Path)
    a = ap.parse_args()
    devices = [device(unit, tables, a.units) for unit, tables in json.loads(a.units.read_text()).items()]
    if a.link == "tcp":
        server = ModbusTcpServer(devices, address=("127.0.0.1", a.port))
    else:
        server = ModbusSerialServer(devices, framer=FramerType.RTU, port=a.device, baudrate=a.baud)
    await server.serve_forever(background=True)
    print("READY", server.transport.sockets[0].getsockname()[1] if a.link == "tcp" else 0, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
