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
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from blemish import NAMES, Program, Rows, figures, mean_and_spread, shown

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
for name in ("blemish", "set", "weights"):
    parser.add_argument(name)
parser.add_argument("--size", default="256x256")
parser.add_argument("--turns", type=int, default=3)
parser.add_argument("--seeds", type=int, default=3)
parser.add_argument("--equal", choices=["entries", "values"], default="entries")
parser.add_argument("--set", action="append", default=[], dest="settings")
args = parser.parse_args()
blemish = Program(args.blemish, "--threads", "1")


def banks(model):
    """Entries and values of all banks in a model file."""
    with open(model, "rb") as file:
        head = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    shapes = [value["shape"] for name, value in head.items() if name == "bank" or name.endswith(".bank")]
    return {"entries": sum(rows for rows, _ in shapes), "values": sum(rows * columns for rows, columns in shapes)}


with tempfile.TemporaryDirectory() as folder:
    folder = Path(folder)
    images = sorted(path for path in Path(args.set).glob("test/*/*"))
    backbone = ["--backbone", "resnet18", "--weights", args.weights, "--layers", "layer2,layer3", "--size", args.size, "--folds", "0"]

    def fit(method, settings, seed):
        """Bank sizes, image and pixel AUROC; the model stays in the folder, named by method and seed."""
        model = folder / f"{method}{seed}.blemish"
        words = [word for setting in settings for word in ("--set", setting)]
        blemish.fit(args.set, model, "--method", method, *words, *backbone, "--seed", seed)
        return {**banks(model), **figures(blemish.evaluate(model, args.set)[0])}

    fapm = [fit("fapm", args.settings, seed) for seed in range(args.seeds)]
    tenth = fit("patchcore", ["coreset_max=1000000"], 0)
    share = 0.1 * fapm[0][args.equal] / tenth[args.equal]
    patchcore = [fit("patchcore", ["coreset_max=1000000", f"coreset_ratio={share}"], seed) for seed in range(args.seeds)]
    found = {"fapm": fapm, "patchcore": patchcore}
    times = {method: [] for method in found}
    for _ in range(args.turns):
        for method in found:
            model = folder / f"{method}0.blemish"
            _, start = blemish.predict(model, images[0])
            _, all_of = blemish.predict(model, *images)
            times[method].append((len(images) - 1) / (all_of.cpu - start.cpu))
    print("| method | entries | values | images a CPU second | image AUROC | pixel AUROC |\n|---|---:|---:|---:|---:|---:|")
    rows = Rows("fapm-speed")
    for method, fits in found.items():
        first, rate = fits[0], statistics.median(times[method])
        accuracy = {kind: mean_and_spread([one[kind] for one in fits], 100) for kind in ("image", "pixel")}
        cells = " | ".join(shown(*figure) for figure in accuracy.values())
        print(f"| {method} | {first['entries']:,} | {first['values']:,} | {rate:.1f} | {cells} |")
        figure = {"set": Path(args.set).name, "method": method, "variant": " ".join(args.settings), "note": f"as many {args.equal}"}
        for metric, value in {"entries": first["entries"], "values": first["values"], "images a CPU second": f"{rate:.1f}"}.items():
            rows.add(**figure, metric=metric, value=value)
        for kind, (value, spread) in accuracy.items():
            rows.add(**figure, metric=NAMES[kind], value=value, spread=spread, seeds=args.seeds)
