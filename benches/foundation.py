"""Large networks on folders of MVTec-like categories, beside what their papers report.

    python benches/foundation.py winclip ROOT [--shots 0,1,2,4] [--program target/release/blemish] [--network clip_vit_b_16_plus_240]
                                         [--weights FILE] [--benchmark mvtec|visa]
    python benches/foundation.py saa ROOT [--segmenter sam_vit_h] [--vocabulary vocab.txt] [--benchmark mvtec|visa] [--no-pull]

ROOT holds a folder a category in MVTec AD layout. Without `--weights` the published weights are pulled into the weight store, which needs
internet. With good images, so many are taken evenly from each category, so there is no spread over draws. Needs Python's standard library
alone.
"""

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent))
from blemish import NAMES, Program, Rows, figures, mean_and_spread

# Image AUROC, pixel AUROC, PRO in per cent, by benchmark and shots.
PUBLISHED = {
    "winclip": {
        ("mvtec", 0): {"paper": (91.8, 85.1, 64.6), "re-implementation zqhang": (90.4, 82.3, 61.9)},
        ("mvtec", 1): {"paper": (93.1, 95.2, 87.1), "re-implementation zqhang": (93.7, 93.6, 84.1)},
        ("mvtec", 2): {"paper": (94.4, 96.0, 88.4), "re-implementation zqhang": (93.7, 93.8, 84.8)},
        ("mvtec", 4): {"paper": (95.2, 96.2, 89.0), "re-implementation zqhang": (95.3, 94.2, 85.4)},
        ("visa", 0): {"paper": (78.1, 79.6, 56.8), "re-implementation zqhang": (75.5, 73.2, 51.0)},
        ("visa", 1): {"paper": (83.8, 96.4, 85.1), "re-implementation zqhang": (83.8, 94.7, 80.5)},
        ("visa", 2): {"paper": (84.6, 96.8, 86.2)},
        ("visa", 4): {"paper": (87.3, 97.2, 87.6), "re-implementation zqhang": (84.1, 95.2, 81.4)},
    }
}


def shown(name, values):
    cells = " ".join(f"{value:>8}" for value in values)
    print(f"  {name:<28}{cells}")


def winclip(args):
    program = Program(args.program)
    if not args.weights:
        program.run("weights", "pull", args.network)
    categories = [folder for folder in sorted(args.root.iterdir()) if (folder / "test").is_dir()]
    rows = Rows("foundation")
    for shots in args.shots:
        print(f"winclip, {shots} good images, {len(categories)} categories")
        shown("", ["image", "pixel", "AUPRO"])
        found = {key: [] for key in NAMES}
        for category in categories:
            with tempfile.TemporaryDirectory() as folder:
                model = Path(folder) / "model.blemish"
                weights = ["--weights", args.weights] if args.weights else []
                program.fit(category, model, "--method", "winclip", "--set", f"shots={shots}", "--folds", 0, "--backbone", args.network, *weights)
                metrics, _ = program.evaluate(model, category)
            one = figures(metrics)
            shown(category.name, [mean_and_spread([one[key]], 100)[0] or "-" for key in NAMES])
            for key, value in one.items():
                found[key].append(value)
        means = {key: mean_and_spread(values, 100) for key, values in found.items()}
        shown("mean", [means[key][0] or "-" for key in NAMES])
        for source, published in PUBLISHED["winclip"].get((args.benchmark, shots), {}).items():
            shown(f"{source}, {args.benchmark}", published)
        if args.keep:
            for key, (value, spread) in means.items():
                rows.add(set=args.benchmark, method="winclip", variant=f"shots={shots}", metric=NAMES[key], value=value, spread=spread)


# Number of objects, most defects, their largest area as a share of the object's: what the authors wrote for each category.
PROPERTIES = {
    "mvtec": {
        **dict.fromkeys(("carpet", "grid", "leather", "tile", "wood", "cable", "hazelnut"), (1, 5, 0.9)),
        **dict.fromkeys(("metal_nut", "pill", "transistor"), (1, 5, 1)),
        **dict.fromkeys(("toothbrush", "zipper"), (1, 5, 0.5)),
        "bottle": (1, 5, 0.3), "capsule": (1, 5, 0.6), "screw": (1, 5, 0.1),
    },
    "visa": {
        "candle": (4, 1, 0.3), "capsules": (20, 15, 1), "cashew": (1, 17, 0.05), "chewinggum": (1, 50, 0.2), "fryum": (1, 5, 1),
        "macaroni1": (4, 5, 0.3), "macaroni2": (4, 50, 0.3), "pcb1": (1, 1, 0.3), "pcb2": (1, 9, 0.3), "pcb3": (1, 5, 0.3),
        "pcb4": (1, 7, 0.3), "pipe_fryum": (1, 19, 0.3),
    },
}
# Largest F1 of pixels in per cent; the authors' captions differ by category, ours are those that name the object alone.
SAA = {"mvtec": {"plain": 23.44, "plus": 39.40}, "visa": {"plain": 12.76, "plus": 27.07}}


def saa(args):
    program = Program(args.program)
    for network in () if args.no_pull else ("grounding_dino_tiny", args.segmenter):
        program.run("weights", "pull", network)
    categories = [folder for folder in sorted(args.root.iterdir()) if (folder / "test").is_dir()]
    for variant, published in SAA[args.benchmark].items():
        print(f"saa, {variant}, {len(categories)} categories")
        shown("", ["image", "pixel", "AUPRO", "F1"])
        found = []
        for category in categories:
            objects, most, area = PROPERTIES[args.benchmark].get(category.name, (1, 5, 0.9))
            settings = {
                "variant": variant, "object": category.name.replace("_", " ").rstrip("0123456789"), "objects": objects,
                "most_anomalies": most, "largest_area": area, "segmenter": args.segmenter,
            }
            if args.vocabulary:
                settings["vocabulary"] = args.vocabulary
            sets = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
            backbone = [] if variant == "plain" else ["--backbone", "wide_resnet50_2"]
            with tempfile.TemporaryDirectory() as folder:
                model = Path(folder) / "model.blemish"
                program.fit(category, model, "--method", "saa", "--folds", 0, *backbone, *sets)
                metrics, _ = program.evaluate(model, category)
            one = {**figures(metrics), "f1": (metrics["pixel"] or {}).get("f1_max")}
            shown(category.name, [mean_and_spread([value], 100)[0] or "-" for value in one.values()])
            found.append(one)
        shown("mean", [mean_and_spread([one[key] for one in found], 100)[0] or "-" for key in (*NAMES, "f1")])
        shown(f"paper, {args.benchmark}", ["-", "-", "-", published])


METHODS = {"winclip": winclip, "saa": saa}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("method", choices=METHODS)
    parser.add_argument("root", type=Path)
    parser.add_argument("--shots", type=lambda text: [int(word) for word in text.split(",")], default=[0, 1, 2, 4])
    parser.add_argument("--program", default="target/release/blemish")
    parser.add_argument("--network", default="clip_vit_b_16_plus_240")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--segmenter", default="sam_vit_h")
    parser.add_argument("--no-pull", action="store_true", help="saa with what `weights add` has brought, without internet")
    parser.add_argument("--vocabulary", type=Path, help="vocab.txt of bert-base-uncased, if it is not in the weight store's folder")
    parser.add_argument("--benchmark", choices=["mvtec", "visa"], default="mvtec")
    parser.add_argument("--keep", action="store_true", help="keep the means as rows in benches/runs; only with published weights")
    args = parser.parse_args()
    METHODS[args.method](args)
