"""Images a CPU second of FAPM beside PatchCore with a bank of as many entries, on one thread, by turns.

    python benches/distance/fapm_speed.py target/release/blemish SET WEIGHTS [--size 256x256] [--turns 3]

SET is in MVTec AD layout, WEIGHTS the ResNet-18 state dict. Both are fitted on the same images; PatchCore's share of patches is set so that
its bank has as many entries as FAPM's banks together. Times are CPU seconds of `blemish predict` on the test images with reading, backbone, search
and map, less those of a run on no more than one image (start and model). Needs Python's standard library alone.
"""

import argparse
import json
import resource
import statistics
import subprocess
import tempfile
from pathlib import Path

parser = argparse.ArgumentParser()
for name in ("blemish", "set", "weights"):
    parser.add_argument(name)
parser.add_argument("--size", default="256x256")
parser.add_argument("--turns", type=int, default=3)
told = parser.parse_args()
QUIET = ["--progress", "none", "--threads", "1"]


def run(*line):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([str(part) for part in (told.blemish, *line, *QUIET)], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, line))}\n{done.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def entries(model):
    """Rows of all banks in a model file."""
    with open(model, "rb") as file:
        head = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    return sum(value["shape"][0] for name, value in head.items() if name == "bank" or name.endswith(".bank"))


with tempfile.TemporaryDirectory() as folder:
    folder = Path(folder)
    images = sorted(path for path in Path(told.set).glob("test/*/*"))
    fits = {"fapm": [], "patchcore": ["--set", "coreset_max=1000000"]}
    backbone = ["--backbone", "resnet18", "--weights", told.weights, "--layers", "layer2,layer3", "--size", told.size, "--folds", "0"]
    found = {}
    for method, settings in fits.items():
        model = folder / f"{method}.blemish"
        run("fit", told.set, "--method", method, *settings, *backbone, "-o", model)
        if method == "patchcore":
            share = 0.1 * entries(folder / "fapm.blemish") / entries(model)
            run("fit", told.set, "--method", method, *settings, "--set", f"coreset_ratio={share}", *backbone, "-o", model)
        run("eval", model, told.set, "--json", folder / "metrics.json")
        metrics = json.loads((folder / "metrics.json").read_text())
        pixel = metrics["pixel"]["auroc"]
        found[method] = {"entries": entries(model), "image": metrics["image"]["auroc"], "pixel": pixel, "times": []}
    for _ in range(told.turns):
        for method in fits:
            model = folder / f"{method}.blemish"
            start = run("predict", model, images[0])
            took = run("predict", model, *images) - start
            found[method]["times"].append((len(images) - 1) / took)
    print("| method | entries | images a CPU second | image AUROC | pixel AUROC |\n|---|---:|---:|---:|---:|")
    for method, one in found.items():
        rate = statistics.median(one["times"])
        pixel = "-" if one["pixel"] is None else f"{100 * one['pixel']:.1f}"
        print(f"| {method} | {one['entries']:,} | {rate:.1f} | {100 * one['image']:.1f} | {pixel} |")
