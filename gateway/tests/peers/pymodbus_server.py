"""A pymodbus server for tests: Modbus TCP on a free port, or RTU on the terminal given.

usage: pymodbus_server.py tcp | rtu PATH        (needs pymodbus 3.16 and pyserial)

Prints one line, `PORT n` or `READY`, once it serves, and runs until its standard input closes.
Unit 1 holds, from holding register 0, one figure in each format and order, as written by
pymodbus's own converter, and the same in the input registers; everything beyond is illegal.
Other units do not exist.
"""

import asyncio
import struct
import sys

from pymodbus.client.mixin import ModbusClientMixin as Mixin
from pymodbus.server import ModbusSerialServer, ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice


def registers():
    """What the Rust test expects, in its order; written here by another implementation."""
    T = Mixin.DATATYPE
    words = []
    for value, kind, order in [
        (54321, T.UINT16, "big"),
        (-1234, T.INT16, "big"),
        (4000000001, T.UINT32, "big"),
        (4000000001, T.UINT32, "little"),
        (-2000000001, T.INT32, "big"),
        (-2000000001, T.INT32, "little"),
        (-12.5, T.FLOAT32, "big"),
        (-12.5, T.FLOAT32, "little"),
        (9007199254740991, T.UINT64, "big"),
        (9007199254740991, T.UINT64, "little"),
        (-9007199254740991, T.INT64, "big"),
        (-9007199254740991, T.INT64, "little"),
        (3.141592653589793, T.FLOAT64, "big"),
        (3.141592653589793, T.FLOAT64, "little"),
    ]:
        words += Mixin.convert_to_registers(value, kind, word_order=order)
    # What pymodbus cannot write: bytes swapped within each word, and packed BCD.
    words += list(struct.unpack("<2H", struct.pack(">f", -12.5)))
    words += [0x0012, 0x3456]
    return words


async def main():
    values = registers()
    device = SimDevice(1, simdata=[SimData(0, values=values, datatype=DataType.REGISTERS)])
    if sys.argv[1] == "tcp":
        server = ModbusTcpServer(device, address=("127.0.0.1", 0))
        await server.serve_forever(background=True)
        print("PORT", server.transport.sockets[0].getsockname()[1], flush=True)
    else:
        server = ModbusSerialServer(device, port=sys.argv[2], baudrate=115200)
        await server.serve_forever(background=True)
        print("READY", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await server.shutdown()


asyncio.run(main())
