"""Accuracy of methods beside PatchCore: mean and standard deviation over seeds.

    python benches/table.py target/release/blemish DATA WEIGHTS OUT [--sets a,b] [--variants "a;b"] [--seeds 3] [--device cpu] [--jobs 1]

DATA holds sets in MVTec AD layout, WEIGHTS the folder of the state dicts of ResNet-18 and AlexNet. Every variant is a `blemish fit` with the arguments
below (without calibration, scores of the last step) and an `eval`. Results are kept in OUT, a JSON file, so that an interrupted run goes on
where it stopped; the table is printed from it. `--jobs` runs several at a time, for a GPU that one does not fill. Needs Python's standard
library alone.
"""

import argparse
import json
import re
import statistics
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock

from blemish import NAMES, Program, Rows, figures, mean_and_spread, shown

SETS = ["mvtec/screw", "magnetic_tile", "deeppcb", "mvtec/leather"]
SIZE = "--size 256x256"
PIXELS = ["vae", "ganomaly", "fanogan", "edgrec", "mnad", "draem", "memseg"]
VARIANTS = {
    "patchcore": f"--method patchcore {SIZE}",
    "patchcore, 1 %": f"--method patchcore --set coreset_ratio=0.01 {SIZE}",
    "fapm": f"--method fapm {SIZE}",
    "fapm, no margin": f"--method fapm --set margin=0 {SIZE}",
    "fapm, uniform": f"--method fapm --set sizing=uniform {SIZE}",
    "fapm, one region": f"--method fapm --set regions=1 {SIZE}",
    "cfa, 3 epochs": f"--method cfa --set epochs=3 --layers layer1,layer2,layer3 {SIZE}",
    "cfa, 30 epochs": f"--method cfa --layers layer1,layer2,layer3 {SIZE}",
    "cfa, 3 epochs, anomalib": f"--method cfa --set epochs=3 --set variant=anomalib --layers layer1,layer2,layer3 {SIZE}",
    "mspba": f"--method mspba --layers layer1,layer2,layer3 {SIZE}",
    "mspba, 20 epochs, plain sum": f"--method mspba --set epochs=20 --set combination=sum --layers layer1,layer2,layer3 {SIZE}",
    "pni": f"--method pni {SIZE}",
    "pni, no position": f"--method pni --set position=false {SIZE}",
    "pni, no neighbourhood": f"--method pni --set neighbourhood=false {SIZE}",
    "pni, neither": f"--method pni --set position=false --set neighbourhood=false {SIZE}",
    "pni, refined": f"--method pni --set refinement=true {SIZE}",
    # Flows: short trainings for CPUs, each beside PatchCore on the same backbone.
    **{
        f"fastflow{kind}, {steps} steps": f"--method fastflow --set norm={norm} --set steps={steps} --layers layer1,layer2,layer3 {SIZE}"
        for steps in (28, 60)
        for kind, norm in (("", "learned"), (" with a fixed norm", "fixed"))
    },
    # anomalib's choices, for `flows/peer.py cflow`.
    **{
        f"cflow, {count} epochs": f"--method cflow --set epochs={count} --set fibers=64 --set rate=0.0001 --set rates=constant --set mixing=index {SIZE}"
        for count in (1, 2, 3)
    },
    "patchcore, embedded": f"--method patchcore --backbone efficientnet-lite0 {SIZE}",
    "glow, 100 steps": "--method glow --set steps=100 --backbone efficientnet-lite0",
    **{
        f"csflow, 900 steps, {score}": f"--method csflow --set steps=900 --set batch=8 --set rate=0.001 --set side=256 --set hidden=128 --set score={score} --backbone efficientnet-lite0"
        for score in ("mean", "max")
    },
    "patchcore, alexnet": "--method patchcore --backbone alexnet",
    "differnet, 200 steps": "--method differnet --set width=512 --set transforms=8 --set map=none --set steps=200 --backbone alexnet",
    # Methods that learn from pixels, as they come: on a CPU, presets of a CPU.
    **{name: f"--method {name}" for name in PIXELS},
    "vae, texture": "--method vae --set texture=true --set latent=spatial",
    "edgrec, 1500 steps": "--method edgrec --set steps=1500",
    "mnad, prediction": "--method mnad --set task=prediction",
    # As long as published, for GPUs: epochs(COUNT,BATCH) are the updates of so many passes over the set.
    "fastflow, full": f"--method fastflow --set steps=epochs(500,32) --layers layer1,layer2,layer3 {SIZE}",
    "cflow, full": f"--method cflow --set epochs=200 {SIZE}",
    "csflow, full": "--method csflow --set steps=epochs(240,16) --backbone efficientnet-lite0",
    "differnet, full": "--method differnet --set map=none --set steps=epochs(192,24) --backbone alexnet",
    "glow, full": "--method glow --set steps=epochs(240,16) --backbone efficientnet-lite0",
    **{f"{name}, full": f"--method {name} --set preset=paper" for name in PIXELS},
    "vae, texture, full": "--method vae --set preset=paper --set texture=true",
    "draem with sspcab, full": "--method draem --set preset=paper --set sspcab=on",
}


def updates(arguments, images):
    """The arguments with numbers of updates for numbers of epochs."""
    number = lambda found: str(int(found[1]) * images // min(int(found[2]), images))
    return re.sub(r"epochs\((\d+),(\d+)\)", number, arguments)


def measure(args, name, arguments, seed):
    arguments = updates(arguments, sum(1 for _ in (Path(args.data) / name / "train" / "good").iterdir()))
    is_own = "--backbone" in arguments or arguments.split()[1] in PIXELS
    backbone = [] if is_own else ["--backbone", "resnet18"]
    if "alexnet" in arguments:
        backbone += ["--weights", Path(args.weights) / "alexnet-features-lpips.safetensors"]
    if not is_own:
        backbone += ["--weights", Path(args.weights) / "resnet18-layer1to3-bnfolded.safetensors"]
        backbone += [] if "--layers" in arguments else ["--layers", "layer2,layer3"]
    with tempfile.TemporaryDirectory() as folder:
        blemish, data, model = Program(args.blemish), Path(args.data) / name, Path(folder) / "model.blemish"
        fit = blemish.fit(data, model, *arguments.split(), *backbone, "--folds", "0", "--seed", seed, "--device", args.device)
        found, scored = blemish.evaluate(model, data, "--device", args.device)
        return {"fit": fit.wall, "eval": scored.wall, "bytes": model.stat().st_size, **figures(found)}


def table(results, sets, variants):
    rows = Rows("table")
    for name in sets:
        print(f"\n{name}\n\n| variant | image AUROC | pixel AUROC | AUPRO | fit s | seeds |\n|---|---:|---:|---:|---:|---:|")
        for variant in variants:
            found = [value for key, value in results.items() if key.split("|")[:2] == [name, variant]]
            if not found:
                continue
            cells = []
            names = {"set": name, "method": VARIANTS[variant].split()[1], "variant": variant, "seeds": len(found)}
            for key, metric in NAMES.items():
                value, spread = mean_and_spread([one[key] for one in found], 100)
                cells.append(shown(value, spread))
                rows.add(**names, metric=metric, value=value, spread=spread)
            fit = f"{statistics.median(one['fit'] for one in found):.0f}"
            print(f"| {variant} | {' | '.join(cells)} | {fit} | {len(found)} |")
            rows.add(**names, metric="fit, s", value=fit)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("blemish", "data", "weights", "out"):
        parser.add_argument(name)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--variants", default=";".join(VARIANTS), help="separated by semicolons")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--jobs", type=int, default=1)
    args = parser.parse_args()
    out = Path(args.out)
    results = json.loads(out.read_text()) if out.exists() else {}
    sets, variants = args.sets.split(","), args.variants.split(";")
    lock = Lock()

    def fill(key):
        name, variant, seed = key.split("|")
        found = measure(args, name, VARIANTS[variant], seed)
        with lock:
            results[key] = found
            out.write_text(json.dumps(results, indent=1))

    keys = [f"{name}|{variant}|{seed}" for seed in range(args.seeds) for name in sets for variant in variants]
    with ThreadPoolExecutor(args.jobs) as pool:
        list(pool.map(fill, [key for key in keys if key not in results]))
    table(results, sets, variants)


if __name__ == "__main__":
    main()
