"""Makes merges.bin and entities.txt from CLIP's vocabulary file and Python's table of HTML names.

    python make_text.py bpe_simple_vocab_16e6.txt.gz

merges.bin: for each of the 48,894 merges that CLIP uses, in their order, the two tokens it joins, as little-endian 16-bit ids; the
token it makes is 512 + its number. The ids of bytes are CLIP's: first the printable ones. entities.txt: a name (with its semicolon
where it needs one), a tab, what it stands for.
"""

import gzip
import html.entities
import struct
import sys
from pathlib import Path

HERE = Path(__file__).parent
COUNT = 49152 - 256 - 2

printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
others = [byte for byte in range(256) if byte not in printable]
letters = [chr(byte) for byte in printable] + [chr(256 + number) for number in range(len(others))]
ids = {text: number for number, text in enumerate(letters + [letter + "</w>" for letter in letters])}

lines = gzip.open(sys.argv[1]).read().decode().split("\n")[1 : COUNT + 1]
packed = bytearray()
for line in lines:
    first, second = line.split()
    packed += struct.pack("<HH", ids[first], ids[second])
    assert first + second not in ids
    ids[first + second] = len(ids)
assert len(ids) == 512 + COUNT
(HERE / "merges.bin").write_bytes(packed)

names = sorted(html.entities.html5.items())
(HERE / "entities.txt").write_text("".join(f"{name}\t{text}\n" for name, text in names if "\n" not in text and "\t" not in text))
