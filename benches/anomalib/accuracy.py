"""Accuracy of Blemish beside anomalib on the same files and weights: mean and standard deviation of the AUROC over seeds.

accuracy.py BLEMISH PEER WEIGHTS SEEDS CATEGORY...

BLEMISH and WEIGHTS are those of compare.py. PEER is its PEER_PYTHON, or a JSON file of anomalib's figures measured before (by category,
method, `image_auroc` and `pixel_auroc`), or `-`. SEEDS is their number, CATEGORY a folder in MVTec AD layout. PatchCore keeps 1 % of the
patches, PaDiM draws 100 channels; images are resized to 256x256.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
blemish, peer, weights = sys.argv[1:4]
seeds = range(int(sys.argv[4]))
LAYERS = {"patchcore": "layer2,layer3", "padim": "layer1,layer2,layer3"}
SETTING = {"patchcore": "coreset_ratio=0.01", "padim": "dimensions=100"}


def ours(method, data, seed, backbone):
    with tempfile.TemporaryDirectory() as folder:
        model, result = os.path.join(folder, "model.blemish"), os.path.join(folder, "result.json")
        fit = [blemish, "fit", data, "--method", method, "--set", SETTING[method], "--size", "256x256", "--seed", str(seed), "--folds", "0"]
        subprocess.run([*fit, *backbone, "-o", model, "--progress", "none"], check=True, stdout=subprocess.DEVNULL)
        measure = [blemish, "eval", model, data, "--json", result, "--progress", "none"]
        subprocess.run(measure, check=True, stdout=subprocess.DEVNULL)
        with open(result) as file:
            figures = json.load(file)
    return {kind: figures[kind]["auroc"] for kind in ["image", "pixel"]}


def theirs(method, data):
    """anomalib's results, one a seed."""
    if peer == "-":
        return []
    if peer.endswith(".json"):
        with open(peer) as file:
            figures = json.load(file)[os.path.basename(data.rstrip("/"))][method]
        return [{kind: figures.get(f"{kind}_auroc") for kind in ["image", "pixel"]}]
    return [run_peer(method, data, seed) for seed in seeds]


def run_peer(method, data, seed):
    command = [peer, os.path.join(HERE, "peer.py"), "accuracy", method, data, weights, str(seed)]
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    return json.loads(out.strip().splitlines()[-1])


def spread(results, kind):
    values = [100 * result[kind] for result in results if result[kind] is not None]
    if not values:
        return "-"
    plus_minus = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{plus_minus}"


print("| set | method | anomalib image | ours image | embedded image | anomalib pixel | ours pixel | embedded pixel |")
print("|---|---|---|---|---|---|---|---|")
for data in sys.argv[5:]:
    for method in ["patchcore", "padim"]:
        resnet = ["--backbone", "resnet18", "--layers", LAYERS[method], "--weights", weights]
        columns = [
            theirs(method, data),
            [ours(method, data, seed, resnet) for seed in seeds],
            [ours(method, data, seed, []) for seed in seeds],
        ]
        cells = [spread(column, kind) for kind in ["image", "pixel"] for column in columns]
        print(f"| {os.path.basename(data.rstrip('/'))} | {method} | {' | '.join(cells)} |", flush=True)
