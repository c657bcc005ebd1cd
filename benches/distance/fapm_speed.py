"""Images a CPU second of FAPM beside PatchCore with a bank of as many entries, on one thread, by turns.

    python benches/distance/fapm_speed.py target/release/blemish SET WEIGHTS [--equal entries|values] [--set NAME=VALUE ...]

SET is in MVTec AD layout, WEIGHTS the ResNet-18 state dict. Both are fitted on the same images; PatchCore's share of patches is set so that
its bank has as many entries as FAPM's banks together, or as many values (memory): PatchCore's entries have both layers' channels, FAPM's
those of one. `--set` goes to FAPM. Accuracy is the mean of `--seeds` fits, times are of the first: they are CPU seconds of `blemish predict`
on the test images with reading, backbone, search and map, less those of a run on no more than one image (start and model). Needs Python's
standard library alone.
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
parser.add_argument("--seeds", type=int, default=3)
parser.add_argument("--equal", choices=["entries", "values"], default="entries")
parser.add_argument("--set", action="append", default=[], dest="settings")
told = parser.parse_args()
QUIET = ["--progress", "none", "--threads", "1"]


def run(*line):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([str(part) for part in (told.blemish, *line, *QUIET)], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, line))}\n{done.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def banks(model):
    """Entries and values of all banks in a model file."""
    with open(model, "rb") as file:
        head = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    shapes = [value["shape"] for name, value in head.items() if name == "bank" or name.endswith(".bank")]
    return {"entries": sum(rows for rows, _ in shapes), "values": sum(rows * columns for rows, columns in shapes)}


def mean(values):
    spread = f" ± {100 * statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{100 * statistics.mean(values):.1f}{spread}"


with tempfile.TemporaryDirectory() as folder:
    folder = Path(folder)
    images = sorted(path for path in Path(told.set).glob("test/*/*"))
    backbone = ["--backbone", "resnet18", "--weights", told.weights, "--layers", "layer2,layer3", "--size", told.size, "--folds", "0"]

    def fit(method, settings, seed):
        """Bank sizes, image and pixel AUROC; the model stays in the folder, named by method and seed."""
        model = folder / f"{method}{seed}.blemish"
        told_settings = [part for setting in settings for part in ("--set", setting)]
        run("fit", told.set, "--method", method, *told_settings, *backbone, "--seed", seed, "-o", model)
        run("eval", model, told.set, "--json", folder / "metrics.json")
        metrics = json.loads((folder / "metrics.json").read_text())
        return {**banks(model), **{kind: metrics[kind] and metrics[kind]["auroc"] for kind in ("image", "pixel")}}

    fapm = [fit("fapm", told.settings, seed) for seed in range(told.seeds)]
    tenth = fit("patchcore", ["coreset_max=1000000"], 0)
    share = 0.1 * fapm[0][told.equal] / tenth[told.equal]
    patchcore = [fit("patchcore", ["coreset_max=1000000", f"coreset_ratio={share}"], seed) for seed in range(told.seeds)]
    found = {"fapm": fapm, "patchcore": patchcore}
    times = {method: [] for method in found}
    for _ in range(told.turns):
        for method in found:
            model = folder / f"{method}0.blemish"
            start = run("predict", model, images[0])
            took = run("predict", model, *images) - start
            times[method].append((len(images) - 1) / took)
    print("| method | entries | values | images a CPU second | image AUROC | pixel AUROC |\n|---|---:|---:|---:|---:|---:|")
    for method, fits in found.items():
        image, pixel = ([one[kind] for one in fits] for kind in ("image", "pixel"))
        pixel = "-" if pixel[0] is None else mean(pixel)
        first = fits[0]
        rate = statistics.median(times[method])
        print(f"| {method} | {first['entries']:,} | {first['values']:,} | {rate:.1f} | {mean(image)} | {pixel} |")
