"""pymodbus against the Modbus sink of a running server: what a PLC would read.

    python modbus.py 127.0.0.1:1502 SCORE

SCORE is that of the last image. Needs pymodbus.
"""

import struct
import sys
import time

from pymodbus.client import ModbusTcpClient

host, port = sys.argv[1].rsplit(":", 1)
score = float(sys.argv[2])
client = ModbusTcpClient(host, port=int(port))
assert client.connect()
ready, anomalous, drift = client.read_discrete_inputs(0, count=3).bits[:3]
assert ready is True, "the server is not ready"
registers = client.read_input_registers(0, count=6).registers
heartbeat, images, p_value, high, low, milliseconds = registers
assert struct.unpack(">f", struct.pack(">HH", high, low))[0] == struct.unpack("f", struct.pack("f", score))[0], registers
assert images > 0 and (p_value <= 10_000 or p_value == 65_535), registers
time.sleep(1.1)
assert client.read_input_registers(0, count=1).registers[0] != heartbeat, "the heart does not beat"
assert client.read_input_registers(0, count=7).isError(), "there are six registers"
assert client.write_register(0, 1).isError(), "nothing can be written"
client.close()
print(f"pymodbus: {images} images, the last {'anomalous' if anomalous else 'good'}, drift {drift}")
