"""Backbones in bytes beside single precision: what they cost in accuracy, and what they save in time.

    python benches/precision.py target/release/blemish accuracy DATA WEIGHTS OUT.json [--seeds 3] [--sets a,b] [--methods padim]
    python benches/precision.py target/release/blemish speed WEIGHTS [--runs 5] [--sides 256 512]

`accuracy` fits each method in single precision, with `--precision int8` and with `auto`, and evaluates; results are kept in OUT.json, so that an
interrupted run goes on where it stopped. `speed` times `predict` of 40 images on one thread, by turns: wall milliseconds an image, of the difference
between 40 images and 8, so that the start of the program does not count. DATA holds sets in MVTec AD layout, WEIGHTS the state dict of
ResNet-18. Needs Python's standard library alone.
"""

import argparse
import json
import statistics
import tempfile
from pathlib import Path

from blemish import NAMES, Program, Rows, figures, mean_and_spread, shown

SETS = ["mvtec/screw", "magnetic_tile", "deeppcb", "mvtec/leather", "elpv_mono"]
METHODS = ["patchcore", "padim", "fapm"]
PRECISIONS = ["single", "int8", "auto"]
MANY, FEW = 40, 8


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=Program)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("accuracy")
    for name in ("data", "weights", "out"):
        one.add_argument(name, type=Path)
    one.add_argument("--seeds", type=int, default=3)
    one.add_argument("--sets", default=",".join(SETS))
    one.add_argument("--methods", default=",".join(METHODS))
    one.set_defaults(run=accuracy)
    one = commands.add_parser("speed")
    one.add_argument("weights", type=Path)
    one.add_argument("--runs", type=int, default=5)
    one.add_argument("--sides", type=int, nargs="+", default=[256, 512])
    one.set_defaults(run=speed)
    args = parser.parse_args()
    args.run(args)


def resnet18(weights):
    return ["--backbone", "resnet18", "--weights", weights / "resnet18-layer1to3-bnfolded.safetensors", "--layers", "layer2,layer3"]


def accuracy(args):
    kept = json.loads(args.out.read_text()) if args.out.exists() else {}
    sets, methods = args.sets.split(","), args.methods.split(",")
    for name in sets:
        for method in methods:
            for seed in range(args.seeds):
                for precision in PRECISIONS:
                    key = f"{name}|{method}|{precision}|{seed}"
                    if key not in kept:
                        kept[key] = measure(args, name, method, precision, seed)
                        args.out.write_text(json.dumps(kept, indent=1))
    rows = Rows("precision")
    print("| set | method | figure | single | int8 | auto took |\n|---|---|---|---:|---:|---|")
    for name in sets:
        for method in methods:
            runs = {precision: [kept[f"{name}|{method}|{precision}|{seed}"] for seed in range(args.seeds)] for precision in PRECISIONS}
            took = ", ".join(sorted({run["took"] for run in runs["auto"]}))
            for key, metric in NAMES.items():
                cells = {precision: mean_and_spread([run[key] for run in runs[precision]], 100) for precision in ("single", "int8")}
                if not cells["single"][0]:
                    continue
                for precision, (value, spread) in cells.items():
                    rows.add(set=name, method=method, variant=precision, metric=metric, value=value, spread=spread, seeds=args.seeds)
                print(f"| {name} | {method} | {metric} | {shown(*cells['single'])} | {shown(*cells['int8'])} | {took} |")


def measure(args, name, method, precision, seed):
    with tempfile.TemporaryDirectory() as folder:
        data, model = args.data / name, Path(folder) / "model.blemish"
        options = ["--method", method, "--size", "256x256", "--folds", "0", "--seed", seed, *resnet18(args.weights), "--precision", precision]
        args.program.fit(data, model, *options)
        found, _ = args.program.evaluate(model, data)
        took = (args.program.info(model)["backbone"] or {}).get("precision", "single")
        return {"took": took, "bytes": model.stat().st_size, **figures(found)}


def speed(args):
    rows = Rows("precision")
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        print("| method | backbone | pixels | single, ms | int8, ms | single / int8 |\n|---|---|---:|---:|---:|---:|")
        for side in args.sides:
            data = folder / f"set-{side}"
            args.program.synth(data, "--look", "metal", "--train", MANY, "--test-good", 1, "--test-per-defect", 1, "--size", f"{side}x{side}")
            images = sorted((data / "train" / "good").iterdir())
            for method in ("patchcore", "padim"):
                for backbone, options in (("efficientnet-lite0", []), ("resnet18", resnet18(args.weights))):
                    models = {}
                    for precision in ("single", "int8"):
                        models[precision] = folder / f"{precision}.blemish"
                        fit = ["--method", method, "--size", f"{side}x{side}", "--folds", "0", *options, "--precision", precision]
                        args.program.fit(data, models[precision], *fit)
                    times = {precision: [] for precision in models}
                    for _ in range(args.runs):
                        for precision, model in models.items():
                            times[precision].append(an_image(args.program, model, images))
                    single, int8 = (statistics.median(times[precision]) for precision in ("single", "int8"))
                    print(f"| {method} | {backbone} | {side} | {single:.1f} | {int8:.1f} | {single / int8:.2f} |", flush=True)
                    names = {"set": f"synth metal {side}x{side}", "method": method, "metric": "predict, one thread, ms an image", "seeds": args.runs}
                    rows.add(**names, variant=f"{backbone}, single", value=f"{single:.1f}")
                    rows.add(**names, variant=f"{backbone}, int8", value=f"{int8:.1f}")


def an_image(program, model, images):
    wall = {count: program.predict(model, *images[:count], "--threads", 1)[1].wall for count in (MANY, FEW)}
    return 1000 * (wall[MANY] - wall[FEW]) / (MANY - FEW)


if __name__ == "__main__":
    main()
