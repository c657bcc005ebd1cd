"""Update and merge against the fit on everything.

    python benches/update.py target/release/blemish ../shared/data --method patchcore --seeds 0

Every m-th good image makes a shard. For each set: the fit on everything, models of 2 and 8 shards merged, and a model of the first half
updated with the second half. Prints bank size, certified covering radius, image and pixel AUROC, and the differences.
"""

import argparse
import json
import pathlib
import statistics
import struct
import tempfile

from blemish import Program, Rows, figures

SETS = {"screw": "mvtec/screw", "magnetic_tile": "magnetic_tile", "elpv_mono": "elpv_mono"}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("blemish", type=Program)
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("--method", default="patchcore")
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--set", action="append", default=[], help="setting of the method, as for the program")
    parser.add_argument("--reserve", action="store_true", help="shards keep as many picks as the merged bank")
    args = parser.parse_args()
    kept = Rows("update-and-merge")
    for name in args.sets:
        rows = {}
        for seed in args.seeds:
            for way, row in ways(args, args.data / SETS[name], seed).items():
                rows.setdefault(way, []).append(row)
        whole = rows["everything"]
        for way, each in rows.items():
            mean = {key: statistics.mean(row[key] for row in each) for key in ("image", "pixel", "radius", "entries")}
            worst = max(abs(row["image"] - other["image"]) for row, other in zip(each, whole))
            ratio = mean["radius"] / statistics.mean(row["radius"] for row in whole) if mean["radius"] else 0
            print(
                f"{name} | {way} | {mean['entries']:.0f} | {mean['radius']:.3f} | {ratio:.2f} | {100 * mean['image']:.2f} |"
                f" {100 * mean['pixel']:.2f} | {100 * (mean['image'] - statistics.mean(r['image'] for r in whole)):+.2f} |"
                f" {100 * worst:.2f}",
                flush=True,
            )
            cells = {"entries": f"{mean['entries']:.0f}", "certified radius": f"{mean['radius']:.2f}", "ratio": f"{ratio:.2f}"}
            cells |= {f"{kind} AUROC, %": f"{100 * mean[kind]:.2f}" for kind in ("image", "pixel") if mean[kind]}
            for metric, value in cells.items():
                note = "with a reserve" if args.reserve else ""
                kept.add(set=name, method=args.method, variant=way, metric=metric, value=value, seeds=len(each), note=note)


def ways(args, data, seed):
    """What `measure` finds for the fit on everything and for every way of joining parts."""
    images = sorted((data / "train/good").resolve().iterdir())
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)

        def fit(name, chosen, shards=1):
            source = folder / f"{name}-images"
            source.mkdir()
            for image in chosen:
                (source / image.name).symlink_to(image)
            reserve = [f"shards={shards}"] if args.reserve and args.method == "patchcore" else []
            settings = [word for setting in args.set + reserve for word in ("--set", setting)]
            args.blemish.fit(source, folder / name, "--method", args.method, "--seed", seed, "--updatable", "--fast", *settings)
            return folder / name

        rows = {"everything": measure(args.blemish, fit("whole", images), data)}
        for count in (2, 8):
            parts = [fit(f"{count}-{at}", images[at::count], count) for at in range(count)]
            merged = folder / f"merged-{count}"
            args.blemish.run("merge", *parts, "-o", merged)
            rows[f"{count} shards merged"] = measure(args.blemish, merged, data)
            if count == 2:
                updated = folder / "updated"
                args.blemish.run("update", parts[0], folder / "2-1-images", "-o", updated)
                rows["half, updated"] = measure(args.blemish, updated, data)
    return rows


def measure(blemish, model, data):
    found = figures(blemish.evaluate(model, data)[0])
    shapes = {tensor["name"]: tensor["shape"] for tensor in blemish.info(model)["tensors"]}
    return {
        "image": found["image"],
        "pixel": found["pixel"] or 0,
        "radius": covering_radius(model) if "coverage.radius" in shapes else 0,
        "entries": shapes.get("bank", [0])[0],
    }


def covering_radius(model):
    """The one float of the tensor `coverage.radius`; the file is a safetensors file."""
    with open(model, "rb") as file:
        length = struct.unpack("<Q", file.read(8))[0]
        start, end = json.loads(file.read(length))["coverage.radius"]["data_offsets"]
        file.seek(8 + length + start)
        return struct.unpack("<f", file.read(4))[0] if end > start else 0


if __name__ == "__main__":
    main()
