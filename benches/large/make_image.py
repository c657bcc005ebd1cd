"""Writes a woven texture as an uncompressed RGB TIFF of any size, with or without a small dark defect in its middle.

    python benches/large/make_image.py good.tif --size 12000x8000 --seed 1
    python benches/large/make_image.py bad.tif --size 12000x8000 --seed 2 --defect 24

Needs Python's standard library alone, and seconds: rows are added as long integers.
"""

import argparse
import math
import random
import struct


def row(y, width):
    """One of the 32 rows that the weave repeats, without noise: values of 80 to 176."""
    pixels = bytearray()
    for x in range(width):
        thread = math.sin(2 * math.pi * x / 16) * math.sin(2 * math.pi * y / 16) + 0.5 * math.sin(2 * math.pi * (x + y) / 32)
        grey = 128 + 32 * thread
        pixels += bytes((int(grey), int(grey * 0.9), int(grey * 0.8)))
    return pixels


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path")
    parser.add_argument("--size", default="12000x8000")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--defect", type=int, default=0, help="side of the defect in pixels")
    arguments = parser.parse_args()
    width, height = map(int, arguments.size.split("x"))
    noise = random.Random(arguments.seed)
    weave = [int.from_bytes(bytes(row(y, width)), "big") for y in range(32)]
    grain = int.from_bytes(b"\x1f" * (3 * width), "big")
    side = arguments.defect
    top, left = (height - side) // 2, (width - side) // 2
    entries = [
        (256, 4, 1, width), (257, 4, 1, height), (258, 3, 3, None), (259, 3, 1, 1), (262, 3, 1, 2),
        (273, 4, 1, None), (277, 3, 1, 3), (278, 4, 1, height), (279, 4, 1, 3 * width * height), (284, 3, 1, 1),
    ]
    depths = 8 + 2 + 12 * len(entries) + 4
    with open(arguments.path, "wb") as file:
        file.write(struct.pack("<2sHI", b"II", 42, 8) + struct.pack("<H", len(entries)))
        for tag, kind, count, value in entries:
            value = {258: depths, 273: depths + 6}.get(tag, value)
            file.write(struct.pack("<HHII", tag, kind, count, value))
        file.write(struct.pack("<I3H", 0, 8, 8, 8))
        for y in range(height):
            random_bits = int.from_bytes(noise.randbytes(3 * width), "big")
            line = bytearray((weave[y % 32] + (random_bits & grain)).to_bytes(3 * width, "big"))
            if top <= y < top + side:
                line[3 * left : 3 * (left + side)] = bytes(value // 2 for value in line[3 * left : 3 * (left + side)])
            file.write(line)


if __name__ == "__main__":
    main()
