"""CPU time of vision transformers on one core, ours beside PyTorch's, by turns in one run.

    cargo build --release -p blemish-features --example backbone_times
    python benches/backbones.py target/release/examples/backbone_times

Each network extracts the features of its last block from one image of 224 and of 448 pixels. PyTorch runs timm's network in inference mode, with its
fused attention, on one thread. Values of weights do not matter to the time. Prints medians of CPU time in milliseconds and PyTorch's over ours.
"""

import argparse
import os
import statistics
import subprocess
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

# timm's DINOv2 with its LayerScale; ours has it folded.
NETWORKS = {"vit_small_patch14_dinov2": 14, "vit_base_patch16_224": 16}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ours", help="the example backbone_times")
    parser.add_argument("--sides", type=int, nargs="+", default=[224, 448])
    parser.add_argument("--rounds", type=int, default=3, help="turns of both")
    parser.add_argument("--runs", type=int, default=5, help="images a turn")
    args = parser.parse_args()
    import timm
    import torch

    torch.set_num_threads(1)
    print("| network | pixels | PyTorch, ms | ours, ms | PyTorch / ours |\n|---|---|---|---|---|")
    for name, patch in NETWORKS.items():
        for side in args.sides:
            side = side // patch * patch
            model = timm.create_model(name, img_size=side, num_classes=0).eval()
            theirs, ours = [], []
            for _ in range(args.rounds):
                theirs += peer(model, side, args.runs)
                line = [args.ours, name, str(side), str(args.runs)]
                found = subprocess.run(line, check=True, capture_output=True, text=True).stdout
                ours += [float(value) for value in found.split()]
            theirs, ours = statistics.median(theirs), statistics.median(ours)
            print(f"| {name} | {side} | {theirs:.0f} | {ours:.0f} | {theirs / ours:.2f} |", flush=True)


def peer(model, side, runs):
    import torch

    image = torch.rand(1, 3, side, side)
    times = []
    with torch.inference_mode():
        for run in range(runs + 1):
            start = time.process_time()
            model.forward_features(image)
            if run:
                times.append((time.process_time() - start) * 1e3)
    return times


if __name__ == "__main__":
    main()
