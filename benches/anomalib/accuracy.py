"""Accuracy of Blemish beside anomalib on the same files and weights: mean and standard deviation of the AUROC over seeds.

    python benches/anomalib/accuracy.py BLEMISH PEER WEIGHTS SEEDS CATEGORY...

BLEMISH and WEIGHTS are those of compare.py. PEER is its PEER_PYTHON, or a JSON file of anomalib's figures measured before (by category,
method, `image_auroc` and `pixel_auroc`), or `-`. SEEDS is their number, CATEGORY a folder in MVTec AD layout. PatchCore keeps 1 % of the
patches, PaDiM draws 100 channels; images are resized to 256x256.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from blemish import NAMES, Program, Rows, figures, mean_and_spread, run, shown

LAYERS = {"patchcore": "layer2,layer3", "padim": "layer1,layer2,layer3"}
SETTING = {"patchcore": "coreset_ratio=0.01", "padim": "dimensions=100"}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("blemish", "peer", "weights"):
        parser.add_argument(name)
    parser.add_argument("seeds", type=int)
    parser.add_argument("category", nargs="+")
    return parser.parse_args()


def ours(blemish, method, data, seed, backbone):
    with tempfile.TemporaryDirectory() as folder:
        model = os.path.join(folder, "model.blemish")
        settings = ["--method", method, "--set", SETTING[method], "--size", "256x256", "--seed", seed, "--folds", "0"]
        blemish.fit(data, model, *settings, *backbone)
        return figures(blemish.evaluate(model, data)[0])


def theirs(args, method, data):
    """anomalib's results, one a seed."""
    if args.peer == "-":
        return []
    if args.peer.endswith(".json"):
        with open(args.peer) as file:
            measured = json.load(file)[os.path.basename(data.rstrip("/"))][method]
        return [{kind: measured.get(f"{kind}_auroc") for kind in ["image", "pixel"]}]
    return [run_peer(args, method, data, seed) for seed in range(args.seeds)]


def run_peer(args, method, data, seed):
    return run(args.peer, HERE / "peer.py", "accuracy", method, data, args.weights, seed).lines()[-1]


def main():
    args = arguments()
    blemish, rows = Program(args.blemish), Rows("anomalib-accuracy")
    print("| set | method | anomalib image | ours image | embedded image | anomalib pixel | ours pixel | embedded pixel |")
    print("|---|---|---|---|---|---|---|---|")
    for data in args.category:
        name = os.path.basename(data.rstrip("/"))
        for method in ["patchcore", "padim"]:
            resnet = ["--backbone", "resnet18", "--layers", LAYERS[method], "--weights", args.weights]
            columns = {
                ("resnet18", "anomalib"): theirs(args, method, data),
                ("resnet18", ""): [ours(blemish, method, data, seed, resnet) for seed in range(args.seeds)],
                ("embedded", ""): [ours(blemish, method, data, seed, []) for seed in range(args.seeds)],
            }
            cells = []
            for kind in ["image", "pixel"]:
                for (variant, peer), results in columns.items():
                    value, spread = mean_and_spread([result[kind] for result in results], 100)
                    cells.append(shown(value, spread))
                    figure = {"set": name, "method": method, "variant": variant, "peer": peer, "seeds": len(results)}
                    rows.add(**figure, metric=NAMES[kind], value=value, spread=spread)
            print(f"| {name} | {method} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
