"""False-alarm rates of calibrated models on good images, for targets of 10, 5, 1 and 0.1 %, and the groups that fits find.

    python benches/false_alarms.py BLEMISH SPLITS METHOD DATA [--tiles] [OPTION OF FIT]...
    python benches/false_alarms.py BLEMISH SETS METHOD synthetic [OPTION OF FIT]...

DATA is a folder in MVTec AD layout. First its own split: a model fitted and calibrated on train/good, tried on test/good. Then SPLITS
random splits of all its good images, two thirds to fit on and one third to try. With --tiles (magnetic_tile only) images of one tile
stay on one side of the split, and are one group for the fit; without, the fit finds groups by itself (`--groups none` keeps it from that).
With `synthetic` the sets are made: SETS of them, by seeds and looks in turn, whose images are exchangeable. Image-wise an alarm is a p-value of at most the target;
pixel-wise a map above the threshold that this script computes itself from the model's calibrating maxima.
"""

import argparse
import csv
import math
import os
import random
import re
import statistics
import tempfile
from dataclasses import dataclass

from blemish import Program, Rows

TARGETS = [0.10, 0.05, 0.01, 0.001]
LOOKS = ["fabric", "metal", "print"]


def good(data, part):
    folder = os.path.join(data, part, "good")
    return [os.path.join(folder, name) for name in sorted(os.listdir(folder))]


def tiles(paths):
    """Magnetic tiles: names are expE_num_N; a tile is a run of rising E in the order of N without a jump above 400."""
    named = sorted((int(number), int(exposure), path) for path in paths
                   for exposure, number in [re.search(r"exp(\d)_num_(\d+)", path).groups()])
    groups, before = [], None
    for number, exposure, path in named:
        if before is None or exposure <= before[1] or number - before[0] > 400:
            groups.append([])
        groups[-1].append(path)
        before = (number, exposure)
    return groups


def threshold(ascending, groups, rate):
    """The lowest score above which (1 + groups x share of calibrating scores as high) / (groups + 1) is at most the rate."""
    spare = (groups + 1) * rate - 1
    if spare < -1e-9:
        return math.inf
    return ascending[len(ascending) - math.floor(1 + spare * len(ascending) / groups + 1e-9)]


def alarms(args, train, trial, parts=None):
    """Fits on some images and counts those of others that are flagged and marked, for every target."""
    with tempfile.TemporaryDirectory() as folder:
        listing, model = os.path.join(folder, "train.csv"), os.path.join(folder, "model.blemish")
        with open(listing, "w", newline="") as file:
            number = {path: index for index, part in enumerate(parts or []) for path in part}
            rows = [[os.path.abspath(path), "train", number.get(path, "")] for path in train]
            csv.writer(file).writerows([["path", "split", "group"], *rows])
        size = [] if {"--size", "--multi-scale", "--tile"} & set(args.settings) else ["--fast"]
        args.blemish.fit(listing, model, "--method", args.method, "--false-alarm", "0.1", *size, *args.settings)
        calibration = args.blemish.info(model)["calibration"]
        maxima = calibration["map_maxima"]
        grouping = calibration.get("grouping")
        groups = grouping["groups"] if grouping else len(maxima)
        scored, _ = args.blemish.predict(model, *trial)
    peaks = [max((region["peak"]["score"] for region in line["regions"]), default=-math.inf) for line in scored]
    flagged = {rate: sum(line["p_value"] <= rate + 1e-12 for line in scored) for rate in TARGETS}
    marked = {rate: sum(peak > threshold(maxima, groups, rate) for peak in peaks) for rate in TARGETS}
    return Outcome(len(maxima), grouping, len(scored), flagged, marked)


@dataclass
class Outcome:
    """What came of one fit."""

    calibrating: int
    grouping: dict  # what the fit took for groups; None where each image is for itself
    tried: int
    flagged: dict  # trial images by target
    marked: dict

    def groups(self):
        """The groups in words."""
        return f"{self.grouping['groups']} groups by {self.grouping['by']}" if self.grouping else "no groups"


def tail(trials, count, share):
    return sum(math.comb(trials, k) * share**k * (1 - share) ** (trials - k) for k in range(count, trials + 1))


def interval(count, trials):
    """Clopper-Pearson, 95 %."""
    def solve(holds):
        low, high = 0.0, 1.0
        for _ in range(50):
            middle = (low + high) / 2
            low, high = (low, middle) if holds(middle) else (middle, high)
        return high
    low = solve(lambda p: tail(trials, count, p) >= 0.025) if count else 0.0
    high = solve(lambda p: tail(trials, count + 1, p) >= 0.975) if count < trials else 1.0
    return f"{100 * low:.1f} to {100 * high:.1f}"


def tell(outcome, figure, rows):
    """Prints and keeps the rates of one split."""
    for rate in TARGETS:
        cells = [f"{100 * seen[rate] / outcome.tried:.1f} % ({seen[rate]} of {outcome.tried}, 95 % interval {interval(seen[rate], outcome.tried)})"
                 for seen in (outcome.flagged, outcome.marked)]
        print(f"  target {100 * rate:g} %: flagged {cells[0]}; marked {cells[1]}", flush=True)
        value, spread = f"{100 * outcome.flagged[rate] / outcome.tried:.1f}", interval(outcome.flagged[rate], outcome.tried)
        rows.add(**figure, metric=f"own split, target {100 * rate:g} %", value=value, spread=spread, seeds=1)
    rows.add(**figure, metric="own split, groups", value=outcome.groups(), seeds=1)


def synthetic(args, rows):
    """Sets without groups: how many are taken for sets with groups, and the rates over all of them."""
    taken, total = [], Outcome(0, None, 0, dict.fromkeys(TARGETS, 0), dict.fromkeys(TARGETS, 0))
    for seed in range(args.splits):
        look = LOOKS[seed % len(LOOKS)]
        with tempfile.TemporaryDirectory() as folder:
            made = os.path.join(folder, "set")
            args.blemish.synth(made, "--look", look, "--seed", str(seed), "--train", "60", "--test-good", "30",
                               "--test-per-defect", "1", "--size", "128x128")
            one = alarms(args, good(made, "train"), good(made, "test"))
        if one.grouping:
            taken.append(f"{look} {seed}: {one.groups()}")
        total.calibrating, total.tried = one.calibrating, total.tried + one.tried
        for rate in TARGETS:
            total.flagged[rate] += one.flagged[rate]
            total.marked[rate] += one.marked[rate]
    print(f"{args.splits} synthetic sets, {args.method}: {len(taken)} taken for sets with groups {taken}")
    figure = {"set": f"{args.splits} synthetic sets", "method": args.method, "variant": " ".join(args.settings)}
    rows.add(**figure, metric="sets taken for sets with groups", value=len(taken), seeds=args.splits)
    tell(total, figure, rows)


def main():
    # Without abbreviations, since `--tile` and others are options of `fit`.
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form, allow_abbrev=False)
    parser.add_argument("blemish", type=Program)
    parser.add_argument("splits", type=int)
    parser.add_argument("method")
    parser.add_argument("data")
    parser.add_argument("--tiles", action="store_true", help="keep images of one magnetic tile together")
    args, args.settings = parser.parse_known_args()
    rows = Rows("false-alarms")
    if args.data == "synthetic":
        return synthetic(args, rows)
    name = os.path.basename(args.data.rstrip("/"))
    train, trial = good(args.data, "train"), good(args.data, "test")
    own = alarms(args, train, trial, tiles(train) if args.tiles else None)
    print(f"{name}, {args.method}, own split: {own.calibrating} calibrating images, {own.groups()}, {own.tried} tried")
    note = "groups of tiles" if args.tiles else ""
    figure = {"set": name, "method": args.method, "variant": " ".join(args.settings), "note": note}
    tell(own, figure, rows)

    units = tiles(train + trial) if args.tiles else [[path] for path in train + trial]
    shares = {rate: ([], []) for rate in TARGETS}
    for seed in range(args.splits):
        shuffled = random.Random(seed).sample(units, len(units))
        cut = round(len(units) * 2 / 3)
        chosen, rest = (sorted(path for unit in part for path in unit) for part in (shuffled[:cut], shuffled[cut:]))
        one = alarms(args, chosen, rest, shuffled[:cut] if args.tiles else None)
        for rate in TARGETS:
            shares[rate][0].append(100 * one.flagged[rate] / one.tried)
            shares[rate][1].append(100 * one.marked[rate] / one.tried)
    if args.splits:
        print(f"{name}, {args.method}, {args.splits} random splits{' of tiles' if args.tiles else ''}")
    for rate in TARGETS if args.splits else []:
        cells = []
        for values in shares[rate]:
            error = statistics.stdev(values) / math.sqrt(len(values))
            cells.append(f"{statistics.mean(values):.2f} % (splits {min(values):.1f} to {max(values):.1f}, standard error {error:.2f})")
        print(f"  target {100 * rate:g} %: flagged {cells[0]}; marked {cells[1]}", flush=True)
        values = shares[rate][0]
        value, error = f"{statistics.mean(values):.1f}", f"{statistics.stdev(values) / math.sqrt(len(values)):.1f}"
        rows.add(**figure, metric=f"splits, target {100 * rate:g} %", value=value, spread=error, seeds=args.splits)


if __name__ == "__main__":
    main()
