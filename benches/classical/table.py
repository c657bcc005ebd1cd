"""Accuracy and speed of every classical filter and of combinations, beside PatchCore and PaDiM, on labelled sets.

    python benches/classical/table.py target/release/blemish DATA_FOLDER WEIGHTS_FOLDER [SET ...]

DATA_FOLDER holds sets in MVTec AD layout; the looks of `blemish data synth` are made on the way. Every variant is a `blemish fit` with
the arguments that the table shows, an `eval`, and a `predict` on one thread whose CPU time (with reading the images) gives the images a
second. Prints one Markdown table a set; results are kept in table.json so that an interrupted run goes on where it stopped.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from blemish import NAMES, Failed, Program, Rows, figures

FILTERS = {
    "statistical": ["histogram", "lbp", "glcm", "pixel"],
    "structural": ["tophat", "lines", "granulometry", "textons", "patches", "template"],
    "filter": "sobel laplacian canny gabor wavelet daubechies wavelet_residual spectral phase notch whiten".split(),
}
COMBINATIONS = ["histogram+lbp", "histogram+gabor", "gabor+laplacian", "gabor+wavelet", "tophat+textons", "laplacian+notch"]
POSITION = ["sobel", "laplacian", "gabor"]
# Side of the resized images where the full size says no more; the others keep their own.
SIZES = {"mvtec/screw": "256x256", "mvtec/leather": "512x512"}
VARYING = {"magnetic_tile"}


def variants(name, weights):
    size = f" --size {SIZES[name]}" if name in SIZES else ""
    for method, filters in FILTERS.items():
        for one in filters:
            if name in VARYING and one in ("pixel", "template"):
                continue
            yield one, f"--method {method} --set bank={one}{size}"
    for one in ("patches",) if name in VARYING else ("patches", "template"):
        yield f"{one}, worst pixel", f"--method structural --set bank={one} --set top=0 --set sigma=1{size}"
    yield "patches of 7, worst pixel", f"--method structural --set bank=patches --set patch=7 --set top=0 --set sigma=1{size}"
    for bank in COMBINATIONS:
        yield bank, f"--method filter --set bank={bank}{size}"
    if name not in VARYING:
        for one in POSITION:
            yield f"{one}, by position", f"--method filter --set bank={one} --set model=position{size}"
    resnet = f"--backbone resnet18 --weights {weights}/resnet18-layer1to3-bnfolded.safetensors --layers layer1,layer2,layer3"
    for method in ("patchcore", "padim"):
        few = " --set coreset_ratio=0.02" if method == "patchcore" else ""
        yield f"{method}, embedded backbone", f"--method {method}{few} --fast"
        layers = resnet if method == "padim" else resnet.replace("layer1,layer2,layer3", "layer2,layer3")
        yield f"{method}, ResNet-18", f"--method {method}{few} {layers}"


def measure(blemish, data, arguments):
    fit = blemish.fit(data, "model.blemish", *arguments.split(), "--folds", "0")
    metrics, _ = blemish.evaluate("model.blemish", data)
    # All test images less the good ones: what starting costs does not count.
    good, few = blemish.predict("model.blemish", data / "test/good")
    lines, all_of = blemish.predict("model.blemish", data / "test")
    return {**figures(metrics), "fit": fit.cpu, "rate": (len(lines) - len(good)) / max(all_of.cpu - few.cpu, 1e-3)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("blemish", "data", "weights"):
        parser.add_argument(name)
    parser.add_argument("set", nargs="*")
    args = parser.parse_args()
    data, weights = Path(args.data).resolve(), Path(args.weights).resolve()
    kept = Path("table.json")
    results = json.loads(kept.read_text()) if kept.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        blemish = Program(args.blemish, "--threads", "1", cwd=folder)
        sets = args.set or "synth/fabric synth/metal synth/print deeppcb elpv_mono magnetic_tile mvtec/leather mvtec/screw".split()
        for name in sets:
            path = data / name
            if name.startswith("synth/"):
                path = folder / name
                path.parent.mkdir(exist_ok=True)
                if not path.exists():
                    blemish.synth(path, "--look", name[6:])
            found = results.setdefault(name, {})
            for label, arguments in variants(name, weights):
                if label not in found:
                    try:
                        found[label] = measure(blemish, path, arguments) | {"arguments": arguments}
                    except Failed as error:
                        found[label] = {"error": str(error)}
                        print(name, label, error, file=sys.stderr)
                    kept.write_text(json.dumps(results, indent=1))
            show(name, found)


def show(name, found):
    rows = Rows("classical-filters")
    print(f"\n**{name}**\n\n| variant | image AUROC | pixel AUROC | AUPRO | images/s | fit, s |\n|---|---:|---:|---:|---:|---:|")
    percent = lambda value: "-" if value is None else f"{100 * value:.1f}"
    for label, row in found.items():
        if "error" in row:
            continue
        cells = [percent(row[key]) for key in ("image", "pixel", "aupro")]
        print(f"| {label} | {' | '.join(cells)} | {row['rate']:.0f} | {row['fit']:.1f} |", flush=True)
        cells = {NAMES[key]: cell for key, cell in zip(NAMES, cells)} | {"images/s": f"{row['rate']:.0f}", "fit, CPU s": f"{row['fit']:.1f}"}
        for metric, value in cells.items():
            rows.add(set=name, variant=label, metric=metric, value=value.strip("-"), seeds=1)


if __name__ == "__main__":
    main()
