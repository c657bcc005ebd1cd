"""The Python package beside the program, and beside anomalib in the same run.

    python benches/python.py PYTHON PROGRAM [--images 60] [--rounds 5]                                   the package beside the program
    python benches/python.py PYTHON PROGRAM --peer PYTHON WEIGHTS [--method padim] [--rounds 5]          beside anomalib
    python benches/python.py PYTHON PROGRAM --install WHEEL [--install anomalib==2.7.0]                  what an installation takes
    python benches/python.py PYTHON PROGRAM --ray 10000 [--rounds 3]                                     what Ray adds to an image

PYTHON has the package, PROGRAM is `blemish` of the same build. Timed in processes of their own, in turns, the median of the rounds: import and first score
from cold, `predict` an image in Python and in the program on the same files, a fit of arrays beside one of their files. The peer is a Python with anomalib;
both sides then run on the ResNet-18 of WEIGHTS with the settings of anomalib/compare.py, and of fits only `fit` counts. Installations go into fresh
environments without a cache of pip's, once each: their seconds are those of this network, too. For Ray so many small images are scored by one actor and by
`Detector.iter_predict`, one thread each; PYTHON needs `ray[data]`. Rows go to benches/runs as those of the other scripts.
Linux or macOS.
"""

import argparse
import json
import statistics
import tempfile
import time
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
import json, sys, time
import numpy as np
from PIL import Image
from blemish import Detector
files = sys.argv[4:]
given = [np.asarray(Image.open(file)) for file in files] if sys.argv[1] == "arrays" else files
detector = Detector(size=(256, 256), **json.loads(sys.argv[2]))
started = time.perf_counter()
detector.fit(given)
print(time.perf_counter() - started)
detector.save(sys.argv[3])
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
# Wall seconds an image of one actor and of the detector itself; the difference between all images and a tenth, so that starting counts for neither.
RAY = """
import json, logging, sys, time
import ray
from blemish import Detector
from blemish.ray import score
ray.init(num_cpus=3, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
ray.data.DataContext.get_current().enable_progress_bars = False
model, listed = sys.argv[1:]
files = json.load(open(listed))
detector = Detector.load(model, threads=1)
def seconds(work, images):
    started = time.perf_counter()
    assert work(images) == len(images)
    return time.perf_counter() - started
def slope(work):
    few = files[: len(files) // 10]
    return (seconds(work, files) - seconds(work, few)) / (len(files) - len(few))
own = slope(lambda images: sum(1 for _ in detector.iter_predict(images, maps=False)))
cluster = slope(lambda images: score(images, model, workers=1, threads=1).materialize().count())
print(json.dumps({"own": own, "cluster": cluster}))
"""
SITE = "import site, pathlib; print(sum(file.stat().st_size for file in pathlib.Path(site.getsitepackages()[0]).rglob('*') if file.is_file()))"
PEER = Path(__file__).resolve().parent / "anomalib" / "peer.py"
PEER_IMPORT = "from anomalib.deploy import TorchInferencer"
# What anomalib's models are set to in peer.py.
SETTINGS = {
    "patchcore": {"layers": ["layer2", "layer3"], "coreset_ratio": 0.1},
    "padim": {"layers": ["layer1", "layer2", "layer3"], "dimensions": 100},
}


def main():
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("python")
    words.add_argument("program")
    words.add_argument("--peer", nargs=2, metavar=("PYTHON", "WEIGHTS"))
    words.add_argument("--method", choices=SETTINGS, default="patchcore", help="what is compared with the peer's")
    words.add_argument("--install", action="append", default=[], metavar="PACKAGE")
    words.add_argument("--ray", type=int, metavar="IMAGES")
    words.add_argument("--images", type=int, default=60)
    words.add_argument("--rounds", type=int, default=5)
    asked = words.parse_args()
    # Away from this folder, whose `blemish.py` is another module.
    with tempfile.TemporaryDirectory() as folder:
        if asked.install:
            told = Told()
            for package in asked.install:
                installed(told, asked.python, package, Path(folder))
        elif asked.ray:
            Bench(asked, Path(folder)).cluster(asked.ray)
        elif asked.peer:
            Bench(asked, Path(folder)).beside(*asked.peer)
        else:
            Bench(asked, Path(folder)).alone()


class Told:
    """Figures by name, each the values of all rounds; shown and kept as the median."""

    def __init__(self):
        self.rows, self.kept = Rows("python"), {}

    def add(self, name, value):
        self.kept.setdefault(name, []).append(value)

    def tell(self, name, metric, scale=1, digits=3, **about):
        values = [scale * value for value in self.kept.pop(name)]
        value, spread = statistics.median(values), statistics.stdev(values) if len(values) > 1 else 0.0
        print(f"{metric:28} {' '.join(filter(None, about.values())):60} {value:10.{digits}f} ± {spread:.{digits}f}", flush=True)
        self.rows.add(metric=metric, value=f"{value:.{digits}f}", spread=f"{spread:.{digits}f}" if len(values) > 1 else "", **about)

    def process(self, name, metric, **about):
        """Wall and CPU time of whole processes."""
        self.tell(f"{name} wall", f"{metric}, s", **about)
        self.tell(f"{name} cpu", f"{metric}, CPU s", **about)


class Bench:
    """A synthetic set, and what runs on it."""

    def __init__(self, asked, here):
        self.here, self.told, self.rounds, self.method = here, Told(), asked.rounds, asked.method
        self.python = str(Path(asked.python).absolute())
        self.program = Program(asked.program, cwd=here)
        self.program.synth("parts", "--train", str(asked.images), "--size", "256x256")
        self.good = sorted(str(path) for path in here.glob("parts/train/*/*.png"))
        self.files = sorted(str(path) for path in here.glob("parts/test/*/*.png")) + self.good

    def cold(self, name, of, *arguments):
        done = run(of, *arguments, cwd=self.here)
        self.told.add(f"{name} wall", done.wall)
        self.told.add(f"{name} cpu", done.cpu)

    def fit(self, kind, model, **settings):
        return float(run(self.python, "-c", FIT, kind, json.dumps(settings), model, *self.good, cwd=self.here).out)

    def alone(self):
        """The package beside the program, with settings as they come."""
        self.program.fit("parts", "part.blemish", "--size", "256x256")
        for _ in range(self.rounds):
            self.cold("numpy", self.python, "-c", "import numpy")
            self.cold("import", self.python, "-c", IMPORT)
            self.cold("first", self.python, "-c", FIRST, "part.blemish", self.files[0])
            for name, value in run(self.python, "-c", MANY, "part.blemish", *self.files, cwd=self.here).json().items():
                self.told.add(name, value)
            # The program's start is timed apart, so that images alone are compared.
            one, many = (self.program.predict("part.blemish", *some)[1] for some in (self.files[:1], self.files))
            self.told.add("program", (many.wall - one.wall) / (len(self.files) - 1))
            for kind in ("files", "arrays"):
                self.told.add(kind, self.fit(kind, "fitted.blemish"))
            self.told.add("copy", float(run(self.python, "-c", COPY, cwd=self.here).out))
        self.told.add("size", int(run(self.python, "-c", SIZE, cwd=self.here).out))
        about = {"set": "fabric", "method": "patchcore"}
        self.told.process("numpy", "import of NumPy alone", **about)
        self.told.process("import", "import", **about)
        self.told.process("first", "import and first score", **about)
        for name, variant in (("batch", "list of files"), ("single", "one call a file"), ("program", "program")):
            self.told.tell(name, "predict an image, ms", 1000, **about, variant=variant)
        for kind in ("files", "arrays"):
            self.told.tell(kind, f"fit of {len(self.good)} images, s", **about, variant=kind)
        self.told.tell("copy", "copy of 12 megapixels, ms", **about)
        self.told.tell("size", "package, MB", 1e-6, 1, **about)

    def cluster(self, images):
        """Ray on this machine beside the detector alone; small images, so that what Ray adds is seen."""
        self.program.synth("many", "--train", str(images), "--test-good", "1", "--test-per-defect", "1", "--size", "64x64")
        small = sorted(str(path) for path in self.here.glob("many/train/*/*.png"))
        listed = self.here / "images.json"
        listed.write_text(json.dumps(small))
        self.program.fit("parts", "part.blemish", "--method", "statistical", "--size", "64x64")
        for _ in range(self.rounds):
            for name, value in run(self.python, "-c", RAY, self.here / "part.blemish", listed, cwd=self.here).json().items():
                self.told.add(name, value)
        about = {"set": f"{images} images of 64x64", "method": "statistical"}
        self.told.tell("own", "ms an image", 1000, **about, variant="the detector")
        self.told.tell("cluster", "ms an image", 1000, **about, variant="one actor of Ray")

    def beside(self, python, weights):
        """The package and anomalib on the same weights, images and settings; both without a calibration."""
        weights, listed = str(Path(weights).absolute()), self.here / "images.json"
        listed.write_text(json.dumps(self.files))
        settings = {"method": self.method, "backbone": "resnet18", "weights": weights, "folds": 0, **SETTINGS[self.method]}

        def peer(job, *arguments):
            return run(python, PEER, job, *arguments, cwd=self.here).lines()[-1]

        model = "fitted.blemish"
        for _ in range(self.rounds):
            self.cold("import", self.python, "-c", IMPORT)
            self.cold("their import", python, "-c", PEER_IMPORT)
            self.told.add("fit", self.fit("files", model, **settings))
            fitted = peer("fit", self.method, self.here / "parts", weights, self.here / "peer")
            self.told.add("their fit", fitted["wall"])
            self.cold("first", self.python, "-c", FIRST, model, self.files[0])
            self.cold("their first", python, PEER, "cold", fitted["model"], self.files[0])
            self.told.add("single", run(self.python, "-c", MANY, model, *self.files, cwd=self.here).json()["single"])
            self.told.add("their single", peer("many", fitted["model"], listed)["wall"])
        for theirs, by in (("", ""), ("their ", "anomalib")):
            about = {"set": "fabric", "method": self.method, "variant": "resnet18", "peer": by}
            self.told.process(f"{theirs}import", "import", **about)
            self.told.process(f"{theirs}first", "import and first score", **about)
            self.told.tell(f"{theirs}fit", f"fit of {len(self.good)} images, s", **about)
            self.told.tell(f"{theirs}single", "predict an image, ms", 1000, **about)


def installed(told, python, package, folder):
    """Seconds of `pip install` into a fresh environment, and the megabytes that it brings."""
    ours = package.endswith(".whl")
    environment = folder / ("ours" if ours else "theirs")
    run(python, "-m", "venv", environment)
    own = environment / "bin" / "python"
    before, started = int(run(own, "-c", SITE).out), time.perf_counter()
    run(own, "-m", "pip", "install", "--quiet", "--no-cache-dir", package)
    told.add("seconds", time.perf_counter() - started)
    told.add("size", int(run(own, "-c", SITE).out) - before)
    about = {"set": "environment with what it needs", "peer": "" if ours else "anomalib"}
    told.tell("seconds", "pip install, s", digits=1, **about)
    told.tell("size", "installed, MB", 1e-6, 1, **about)


if __name__ == "__main__":
    main()
