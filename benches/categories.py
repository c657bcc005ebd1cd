"""One model of several categories beside one model each: image AUROC, pixel AUROC and AUPRO of every category and their means.

    python benches/categories.py target/release/blemish SETS [--uniad "preset=cpu steps=1500"] [--options "--threads 2"] [--keep DIR]

SETS is a folder of sets in MVTec AD layout, or of links to such. Fitted are UniAD on all of them, PatchCore on all of them and PatchCore on each,
by one seed and without calibration; the last step counts. PatchCore sees images at UniAD's size, 224 x 224, as a second line at its own choice.
Needs Python's standard library alone.
"""

import argparse
import tempfile
from pathlib import Path

from blemish import NAMES, Program, Rows, figures

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("program")
parser.add_argument("sets", type=Path)
parser.add_argument("--uniad", default="", help="settings of UniAD, KEY=VALUE with blanks between")
parser.add_argument("--options", default="", help="options of every fit")
parser.add_argument("--keep", type=Path, help="folder for the models; a temporary one without it")
args = parser.parse_args()

program, rows = Program(args.program), Rows("categories")
categories = sorted(path.name for path in args.sets.iterdir() if path.is_dir())
METRICS = ("image", "pixel", "aupro")


def uniad():
    return ["--method", "uniad", *(word for pair in args.uniad.split() for word in ("--set", pair))]


def one_model(folder, name, words):
    """Metrics by category of a model of all of them, and the CPU seconds of its fit."""
    model = folder / f"{name}.blemish"
    fitted = program.fit(args.sets, model, "--all-categories", "--folds", 0, *words, *args.options.split())
    metrics, _ = program.evaluate(model, args.sets, "--all-categories")
    return {one["category"]: figures(one) for one in metrics["categories"]}, fitted.cpu


def each(folder, name, words):
    """The same of a model for each."""
    found, cpu = {}, 0.0
    for category in categories:
        model = folder / f"{name}-{category}.blemish"
        cpu += program.fit(args.sets / category, model, "--folds", 0, *words, *args.options.split()).cpu
        metrics, _ = program.evaluate(model, args.sets / category)
        found[category] = figures(metrics)
    return found, cpu


def percent(values):
    there = [100 * value for value in values if value is not None]
    return f"{sum(there) / len(there):.1f}" if there else "-"


def main(folder):
    small = ["--size", "224x224"]
    runs = [
        ("UniAD, one model", one_model, "uniad", uniad()),
        ("PatchCore, one model, 224 px", one_model, "patchcore-224", small),
        ("PatchCore, one model", one_model, "patchcore", []),
        ("PatchCore, one each, 224 px", each, "each-224", small),
        ("PatchCore, one each", each, "each", []),
    ]
    print(f"image AUROC / pixel AUROC / AUPRO, %\n| | {' | '.join(categories)} | mean | fit, CPU s |")
    print("|---" * (len(categories) + 3) + "|")
    for title, run, name, words in runs:
        found, cpu = run(folder, name, words)
        cells = [" / ".join(percent([found[category][metric]]) for metric in METRICS) for category in categories]
        mean = " / ".join(percent([found[category][metric] for category in categories]) for metric in METRICS)
        print(f"| {title} | {' | '.join(cells)} | {mean} | {cpu:.0f} |", flush=True)
        for category in categories:
            for metric in METRICS:
                rows.add(set=category, method=title, metric=NAMES[metric], value=percent([found[category][metric]]))


if args.keep:
    args.keep.mkdir(parents=True, exist_ok=True)
    main(args.keep)
else:
    with tempfile.TemporaryDirectory() as folder:
        main(Path(folder))
