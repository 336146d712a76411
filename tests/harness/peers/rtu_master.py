"""A Modbus RTU master made with pymodbus: asks a unit again and again, and counts.

usage: rtu_master.py DEVICE UNIT FIRST COUNT CYCLES EXPECTED... [--garbage]

EXPECTED are the values that COUNT input registers from FIRST may have, `-` for any. With
--garbage every tenth request follows a burst of random bytes and a silence. Prints one JSON
object: cycles, answered, wrong, unanswered.
"""

import json
import random
import sys
import time

from pymodbus.client import ModbusSerialClient
from pymodbus.exceptions import ModbusException


def main():
    garbage = "--garbage" in sys.argv
    device, unit, first, count, cycles, *expected = [a for a in sys.argv[1:] if a != "--garbage"]
    expected = [None if e == "-" else int(e) for e in expected]
    client = ModbusSerialClient(device, baudrate=9600, timeout=1.0, retries=0)
    client.connect()
    chance = random.Random(int(cycles))
    answered = wrong = unanswered = 0
    for cycle in range(int(cycles)):
        if garbage and cycle % 10 == 0:
            client.socket.write(chance.randbytes(chance.randint(1, 300)))
            time.sleep(0.4)
            client.socket.reset_input_buffer()
        try:
            answer = client.read_input_registers(int(first), count=int(count), device_id=int(unit))
        except ModbusException:
            unanswered += 1
            time.sleep(0.05)
            client.connect()
            continue
        if answer.isError():
            unanswered += 1
            continue
        answered += 1
        good = [e is None or e == r for e, r in zip(expected, answer.registers)]
        wrong += not all(good)
    print(json.dumps({"cycles": int(cycles), "answered": answered, "wrong": wrong,
                      "unanswered": unanswered}))


main()
