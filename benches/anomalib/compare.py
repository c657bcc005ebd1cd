"""Blemish beside anomalib on the same images and weights, alternately; prints medians and ratios.

    python benches/anomalib/compare.py BLEMISH PEER_PYTHON WEIGHTS [RUNS]

BLEMISH is the binary, PEER_PYTHON the python of a virtual environment with anomalib 2.7.0, WEIGHTS a ResNet-18 state dict up to
layer3 with batch norm folded in. Every figure of ours is of a whole process, from start to exit, images decoded and files written.
Of anomalib's fits, only `Engine.fit` counts: its imports and exports are left out.
"""

import argparse
import os
import statistics
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from blemish import Program, Rows, run

UNITS = {"wall": "wall, s", "cpu": "CPU, s", "peak_mb": "peak, MB", "cpu_ms": "CPU an image, ms", "mb": "size, MB"}
WHAT = {"fit": ["wall", "cpu", "peak_mb"], "cold": ["wall", "cpu", "peak_mb"], "predict": ["cpu_ms"], "file": ["mb"]}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("blemish", "peer_python", "weights"):
        parser.add_argument(name, type=os.path.abspath)
    parser.add_argument("runs", nargs="?", type=int, default=3)
    return parser.parse_args()


def main():
    args = arguments()
    work = tempfile.mkdtemp(prefix="compare-")
    blemish = Program(args.blemish, cwd=work)
    measured = {}

    def note(name, **values):
        for key, value in values.items():
            measured.setdefault((name, key), []).append(value)
        print(name, {key: round(value, 3) for key, value in values.items()}, file=sys.stderr, flush=True)

    def ours(name, line):
        took = blemish.line(line)
        note(name, wall=took.wall, cpu=took.cpu, peak_mb=took.peak_mb)
        return took

    def theirs(*line):
        took = run(args.peer_python, HERE / "peer.py", *line, cwd=work)
        return took.lines()[-1], took

    ours("synth", "data synth set --look fabric --train 60 --test-good 20 --test-per-defect 5 --size 256x256 --seed 0")
    images = os.path.join(work, "set", "test", "good")
    image = os.path.join(images, sorted(os.listdir(images))[0])
    on_resnet = f"--backbone resnet18 --weights {args.weights} --size 256x256"
    fits = {
        "patchcore": f"fit set {on_resnet} --layers layer2,layer3 --method patchcore --folds 0 --set coreset_ratio=0.1 -o patchcore.blemish",
        "padim": f"fit set {on_resnet} --layers layer1,layer2,layer3 --method padim --folds 0 --set dimensions=100 -o padim.blemish",
        "patchcore_embedded": "fit set --method patchcore --size 256x256 --folds 0 --set coreset_ratio=0.1 -o patchcore_embedded.blemish",
        "padim_embedded": "fit set --method padim --size 256x256 --folds 0 --set dimensions=100 -o padim_embedded.blemish",
    }
    exported = {}
    for _ in range(args.runs):
        for method, line in fits.items():
            ours(f"{method} fit, blemish", line)
            ours(f"{method} cold, blemish", f"predict {method}.blemish {image}")
            # The difference between 21 images and one leaves the images' own cost: decoding, resizing, network, search, map.
            one = ours(f"{method} 1 image, blemish", f"predict {method}.blemish {image} --threads 1")
            many = ours(f"{method} 21 images, blemish", f"predict {method}.blemish {image} {images} --threads 1")
            note(f"{method} predict, blemish", cpu_ms=1000 * (many.cpu - one.cpu) / 20)
            note(f"{method} file, blemish", mb=os.path.getsize(os.path.join(work, f"{method}.blemish")) / 1e6)
        for method in ["patchcore", "padim"]:
            fitted, took = theirs("fit", method, os.path.join(work, "set"), args.weights, os.path.join(work, method))
            exported[method] = fitted["model"]
            note(f"{method} fit, anomalib", wall=fitted["wall"], cpu=fitted["cpu"], peak_mb=took.peak_mb)
            note(f"{method} file, anomalib", mb=fitted["model_mb"])
            _, took = theirs("cold", exported[method], image)
            note(f"{method} cold, anomalib", wall=took.wall, cpu=took.cpu, peak_mb=took.peak_mb)
            warm, _ = theirs("warm", exported[method])
            note(f"{method} predict, anomalib", cpu_ms=warm["cpu_ms"])

    median = {key: statistics.median(values) for key, values in measured.items()}
    rows = Rows("anomalib-speed")
    print(f"| medians of {args.runs} runs | figure | anomalib | blemish, ResNet-18 | ratio | blemish, embedded | ratio |")
    print("|---|---|---|---|---|---|---|")
    for method in ["patchcore", "padim"]:
        for what, keys in WHAT.items():
            for key in keys:
                peer = median[f"{method} {what}, anomalib", key]
                resnet = median[f"{method} {what}, blemish", key]
                small = median[f"{method}_embedded {what}, blemish", key]
                print(f"| {method} {what} | {key} | {peer:.2f} | {resnet:.3f} | {peer / resnet:.1f} | {small:.3f} | {peer / small:.1f} |")
                figure = {"set": "60 synthetic images", "method": method, "metric": f"{what}: {UNITS[key]}", "note": f"median of {args.runs}"}
                rows.add(**figure, variant="resnet18", peer="anomalib", value=f"{peer:.2f}")
                for variant, value in {"resnet18": resnet, "embedded": small}.items():
                    rows.add(**figure, variant=variant, value=f"{value:.3f}")
                    rows.add(**figure, variant=variant, peer="anomalib / Blemish", value=f"{peer / value:.1f}")
    print(f"binary: {os.path.getsize(args.blemish) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
