"""Memory while images stream: the peak of a PaDiM fit and of a predict on sets of growing size, which must not grow with them.

stream.py BLEMISH COUNT...

Makes a synthetic set of COUNT images of 256x256 for each COUNT, in a temporary folder of about 0.1 MB an image.
"""

import os
import subprocess
import sys
import tempfile
import time

blemish = os.path.abspath(sys.argv[1])


def run(folder, line):
    """Runs blemish to its end: wall seconds and peak memory in MB."""
    start = time.perf_counter()
    child = subprocess.Popen([blemish, *line.split(), "--progress", "none"], cwd=folder, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    if status != 0:
        raise SystemExit(f"blemish {line} failed")
    return time.perf_counter() - start, used.ru_maxrss / 1024


print("| images | fit s | fit peak MB | predict s | predict peak MB |")
print("|---|---|---|---|---|")
for count in sys.argv[2:]:
    with tempfile.TemporaryDirectory() as folder:
        run(folder, f"data synth set --look metal --train {count} --test-good 1 --test-per-defect 1")
        fit = run(folder, "fit set --method padim -o model.blemish")
        predict = run(folder, "predict model.blemish set/train/good -o scores --pictures none")
        print(f"| {count} | {fit[0]:.1f} | {fit[1]:.0f} | {predict[0]:.1f} | {predict[1]:.0f} |", flush=True)
