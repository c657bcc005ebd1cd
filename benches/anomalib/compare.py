"""Blemish beside anomalib on the same images and weights, alternately; prints medians and ratios.

compare.py BLEMISH PEER_PYTHON WEIGHTS [RUNS]

BLEMISH is the binary, PEER_PYTHON the python of a virtual environment with anomalib 2.7.0, WEIGHTS a ResNet-18 state dict up to
layer3 with batch norm folded in. Every figure of ours is of a whole process, from start to exit, images decoded and files written.
Of anomalib's fits, only `Engine.fit` counts: its imports and exports are left out.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
blemish, python, weights = map(os.path.abspath, sys.argv[1:4])
runs = int(sys.argv[4]) if len(sys.argv) > 4 else 3
work = tempfile.mkdtemp(prefix="compare-")
figures = {}


def run(command, **environment):
    """Runs a process to its end: its output, wall and CPU seconds, peak memory in MB."""
    with open(os.path.join(work, "out"), "w+") as out, open(os.path.join(work, "err"), "w+") as err:
        start = time.perf_counter()
        child = subprocess.Popen(command, stdout=out, stderr=err, env={**os.environ, **environment}, cwd=work)
        _, status, used = os.wait4(child.pid, 0)
        wall = time.perf_counter() - start
        out.seek(0), err.seek(0)
        if status != 0:
            raise SystemExit(f"{command} failed:\n{err.read()[-3000:]}")
        return out.read(), {"wall": wall, "cpu": used.ru_utime + used.ru_stime, "peak_mb": used.ru_maxrss / 1024}


def note(name, **values):
    for key, value in values.items():
        figures.setdefault((name, key), []).append(value)
    print(name, {key: round(value, 3) for key, value in values.items()}, file=sys.stderr, flush=True)


def ours(name, line):
    out, took = run([blemish, *line.split(), "--progress", "none"])
    note(name, **took)
    return out, took


def theirs(*line):
    out, took = run([python, os.path.join(HERE, "peer.py"), *line])
    return json.loads(out.strip().splitlines()[-1]), took


ours("synth", "data synth set --look fabric --train 60 --test-good 20 --test-per-defect 5 --size 256x256 --seed 0")
images = os.path.join(work, "set", "test", "good")
image = os.path.join(images, sorted(os.listdir(images))[0])
ON_RESNET = f"--backbone resnet18 --weights {weights} --size 256x256"
FITS = {
    "patchcore": f"fit set {ON_RESNET} --layers layer2,layer3 --method patchcore --folds 0 --set coreset_ratio=0.1 -o patchcore.blemish",
    "padim": f"fit set {ON_RESNET} --layers layer1,layer2,layer3 --method padim --folds 0 --set dimensions=100 -o padim.blemish",
    "patchcore_embedded": "fit set --method patchcore --size 256x256 --folds 0 --set coreset_ratio=0.1 -o patchcore_embedded.blemish",
    "padim_embedded": "fit set --method padim --size 256x256 --folds 0 --set dimensions=100 -o padim_embedded.blemish",
}
exported = {}
for _ in range(runs):
    for method, line in FITS.items():
        ours(f"{method} fit, blemish", line)
        _, one = ours(f"{method} cold, blemish", f"predict {method}.blemish {image}")
        # The difference between 21 images and one leaves the images' own cost: decoding, resizing, network, search, map.
        _, one = ours(f"{method} 1 image, blemish", f"predict {method}.blemish {image} --threads 1")
        _, many = ours(f"{method} 21 images, blemish", f"predict {method}.blemish {image} {images} --threads 1")
        note(f"{method} predict, blemish", cpu_ms=1000 * (many["cpu"] - one["cpu"]) / 20)
        note(f"{method} file, blemish", mb=os.path.getsize(os.path.join(work, f"{method}.blemish")) / 1e6)
    for method in ["patchcore", "padim"]:
        fitted, took = theirs("fit", method, os.path.join(work, "set"), weights, os.path.join(work, method))
        exported[method] = fitted["model"]
        note(f"{method} fit, anomalib", wall=fitted["wall"], cpu=fitted["cpu"], peak_mb=took["peak_mb"])
        note(f"{method} file, anomalib", mb=fitted["model_mb"])
        _, took = theirs("cold", exported[method], image)
        note(f"{method} cold, anomalib", **took)
        warm, _ = theirs("warm", exported[method])
        note(f"{method} predict, anomalib", cpu_ms=warm["cpu_ms"])

median = {key: statistics.median(values) for key, values in figures.items()}
print(f"| medians of {runs} runs | figure | anomalib | blemish, ResNet-18 | ratio | blemish, embedded | ratio |")
print("|---|---|---|---|---|---|---|")
for method in ["patchcore", "padim"]:
    for what, keys in [("fit", ["wall", "cpu", "peak_mb"]), ("cold", ["wall", "cpu", "peak_mb"]), ("predict", ["cpu_ms"]),
                       ("file", ["mb"])]:
        for key in keys:
            peer = median[f"{method} {what}, anomalib", key]
            resnet = median[f"{method} {what}, blemish", key]
            small = median[f"{method}_embedded {what}, blemish", key]
            print(f"| {method} {what} | {key} | {peer:.2f} | {resnet:.3f} | {peer / resnet:.1f} | {small:.3f} | {peer / small:.1f} |")
print(f"binary: {os.path.getsize(blemish) / 1e6:.1f} MB")
