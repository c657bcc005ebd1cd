"""Accuracy and time with and without tiles and several input sizes, on sets in MVTec AD layout.

    python benches/large/compare.py BLEMISH OUT NAME=SET[:TILE] ...     such as  screw=path/to/screw:256x256

Fits and evaluates PatchCore on every set, whole at its default 256x256, at twice that, in tiles at the images' own size, and at several
sizes, and prints a row of a Markdown table each. Needs Python's standard library alone.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from blemish import NAMES, Program, Rows, figures

METHOD = ["--set", "coreset_ratio=0.01", "--set", "image_score=max", "--folds", "0"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("blemish", type=Program)
    parser.add_argument("out", type=Path)
    parser.add_argument("sets", nargs="+", metavar="NAME=SET[:TILE]")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    rows = Rows("tiles-and-sizes")
    print("| set | looks at | fit s | ms an image | image AUROC | pixel AUROC | AUPRO |\n|---|---|---|---|---|---|---|")
    for entry in args.sets:
        name, rest = entry.split("=", 1)
        path, _, tile = rest.partition(":")
        tile = tile or "256x256"
        for label, options in [
            ("whole at 256x256", ["--fast"]),
            ("whole at 512x512", ["--size", "512x512"]),
            (f"tiles of {tile}", ["--tile", tile, "--tiles-per-image", "8"]),
            ("256, 384 and 512", ["--multi-scale", "256,384,512"]),
        ]:
            model = args.out / "model.blemish"
            fit = args.blemish.fit(path, model, *METHOD, *options)
            found, scored = args.blemish.evaluate(model, path)
            images = found["counts"]["good"] + found["counts"]["defective"]
            cells = {"fit, s": f"{fit.wall:.0f}", "an image, ms": f"{1000 * scored.wall / images:.0f}"}
            cells |= {NAMES[key]: "-" if value is None else f"{100 * value:.1f}" for key, value in figures(found).items()}
            print("| " + " | ".join([name, label, *cells.values()]) + " |", flush=True)
            for metric, value in cells.items():
                rows.add(set=name, method="patchcore", variant=label, metric=metric, value=value.strip("-"), seeds=1)


if __name__ == "__main__":
    main()
