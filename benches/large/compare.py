"""Accuracy and time with and without tiles and several input sizes, on sets in MVTec AD layout.

    python3 compare.py BLEMISH OUT NAME=SET[:TILE] ...     such as  screw=path/to/screw:256x256

Fits and evaluates PatchCore on every set, whole at its default 256x256, at twice that, in tiles at the images' own size, and at several
sizes, and prints a row of a Markdown table each. Needs Python's standard library alone.
"""

import json
import pathlib
import subprocess
import sys
import time

METHOD = ["--set", "coreset_ratio=0.01", "--set", "image_score=max", "--folds", "0"]


def run(*line):
    started = time.monotonic()
    subprocess.run([str(part) for part in line], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.monotonic() - started


def main():
    blemish, out, *sets = sys.argv[1:]
    out = pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)
    print("| set | looks at | fit s | ms an image | image AUROC | pixel AUROC | AUPRO |\n|---|---|---|---|---|---|---|")
    for entry in sets:
        name, rest = entry.split("=", 1)
        path, _, tile = rest.partition(":")
        tile = tile or "256x256"
        for label, options in [
            ("whole at 256x256", []),
            ("whole at 512x512", ["--size", "512x512"]),
            (f"tiles of {tile}", ["--tile", tile, "--tiles-per-image", "8"]),
            ("256, 384 and 512", ["--multi-scale", "256,384,512"]),
        ]:
            model, metrics = out / "model.blemish", out / "metrics.json"
            fit = run(blemish, "fit", path, *METHOD, *options, "-o", model)
            scored = run(blemish, "eval", model, path, "--json", metrics)
            found = json.loads(metrics.read_text())
            images = found["counts"]["good"] + found["counts"]["defective"]
            percent = lambda section, key: f"{100 * found[section][key]:.1f}" if found[section].get(key) is not None else "-"
            cells = [name, label, f"{fit:.0f}", f"{1000 * scored / images:.0f}", percent("image", "auroc")]
            print("| " + " | ".join(cells + [percent("pixel", "auroc"), percent("pixel", "aupro")]) + " |", flush=True)


if __name__ == "__main__":
    main()
