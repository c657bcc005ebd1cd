"""The Python package beside the program, and beside anomalib in the same run.

    python benches/python.py PYTHON PROGRAM [--peer PYTHON] [--images 60] [--rounds 5]

PYTHON has the package, PROGRAM is `blemish` of the same build, the peer is a Python with anomalib. Timed in processes of their own, in turns, the median of
the rounds: import and first score from cold, `predict` an image in Python and in the program on the same files, a fit of arrays beside one of their
files, and the installed size. Rows go to benches/runs as those of the other scripts. Linux or macOS.
"""

import argparse
import json
import statistics
import tempfile
from pathlib import Path

from blemish import Program, Rows, run

IMPORT = "import blemish"
FIRST = "import sys, blemish; print(blemish.Detector.load(sys.argv[1]).predict(sys.argv[2]).score)"
MANY = """
import json, sys, time
from blemish import Detector
detector, files = Detector.load(sys.argv[1]), sys.argv[2:]
detector.predict(files[:2])
started = time.perf_counter(); detector.predict(files); batch = time.perf_counter() - started
started = time.perf_counter()
for file in files: detector.predict(file)
print(json.dumps({"batch": batch / len(files), "single": (time.perf_counter() - started) / len(files)}))
"""
FIT = """
import sys, time
import numpy as np
from PIL import Image
from blemish import Detector
files = sys.argv[2:]
given = [np.asarray(Image.open(file)) for file in files] if sys.argv[1] == "arrays" else files
started = time.perf_counter()
detector = Detector(size=(256, 256)).fit(given)
print(time.perf_counter() - started)
"""
COPY = """
import time
import numpy as np
from blemish import _native
image, times = np.zeros((3000, 4000, 3), np.uint8), []
for _ in range(9):
    images = _native.Images(); started = time.perf_counter(); images.add_array(image); times.append(time.perf_counter() - started)
print(1000 * sorted(times)[4])
"""
SIZE = """
import pathlib, blemish
folder = pathlib.Path(blemish.__file__).parent
print(sum(file.stat().st_size for file in folder.rglob("*") if file.is_file() and "__pycache__" not in file.parts))
"""
PEER = {
    "import": "from anomalib.deploy import TorchInferencer",
    "site": "import site, pathlib; print(sum(f.stat().st_size for f in pathlib.Path(site.getsitepackages()[0]).rglob('*') if f.is_file()))",
}


def main():
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("python")
    words.add_argument("program")
    words.add_argument("--peer")
    words.add_argument("--images", type=int, default=60)
    words.add_argument("--rounds", type=int, default=5)
    asked = words.parse_args()
    rows = Rows("python")
    python = str(Path(asked.python).absolute())

    with tempfile.TemporaryDirectory() as folder:
        # Away from this folder, whose `blemish.py` is another module.
        here = Path(folder)
        program = Program(asked.program, cwd=here)
        program.synth("parts", "--train", str(asked.images))
        program.fit("parts", "part.blemish", "--size", "256x256")
        files = sorted(str(path) for path in here.glob("parts/test/*/*.png")) + sorted(str(path) for path in here.glob("parts/train/*/*.png"))

        def code(text, *arguments, of=python):
            return run(of, "-c", text, *arguments, cwd=here)

        def told(metric, values, variant="", peer="", digits=3):
            value = statistics.median(values)
            spread = statistics.stdev(values) if len(values) > 1 else 0.0
            print(f"{metric:32} {variant:20} {peer:10} {value:10.{digits}f} ± {spread:.{digits}f}", flush=True)
            rows.add(set="fabric", method="patchcore", variant=variant, metric=metric, peer=peer, value=f"{value:.{digits}f}", spread=f"{spread:.{digits}f}")

        kept = {}
        for _ in range(asked.rounds):
            done = code(IMPORT)
            kept.setdefault("import", []).append((done.wall, done.cpu))
            done = code("import numpy")
            kept.setdefault("numpy", []).append((done.wall, done.cpu))
            done = code(FIRST, "part.blemish", files[0])
            kept.setdefault("first", []).append((done.wall, done.cpu))
            if asked.peer:
                done = code(PEER["import"], of=asked.peer)
                kept.setdefault("peer import", []).append((done.wall, done.cpu))
            done = json.loads(code(MANY, "part.blemish", *files).out)
            kept.setdefault("batch", []).append(done["batch"])
            kept.setdefault("single", []).append(done["single"])
            # The program's start is timed apart, so that images alone are compared.
            one, many = program.predict("part.blemish", files[0])[1], program.predict("part.blemish", *files)[1]
            kept.setdefault("program", []).append((many.wall - one.wall) / (len(files) - 1))
            for kind in ("files", "arrays"):
                kept.setdefault(f"fit {kind}", []).append(float(code(FIT, kind, *files[-asked.images :]).out))
        for name, metric, peer in (("numpy", "import of NumPy alone", ""), ("import", "import", ""), ("first", "import and first score", ""), ("peer import", "import", "anomalib")):
            if name in kept:
                told(f"{metric}, s", [wall for wall, _ in kept[name]], peer=peer)
                told(f"{metric}, CPU s", [cpu for _, cpu in kept[name]], peer=peer)
        for name, variant in (("batch", "list of files"), ("single", "one call a file"), ("program", "program")):
            told("predict an image, ms", [1000 * value for value in kept[name]], variant)
        for kind in ("files", "arrays"):
            told(f"fit of {asked.images} images, s", kept[f"fit {kind}"], kind)
        told("copy of 12 megapixels, ms", [float(code(COPY).out)])
        told("installed, MB", [int(code(SIZE).out) / 1e6], digits=1)
        if asked.peer:
            told("installed, MB", [int(code(PEER["site"], of=asked.peer).out) / 1e6], peer="anomalib", digits=1)


if __name__ == "__main__":
    main()
