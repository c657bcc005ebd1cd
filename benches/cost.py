"""CPU time and peak memory of `fit` and `predict` of two programs, run by turns.

    python3 benches/cost.py OLD/blemish NEW/blemish --runs 5 --csv cost.csv

Each method fits and scores 60 images of 256x256, whole and in tiles; and 10,000 images of 64x64 stream through a fit of PaDiM and through
`predict` of every method. Prints the medians and the ratio of the second program to the first; --within 3 ends with 1 if a ratio of CPU
time or memory is more than 3 % above 1. CPU time is that of all threads, in user and system mode, which other work on the machine
disturbs less than the wall clock; the same program given twice shows what is left of the disturbance.
"""

import argparse
import csv
import pathlib
import shutil
import statistics
import sys
import tempfile

import blemish

METHODS = {
    "patchcore": "--method patchcore --set coreset_max=2000",
    "padim": "--method padim",
    "fastflow": "--method fastflow --set blocks=2 --set steps=20 --set batch=8",
}
VIEWS = {"whole": "--size 256x256", "tiled": "--tile 128x128 --tile-overlap 0"}
SMALL = "--size 64x64"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("old", "new"):
        parser.add_argument(name, type=lambda path: pathlib.Path(path).resolve())
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--stream", type=int, default=10_000, help="images that stream; 0 for none")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--stream-runs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--csv", type=pathlib.Path, help="file for every run")
    parser.add_argument("--within", type=float, metavar="PERCENT", help="end with 1 beyond this")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        make_sets(args, folder)
        rows = []
        for case, runs, old, new in plan(args, folder):
            rows += measure(args, folder, case, runs, {"old": old, "new": new})
    if args.csv:
        with open(args.csv, "w", newline="") as file:
            writer = csv.DictWriter(file, ["case", "program", "run", "cpu_seconds", "peak_mib"])
            writer.writeheader()
            writer.writerows(rows)
    sys.exit(table(rows, args.within))


def make_sets(args, folder):
    def synth(name, count, size):
        line = f"data synth {name} --look metal --train {count} --test-good 1 --test-per-defect 1 --size {size} --seed 1"
        run(args.old, line.split(), folder)

    synth("set", args.images, "256x256")
    if args.stream:
        # All of them different: copies would be taken for groups, which cost a calibration more.
        synth("stream", args.stream, "64x64")


def plan(args, folder):
    """Cases with the number of runs and the line of each program; models are written by the program that reads them."""

    def lines(make):
        return [make(f"{program}.blemish") for program in ("old", "new")]

    for method in args.methods:
        options = METHODS[method]
        for view, look in VIEWS.items():
            fit = lines(lambda model: f"fit set {options} {look} -o {method}-{view}-{model}".split())
            yield f"{method} {view} fit", args.runs, *fit
            predict = lines(lambda model: f"predict {method}-{view}-{model} set/train/good -o out --pictures none".split())
            yield f"{method} {view} predict", args.runs, *predict
    if not args.stream:
        return
    for method in args.methods:
        options = METHODS[method]
        learn = "stream" if method == "padim" else "set"
        fit = lines(lambda model: f"fit {learn} {options} {SMALL} -o {method}-stream-{model}".split())
        if method == "padim":
            yield f"{method} {args.stream} streamed fit", args.stream_runs, *fit
        else:
            for program, line in zip((args.old, args.new), fit):
                run(program, with_threads(args, line), folder)
        predict = lines(lambda model: f"predict {method}-stream-{model} stream/train/good -o out --pictures none".split())
        yield f"{method} {args.stream} streamed predict", args.stream_runs, *predict


def measure(args, folder, case, runs, lines):
    rows = []
    for number in range(runs):
        # By turns, each first as often as the other.
        order = ["old", "new"] if number % 2 == 0 else ["new", "old"]
        for name in order:
            seconds, peak = run(getattr(args, name), with_threads(args, lines[name]), folder)
            shutil.rmtree(folder / "out", ignore_errors=True)
            row = {"case": case, "program": name, "run": number, "cpu_seconds": round(seconds, 3), "peak_mib": round(peak, 1)}
            rows.append(row)
    print(f"done: {case}", file=sys.stderr)
    return rows


def with_threads(args, line):
    return [*line, "--threads", str(args.threads), "--progress", "none"]


def run(program, line, folder):
    """Runs the program to its end: CPU seconds and peak memory in MiB."""
    done = blemish.run(program, *line, cwd=folder)
    return done.cpu, done.peak_mb


def table(rows, within):
    """Prints medians and ratios; returns 1 if a ratio is beyond the limit."""
    print("| case | CPU s before | after | ratio | peak MiB before | after | ratio |")
    print("|---|---|---|---|---|---|---|")
    beyond = []
    for case in dict.fromkeys(row["case"] for row in rows):

        def median(program, column):
            return statistics.median(row[column] for row in rows if (row["case"], row["program"]) == (case, program))

        cells = []
        for column in ("cpu_seconds", "peak_mib"):
            before, after = median("old", column), median("new", column)
            cells += [f"{before:.2f}", f"{after:.2f}", f"{after / before:.3f}"]
            if within is not None and after / before > 1 + within / 100:
                beyond.append(f"{case}: {column} {after / before:.3f}")
        print(f"| {case} | {' | '.join(cells)} |")
    for line in beyond:
        print(f"beyond {within} %: {line}")
    return 1 if beyond else 0


if __name__ == "__main__":
    main()
