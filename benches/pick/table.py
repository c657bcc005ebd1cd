"""How often `blemish pick` picks the truly best candidate, or one within a point of it, on labelled sets.

table.py BLEMISH FOLDER LIMITS SET...

BLEMISH is the binary; FOLDER keeps what was computed (delete a file to have it made anew); LIMITS are milliseconds an image, joined by
commas, each asked of the same measured times; every SET is a labelled data set. `pick` sees only the good training images of a set; the
truth is the image AUROC of every candidate fitted on all of them, with seed 0, on the set's test images. Prints a Markdown table.
"""

import json
import os
import subprocess
import sys

blemish, folder, limits, sets = os.path.abspath(sys.argv[1]), sys.argv[2], sys.argv[3].split(","), sys.argv[4:]
os.makedirs(folder, exist_ok=True)


def picked(path):
    """Every candidate's judgement, all of them quick enough."""
    kept = os.path.join(folder, f"pick-{os.path.basename(path)}.json")
    if not os.path.exists(kept):
        out = subprocess.run([blemish, "pick", path, "--latency", "1e9", "--json"], capture_output=True, text=True)
        if out.returncode:
            raise SystemExit(f"pick {path} failed:\n{out.stderr[-3000:]}")
        with open(kept, "w") as file:
            file.write(out.stdout)
    with open(kept) as file:
        return json.load(file)


judged = {path: picked(path) for path in sets}
methods = ",".join(one["candidate"] for one in judged[sets[0]]["candidates"])
bench = os.path.join(folder, "bench")
out = subprocess.run([blemish, "bench", *sets, "--methods", methods, "-o", bench, "--json"], capture_output=True, text=True)
if out.returncode:
    raise SystemExit(f"bench failed:\n{out.stderr[-3000:]}")
truth = {(cell["dataset"], cell["method"]): cell["evaluation"]["image"]["auroc"] for cell in json.loads(out.stdout)["cells"]}

print("| set | limit, ms | pick | its AUROC | truly best | AUROC | gap, points | best in resamples |")
print("|---|--:|---|--:|---|--:|--:|--:|")
best, near, all_of = 0, 0, 0
for path in sets:
    name = os.path.basename(path)
    for limit in limits:
        quick = [one for one in judged[path]["candidates"] if one["latency_ms"] <= float(limit)]
        if len(quick) < 2:
            continue
        pick = max(quick, key=lambda one: one["auroc"])
        top = max(quick, key=lambda one: truth[name, one["candidate"]])
        found, reached = truth[name, pick["candidate"]], truth[name, top["candidate"]]
        gap = 100 * (reached - found)
        best, near, all_of = best + (gap < 1e-9), near + (gap <= 1 + 1e-9), all_of + 1
        share = pick["is_best_share"] if len(quick) == len(judged[path]["candidates"]) else None
        print(f"| {name} | {'none' if float(limit) >= 1e6 else limit} | {pick['candidate']} | {100 * found:.1f} "
              f"| {top['candidate']} | {100 * reached:.1f} | {gap:.1f} | {'' if share is None else f'{100 * share:.0f} %'} |")
print(f"\nthe best: {best} of {all_of}; within 1 point of it: {near} of {all_of}")
