"""How often `blemish pick` picks the truly best candidate, or one within a point of it, on labelled sets.

    python benches/pick/table.py BLEMISH FOLDER LIMITS SET...

BLEMISH is the binary; FOLDER keeps what was computed (delete a file to have it made anew); LIMITS are milliseconds an image, joined by
commas, each asked of the same measured times; every SET is a labelled data set. `pick` sees only the good training images of a set; the
truth is the image AUROC of every candidate fitted on all of them, with seed 0, on the set's test images. Prints a Markdown table.
"""

import argparse
import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from blemish import Program, Rows


def picked(blemish, folder, path):
    """Every candidate's judgement, all of them quick enough."""
    kept = os.path.join(folder, f"pick-{os.path.basename(path)}.json")
    if not os.path.exists(kept):
        out = blemish.run("pick", path, "--latency", "1e9", "--json").out
        with open(kept, "w") as file:
            file.write(out)
    with open(kept) as file:
        return json.load(file)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("blemish", type=Program)
    parser.add_argument("folder")
    parser.add_argument("limits", type=lambda text: text.split(","))
    parser.add_argument("sets", nargs="+", metavar="SET")
    args = parser.parse_args()
    os.makedirs(args.folder, exist_ok=True)
    judged = {path: picked(args.blemish, args.folder, path) for path in args.sets}
    methods = ",".join(one["candidate"] for one in judged[args.sets[0]]["candidates"])
    cells = args.blemish.run("bench", *args.sets, "--methods", methods, "-o", os.path.join(args.folder, "bench"), "--json").json()["cells"]
    truth = {(cell["dataset"], cell["method"]): cell["evaluation"]["image"]["auroc"] for cell in cells}

    rows = Rows("picks")
    print("| set | limit, ms | pick | its AUROC | truly best | AUROC | gap, points | best in resamples |")
    print("|---|--:|---|--:|---|--:|--:|--:|")
    best, near, all_of = 0, 0, 0
    for path in args.sets:
        name = os.path.basename(path)
        for limit in args.limits:
            quick = [one for one in judged[path]["candidates"] if one["latency_ms"] <= float(limit)]
            if len(quick) < 2:
                continue
            pick = max(quick, key=lambda one: one["auroc"])
            top = max(quick, key=lambda one: truth[name, one["candidate"]])
            found, reached = truth[name, pick["candidate"]], truth[name, top["candidate"]]
            gap = 100 * (reached - found)
            best, near, all_of = best + (gap < 1e-9), near + (gap <= 1 + 1e-9), all_of + 1
            share = pick["is_best_share"] if len(quick) == len(judged[path]["candidates"]) else None
            figures = {
                "pick": pick["candidate"],
                "its AUROC, %": f"{100 * found:.1f}",
                "truly best": top["candidate"],
                "best AUROC, %": f"{100 * reached:.1f}",
                "gap, points": f"{gap:.1f}",
                "best in resamples, %": "" if share is None else f"{100 * share:.0f}",
            }
            limit = "none" if float(limit) >= 1e6 else limit
            print(f"| {name} | {limit} | {' | '.join(figures.values())}{' %' if share is not None else ''} |")
            for metric, value in figures.items():
                rows.add(set=name, method="pick", variant=limit, metric=metric, value=value, seeds=1)
    print(f"\nthe best: {best} of {all_of}; within 1 point of it: {near} of {all_of}")


if __name__ == "__main__":
    main()
