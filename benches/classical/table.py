"""Accuracy and speed of every classical filter and of combinations, beside PatchCore and PaDiM, on labelled sets.

    python benches/classical/table.py target/release/blemish DATA_FOLDER WEIGHTS_FOLDER [SET ...]

DATA_FOLDER holds sets in MVTec AD layout; the looks of `blemish data synth` are made on the way. Every variant is a `blemish fit` with
the arguments that the table shows, an `eval`, and a `predict` on one thread whose CPU time (with reading the images) gives the images a
second. Prints one Markdown table a set; results are kept in table.json so that an interrupted run goes on where it stopped.
"""

import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

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
        yield f"{method}, embedded backbone", f"--method {method}{few}"
        layers = resnet if method == "padim" else resnet.replace("layer1,layer2,layer3", "layer2,layer3")
        yield f"{method}, ResNet-18", f"--method {method}{few} {layers}"


def run(binary, arguments, folder):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([binary, *arguments.split(), "--threads", "1", "--progress", "none"], cwd=folder, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout


def measure(binary, data, arguments, folder):
    fit, _ = run(binary, f"fit {data} {arguments} --folds 0 -o model.blemish", folder)
    run(binary, f"eval model.blemish {data} --json metrics.json", folder)
    metrics = json.loads((folder / "metrics.json").read_text())
    # All test images less the good ones: what starting costs does not count.
    few, lines = run(binary, f"predict model.blemish {data}/test/good", folder)
    all_of, more = run(binary, f"predict model.blemish {data}/test", folder)
    count = len(more.splitlines()) - len(lines.splitlines())
    return {
        "image": metrics["image"]["auroc"],
        "pixel": metrics["pixel"]["auroc"],
        "aupro": metrics["pixel"]["aupro"],
        "fit": fit,
        "rate": count / max(all_of - few, 1e-3),
    }


def main():
    binary, data, weights, *wanted = sys.argv[1:]
    binary = str(Path(binary).resolve())
    kept = Path("table.json")
    results = json.loads(kept.read_text()) if kept.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        sets = wanted or "synth/fabric synth/metal synth/print deeppcb elpv_mono magnetic_tile mvtec/leather mvtec/screw".split()
        for name in sets:
            path = Path(data) / name
            if name.startswith("synth/"):
                path = folder / name
                path.parent.mkdir(exist_ok=True)
                if not path.exists():
                    run(binary, f"data synth {path} --look {name[6:]}", folder)
            rows = results.setdefault(name, {})
            for label, arguments in variants(name, weights):
                if label not in rows:
                    try:
                        rows[label] = measure(binary, path, arguments, folder) | {"arguments": arguments}
                    except RuntimeError as error:
                        rows[label] = {"error": str(error)}
                        print(name, label, error, file=sys.stderr)
                    kept.write_text(json.dumps(results, indent=1))
            show(name, rows)


def show(name, rows):
    print(f"\n**{name}**\n\n| variant | image AUROC | pixel AUROC | AUPRO | images/s | fit, s |\n|---|---:|---:|---:|---:|---:|")
    percent = lambda value: "-" if value is None else f"{100 * value:.1f}"
    for label, row in rows.items():
        if "error" in row:
            continue
        cells = [percent(row[key]) for key in ("image", "pixel", "aupro")]
        print(f"| {label} | {' | '.join(cells)} | {row['rate']:.0f} | {row['fit']:.1f} |", flush=True)


main()
