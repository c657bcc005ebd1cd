"""False-alarm rates of calibrated models on real good images, for targets of 10, 5, 1 and 0.1 %.

false_alarms.py BLEMISH SPLITS METHOD DATA [--tiles] [OPTION OF FIT]...

DATA is a folder in MVTec AD layout. First its own split: a model fitted and calibrated on train/good, tried on test/good. Then SPLITS
random splits of all its good images, two thirds to fit on and one third to try. With --tiles (magnetic_tile only) images of one tile
stay on one side of the split, and are told to the fit as one group. Image-wise an alarm is a p-value of at most the target;
pixel-wise a map above the threshold that this script computes itself from the model's calibrating maxima.
"""

import csv
import json
import math
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile

TARGETS = [0.10, 0.05, 0.01, 0.001]
arguments = sys.argv[1:]
by_tile = "--tiles" in arguments
arguments = [argument for argument in arguments if argument != "--tiles"]
blemish, splits, method, data, *settings = arguments
common = ["--progress", "none"]


def good(part):
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


def alarms(train, trial, parts=None):
    """Shares of the trial images that are flagged and marked, for every target."""
    with tempfile.TemporaryDirectory() as folder:
        listing, model = os.path.join(folder, "train.csv"), os.path.join(folder, "model.blemish")
        with open(listing, "w", newline="") as file:
            number = {path: index for index, part in enumerate(parts or []) for path in part}
            rows = [[os.path.abspath(path), "train", number.get(path, "")] for path in train]
            csv.writer(file).writerows([["path", "split", "group"], *rows])
        fit = [blemish, "fit", listing, "--method", method, "--false-alarm", "0.1", "-o", model, *settings, *common]
        subprocess.run(fit, check=True, stdout=subprocess.DEVNULL)
        info = json.loads(subprocess.run([blemish, "info", model, "--json"], check=True, stdout=subprocess.PIPE).stdout)
        maxima = info["calibration"]["map_maxima"]
        groups = info["calibration"]["source"].get("groups", len(maxima))
        lines = subprocess.run([blemish, "predict", model, *trial, *common], check=True, stdout=subprocess.PIPE, text=True).stdout
        scored = [json.loads(line) for line in lines.splitlines()]
    peaks = [max((region["peak"]["score"] for region in line["regions"]), default=-math.inf) for line in scored]
    flagged = {rate: sum(line["p_value"] <= rate + 1e-12 for line in scored) for rate in TARGETS}
    marked = {rate: sum(peak > threshold(maxima, groups, rate) for peak in peaks) for rate in TARGETS}
    return len(maxima), len(scored), flagged, marked


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


name = os.path.basename(data.rstrip("/"))
train, trial = good("train"), good("test")
calibrating, tried, flagged, marked = alarms(train, trial, tiles(train) if by_tile else None)
print(f"{name}, {method}, own split: {calibrating} calibrating images, {tried} tried")
for rate in TARGETS:
    cells = [f"{100 * seen[rate] / tried:.1f} % ({seen[rate]} of {tried}, 95 % interval {interval(seen[rate], tried)})"
             for seen in (flagged, marked)]
    print(f"  target {100 * rate:g} %: flagged {cells[0]}; marked {cells[1]}", flush=True)

units = tiles(train + trial) if by_tile else [[path] for path in train + trial]
shares = {rate: ([], []) for rate in TARGETS}
for seed in range(int(splits)):
    shuffled = random.Random(seed).sample(units, len(units))
    cut = round(len(units) * 2 / 3)
    chosen, rest = (sorted(path for unit in part for path in unit) for part in (shuffled[:cut], shuffled[cut:]))
    calibrating, tried, flagged, marked = alarms(chosen, rest, shuffled[:cut] if by_tile else None)
    for rate in TARGETS:
        shares[rate][0].append(100 * flagged[rate] / tried)
        shares[rate][1].append(100 * marked[rate] / tried)
if int(splits):
    print(f"{name}, {method}, {splits} random splits{' of tiles' if by_tile else ''}")
for rate in TARGETS if int(splits) else []:
    cells = []
    for values in shares[rate]:
        error = statistics.stdev(values) / math.sqrt(len(values))
        cells.append(f"{statistics.mean(values):.2f} % (splits {min(values):.1f} to {max(values):.1f}, standard error {error:.2f})")
    print(f"  target {100 * rate:g} %: flagged {cells[0]}; marked {cells[1]}", flush=True)
