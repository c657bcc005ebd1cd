"""The default detector beside the small input (`--fast`, 256x256): what a stranger gets who names no size.

    python benches/defaults.py target/release/blemish DATA [--sets a,b] [--seed 0] [--options "--folds 0"]

DATA holds sets in MVTec AD layout. Every set is fitted both ways, calibrated as by default, and evaluated, on one thread. Times are CPU
seconds, which other work on the machine disturbs less than the clock; an image's is that of a `predict` of many images less that of one,
so that starting the program does not count. Prints a Markdown table. Needs Python's standard library alone.
"""

import argparse
import tempfile
from pathlib import Path

from blemish import NAMES, Program, Rows, figures

SETS = ["mvtec/screw", "deeppcb", "magnetic_tile", "elpv_mono", "mvtec/leather"]
VARIANTS = {"256x256": ["--fast"], "default": []}
# Good test images that the time of an image is taken from.
TIMED = 13


def measure(blemish, data, options):
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model.blemish"
        fit = blemish.run("fit", data, *options, "-o", model, "--json")
        chosen = [event["choice"] for event in fit.progress() if event["event"] == "input"]
        found, _ = blemish.evaluate(model, data)
        images = sorted((data / "test/good").iterdir())[:TIMED]
        one, many = blemish.predict(model, images[0])[1], blemish.predict(model, *images)[1]
        return {
            "inputs": " and ".join(str(side) for side in chosen[0]["sides"]) if chosen else "256",
            **{NAMES[key]: "" if value is None else f"{100 * value:.1f}" for key, value in figures(found).items()},
            "fit: CPU, s": f"{fit.cpu:.0f}",
            "fit: peak, MB": f"{fit.peak_mb:.0f}",
            "an image: CPU, ms": f"{1000 * (many.cpu - one.cpu) / (len(images) - 1):.0f}",
            "predict: peak, MB": f"{many.peak_mb:.0f}",
            "model, MB": f"{model.stat().st_size / 1e6:.1f}",
        }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("blemish", type=lambda path: Program(path, "--threads", "1"))
    parser.add_argument("data", type=Path)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--seed", default="0")
    parser.add_argument("--options", default="", help="further options of every fit")
    args = parser.parse_args()
    rows = Rows("defaults")
    for number, name in enumerate(args.sets.split(",")):
        for variant, options in VARIANTS.items():
            cells = measure(args.blemish, args.data / name, [*options, "--seed", args.seed, *args.options.split()])
            if number == 0 and variant == "256x256":
                print(f"| set | variant | {' | '.join(cells)} |\n|---|---|{'---:|' * len(cells)}")
            print(f"| {name} | {variant} | {' | '.join(value or '-' for value in cells.values())} |", flush=True)
            for metric, value in cells.items():
                rows.add(set=Path(name).name, method="patchcore", variant=variant, metric=metric, value=value, seeds=1, note=args.options)


if __name__ == "__main__":
    main()
